/** The file system calls that a directory store is made of. */
import {
  type BigIntStats,
  close as closeFile,
  constants,
  fstat as fstatFile,
  lstat as lstatFile,
  open as openFile,
  read as readFile,
} from "node:fs";
import { copyFile, link, open, readlink, realpath, stat } from "node:fs/promises";
import { dirname, join, relative, resolve } from "node:path";
import { promisify } from "node:util";
import { HourpackError, kindOfSystemError, reasonOf } from "../errors.js";
import type { Body, ObjectInfo } from "./store.js";

/**
 * For many small files: a FileHandle costs a third more CPU than a descriptor, and `promises.lstat` a third
 * more too.
 */
export const openForReading = promisify<string, number, number>(openFile);
export const read = promisify(readFile);
export const fstat = promisify(fstatFile);
export const close = promisify(closeFile);
export const lstat: (path: string, options: { bigint: true }) => Promise<BigIntStats> = promisify(lstatFile);

export function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === "ENOENT";
}

/** For a path at which nothing was found: throws `invalid` if a link on the way there has lost its target. */
export async function requireNoLink(path: string): Promise<void> {
  // Without a trailing slash, which would hide the link itself.
  let at = resolve(path);
  while (!(await unlessMissing(lstat(at, { bigint: true })))) {
    if (at === dirname(at)) return;
    at = dirname(at);
  }
  if (await unlessMissing(stat(at))) return;
  const target = await readlink(at).catch(() => "a place");
  throw skipped(
    at,
    `this is a link to ${target}, where nothing is`,
    "Bring back what it stands for (is a disk not mounted?), or remove the link.",
  );
}

/**
 * For a path that is taken: throws `invalid` if something other than a file has its place, where no file can
 * come.
 */
export async function requireFile(path: string): Promise<void> {
  const found = await unlessMissing(lstat(path, { bigint: true }));
  const meant = found?.isSymbolicLink() ? await unlessMissing(stat(path)) : found;
  if (!found || meant?.isFile()) return;
  const what = meant?.isDirectory() ? "a folder" : meant ? "a pipe or device" : "a link to what is away";
  throw new HourpackError("invalid", `write ${path}: ${what} is in its place`, {
    location: path,
    hint: "Move it away: a file is to be there.",
  });
}

export async function unlessMissing<T>(answer: Promise<T>): Promise<T | undefined> {
  return answer.catch((error) => {
    if (!isMissing(error)) throw error;
    return undefined;
  });
}

export async function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (stats) => stats.isDirectory(),
    () => false,
  );
}

/** The path with links resolved. If it does not exist yet, resolves the nearest folder above it that does. */
export async function realOf(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    if (!isMissing(error) || dirname(path) === path) throw error;
    return join(await realOf(dirname(path)), path.slice(dirname(path).length + 1));
  }
}

export async function writeWhole(path: string, body: Body): Promise<void> {
  const isFile = !(body instanceof Uint8Array);
  if (isFile) await linkOrCopy(body.path, path);
  const file = await open(path, isFile ? constants.O_WRONLY : NEW_FILE, 0o666);
  try {
    if (!isFile) await file.writeFile(body);
    await file.sync();
  } finally {
    await file.close();
  }
}

/**
 * On one file system nothing is copied. Otherwise the kernel copies: the chunks of a stream would make the
 * garbage collector run.
 */
async function linkOrCopy(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    // Another file system, or one without hard links.
    if (!["EXDEV", "EPERM", "EMLINK", "ENOTSUP", "EOPNOTSUPP", "ENOSYS"].includes(code)) throw error;
    await copyFile(from, to, constants.COPYFILE_EXCL);
  }
}

const NEW_FILE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL;

export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** Size, modification time in nanoseconds and inode: any replacement or rewrite changes one of them. */
export function etagOf(stats: BigIntStats): string {
  return `${stats.size}-${stats.mtimeNs}-${stats.ino}`;
}

export function sizeOf(etag: string): number {
  return Number(etag.slice(0, etag.indexOf("-")));
}

export function infoOf(key: string, stats: BigIntStats): ObjectInfo {
  return { key, sizeBytes: Number(stats.size), etag: etagOf(stats) };
}

/** If the file were left out silently, its records would be lost. */
export function skipped(
  path: string,
  why: string,
  hint = "Rename it, or move what it stands for to this place; or move it out of the hour's folder.",
): HourpackError {
  return new HourpackError("invalid", `list ${path}: ${why}`, { location: path, hint });
}

/** The error for what the file system refused in a directory. */
export function refused(error: unknown, doing: string, directory: string): HourpackError {
  const code = (error as NodeJS.ErrnoException).code ?? "";
  return new HourpackError(kindOfSystemError(error), `${doing}: ${reasonOf(error)}`, {
    location: relative(process.cwd(), directory) || ".",
    cause: error,
    hint: HINTS[code] ?? "Check the directory and its disk.",
  });
}

const HINTS: Record<string, string> = {
  ENOSPC: "The disk is full: free some space; nothing was published.",
  EACCES: "Give this user the right to read there, and in tier 1 to write.",
  EPERM: "Give this user the right to read there, and in tier 1 to write.",
  EROFS: "The file system is read-only: choose another tier-1 directory.",
  ENOTDIR: "A file stands where a folder is needed.",
  ELOOP: "Links there lead to each other: remove them.",
};

/** The ETag of an open file. Throws `invalid` if it is not a regular file. */
export async function etagOfFile(file: number, location: string): Promise<string> {
  const stats = await fstat(file, { bigint: true });
  if (stats.isFile()) return etagOf(stats);
  throw new HourpackError("invalid", `read ${location}: it is no file`, {
    location,
    hint: "Move it away: a file is to be there.",
  });
}

/** Under /proc, entries of other processes come and go, so no listing is complete. */
export function requireDisk(root: string): void {
  if (!/^\/proc(\/|$)/.test(root)) return;
  throw new HourpackError("invalid", `open the directory ${root}: nothing can be kept under /proc`, {
    location: root,
    hint: "Name a directory of a disk.",
  });
}

export function interrupted(signal: AbortSignal | undefined, doing: string): void {
  if (signal?.aborted)
    throw new HourpackError("interrupted", `${doing}: interrupted`, { cause: signal.reason });
}
