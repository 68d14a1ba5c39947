/** Stage 3: fetches the planned objects with bounded concurrency and gathers their bytes in batches. */

import type { Limiter } from "../limiter.js";
import { GZIP_LIMITS } from "../limits.js";
import { type CutLimits, cutObject, damagedPieces, type Piece } from "../record/cut.js";
import { GZIP_MAGIC, gunzipAtOnce, gunzipStream, isGzip } from "../record/gunzip.js";
import { inMemory, type Source, stretchesOf } from "../record/window.js";
import { type Batch, BatchFiles, type BatchMemory, BatchWriter } from "../spool/batch.js";
import type { SegmentDetails } from "../spool/segments.js";
import type { Spool } from "../spool/spool.js";
import type { ObjectInfo, Store } from "../store/store.js";

export interface SpoolOptions {
  /** Shared by all hours in flight: the bytes that they may be fetching. */
  getBytes: Limiter;
  /** Shared: the bytes of objects that are being gunzipped. */
  plainBytes: Limiter;
  /** Shared: a new batch waits for memory until the reader has released an earlier one. */
  memory: BatchMemory;
  /** Objects larger than a range are cut. */
  cut: CutLimits;
  signal?: AbortSignal;
  onObject?: (object: ObjectInfo) => void;
}

/**
 * Yields batches as they fill up. Throws `conflict` if an object changed or disappeared since it was listed; the hour is
 * then planned again.
 */
export async function* spoolObjects(
  store: Store,
  objects: AsyncIterable<ObjectInfo> | Iterable<ObjectInfo>,
  spool: Spool,
  options: SpoolOptions,
): AsyncGenerator<Batch> {
  const queue = new BatchQueue(spool, options);
  const fetching = new Fetcher(store, queue, options).fetchAll(objects).then(
    () => queue.end(),
    (error) => queue.fail(error),
  );
  try {
    yield* queue;
  } finally {
    queue.stop();
    await fetching;
  }
}

/** Moves objects from the store to the queue: whole, gunzipped, or in pieces. */
class Fetcher {
  private readonly store: Store;
  private readonly queue: BatchQueue;
  private readonly options: SpoolOptions;

  constructor(store: Store, queue: BatchQueue, options: SpoolOptions) {
    this.store = store;
    this.queue = queue;
    this.options = options;
  }

  async fetchAll(objects: AsyncIterable<ObjectInfo> | Iterable<ObjectInfo>): Promise<void> {
    const { getBytes, cut, signal } = this.options;
    const inFlight = new Set<Promise<void>>();
    const scratches: Scratch[] = [];
    let failure: { error: unknown } | undefined;
    let index = 0;
    try {
      for await (const object of objects) {
        // An object that is cut holds at most two ranges, unless a record is longer.
        const give = await getBytes.take(Math.min(object.sizeBytes, 2 * cut.rangeBytes));
        await this.store.ready();
        if (failure || this.queue.stopped || signal?.aborted) {
          give();
          break;
        }
        // Taken only when the bytes begin to arrive: most GETs in flight may still be waiting for the store.
        let scratch: Scratch | undefined;
        const allocate = (sizeBytes: number) => {
          scratch ??= scratches.pop() ?? new Scratch();
          return scratch.allocate(sizeBytes);
        };
        const fetched = this.fetchOne(object, index++, allocate)
          .catch((error) => {
            failure ??= { error };
          })
          .finally(() => {
            if (scratch) scratches.push(scratch);
            give();
            inFlight.delete(fetched);
          });
        inFlight.add(fetched);
      }
    } finally {
      // Also if the listing fails: the caller then removes the spool that these fetches write to.
      await Promise.all(inFlight);
    }
    if (failure) throw failure.error;
    signal?.throwIfAborted();
  }

  private async fetchOne(
    object: ObjectInfo,
    index: number,
    allocate: (sizeBytes: number) => Buffer,
  ): Promise<void> {
    const { cut, signal, onObject } = this.options;
    const { key, etag, sizeBytes } = object;
    if (sizeBytes > cut.rangeBytes) {
      await this.addStored(index, rangesOf(this.store, object, signal));
    } else {
      const stored = await this.store.get(key, { etag, sizeBytes, allocate, signal });
      if (isGzip(stored)) await this.addGzip(index, stored);
      else await this.queue.add(index, stored);
    }
    onObject?.(object);
  }

  /** A gzip that opens to at most a range is opened in memory. */
  private async addGzip(index: number, stored: Buffer): Promise<void> {
    const { cut, plainBytes } = this.options;
    const add = async () => {
      const plain = await gunzipAtOnce(stored, cut.rangeBytes);
      if (plain && "damage" in plain) await this.queue.add(index, stored, { damage: plain.damage });
      else if (plain) await this.queue.add(index, plain.bytes);
      return plain !== undefined;
    };
    // The limiter covers the wait for room in a batch too: the objects in flight may be small, and all of them large when opened.
    const isAdded = toldSizeOf(stored) <= cut.rangeBytes && (await plainBytes.run(add, plainSizeOf(stored)));
    if (!isAdded) await this.addOpened(index, inMemory(stored));
  }

  /** A large object is never held whole, only some pieces of it. */
  private async addStored(index: number, stored: Source): Promise<void> {
    const first = Buffer.alloc(Math.min(stored.sizeBytes, GZIP_MAGIC.length));
    await stored.read(0, first);
    if (isGzip(first)) await this.addOpened(index, stored);
    else await this.addPieces(index, cutObject(stored, this.options.cut));
  }

