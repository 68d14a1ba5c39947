/** The spool: local copies of an hour's objects, in batches, or of its part, in a folder of one attempt. */
import { type FileHandle, mkdir, open, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { HourpackError, kindOfSystemError } from "../errors.js";
import { type FileLock, takeFileLock, tryFileLock } from "../lock.js";
import { makeFolders } from "../make-folders.js";
import { readFully } from "../read-fully.js";

/** A folder for one attempt. Removed at its end, or by a later run if its process died. */
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
      await makeFolders(root);
      await sweep(root);
      // The lock comes before the folder: whoever sees the folder can tell whether its maker is alive. This
      // waits for the lock, because another attempt's sweep may see the lock's file a moment before it is
      // locked, and hold it while it looks.
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

  /** What cannot be removed now (a file of it is open on NFS) fails nobody: unlocked, it is swept by a later attempt. */
  async close(): Promise<void> {
    await removeFolder(this.dir).catch(() => {});
    ours.delete(this.dir);
    await this.lock.release();
  }
}

/** Bytes that are too many for memory. They can be read in any order. */
class SpoolFile {
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

  /** Writes all chunks. Returns what their generator returns. */
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
      await readFully(this.file, start, into);
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

/** Removes the folders whose lock nobody holds: their processes are gone, in whatever container they ran. */
async function sweep(root: string): Promise<void> {
  const attempts = (await readdir(root)).map((name) => name.replace(/\.lock$/, ""));
  for (const name of new Set(attempts)) {
    if (!/^[0-9A-HJKMNP-TV-Z]{26}$/.test(name)) continue;
    const dir = join(root, name);
    if (ours.has(dir)) continue;
    const lock = await tryFileLock(lockOf(dir)).catch(() => undefined);
    if (!lock) continue;
    await removeFolder(dir).catch(() => {});
    await lock.release();
  }
}

/** Does what reads and writes the spool's files: what the system refuses then is no bug, and told as the spool's. */
export async function inSpool<T>(spool: Spool, doing: string, task: () => Promise<T>): Promise<T> {
  try {
    return await task();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).syscall === undefined) throw error;
    throw spoolError(error, `${doing} in the spool ${spool.dir}`, spool.dir);
  }
}

/** A full disk, a folder that is not writable, and the like. */
export function spoolError(error: unknown, doing: string, location: string): HourpackError {
  const code = (error as NodeJS.ErrnoException).code ?? "";
  const hints: Record<string, string> = {
    ENOSPC: "Free some disk space or point --spool-dir at a larger disk.",
    EACCES: "Point --spool-dir at a folder that this user may write.",
    EROFS: "Point --spool-dir at a folder that can be written.",
    ENOTDIR: "Point --spool-dir at a folder.",
  };
  return new HourpackError(kindOfSystemError(error), `${doing}: ${(error as Error).message}`, {
    stage: "spool",
    location,
    cause: error,
    hint: hints[code] ?? "Check the disk that --spool-dir points at.",
  });
}
