/** A lock that the kernel releases when its holder dies: a lock on an open file, not a file whose existence means a lock. */
import { open, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { makeFolders } from "./make-folders.js";
import { require } from "./require.js";

interface FileLocks {
  tryLock(fd: number, options?: { shared: boolean }): boolean;
  waitForLock(fd: number): Promise<void>;
}

export interface FileLock {
  release(): Promise<void>;
}

/** Takes the file's exclusive lock, held until it is released or this process dies. Undefined if another holder has it. */
export async function tryFileLock(path: string): Promise<FileLock | undefined> {
  const locks = fileLocks();
  return lockFile(path, (fd) => locks.tryLock(fd));
}

/** The same, but waits until the lock is free. */
export async function takeFileLock(path: string): Promise<FileLock> {
  const locks = fileLocks();
  const lock = await lockFile(path, (fd) => locks.waitForLock(fd).then(() => true));
  return lock as FileLock;
}

/** Takes a shared lock on an existing file: nobody can lock it exclusively until it is released. Undefined if somebody already has. */
export async function trySharedLock(path: string): Promise<FileLock | undefined> {
  const locks = fileLocks();
  const file = await open(path, "r");
  try {
    if (locks.tryLock(file.fd, { shared: true })) return { release: () => file.close() };
  } catch (error) {
    await file.close();
    throw error;
  }
  await file.close();
  return undefined;
}

async function lockFile(
  path: string,
  take: (fd: number) => boolean | Promise<boolean>,
): Promise<FileLock | undefined> {
  for (;;) {
    const file = await open(path, "a+");
    try {
      if (!(await take(file.fd))) {
        await file.close();
        return undefined;
      }
      // If somebody removed the file between the two calls, the lock is on a file that nobody else sees.
      const [held, there] = await Promise.all([file.stat(), stat(path).catch(() => undefined)]);
      if (held.ino === there?.ino) return { release: () => file.close() };
    } catch (error) {
      await file.close();
      throw error;
    }
    await file.close();
  }
}

/** Runs the task while this process holds the file's exclusive lock. The file itself stays, empty. */
export async function withFileLock<T>(path: string, task: () => Promise<T>): Promise<T> {
  await makeFolders(dirname(path));
  const lock = await takeFileLock(path);
  try {
    return await task();
  } finally {
    await lock.release();
  }
}

/** The package has no types of its own. */
function fileLocks(): FileLocks {
  return require("fs-native-extensions") as FileLocks;
}
