/** Clears what crashes left in tier 1, by the rules of invariant 1: nothing that a published part names, ever. */
import { decodeTime } from "ulid";
import type { Components } from "./components.js";
import type { Dataset } from "./config/settings.js";
import { HOUR_MS, type Hour } from "./hour.js";
import { claimsPrefix, manifestsPrefix, partKey, probePrefix, quarantinesPrefix } from "./layout.js";
import { allPublishedHours, attemptsUnder } from "./published.js";
import { headPart } from "./stages/list.js";
import type { ObjectHead, Store } from "./store/store.js";

export interface Swept {
  /** Manifests and quarantine files that no part names, deleted. */
  attempts: string[];
  /** Unfinished uploads and temporary files, dropped. */
  unfinished: number;
  /** Claims that nobody renewed for a day. */
  claims: string[];
}

const DAY_MS = 24 * HOUR_MS;
/** An attempt's files may be needed until its part is there; none publishes a day after it began (stages/publish.ts). */
const ATTEMPT_MS = 7 * DAY_MS;

/** One dataset's tier 1. With `dryRun` nothing is deleted and unfinished uploads are not counted. */
export async function sweep(
  components: Components,
  dataset: Dataset,
  options: { dryRun?: boolean; signal?: AbortSignal } = {},
): Promise<Swept> {
  const { dryRun = false, signal } = options;
  const store = await components.tier1(dataset);
  const { prefix } = dataset.tier1;
  const swept: Swept = { attempts: [], unfinished: 0, claims: [] };
  const attempts = await attemptFiles(store, prefix, signal);
  // The store has dated what lies in it: by a clock that is days ahead, an attempt at work would be old.
  const nowMs = components.nowMs() + store.clockOffsetMs;
  const published = await allPublishedHours(store, dataset, signal);
  for (const [hour, files] of attempts) {
    const isSuspect = new Set(files.map((file) => file.attempt)).size > 1 || !published.has(hour);
    const old = files.filter(({ attempt }) => decodeTime(attempt) < nowMs - DAY_MS);
    if (!isSuspect || old.length === 0) continue;
    const part = partKey(prefix, dataset.table, hour);
    for (const { key, attempt } of old) {
      if (decodeTime(attempt) >= nowMs - ATTEMPT_MS) continue;
      const head = await store.head(key, { signal });
      if (!head || head.lastModifiedMs >= nowMs - ATTEMPT_MS) continue;
      // Looked at after the file's age, right before the deletion.
      const named = (await headPart(store, part, signal))?.attempt;
      if (named === attempt) continue;
      if (!dryRun) await store.delete(key, { signal });
      swept.attempts.push(key);
    }
    // Some stores list uploads for an exact key only: an attempt without a part is where one may lie.
    if (!dryRun) swept.unfinished += await store.dropUnfinished(part, nowMs - DAY_MS, { signal });
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

/** Files that nobody wrote to for a day. */
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
