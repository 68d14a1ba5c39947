/** The raw objects that a manifest names, against what is there now, and their bytes in order. */
import { isSkippedKey } from "../layout.js";
import type { ManifestEntry } from "../manifest.js";
import type { ObjectInfo, Store } from "../store/store.js";

export type Sighting =
  | { kind: "same" | "gone" | "overwritten"; entry: ManifestEntry }
  /** Listed, and not in the manifest. */
  | { kind: "late"; object: ObjectInfo };

/** Merges the manifest with the listing; both are in UTF-8 order of the key. */
export async function* sight(
  entries: AsyncIterable<ManifestEntry>,
  pages: AsyncIterable<ObjectInfo[]>,
): AsyncGenerator<Sighting> {
  const listed = flatten(pages)[Symbol.asyncIterator]();
  try {
    let next = await listed.next();
    for await (const entry of entries) {
      while (!next.done && compareKeys(next.value.key, entry.key) < 0) {
        yield { kind: "late", object: next.value };
        next = await listed.next();
      }
      if (next.done || next.value.key !== entry.key) yield { kind: "gone", entry };
      else {
        yield { kind: next.value.etag === entry.etag ? "same" : "overwritten", entry };
        next = await listed.next();
      }
    }
    for (; !next.done; next = await listed.next()) yield { kind: "late", object: next.value };
  } finally {
    await listed.return?.(undefined);
  }
}

async function* flatten(pages: AsyncIterable<ObjectInfo[]>): AsyncGenerator<ObjectInfo> {
  for await (const page of pages) for (const object of page) if (!isSkippedKey(object.key)) yield object;
}

function compareKeys(a: string, b: string): number {
  return a === b ? 0 : Buffer.compare(Buffer.from(a), Buffer.from(b));
}

export type ReadObject = (entry: ManifestEntry, signal?: AbortSignal) => Promise<Buffer>;

/** Reads the version that the manifest names, by If-Match on its ETag. */
export function readFrom(store: Store): ReadObject {
  return (entry, signal) => store.get(entry.key, { etag: entry.etag, signal });
}

const CONCURRENCY = 16;
const AHEAD_BYTES = 48 * 2 ** 20;

/** Objects with their bytes, in the given order, some of them read ahead within a limit of bytes. */
export async function* readAhead(
  entries: AsyncIterable<ManifestEntry>,
  read: ReadObject,
  signal?: AbortSignal,
): AsyncGenerator<{ entry: ManifestEntry; stored: Buffer }> {
  const pending: { entry: ManifestEntry; stored: Promise<Buffer> }[] = [];
  let aheadBytes = 0;
  const settle = async () => {
    const first = pending.shift()!;
    aheadBytes -= first.entry.sizeBytes;
    return { entry: first.entry, stored: await first.stored };
  };
  for await (const entry of entries) {
    while (
      pending.length >= CONCURRENCY ||
      (pending.length > 0 && aheadBytes + entry.sizeBytes > AHEAD_BYTES)
    ) {
      yield await settle();
    }
    aheadBytes += entry.sizeBytes;
    const stored = read(entry, signal);
    // A failure is thrown when its turn comes; until then it must not count as unhandled.
    stored.catch(() => undefined);
    pending.push({ entry, stored });
  }
  while (pending.length > 0) yield await settle();
}
