/** Clears what crashes left in tier 1, by the rules of invariant 1. Never deletes what a published part names. */
import { decodeTime } from "ulid";
import type { Dataset } from "../config/settings.js";
import { HourpackError, isHourpackError, unlessDamaged } from "../errors.js";
import { DAY_MS, type Hour } from "../hour.js";
import { claimsPrefix, manifestsPrefix, partKey, probePrefix, quarantinesPrefix } from "../layout.js";
import type { ObjectHead, Store } from "../store/store.js";
import type { DatasetContext, HourContext, HourFailure } from "../task.js";
import { readManifest } from "../tier1/download.js";
import { readJournals } from "../tier1/journal.js";
import { allParts, attemptsUnder, expiredHours, headPart, publishedPart } from "../tier1/published.js";
import { readPinned } from "../tier1/schema-file.js";

interface Swept {
  /** Deleted manifests and quarantine files, which no part named. */
  attempts: string[];
  /** Number of unfinished uploads and temporary files that were dropped. */
  unfinished: number;
  /** Deleted claims, which nobody had renewed for a day. */
  claims: string[];
  /** Hours whose files all stay, since their part, manifest or journals cannot be read. */
  failures: HourFailure[];
}

/** An attempt may need its files until its part is published. No attempt publishes a day after it began (stages/publish.ts). */
const SWEPT_AFTER_MS = 7 * DAY_MS;

/**
 * Sweeps one dataset's tier 1. Skips hours with damage. With `dryRun`, deletes nothing and does not count unfinished uploads.
 * Throws `invalid`, before it deletes anything, if tier 1 holds another table.
 */
export async function sweep(context: DatasetContext, { dryRun = false } = {}): Promise<Swept> {
  const { components, dataset, signal } = context;
  const store = await components.tier1(dataset);
  const { prefix } = dataset.tier1;
  const swept: Swept = { attempts: [], unfinished: 0, claims: [], failures: [] };
  const attempts = await attemptFiles(store, prefix, signal);
  // By the store's clock, which dated its files: by a clock that is days ahead, an attempt at work would look old.
  const nowMs = components.nowMs() + store.clockOffsetMs;
  const published = await ownHours(store, dataset, signal);
  const expired = await expiredHours(store, dataset, signal);
  for (const [hour, files] of attempts) {
    const isSuspect = new Set(files.map((file) => file.attempt)).size > 1 || !published.has(hour);
    const old = files.filter(({ attempt }) => decodeTime(attempt) < nowMs - DAY_MS);
    if (!isSuspect || old.length === 0) continue;
    const task = { ...context, hour };
    try {
      // The hour's part is missing or an older version. When it comes back from a backup, it needs these files.
      if (expired.has(hour) && !(await hasExpiredRows(task))) continue;
      await sweepHour(task, old, swept, { dryRun, nowMs, isListed: published.has(hour) });
    } catch (error) {
      // The damage may be repaired with files that nothing names now.
      if (!isHourpackError(error, "data")) throw error;
      swept.failures.push({ dataset: dataset.name, hour, error });
    }
  }
  if (!dryRun) swept.unfinished += await store.dropUnfinished(prefix, nowMs - DAY_MS, { signal });
  for await (const head of agedFiles(store, claimsPrefix(prefix), nowMs, signal)) {
    if (!dryRun) await store.delete(head.key, { etag: head.etag, signal });
    swept.claims.push(head.key);
  }
  for await (const head of agedFiles(store, probePrefix(prefix), nowMs, signal)) {
    if (!dryRun) await store.delete(head.key, { signal });
    swept.unfinished++;
  }
  return swept;
}

async function sweepHour(
  { components, dataset, hour, signal }: HourContext,
  old: AttemptFile[],
  swept: Swept,
  { dryRun, nowMs, isListed }: { dryRun: boolean; nowMs: number; isListed: boolean },
): Promise<void> {
  const store = await components.tier1(dataset);
  const part = partKey(dataset.tier1.prefix, dataset.table, hour);
  for (const { key, attempt } of old) {
    if (decodeTime(attempt) >= nowMs - SWEPT_AFTER_MS) continue;
    const head = await store.head(key, { signal });
    if (!head || head.lastModifiedMs >= nowMs - SWEPT_AFTER_MS) continue;
    // Look at the part after the file's age, right before the deletion.
    const named = (await headPart(store, part, signal))?.attempt;
    // A part that is listed and not found is one of which nothing is known.
    if (named === attempt || (isListed && named === undefined)) continue;
    if (!dryRun) await store.delete(key, { signal });
    swept.attempts.push(key);
  }
  // Some stores list uploads for an exact key only. An attempt without a part may have left one for the part's key.
  if (!dryRun) swept.unfinished += await store.dropUnfinished(part, nowMs - DAY_MS, { signal });
}

async function hasExpiredRows(task: HourContext): Promise<boolean> {
  const { components, dataset, hour, signal } = task;
  const { prefix } = dataset.tier1;
  const store = await components.tier1(dataset);
  const published = await publishedPart(task);
  if (!published) return false;
  const journals = await readJournals(store, prefix, hour, signal);
  return (await journals.missingIn(await readManifest(task, published))) === undefined;
}

/** The published hours. Throws `invalid` if tier 1 holds another table, since files that its parts name would look unreferenced. */
async function ownHours(store: Store, dataset: Dataset, signal: AbortSignal | undefined): Promise<Set<Hour>> {
  const { table, tier1 } = dataset;
  const pinned = await readPinned(store, tier1.prefix, signal);
  const tables = new Set(pinned ? [pinned.table] : []);
  const parts = await allParts(store, dataset, signal);
  for (const [name, [hour]] of parts) {
    if (!hour) continue;
    const key = partKey(tier1.prefix, name, hour);
    // A file that does not say that it is a part is somebody else's.
    if (name === table || (await unlessDamaged(headPart(store, key, signal)))) tables.add(name);
  }
  const others = [...tables].filter((name) => name !== table).sort();
  if (others.length === 0) return parts.get(table) ?? new Set();
  const location = store.uri + tier1.prefix;
  const held = `it holds the table${others.length === 1 ? "" : "s"} ${others.join(", ")}`;
  const [why, hint] = tables.has(table)
    ? [
        `${held} besides ${table}`,
        "Give the others a tier 1 of their own: their parts, manifests and quarantine files.",
      ]
    : [`${held}, and ${table} is another`, "Check table and tier1 of the dataset (`--table`, `--tier1`)."];
  throw new HourpackError("invalid", `sweep ${location}: ${why}`, { stage: "sweep", location, hint });
}

/** Files that were last written more than a day ago. */
async function* agedFiles(
  store: Store,
  prefix: string,
  nowMs: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<ObjectHead> {
  for await (const page of store.list(prefix, { signal })) {
    for (const { key } of page) {
      const head = await store.head(key, { signal });
      if (head && head.lastModifiedMs < nowMs - DAY_MS) yield head;
    }
  }
}

interface AttemptFile {
  key: string;
  attempt: string;
}

/** Manifests and quarantine files by hour. */
async function attemptFiles(
  store: Store,
  prefix: string,
  signal: AbortSignal | undefined,
): Promise<Map<Hour, AttemptFile[]>> {
  const hours = new Map<Hour, AttemptFile[]>();
  for (const folder of [manifestsPrefix(prefix), quarantinesPrefix(prefix)]) {
    for await (const { key, hour, attempt } of attemptsUnder(store, folder, folder, signal)) {
      const files = hours.get(hour) ?? [];
      files.push({ key, attempt });
      hours.set(hour, files);
    }
  }
  return hours;
}
