/** The spool: local copies of an hour's objects, in batches, in a folder of one attempt. */
import { type FileHandle, mkdir, open, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { HourpackError } from "./errors.js";
import { type FileLock, takeFileLock, tryFileLock } from "./lock.js";
import type { Stretch } from "./record/sift.js";
import { type SegmentDetails, Segments } from "./segments.js";

/** Objects' bytes: first in memory, and then in a file that the engine reads. */
export class Batch {
  readonly path: string;
  readonly sizeBytes: number;
  readonly segments: Segments;
  private lent: Lent | undefined;
  private readonly memory: BatchMemory;
  /** What the file has newlines for, where there is one: these bytes lie in a file beside it, one after the other. */
  private apart: Stretch[] | undefined;

  constructor(path: string, sizeBytes: number, segments: Segments, lent: Lent, memory: BatchMemory) {
    this.path = path;
    this.sizeBytes = sizeBytes;
    this.segments = segments;
    this.lent = lent;
    this.memory = memory;
  }

  /** From memory, or read again. Not to be used any more once the batch is stored or released. */
  async bytes(): Promise<Buffer> {
    this.lent ??= await this.readAgain(this.apart ?? []);
    return this.lent.bytes.subarray(0, this.sizeBytes);
  }

  /** To the disk; the memory goes. `apart`: whole lines that the engine is not to read, in order. */
  async store(apart: Stretch[] = []): Promise<void> {
    try {
      const isThere = this.apart?.length === 0 && apart.length === 0;
      if (!isThere) await this.write(await this.bytes(), apart);
    } finally {
      this.release();
    }
  }

  /** The memory goes, and with it what was not stored. */
  release(): void {
    this.lent?.giveBack();
    this.lent = undefined;
  }

  async remove(): Promise<void> {
    await Promise.all([rm(this.path, { force: true }), rm(this.apartPath, { force: true })]);
  }

  private get apartPath(): string {
    return `${this.path}.apart`;
  }

  private async write(bytes: Buffer, apart: Stretch[]): Promise<void> {
    try {
      if (apart.length > 0) {
        const pieces = apart.map(({ start, end }) => bytes.subarray(start, end));
        await writeAtOnce(this.apartPath, pieces);
        for (const piece of pieces) piece.fill(NEWLINE);
      }
      await writeAtOnce(this.path, [bytes]);
      this.apart = apart;
    } catch (error) {
      throw spoolError(error, `write the spool file ${this.path}`, this.path);
    }
  }

  private async readAgain(apart: Stretch[]): Promise<Lent> {
    const lent = await this.memory.take(this.sizeBytes);
    try {
      await readAtOnce(this.path, lent.bytes.subarray(0, this.sizeBytes));
      if (apart.length > 0) {
        const pieces = Buffer.alloc(apart.reduce((sum, { start, end }) => sum + end - start, 0));
        await readAtOnce(this.apartPath, pieces);
        let at = 0;
        for (const { start, end } of apart) at += pieces.copy(lent.bytes, start, at, at + end - start);
      }
      return lent;
    } catch (error) {
      lent.giveBack();
      throw spoolError(error, `read the spool file ${this.path}`, this.path);
    }
  }
}

/** A folder of its own for one attempt; removed at its end, and by a later run where its process died. */
export class Spool {
  readonly dir: string;
  private readonly lock: FileLock;

  private constructor(dir: string, lock: FileLock) {
    this.dir = dir;
    this.lock = lock;
  }

  static async open(root: string, attempt: string): Promise<Spool> {
    const dir = join(root, attempt);
    try {
      await mkdir(root, { recursive: true });
      await sweep(root);
      // The lock before the folder: whoever sees the folder can tell whether its maker is alive. Waited for, since
      // another's sweep may see the lock's file a moment before it is locked, and hold it for as long as it looks.
      const lock = await takeFileLock(lockOf(dir));
      await mkdir(dir);
      ours.add(dir);
      return new Spool(dir, lock);
    } catch (error) {
      throw spoolError(error, `open the spool ${dir}`, root);
    }
  }

  path(name: string): string {
    return join(this.dir, name);
  }

  openFile(name: string): Promise<SpoolFile> {
    return SpoolFile.open(this.path(name));
  }

  async close(): Promise<void> {
    await removeFolder(this.dir);
    await this.lock.release();
    ours.delete(this.dir);
  }
}

/** Bytes that are too many for memory, to be read in any order. */
export class SpoolFile {
  sizeBytes = 0;
  private readonly path: string;
  private readonly file: FileHandle;

  private constructor(path: string, file: FileHandle) {
    this.path = path;
    this.file = file;
  }

  static async open(path: string): Promise<SpoolFile> {
    try {
      return new SpoolFile(path, await open(path, "wx+"));
    } catch (error) {
      throw spoolError(error, `make the spool file ${path}`, path);
    }
  }

  /** Writes all chunks; returns what their generator does. */
  async fill<T>(chunks: AsyncGenerator<Buffer, T>): Promise<T> {
    for (;;) {
      const next = await chunks.next();
      if (next.done) return next.value;
      try {
        await this.file.appendFile(next.value);
      } catch (error) {
        await chunks.return(undefined as T);
        throw spoolError(error, `write the spool file ${this.path}`, this.path);
      }
      this.sizeBytes += next.value.length;
    }
  }

  async read(start: number, into: Buffer): Promise<void> {
    try {
      const { bytesRead } = await this.file.read(into, 0, into.length, start);
      if (bytesRead !== into.length) throw new Error(`${bytesRead} of ${into.length} bytes are there`);
    } catch (error) {
      throw spoolError(error, `read the spool file ${this.path}`, this.path);
    }
  }

  async remove(): Promise<void> {
    await this.file.close();
    await rm(this.path, { force: true });
  }
}

function lockOf(dir: string): string {
  return `${dir}.lock`;
}

async function removeFolder(dir: string): Promise<void> {
  await rm(dir, { recursive: true, force: true });
  await rm(lockOf(dir), { force: true });
}

/** Folders that this process holds, and need not ask about. */
const ours = new Set<string>();

/** Removes the folders whose lock nobody holds: those of processes that are gone, in whatever container they ran. */
async function sweep(root: string): Promise<void> {
  const attempts = (await readdir(root)).map((name) => name.replace(/\.lock$/, ""));
  for (const name of new Set(attempts)) {
    if (!/^[0-9A-HJKMNP-TV-Z]{26}$/.test(name)) continue;
    const dir = join(root, name);
    if (ours.has(dir)) continue;
    const lock = await tryFileLock(lockOf(dir)).catch(() => undefined);
    if (!lock) continue;
    await removeFolder(dir);
    await lock.release();
  }
}

/** Memory on loan. */
interface Lent {
  bytes: Buffer;
  giveBack: () => void;
}

/** The memory of a few batches, used over and over: new memory for each would keep the garbage collector busy. */
export class BatchMemory {
  private readonly capacityBytes: number;
  private readonly free: Buffer[] = [];
  private readonly waiting: (() => void)[] = [];
  /** Below 0 where more are lent than the hours that are still at work may have. */
  private left: number;
  private atWork = 0;

  constructor(capacityBytes: number, count: number) {
    this.capacityBytes = capacityBytes;
    this.left = count;
  }

  /**
   * An hour more is at work, and may have a batch of its own that fills. Returns what ends that, once. `isForNext`: the
   * memory stays for an hour that comes soon, since new memory of this size for each makes the collector run each time.
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

  /** At least `sizeBytes`; waits until one is given back where all are in use. */
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

  /** Where no hour is at work. */
  private rest(): void {
    if (this.atWork === 0) this.free.length = 0;
  }

  private put(): void {
    const next = this.left >= 0 ? this.waiting.shift() : undefined;
    if (next) next();
    else this.left++;
  }
}

/** A worker has nothing to do for most of an hour. */
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

  /** With room for at least so many bytes; waits until there is memory. */
  static async open(sizeBytes: number, memory: BatchMemory): Promise<BatchWriter> {
    return new BatchWriter(await memory.take(sizeBytes + 1), memory);
  }

  /** Whether that many bytes fit. */
  hasRoomFor(sizeBytes: number): boolean {
    return this.sizeBytes + sizeBytes + 1 <= this.lent.bytes.length;
  }

  /** Copies the bytes. `index`: position of the object among those fetched. */
  add(index: number, bytes: Buffer, details: SegmentDetails): void {
    const offset = this.sizeBytes;
    const sizeBytes = bytes.length;
    this.segments.add(index, offset, sizeBytes, details);
    const { bytes: memory } = this.lent;
    bytes.copy(memory, offset);
    this.sizeBytes += sizeBytes;
    // A segment ends with a newline of its own, so that the file as a whole is lines where the objects are.
    if (details.damage === undefined && sizeBytes > 0 && bytes[sizeBytes - 1] !== NEWLINE) {
      memory[this.sizeBytes] = NEWLINE;
      this.sizeBytes += 1;
    }
  }

  get bytes(): number {
    return this.sizeBytes;
  }

  get objects(): number {
    return this.segments.count;
  }

  discard(): void {
    this.lent.giveBack();
  }

  finish(path: string): Batch {
    return new Batch(path, this.sizeBytes, this.segments.close(), this.lent, this.memory);
  }
}

