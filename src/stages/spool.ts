/** Stage 3: fetch the planned objects with bounded concurrency and gather their bytes in batches. */
import { HourpackError } from "../errors.js";
import type { Limiter } from "../limiter.js";
import { beginsWithLines } from "../record/frame.js";
import { gunzipWithin } from "../record/gunzip.js";
import type { SegmentDetails } from "../segments.js";
import { type Batch, type BatchMemory, BatchWriter, type Spool } from "../spool.js";
import type { ObjectInfo, Store } from "../store/store.js";

export interface SpoolOptions {
  /** Shared by all hours in flight: how many bytes they may be fetching. */
  getBytes: Limiter;
  /** Shared: the bytes of objects that are being gunzipped. */
  plainBytes: Limiter;
  /** Shared, too: a batch waits for memory until the reader has released an earlier one. */
  memory: BatchMemory;
  gunzip: { maxRatio: number; maxBytes: number };
  signal?: AbortSignal;
  onObject?: (object: ObjectInfo) => void;
}

/** A larger object of lines is read in ranges of this size: a segment each. */
export const RANGE_BYTES = 64 << 20;

/**
 * Yields batches as they fill up. An object that changed since it was listed, or went away, ends it with
 * `conflict`; the hour is then planned again.
 */
export async function* spoolObjects(
  store: Store,
  objects: AsyncIterable<ObjectInfo> | Iterable<ObjectInfo>,
  spool: Spool,
  options: SpoolOptions,
): AsyncGenerator<Batch> {
  const queue = new BatchQueue(spool, options);
  const fetching = fetchAll(store, objects, queue, options).then(
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

async function fetchAll(
  store: Store,
  objects: AsyncIterable<ObjectInfo> | Iterable<ObjectInfo>,
  queue: BatchQueue,
  options: SpoolOptions,
): Promise<void> {
  const { getBytes, signal } = options;
  const inFlight = new Set<Promise<void>>();
  const scratches: Scratch[] = [];
  let failure: { error: unknown } | undefined;
  let index = 0;
  for await (const object of objects) {
    const give = await getBytes.take(Math.min(object.sizeBytes, RANGE_BYTES));
    await store.ready();
    if (failure || queue.stopped || signal?.aborted) {
      give();
      break;
    }
    // Taken when its bytes begin to come: of the GETs that are begun, most may still wait for the store.
    let scratch: Scratch | undefined;
    const allocate = (sizeBytes: number) => {
      scratch ??= scratches.pop() ?? new Scratch();
      return scratch.allocate(sizeBytes);
    };
    const fetched = fetchOne(store, object, index++, queue, allocate, options)
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
  await Promise.all(inFlight);
  if (failure) throw failure.error;
  signal?.throwIfAborted();
}

/** One GET's bytes at a time, before they are copied to a batch: used over and over, like a batch's memory. */
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
/** Objects of an hour are much of a size: the next one, a little larger, is to fit as well. */
const SCRATCH_STEP_BYTES = 64 << 10;

async function fetchOne(
  store: Store,
  object: ObjectInfo,
  index: number,
  queue: BatchQueue,
  allocate: (sizeBytes: number) => Buffer,
  options: SpoolOptions,
): Promise<void> {
  const { signal } = options;
  if (object.sizeBytes > RANGE_BYTES) return fetchLarge(store, object, index, queue, options);
  const { key, etag, sizeBytes } = object;
  const stored = await store.get(key, { etag, sizeBytes, allocate, signal });
  options.onObject?.(object);
  return addWhole(index, stored, queue, options);
}

async function addWhole(
  index: number,
  stored: Buffer,
  queue: BatchQueue,
  options: SpoolOptions,
): Promise<void> {
  if (!isGzip(stored)) return queue.add(index, stored);
  const add = async () => {
    const plain = await gunzipWithin(stored, options.gunzip);
    if ("damage" in plain) return queue.add(index, stored, { damage: plain.damage });
    return queue.add(index, plain.bytes);
  };
  // What was gunzipped waits for room in a batch: the objects in flight may be small, and all of them large when opened.
  return options.plainBytes.run(add, plainSizeOf(stored));
}

/**
 * RFC 1952: a member ends with its size modulo 2^32. Several members (Firehose, log shippers) tell only of the last
 * one, and a damaged file tells anything, so that it is taken for at least what JSON mostly comes to.
 */
function plainSizeOf(stored: Buffer): number {
  const told = stored.length >= 4 ? stored.readUInt32LE(stored.length - 4) : 0;
  return Math.max(told, stored.length * USUAL_RATIO);
}

const USUAL_RATIO = 10;

/** A large object: lines range by range, cut at newlines; anything else as a whole, since it can be cut nowhere else. */
async function fetchLarge(
  store: Store,
  object: ObjectInfo,
  index: number,
  queue: BatchQueue,
  options: SpoolOptions,
): Promise<void> {
  const get = (start: number, end: number) =>
    store.get(object.key, {
      etag: object.etag,
      range: { start, end },
      sizeBytes: end - start,
      signal: options.signal,
    });
  const first = await get(0, RANGE_BYTES);
  if (!isGzip(first) && beginsWithLines(first)) {
    await fetchLines(object, index, first, get, queue);
  } else {
    if (object.sizeBytes > WHOLE_BYTES_MAX) throw tooLarge(store, object);
    const { etag, key, sizeBytes } = object;
    const stored = await store.get(key, { etag, sizeBytes, signal: options.signal });
    await addWhole(index, stored, queue, options);
  }
  options.onObject?.(object);
}

/** All ranges are of one version; each is cut at its last newline, and what is left goes before the next. */
async function fetchLines(
  object: ObjectInfo,
  index: number,
  first: Buffer,
  get: (start: number, end: number) => Promise<Buffer>,
  queue: BatchQueue,
): Promise<void> {
  let rest: Buffer = Buffer.alloc(0);
  let sourceOffset = 0;
  for (let start = 0; start < object.sizeBytes; start += RANGE_BYTES) {
    const end = Math.min(start + RANGE_BYTES, object.sizeBytes);
    const range = start === 0 ? first : await get(start, end);
    const bytes = rest.length > 0 ? Buffer.concat([rest, range]) : range;
    const cut = end === object.sizeBytes ? bytes.length : bytes.lastIndexOf(0x0a) + 1;
    if (cut > 0) {
      await queue.add(index, bytes.subarray(0, cut), { sourceOffset, areLines: true });
      sourceOffset += cut;
    }
    rest = Buffer.from(bytes.subarray(cut));
  }
}

/** V8's texts end at 512 MiB. */
const WHOLE_BYTES_MAX = 500_000_000;

function tooLarge(store: Store, { key, sizeBytes }: ObjectInfo): HourpackError {
  return new HourpackError(
    "data",
    `read ${store.uri}${key}: ${sizeBytes} bytes that are not one record a line, more than the limit of ${WHOLE_BYTES_MAX}`,
    {
      stage: "spool",
      location: store.uri + key,
      hint: "Objects of one record a line may be of any size; split this one, or move it out of the hour's prefix.",
    },
  );
}

/** RFC 1952: a gzip member begins with 1f 8b. Names say nothing. */
function isGzip(bytes: Buffer): boolean {
  return bytes.length >= 2 && bytes[0] === 0x1f && bytes[1] === 0x8b;
}

/** Finished batches on their way from the fetchers to the one reader. What holds the fetchers back is the memory. */
class BatchQueue {
  stopped = false;
  private readonly spool: Spool;
  private readonly options: SpoolOptions;
  private writer: BatchWriter | undefined;
  /** At work while the writer has no room and another one is made. */
  private renewal: Promise<void> | undefined;
  private readonly ready: Promise<Batch>[] = [];
  private count = 0;
  private ended = false;
  private failure: { error: unknown } | undefined;
  private wake = () => {};

  constructor(spool: Spool, options: SpoolOptions) {
    this.spool = spool;
    this.options = options;
  }

  /** Resolves when the bytes have been copied; not before there is memory for them. */
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

  /** Gives all memory back, so that nobody waits for it. */
  stop(): void {
    this.stopped = true;
    this.writer?.discard();
    this.writer = undefined;
    for (const batch of this.ready)
      batch.then(
        (finished) => finished.release(),
        () => {},
      );
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Batch> {
    for (;;) {
      if (this.failure) throw this.failure.error;
      const next = this.ready.shift();
      if (next) {
        yield await next;
      } else if (this.ended) {
        return;
      } else {
        await new Promise<void>((resolve) => {
          this.wake = resolve;
        });
      }
    }
  }

  /** The full writer goes first: whoever waits for memory holds none. */
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
    const batch = writer.finish(this.spool.path(`batch-${this.count++}.raw`));
    batch.catch(() => {});
    this.ready.push(batch);
    this.wake();
  }
}

/** So that an hour of tiny objects does not make a batch of endless bookkeeping. */
const OBJECTS_PER_BATCH_MAX = 50_000;
