/** Batches: an hour's bytes on their way to the engine, a few megabytes at a time, in memory and on the spool's disk. */
import { constants } from "node:fs";
import { open, rm } from "node:fs/promises";
import { join } from "node:path";
import { readFully } from "../read-fully.js";
import { Stretches } from "../record/stretches.js";
import { type SegmentDetails, Segments } from "./segments.js";
import { spoolError } from "./spool.js";

/** Objects' bytes: first in memory, then in a file that the engine reads. */
export class Batch {
  /** The file. Another batch takes it once this one is removed. */
  readonly path: string;
  /** The prefix of the names of everything that is made from it. */
  readonly base: string;
  readonly sizeBytes: number;
  readonly segments: Segments;
  private lent: Lent | undefined;
  private readonly memory: BatchMemory;
  private readonly files: BatchFiles;
  /**
   * The stretches that the file, once written, has newlines for. A file beside it has their bytes, in order.
   */
  private apart: Stretches | undefined;

  constructor(files: BatchFiles, sizeBytes: number, segments: Segments, lent: Lent, memory: BatchMemory) {
    const { path, base } = files.take();
    this.files = files;
    this.path = path;
    this.base = base;
    this.sizeBytes = sizeBytes;
    this.segments = segments;
    this.lent = lent;
    this.memory = memory;
  }

  /** From memory, or read again. Not to be used once the batch is stored or released. */
  async bytes(): Promise<Buffer> {
    this.lent ??= await this.readInto(await this.memory.take(this.sizeBytes));
    return this.lent.bytes.subarray(0, this.sizeBytes);
  }

  /** Reads the bytes again for `bytes()`, without waiting for the memory that batches share. */
  async readBesides(): Promise<void> {
    this.lent ??= await this.readInto({
      bytes: Buffer.allocUnsafeSlow(this.sizeBytes),
      giveBack: () => {},
    });
  }

  /**
   * Writes to disk, and gives the memory back. `apart`: whole lines that the engine must not read, in order.
   */
  async store(apart = new Stretches()): Promise<void> {
    try {
      const isThere = this.apart?.isEmpty && apart.isEmpty;
      if (!isThere) await this.write(await this.bytes(), apart);
    } finally {
      this.release();
    }
  }

  /** Gives the memory back, and with it what was not stored. */
  release(): void {
    this.lent?.giveBack();
    this.lent = undefined;
  }

  async remove(): Promise<void> {
    this.files.give(this.path);
    await rm(this.apartPath, { force: true });
  }

  private get apartPath(): string {
    return `${this.base}.apart`;
  }

  private async write(bytes: Buffer, apart: Stretches): Promise<void> {
    try {
      if (!apart.isEmpty) {
        const pieces = Buffer.allocUnsafeSlow(apart.sizeBytes);
        let at = 0;
        apart.forEach((start, end) => {
          at += bytes.copy(pieces, at, start, end);
          bytes.fill(NEWLINE, start, end);
        });
        await writeAtOnce(this.apartPath, pieces);
      }
      await writeAtOnce(this.path, bytes);
      this.apart = apart;
    } catch (error) {
      throw spoolError(error, `write the spool file ${this.path}`, this.path);
    }
  }

  private async readInto(lent: Lent): Promise<Lent> {
    const { apart } = this;
    try {
      await readAtOnce(this.path, lent.bytes.subarray(0, this.sizeBytes));
      if (apart && !apart.isEmpty) {
        const pieces = Buffer.allocUnsafeSlow(apart.sizeBytes);
        await readAtOnce(this.apartPath, pieces);
        let at = 0;
        apart.forEach((start, end) => {
          at += pieces.copy(lent.bytes, start, at, at + end - start);
        });
      }
      return lent;
    } catch (error) {
      lent.giveBack();
      throw spoolError(error, `read the spool file ${this.path}`, this.path);
    }
  }
}

/**
 * Files that are written over and over, like the memory. With a new file for each batch, the system would
 * find, clear and free its pages each time.
 */
export class BatchFiles {
  private readonly dir: string;
  private readonly free: string[] = [];
  private count = 0;

  constructor(dir: string) {
    this.dir = dir;
  }

  take(): { path: string; base: string } {
    const base = join(this.dir, `batch-${this.count++}`);
    return { path: this.free.pop() ?? `${base}.raw`, base };
  }

  give(path: string): void {
    this.free.push(path);
  }
}

/** Memory on loan. */
interface Lent {
  bytes: Buffer;
  giveBack: () => void;
}

/**
 * The memory of a few batches, used over and over. New memory for each would keep the garbage collector busy.
 */