/** `writeFile` would cut it into pieces of 512 KiB, and wait for each. */
async function writeAtOnce(path: string, pieces: Buffer[]): Promise<void> {
  const file = await open(path, "w");
  try {
    const { bytesWritten } = await file.writev(pieces);
    const sizeBytes = pieces.reduce((sum, { length }) => sum + length, 0);
    if (bytesWritten !== sizeBytes) throw new Error(`${bytesWritten} of ${sizeBytes} bytes were written`);
  } finally {
    await file.close();
  }
}

async function readAtOnce(path: string, into: Buffer): Promise<void> {
  const file = await open(path, "r");
  try {
    const { bytesRead } = await file.read(into, 0, into.length, 0);
    if (bytesRead !== into.length) throw new Error(`${bytesRead} of ${into.length} bytes are there`);
  } finally {
    await file.close();
  }
}

const NEWLINE = 0x0a;

/** A full disk, a folder that is not writable, and the like. */
export function spoolError(error: unknown, doing: string, location: string): HourpackError {
  const code = (error as NodeJS.ErrnoException).code ?? "";
  const hints: Record<string, string> = {
    ENOSPC: "Free some disk space or point --spool-dir at a larger disk; nothing was published.",
    EACCES: "Point --spool-dir at a folder that this user may write.",
    EROFS: "Point --spool-dir at a folder that can be written.",
    ENOTDIR: "Point --spool-dir at a folder.",
  };
  return new HourpackError("unavailable", `${doing}: ${(error as Error).message}`, {
    stage: "spool",
    location,
    cause: error,
    hint: hints[code] ?? "Check the disk that --spool-dir points at.",
  });
}
