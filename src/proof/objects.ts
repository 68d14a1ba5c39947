/** Compares the raw objects that a manifest names with what is there now, and reads their bytes in order. */
import { isHourpackError } from "../errors.js";
import { isSkippedKey } from "../layout.js";
import { compareUtf8 } from "../listing.js";
import type { ObjectInfo, Store } from "../store/store.js";
import type { ManifestEntry } from "../tier1/manifest.js";
import { inMemory, type Stored } from "./source.js";

export type Sighting =
  | { kind: "same"; entry: ManifestEntry }
  | { kind: "gone"; entry: ManifestEntry }
  | { kind: "overwritten"; entry: ManifestEntry; object: ObjectInfo }
  /** Listed, but not in the manifest. */
  | { kind: "late"; object: ObjectInfo };

/**
 * Merges the manifest with the listing. Both are in UTF-8 order of the key. Calls `onSkipped` for each object
 * that is no data by its name.
 */
export async function* sight(
  entries: AsyncIterable<ManifestEntry>,
  pages: AsyncIterable<ObjectInfo[]>,
  onSkipped: () => void = () => {},
): AsyncGenerator<Sighting> {
  const listed = flatten(pages, onSkipped)[Symbol.asyncIterator]();
  try {
    let next = await listed.next();
    for await (const entry of entries) {
      while (!next.done && compareUtf8(next.value.key, entry.key) < 0) {
        yield { kind: "late", object: next.value };
        next = await listed.next();
      }
      if (next.done || next.value.key !== entry.key) yield { kind: "gone", entry };
      else {
        const object = next.value;
        yield object.etag === entry.etag ? { kind: "same", entry } : { kind: "overwritten", entry, object };
        next = await listed.next();
      }
    }
    for (; !next.done; next = await listed.next()) yield { kind: "late", object: next.value };
  } finally {
    await listed.return?.(undefined);
  }
}

async function* flatten(
  pages: AsyncIterable<ObjectInfo[]>,
  onSkipped: () => void,
): AsyncGenerator<ObjectInfo> {
  for await (const page of pages) {
    for (const object of page) {
      if (isSkippedKey(object.key)) onSkipped();
      else yield object;
    }
  }
}

/** A range is from `start` up to and without `end`; all of the object where it is absent. */
export type ReadObject = (
  object: ObjectInfo,
  signal?: AbortSignal,
  range?: { start: number; end: number },
) => Promise<Buffer>;

/** Reads the version that the manifest names, with If-Match on its ETag. */
export function readFrom(store: Store): ReadObject {
  return ({ key, etag }, signal, range) => store.get(key, { etag, range, signal });
}

const CONCURRENCY = 16;
const AHEAD_BYTES = 48 * 2 ** 20;
/** A larger object is read in ranges of this size. */
const RANGE_BYTES = 8 * 2 ** 20;

interface ReadAheadOptions {
  signal?: AbortSignal;
  /**
   * Called for objects that are gone or overwritten, which are skipped. Without it, they throw `conflict`.
   */
  onGone?(entry: ManifestEntry): void;
}

/**
 * Objects with their bytes, in the given order. Some are read ahead, within a limit of bytes. An object that
 * changes while its ranges are read throws `conflict`.
 */
export async function* readAhead(
  entries: AsyncIterable<ManifestEntry>,
  read: ReadObject,
  { signal, onGone }: ReadAheadOptions,
): AsyncGenerator<{ entry: ManifestEntry; stored: Stored }> {
  const pending: { entry: ManifestEntry; head: Promise<Buffer | undefined> }[] = [];
  let aheadBytes = 0;
  const settle = async function* () {
    const { entry, head } = pending.shift() as (typeof pending)[number];
    aheadBytes -= headBytes(entry);
    const bytes = await head;
    if (bytes) yield { entry, stored: storedOf(entry, bytes, read, signal) };
  };
  for await (const entry of entries) {
    while (
      pending.length >= CONCURRENCY ||
      (pending.length > 0 && aheadBytes + headBytes(entry) > AHEAD_BYTES)
    ) {
      yield* settle();
    }
    aheadBytes += headBytes(entry);
    const head = read(entry, signal, headRange(entry)).catch((error) => {
      if (!onGone || !isHourpackError(error, "conflict")) throw error;
      onGone(entry);
      return undefined;
    });
    // A failure is thrown when its turn comes. Until then it must not count as unhandled.
    head.catch(() => undefined);
    pending.push({ entry, head });
  }
  while (pending.length > 0) yield* settle();
}

function headBytes({ sizeBytes }: ManifestEntry): number {
  return Math.min(sizeBytes, RANGE_BYTES);
}

/** An object of tier 1, in ranges of one version. */
export async function storedIn(store: Store, object: ObjectInfo, signal?: AbortSignal): Promise<Stored> {
  const read = readFrom(store);
  return storedOf(object, await read(object, signal, headRange(object)), read, signal);
}

function headRange({ sizeBytes }: ObjectInfo): { start: number; end: number } | undefined {
  return sizeBytes > RANGE_BYTES ? { start: 0, end: RANGE_BYTES } : undefined;
}

function storedOf(object: ObjectInfo, head: Buffer, read: ReadObject, signal?: AbortSignal): Stored {
  const { sizeBytes } = object;
  if (sizeBytes <= RANGE_BYTES) return inMemory(head);
  const rangeAt = (start: number) => {
    const range = { start, end: Math.min(start + RANGE_BYTES, sizeBytes) };
    const bytes = start >= sizeBytes ? undefined : read(object, signal, range);
    bytes?.catch(() => undefined);
    return bytes;
  };
  return {
    sizeBytes,
    head,
    /** Fetches the next range while one is looked at. */
    async *pieces(from) {
      if (from < head.length) yield head.subarray(from);
      let start = Math.max(from, head.length);
      for (let next = rangeAt(start); next; ) {
        const bytes = await next;
        start += bytes.length;
        next = rangeAt(start);
        yield bytes;
      }
    },
  };
}
