/**
 * Copies of an hour's objects in S3, in a folder that a view of the local catalog reads. Each copy keeps one
 * name, and a new version is renamed over it: a reader sees one version, whoever copies at the same time or
 * is killed.
 */
import { open, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { HourpackError, isHourpackError } from "../errors.js";
import { isSkippedKey } from "../layout.js";
import { type FileLock, tryFileLock } from "../lock.js";
import { makeFolders } from "../make-folders.js";
import { inRanges, PART_RANGE_BYTES } from "../ranges.js";
import type { ObjectInfo, Store } from "../store/store.js";

/** Where the objects lie. */
export interface Source {
  store: Store;
  prefix: string;
}

/** Returns true if there was no copy yet. Throws what the store and the file system throw. */
export async function copyObjects(source: Source, folder: string, signal?: AbortSignal): Promise<boolean> {
  await makeFolders(folder);
  // Lists under the lock: the last to copy has seen the newest version, and no older one comes after it.
  const lock = await takeLock(join(folder, VERSIONS), signal);
  try {
    for (let tries = 1; ; tries++) {
      try {
        return await copyListed(source, folder, signal);
      } catch (error) {
        // The object was replaced after the listing.
        if (!isHourpackError(error, "conflict") || tries === TRIES_MAX) throw error;
      }
    }
  } finally {
    await lock.release();
  }
}

/** Whether anything is copied there. */
export async function hasCopies(folder: string): Promise<boolean> {
  const names = await readdir(folder).catch(() => []);
  return names.some(isCopy);
}

async function copyListed(source: Source, folder: string, signal: AbortSignal | undefined): Promise<boolean> {
  const wanted = await listed(source, signal);
  const versions = await versionsIn(folder);
  const names = await readdir(folder);
  const stale = [...wanted].filter(([name, { etag }]) => versions[name] !== etag || !names.includes(name));
  const unwanted = names.filter((name) => name !== VERSIONS && !wanted.has(name.replace(/\.new$/, "")));
  if (stale.length + unwanted.length === 0) return false;
  const at = (name: string) => join(folder, name);
  for (const [name, object] of stale) {
    const bytes = inRanges(source.store, object, { rangeBytes: PART_RANGE_BYTES, signal });
    await writeFile(at(`${name}.new`), bytes);
    if (await isParquet(at(`${name}.new`))) continue;
    await rm(at(`${name}.new`), { force: true });
    throw damaged(source.store.uri + object.key);
  }
  // If killed from here on, nobody knows which versions are there, and they are copied again.
  await writeFile(at(VERSIONS), "{}");
  for (const name of unwanted) await rm(at(name), { force: true });
  for (const [name] of stale) await rename(at(`${name}.new`), at(name));
  await writeFile(
    at(VERSIONS),
    JSON.stringify(Object.fromEntries([...wanted].map(([name, { etag }]) => [name, etag]))),
  );
  return wanted.size > 0 && !names.some(isCopy);
}

/** One file that is none would fail every query of the table (Parquet begins and ends with its magic bytes). */
async function isParquet(path: string): Promise<boolean> {
  const file = await open(path);
  try {
    const { size } = await file.stat();
    const ends = Buffer.alloc(8);
    await file.read(ends, 0, 4, 0);
    await file.read(ends, 4, 4, Math.max(size - 4, 0));
    return size >= 12 && ends.toString("latin1") === "PAR1PAR1";
  } finally {
    await file.close();
  }
}

function damaged(location: string): HourpackError {
  return new HourpackError("data", `copy ${location}: it is no whole Parquet file`, {
    stage: "register",
    location,
    hint: "An earlier copy of it stays. `hourpack verify` over its hour says what to do about the part.",
  });
}

/** The objects, by the names of their copies. A view's pattern finds these names. */
async function listed(
  { store, prefix }: Source,
  signal: AbortSignal | undefined,
): Promise<Map<string, ObjectInfo>> {
  const found = new Map<string, ObjectInfo>();
  for await (const page of store.list(prefix, { signal })) {
    for (const object of page) {
      if (isSkippedKey(object.key)) continue;
      const name = encodeURIComponent(object.key.slice(prefix.length));
      found.set(isCopy(name) ? name : `${name}.parquet`, object);
    }
  }
  return found;
}

/**
 * The copied ETags by the names of the copies. Empty if somebody was killed while copying, or if the copies
 * have no such file yet.
 */
async function versionsIn(folder: string): Promise<Record<string, string>> {
  try {
    return JSON.parse(await readFile(join(folder, VERSIONS), "utf8"));
  } catch {
    return {};
  }
}

/** Polls instead of waiting in the kernel, so that a signal ends the wait. */
async function takeLock(path: string, signal: AbortSignal | undefined): Promise<FileLock> {
  for (;;) {
    const lock = await tryFileLock(path);
    if (lock) return lock;
    await setTimeout(POLL_MS, undefined, { signal });
  }
}

function isCopy(name: string): boolean {
  return name.endsWith(".parquet");
}

/** Says which versions are in the folder. Whoever copies holds the lock on it. */
const VERSIONS = ".versions";
const TRIES_MAX = 5;
const POLL_MS = 50;
