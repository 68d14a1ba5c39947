/** A lock that the kernel lets go of when its holder dies: a lock on an open file, not a file that means one. */
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

/** Holds the file's exclusive lock until it is released or this process dies; undefined where another holds it. */
export async function tryFileLock(path: string): Promise<FileLock | undefined> {
  const locks = fileLocks();
  return lockFile(path, (fd) => locks.tryLock(fd));
}

/** The same, but waits until nobody else holds it. */
export async function takeFileLock(path: string): Promise<FileLock> {
  const locks = fileLocks();
  const lock = await lockFile(path, (fd) => locks.waitForLock(fd).then(() => true));
  return lock as FileLock;
}

/** Of a file that is there: until it is released nobody can lock it alone. Undefined where another has. */
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
      // Somebody may have removed the file between the two calls: then the lock is on a file that nobody else sees.
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