export class BatchMemory {
  private readonly capacityBytes: number;
  private readonly free: Buffer[] = [];
  private readonly waiting: (() => void)[] = [];
  /** Below 0 if more are lent than the hours that are still at work may have. */
  private left: number;
  private atWork = 0;

  constructor(capacityBytes: number, count: number) {
    this.capacityBytes = capacityBytes;
    this.left = count;
  }

  /**
   * One more hour is at work, and may have a batch of its own that fills. Returns a function that ends this;
   * only its first call counts. `isForNext`: the memory stays for an hour that comes soon, because new memory
   * of this size for each hour makes the garbage collector run each time.
   */
  enter(): (isForNext: boolean) => void {
    this.put();
    this.atWork++;
    let isAtWork = true;
    return (isForNext) => {
      if (!isAtWork) return;
      isAtWork = false;
      this.left--;
      this.atWork--;
      if (isForNext) setTimeout(() => this.rest(), KEPT_MS).unref();
      else this.rest();
    };
  }

  /** Lends at least `sizeBytes`. If all are in use, waits until one is given back. */
  async take(sizeBytes: number): Promise<Lent> {
    if (this.left > 0) this.left--;
    else await new Promise<void>((resolve) => this.waiting.push(resolve));
    const isUsual = sizeBytes <= this.capacityBytes;
    const bytes = isUsual
      ? (this.free.pop() ?? Buffer.allocUnsafeSlow(this.capacityBytes))
      : Buffer.allocUnsafeSlow(sizeBytes);
    const giveBack = () => {
      if (isUsual && this.left >= 0) this.free.push(bytes);
      this.put();
    };
    return { bytes, giveBack };
  }

  /** Frees the memory if no hour is at work. */
  private rest(): void {
    if (this.atWork === 0) this.free.length = 0;
  }

  private put(): void {
    const next = this.left >= 0 ? this.waiting.shift() : undefined;
    if (next) next();
    else this.left++;
  }
}

/**
 * How long memory stays for the next hour. Not longer, because a worker has nothing to do for most of an
 * hour.
 */
const KEPT_MS = 10_000;

/** Gathers segments into one batch. */
export class BatchWriter {
  private readonly lent: Lent;
  private readonly memory: BatchMemory;
  private readonly segments = new Segments();
  private sizeBytes = 0;

  private constructor(lent: Lent, memory: BatchMemory) {
    this.lent = lent;
    this.memory = memory;
  }

  /** With room for at least `sizeBytes`. Waits until there is memory. */
  static async open(sizeBytes: number, memory: BatchMemory): Promise<BatchWriter> {
    return new BatchWriter(await memory.take(sizeBytes + 1), memory);
  }

  hasRoomFor(sizeBytes: number): boolean {
    return this.sizeBytes + sizeBytes + 1 <= this.lent.bytes.length;
  }

  /** Copies the bytes. `index`: the object's position among those fetched. */
  add(index: number, bytes: Buffer, details: SegmentDetails): void {
    const offset = this.sizeBytes;
    const sizeBytes = bytes.length;
    this.segments.add(index, offset, sizeBytes, details);
    const { bytes: memory } = this.lent;
    bytes.copy(memory, offset);
    this.sizeBytes += sizeBytes;
    // A segment ends with a newline of its own, so that the file as a whole is lines if the objects are.
    if (details.damage === undefined && sizeBytes > 0 && bytes[sizeBytes - 1] !== NEWLINE) {
      memory[this.sizeBytes] = NEWLINE;
      this.sizeBytes += 1;
    }
  }

  get objects(): number {
    return this.segments.count;
  }

  discard(): void {
    this.lent.giveBack();
  }

  finish(files: BatchFiles): Batch {
    return new Batch(files, this.sizeBytes, this.segments.close(), this.lent, this.memory);
  }
}

/** `writeFile` would cut the bytes into pieces of 512 KiB, and wait for each. */
async function writeAtOnce(path: string, bytes: Buffer): Promise<void> {
  const file = await open(path, constants.O_WRONLY | constants.O_CREAT);
  try {
    // A nearly full disk takes a part, and refuses the rest.
    for (let at = 0; at < bytes.length; ) at += (await file.write(bytes, at, undefined, at)).bytesWritten;
    // The file may be that of a longer batch.
    await file.truncate(bytes.length);
  } finally {
    await file.close();
  }
}

async function readAtOnce(path: string, into: Buffer): Promise<void> {
  const file = await open(path, "r");
  try {
    await readFully(file, 0, into);
  } finally {
    await file.close();
  }
}

const NEWLINE = 0x0a;
