/** How a directory store deletes one version of a file: it moves the file aside, then checks its version. */
import { link, mkdir, readdir, readlink, rename, rm, rmdir, stat, symlink, unlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { ulid } from "ulid";
import { type FileLock, takeFileLock, tryFileLock } from "../lock.js";
import { etagOf, isFolder, lstat, unlessMissing } from "./local-files.js";

/** Begins temporary names: `.hourpack-tmp-<random>` is still being written. No listing shows any of them. */
export const TEMPORARY = ".hourpack-tmp-";
const ASIDE = `${TEMPORARY}aside-`;

/**
 * Deletes files whose version is known. A file system can unlink a name, but not on the condition that the
 * name still belongs to this file: whatever is checked first (a hard link too), another file may be renamed
 * to it a moment later. So the file is moved away first, and checked afterwards. It goes to a folder beside
 * it and keeps its name, however long: if this process dies here, it is known where the file belongs. A lock
 * shows that the folder's maker is alive.
 */
export class Aside {
  private readonly folders = new Map<string, { users: number; idle: AsideFolder[] }>();

  /**
   * Returns false if the file is another version. That version stays or is put back, unless a newer file has
   * taken its name meanwhile.
   */
  deleteVersion(path: string, etag: string): Promise<boolean> {
    return this.withFolder(dirname(path), async (folder) => {
      const aside = join(folder, basename(path));
      await rename(path, aside);
      const isMeant = await isVersion(aside, etag);
      if (!isMeant) await copyBack(aside);
      await unlink(aside);
      return isMeant;
    });
  }

  /**
   * Two deletions at once get a folder each, since their files may have the same name. Deletions that follow
   * each other share one.
   */
  private async withFolder<T>(parent: string, task: (folder: string) => Promise<T>): Promise<T> {
    const shared = this.folders.get(parent) ?? { users: 0, idle: [] };
    this.folders.set(parent, shared);
    shared.users++;
    try {
      const folder = shared.idle.pop() ?? (await makeAside(parent));
      try {
        return await task(folder.path);
      } finally {
        shared.idle.push(folder);
      }
    } finally {
      if (--shared.users === 0) {
        this.folders.delete(parent);
        for (const folder of shared.idle) await removeAside(folder);
      }
    }
  }
}

/**
 * Puts back, under their own names, the files that dead processes had put aside in a folder. `names` are the
 * folder's entries. If a newer file has the name by now, it had overwritten the old one. Returns how many
 * were put back.
 */
export async function putBackIn(parent: string, names: string[]): Promise<number> {
  const asides = names.filter((name) => name.startsWith(ASIDE)).map((name) => name.replace(/\.lock$/, ""));
  const left: AsideFolder[] = [];
  for (const name of new Set(asides)) {
    const path = join(parent, name);
    const lock = await tryFileLock(lockOf(path));
    if (lock) left.push({ path, lock });
  }
  try {
    let count = 0;
    for (const aside of await newestFirst(left)) {
      if (await copyBack(aside)) count++;
      await unlink(aside);
    }
    return count;
  } finally {
    for (const folder of left) await removeAside(folder);
  }
}

interface AsideFolder {
  path: string;
  /** Held as long as the folder's maker lives. */
  lock: FileLock;
}

function lockOf(folder: string): string {
  return `${folder}.lock`;
}

/**
 * Takes the lock before it makes the folder, so that whoever sees the folder can tell whether its maker is
 * alive.
 */
async function makeAside(parent: string): Promise<AsideFolder> {
  const path = join(parent, ASIDE + ulid());
  const lock = await takeFileLock(lockOf(path));
  try {
    await mkdir(path);
  } catch (error) {
    await rm(lockOf(path), { force: true });
    await lock.release();
    throw error;
  }
  return { path, lock };
}

/** Leaves a folder that still holds a file, with its lock file: the next process tries to put it back. */
async function removeAside({ path, lock }: AsideFolder): Promise<void> {
  try {
    await unlessMissing(rmdir(path));
    await rm(lockOf(path), { force: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOTEMPTY") throw error;
  } finally {
    await lock.release();
  }
}

/** Sorted by when they were put aside: of two files with one name, the older had been overwritten. */
async function newestFirst(folders: AsideFolder[]): Promise<string[]> {
  const files: { path: string; atNs: bigint }[] = [];
  for (const folder of folders) {
    if (!(await isFolder(folder.path))) continue;
    for (const name of await readdir(folder.path)) {
      const path = join(folder.path, name);
      files.push({ path, atNs: (await lstat(path, { bigint: true })).ctimeNs });
    }
  }
  return files.sort((a, b) => (a.atNs > b.atNs ? -1 : 1)).map(({ path }) => path);
}

/**
 * For a link, the link itself goes, and its version is its target's. If the target went before it, as another
 * object of the same hour, the link stands for nothing any more.
 */
async function isVersion(aside: string, etag: string): Promise<boolean> {
  const found = await lstat(aside, { bigint: true });
  if (!found.isSymbolicLink()) return etagOf(found) === etag;
  const target = await readlink(aside);
  // A relative link starts from where it lay.
  const from = target.startsWith("/") ? "" : `${dirname(dirname(aside))}/`;
  const meant = await unlessMissing(stat(from + target, { bigint: true }));
  return meant === undefined || etagOf(meant) === etag;
}

/**
 * Never overwrites, as a rename would. Returns false if another file has the name: it came later, while the
 * name was free.
 */
async function copyBack(aside: string): Promise<boolean> {
  const path = join(dirname(dirname(aside)), basename(aside));
  const isLink = (await lstat(aside, { bigint: true })).isSymbolicLink();
  try {
    // On some systems `link` follows a symbolic link.
    await (isLink ? symlink(await readlink(aside), path) : link(aside, path));
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}
