/** Deletes raw objects whose records a deep verification has just found in the part: the only way that raw ever goes. */
import { createWriteStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { ulid } from "ulid";
import { readManifest } from "./compact.js";
import { HourpackError, isHourpackError } from "./errors.js";
import { endMs, type Hour } from "./hour.js";
import { journalLines } from "./journal.js";
import { EXPIRE_AFTER_MIN_MS, journalPrefix, partKey, rawPrefix, uriOf } from "./layout.js";
import { compareUtf8, type Listing } from "./listing.js";
import type { ManifestEntry, Published } from "./manifest.js";
import { Spool } from "./spool.js";
import { headPart, listHour } from "./stages/list.js";
import type { HourTask } from "./task.js";
import { type HourVerification, verifyHour } from "./verification.js";
import { counted } from "./words.js";

export interface ExpireOptions {
  dryRun: boolean;
  /** The user vouches that raw objects are never overwritten, for stores that ignore If-Match on a delete. */
  rawIsImmutable: boolean;
}

export interface ExpiredHour {
  dataset: string;
  hour: Hour;
  /** Deleted; with `dryRun`, what would be. */
  objects: number;
  bytes: number;
  /** Listed, and not what the part was made of: late, or overwritten. They stay. */
  newer: number;
  /** Of a dry run: the store ignores If-Match on a delete, so that nothing goes without `rawIsImmutable`. */
  needsRawIsImmutable?: true;
  /** Why nothing was deleted, where something stood against it. */
  refused?: string;
}

/**
 * One hour. Its objects are read again and compared record by record with the part; only those that the manifest
 * names, unchanged, are deleted, each under its ETag, after the journal that names them has been written. Throws
 * `invalid` for an hour that is younger than a day, and where the store would delete another version.
 */
export async function expireHour(task: HourTask, options: ExpireOptions): Promise<ExpiredHour> {
  const { dataset, hour, components, signal } = task;
  if (components.nowMs() < endMs(hour) + EXPIRE_AFTER_MIN_MS) {
    throw new HourpackError("invalid", `expire ${dataset.name} ${hour}: it ended less than a day ago`, {
      hint: "Raw objects stay for a day at least.",
    });
  }
  const tier1 = await components.tier1(dataset);
  const raw = await components.raw(dataset);
  const result: ExpiredHour = { dataset: dataset.name, hour, objects: 0, bytes: 0, newer: 0 };
  const listing = await listHour(raw, rawPrefix(dataset.raw, hour), hour, { signal });
  const published = await headPart(tier1, partKey(dataset.tier1.prefix, dataset.table, hour), signal);
  if (!published || listing.count === 0) return result;
  const refused = objection(await verifyHour(task, { deep: true, goneIsFine: true }), published);
  if (refused !== undefined) return { ...result, refused };
  const doomed = async function* () {
    const manifest = await readManifest(task, published);
    yield* stillListed(manifest.entries(), listing);
  };
  for await (const entry of doomed()) {
    result.objects++;
    result.bytes += entry.sizeBytes;
  }
  result.newer = listing.count - result.objects;
  if (result.objects === 0) {
    const why = `what is listed of it (${counted(listing.count, "object")}) is newer than the part: late, or overwritten`;
    return { ...result, refused: `${why}; \`hourpack run --hour ${hour}\` looks at it` };
  }
  if (options.dryRun) {
    // Where it cannot be tried, --yes says why.
    const isSafe = options.rawIsImmutable || (await deletesAreConditional(task).catch(() => true));
    return isSafe ? result : { ...result, needsRawIsImmutable: true };
  }
  if (!options.rawIsImmutable) await requireConditionalDeletes(task);
  await writeJournal(task, published, doomed());
  for (const spared of await deleteAll(task, doomed())) {
    result.objects--;
    result.bytes -= spared.sizeBytes;
  }
  return result;
}

/** What the verification says against it. Objects that an earlier expiry deleted are no objection. */
function objection(verification: HourVerification, published: Published): string | undefined {
  if (verification.problems.length > 0) return verification.problems[0];
  return verification.etag === published.etag ? undefined : "the part changed while it was verified";
}

/** The manifest's entries that the listing has in the same version; both are in key order. */
async function* stillListed(
  entries: AsyncIterable<ManifestEntry>,
  listing: Listing,
): AsyncGenerator<ManifestEntry> {
  const objects = listing[Symbol.iterator]();
  let next = objects.next();
  for await (const entry of entries) {
    while (!next.done && compareUtf8(next.value.key, entry.key) < 0) next = objects.next();
    if (next.done) return;
    const { key, etag, sizeBytes } = next.value;
    if (key === entry.key && etag === entry.etag && sizeBytes === entry.sizeBytes) yield entry;
  }
}

async function deletesAreConditional({ dataset, components }: HourTask): Promise<boolean> {
  const raw = await components.raw(dataset);
  const tier1 = await components.tier1(dataset);
  // Nothing is ever written to raw, so the probe is made beside tier 1, by the same service.
  return (
    raw.kind === "local" ||
    (tier1.kind === raw.kind && (await tier1.honoursConditionalDeletes(dataset.tier1.prefix)))
  );
}

async function requireConditionalDeletes(task: HourTask): Promise<void> {
  if (await deletesAreConditional(task)) return;
  const { dataset } = task;
  throw new HourpackError(
    "invalid",
    `expire ${dataset.name}: the store deletes an object whatever its ETag, so one that is overwritten meanwhile would be lost`,
    {
      location: uriOf(dataset.raw.location),
      hint: "If raw objects are never overwritten, say so with --raw-is-immutable.",
    },
  );
}

/** Names every object before it goes, under `_hourpack/expired/`. */
async function writeJournal(
  task: HourTask,
  published: Published,
  doomed: AsyncIterable<ManifestEntry>,
): Promise<void> {
  const { dataset, hour, components, signal } = task;
  const id = ulid(components.nowMs());
  const spool = await Spool.open(components.settings.run.spoolDir, id);
  try {
    const path = spool.path("journal.ndjson.gz");
    const { attempt, etag, rows } = published;
    const at = new Date(components.nowMs()).toISOString();
    const header = { format: 1, dataset: dataset.name, hour, at, part: { attempt, etag, rows } } as const;
    await pipeline(journalLines(header, doomed), createGzip(), createWriteStream(path));
    const tier1 = await components.tier1(dataset);
    const key = `${journalPrefix(dataset.tier1.prefix, hour)}${id}.ndjson.gz`;
    await tier1.put(key, { path }, { condition: { absent: true }, contentType: "application/gzip", signal });
  } finally {
    await spool.close();
  }
}

const DELETES_AT_A_TIME = 32;

/** Returns what was overwritten since it was verified, and so is there still. */
async function deleteAll(task: HourTask, doomed: AsyncIterable<ManifestEntry>): Promise<ManifestEntry[]> {
  const { dataset, components, signal } = task;
  const raw = await components.raw(dataset);
  const inFlight = new Set<Promise<void>>();
  const spared: ManifestEntry[] = [];
  for await (const entry of doomed) {
    const deleted = raw
      .delete(entry.key, { etag: entry.etag, signal })
      .catch((error) => {
        if (!isHourpackError(error, "conflict")) throw error;
        spared.push(entry);
      })
      .finally(() => {
        inFlight.delete(deleted);
      });
    inFlight.add(deleted);
    // A failure ends the loop at the next turn; the rest goes in a later run.
    if (inFlight.size >= DELETES_AT_A_TIME) await Promise.race(inFlight);
  }
  await Promise.all(inFlight);
  return spared;
}