  /** A large gzip is opened to a file: only its end shows whether it is whole. A damaged one is quarantined as stored. */
  private async addOpened(index: number, stored: Source): Promise<void> {
    const { cut, plainBytes } = this.options;
    const give = await plainBytes.take(plainBytes.capacity);
    try {
      const opened = await this.queue.spool.openFile(`object-${index}.plain`);
      try {
        const chunks = gunzipStream(stretchesOf(stored, cut.rangeBytes), stored.sizeBytes, GZIP_LIMITS);
        const damage = await opened.fill(chunks);
        const whole = { start: 0, end: stored.sizeBytes };
        const pieces =
          damage === undefined ? cutObject(opened, cut) : damagedPieces(stored, whole, damage, cut);
        await this.addPieces(index, pieces);
      } finally {
        await opened.remove();
      }
    } finally {
      give();
    }
  }

  private async addPieces(index: number, pieces: AsyncIterable<Piece>): Promise<void> {
    for await (const { bytes, offset: sourceOffset, areLines, inArray, damage } of pieces) {
      await this.queue.add(index, bytes, { sourceOffset, areLines, inArray, damage });
      if (this.queue.stopped) return;
    }
  }
}

/** A reusable buffer for one GET's bytes at a time, before they are copied to a batch. */
class Scratch {
  private bytes = Buffer.alloc(0);

  allocate(sizeBytes: number): Buffer {
    if (sizeBytes > SCRATCH_BYTES_MAX) return Buffer.allocUnsafeSlow(sizeBytes);
    if (this.bytes.length < sizeBytes)
      this.bytes = Buffer.allocUnsafeSlow(Math.ceil(sizeBytes / SCRATCH_STEP_BYTES) * SCRATCH_STEP_BYTES);
    return this.bytes;
  }
}

const SCRATCH_BYTES_MAX = 1 << 20;
/** The objects of an hour have similar sizes: a slightly larger next one should fit as well. */
const SCRATCH_STEP_BYTES = 64 << 10;

/**
 * The size that a gzip states. RFC 1952: a member ends with its size modulo 2^32. A file of several members (Firehose, log
 * shippers) states only that of the last one, and a damaged file states anything.
 */
function toldSizeOf(stored: Buffer): number {
  return stored.length >= 4 ? stored.readUInt32LE(stored.length - 4) : 0;
}

/** An estimate: the size that the gzip states, or what the usual ratio for JSON gives if that is more. */
function plainSizeOf(stored: Buffer): number {
  return Math.max(toldSizeOf(stored), stored.length * USUAL_RATIO);
}

const USUAL_RATIO = 10;

/** Reads one version of an object in ranges. */
function rangesOf(
  store: Store,
  { key, etag, sizeBytes }: ObjectInfo,
  signal: AbortSignal | undefined,
): Source {
  return {
    sizeBytes,
    async read(start, into) {
      const range = { start, end: start + into.length };
      const got = await store.get(key, { etag, range, sizeBytes: into.length, allocate: () => into, signal });
      if (got.buffer !== into.buffer || got.length !== into.length)
        throw new Error(`a range of ${key} came elsewhere than where it was to go`);
    },
  };
}

/** Passes finished batches from the fetchers to the one reader. Only the memory limit holds the fetchers back. */
class BatchQueue {
  stopped = false;
  readonly spool: Spool;
  private readonly files: BatchFiles;
  private readonly options: SpoolOptions;
  private writer: BatchWriter | undefined;
  /** Pending while a full writer is replaced. */
  private renewal: Promise<void> | undefined;
  private readonly ready: Batch[] = [];
  private ended = false;
  private failure: { error: unknown } | undefined;
  private wake = () => {};

  constructor(spool: Spool, options: SpoolOptions) {
    this.spool = spool;
    this.files = new BatchFiles(spool.dir);
    this.options = options;
  }

  /** Waits for memory, and resolves when the bytes have been copied. */
  async add(index: number, bytes: Buffer, details: SegmentDetails = {}): Promise<void> {
    while (!this.writer?.hasRoomFor(bytes.length) || this.writer.objects >= OBJECTS_PER_BATCH_MAX) {
      this.renewal ??= this.renew(bytes.length).finally(() => {
        this.renewal = undefined;
      });
      await this.renewal;
      if (this.stopped) return;
    }
    this.writer.add(index, bytes, details);
  }

  end(): void {
    this.flush();
    this.ended = true;
    this.wake();
  }

  fail(error: unknown): void {
    this.failure = { error };
    this.wake();
  }

  /** Gives all memory back, so that no other hour waits for it. */
  stop(): void {
    this.stopped = true;
    this.writer?.discard();
    this.writer = undefined;
    for (const batch of this.ready) batch.release();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Batch> {
    for (;;) {
      if (this.failure) throw this.failure.error;
      const next = this.ready.shift();
      if (next) {
        yield next;
      } else if (this.ended) {
        return;
      } else {
        await new Promise<void>((resolve) => {
          this.wake = resolve;
        });
      }
    }
  }

  /** Finishes the full writer first, so that nobody holds memory while waiting for more. */
  private async renew(sizeBytes: number): Promise<void> {
    this.flush();
    const writer = await BatchWriter.open(sizeBytes, this.options.memory);
    if (this.stopped) writer.discard();
    else this.writer = writer;
  }

  private flush(): void {
    const { writer } = this;
    this.writer = undefined;
    if (!writer) return;
    if (writer.objects === 0) {
      writer.discard();
      return;
    }
    this.ready.push(writer.finish(this.files));
    this.wake();
  }
}

/** Limits the bookkeeping of a batch of tiny objects. */
const OBJECTS_PER_BATCH_MAX = 50_000;
