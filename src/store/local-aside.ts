/** Where a directory store puts a file that is to be deleted, for as long as it looks which version it is. */
import { link, mkdir, readdir, readlink, rename, rm, rmdir, stat, symlink, unlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { ulid } from "ulid";
import { type FileLock, takeFileLock, tryFileLock } from "../lock.js";
import { etagOf, isFolder, lstat, unlessMissing } from "./local-files.js";

/** Begins the names of what is on its way: `.hourpack-tmp-<random>` is still being written. No listing shows any. */
export const TEMPORARY = ".hourpack-tmp-";
const ASIDE = `${TEMPORARY}aside-`;

/**
 * Deletes files whose version is known. A name can be unlinked, but not under the condition that it is still this file's:
 * whatever is looked at before, a hard link too, another file may be renamed to it a moment later. So the name is taken
 * away first, and then it is seen what went with it. The file goes to a folder beside it, under its own name: so it is
 * known, however long, where it belongs, should this process die here. A lock tells that its maker lives.
 */
export class Aside {
  private readonly folders = new Map<string, { users: number; idle: AsideFolder[] }>();

  /** False where it was another version: that one is there still, or again, unless a newer one has come meanwhile. */
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

  /** Two deletions at once have two folders, as they may be of one name; they are made for many that follow each other. */
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
 * Puts back under its own name what processes that are gone had put aside in a folder; `names` are what is in it. Where a
 * newer file has the name by now, that one had overwritten it. Returns how many were put back.
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
  /** Held for as long as its maker lives. */
  lock: FileLock;
}

function lockOf(folder: string): string {
  return `${folder}.lock`;
}

/** The lock before the folder: whoever sees the folder can tell whether its maker is alive. */
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

/** What could not be put back keeps it, for the next that try. */
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

/** By when they were put aside: of two that had one name, the older had been overwritten. */
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
 * Of a link it is the link that goes, whose version is its target's; where the target went before it, as another object
 * of the same hour, it stands for nothing any more.
 */
async function isVersion(aside: string, etag: string): Promise<boolean> {
  const found = await lstat(aside, { bigint: true });
  if (!found.isSymbolicLink()) return etagOf(found) === etag;
  const target = await readlink(aside);
  // It leads from where it lay.
  const from = target.startsWith("/") ? "" : `${dirname(dirname(aside))}/`;
  const meant = await unlessMissing(stat(from + target, { bigint: true }));
  return meant === undefined || etagOf(meant) === etag;
}

/** False where another has its name: it came later, as the name was free. Never over one, as a rename would. */
async function copyBack(aside: string): Promise<boolean> {
  const path = join(dirname(dirname(aside)), basename(aside));
  const isLink = (await lstat(aside, { bigint: true })).isSymbolicLink();
  try {
    // Some systems' `link` makes one to what a link stands for.
    await (isLink ? symlink(await readlink(aside), path) : link(aside, path));
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}
