/** Calls of the file system that a directory store is made of. */
import {
  type BigIntStats,
  close as closeFile,
  constants,
  fstat as fstatFile,
  lstat as lstatFile,
  open as openFile,
  read as readFile,
} from "node:fs";
import { copyFile, link, open, realpath, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import type { ObjectInfo } from "./store.js";

/** For many small files: a FileHandle for each takes a third more CPU than its number, and `promises.lstat` a third more too. */
export const openForReading = promisify<string, number, number>(openFile);
export const read = promisify(readFile);
export const fstat = promisify(fstatFile);
export const close = promisify(closeFile);
export const lstat: (path: string, options: { bigint: true }) => Promise<BigIntStats> = promisify(lstatFile);

export function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === "ENOENT";
}

export async function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (stats) => stats.isDirectory(),
    () => false,
  );
}

/** The path with links resolved; of one that is not there yet, the nearest folder above that is. */
export async function realOf(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    if (!isMissing(error) || dirname(path) === path) throw error;
    return join(await realOf(dirname(path)), path.slice(dirname(path).length + 1));
  }
}

export async function writeWhole(path: string, body: Uint8Array | { path: string }): Promise<void> {
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

/** On one file system there is nothing to copy; else by the kernel: the chunks of a stream make the collector run. */
async function linkOrCopy(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    // Other file systems, and those without hard links.
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
