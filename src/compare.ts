/** Compares the listing with the manifest, as two sorted streams. Pure. */
import { hash } from "node:crypto";
import { compareUtf8, type Listing } from "./listing.js";
import { type Named, noneNamed, note } from "./named.js";
import type { ObjectInfo } from "./store/store.js";
import type { Journals } from "./tier1/journal.js";
import type { ManifestEntry, Version } from "./tier1/manifest.js";

export interface Changes {
  added: number;
  overwritten: number;
  gone: number;
}

/** The listing and the manifest, side by side. */
export interface Compared {
  changes: Changes;
  gone: Named;
  /** In a version that no `--keep-old` has passed over yet. */
  overwritten: Named;
  /** Objects whose rows `--keep-old` kept: the listed version was passed over, and the rows came from an earlier one. */
  kept: Named;
}

type Sighting =
  | { kind: "same" | "gone"; entry: ManifestEntry }
  /** `passedOver`: the listed version is the one that `--keep-old` passed over. */
  | { kind: "overwritten" | "passedOver"; entry: ManifestEntry; object: ObjectInfo }
  | { kind: "added"; object: ObjectInfo };

/** Walks both streams in key order. */
export async function* sight(
  entries: AsyncIterable<ManifestEntry>,
  listing: Iterable<ObjectInfo>,
): AsyncGenerator<Sighting> {
  const objects = listing[Symbol.iterator]();
  let next = objects.next();
  for await (const entry of entries) {
    for (; !next.done && compareUtf8(next.value.key, entry.key) < 0; next = objects.next()) {
      yield { kind: "added", object: next.value };
    }
    if (next.done || next.value.key !== entry.key) {
      yield { kind: "gone", entry };
      continue;
    }
    yield sightingOf(entry, next.value);
    next = objects.next();
  }
  for (; !next.done; next = objects.next()) yield { kind: "added", object: next.value };
}

function sightingOf(entry: ManifestEntry, object: ObjectInfo): Sighting {
  const isListed = (version: Version) => contentOf(object) === contentOf(version);
  if (isListed(entry)) return { kind: "same", entry };
  const isPassedOver = entry.passedOver !== undefined && isListed(entry.passedOver);
  return { kind: isPassedOver ? "passedOver" : "overwritten", entry, object };
}

/** Objects that only the listing has go to `added`. */
export async function compare(
  entries: AsyncIterable<ManifestEntry>,
  listing: Iterable<ObjectInfo>,
  added: Listing,
): Promise<Compared> {
  const [gone, overwritten, kept] = [noneNamed(), noneNamed(), noneNamed()];
  for await (const sighting of sight(entries, listing)) {
    if (sighting.kind === "added") added.add(sighting.object);
    else if (sighting.kind === "gone") note(gone, sighting.entry.key);
    else if (sighting.kind !== "same") {
      const { kind, entry } = sighting;
      if (kind === "overwritten") note(overwritten, entry.key);
      if (entry.passedOver) note(kept, entry.key);
    }
  }
  const changes = { added: added.count, overwritten: overwritten.count, gone: gone.count };
  return { changes, gone, overwritten, kept };
}

/** Late objects with the size and ETag of an object that is gone: probably the same object under a new name. */
export async function findMoved(
  entries: AsyncIterable<ManifestEntry>,
  listing: Iterable<ObjectInfo>,
  added: Listing,
  journals: Journals,
): Promise<Named> {
  // Eight bytes each; the texts of a million would take a hundred megabytes.
  const prints = new BigUint64Array(added.count);
  let count = 0;
  for (const object of added) prints[count++] = printOf(object);
  prints.sort();
  const isTaken = new Uint8Array(count);
  const moved = noneNamed();
  for await (const sighting of sight(entries, listing)) {
    if (sighting.kind !== "gone" || sighting.entry.records === 0) continue;
    // `expire` deleted these; they were not moved.
    if (await journals.names(sighting.entry)) continue;
    const print = printOf(sighting.entry);
    let at = firstAt(prints, print);
    while (prints[at] === print && isTaken[at]) at++;
    if (prints[at] !== print) continue;
    isTaken[at] = 1;
    note(moved, sighting.entry.key);
  }
  return moved;
}

/** The index at which the number is, or would be inserted, in a sorted array. */
function firstAt(sorted: BigUint64Array, number: bigint): number {
  let [from, to] = [0, sorted.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    if ((sorted[middle] as bigint) < number) from = middle + 1;
    else to = middle;
  }
  return from;
}

function printOf(object: Version): bigint {
  return hash("sha256", contentOf(object), "buffer").readBigUInt64LE();
}

function contentOf({ sizeBytes, etag }: Version): string {
  return `${sizeBytes} ${etag}`;
}
