/** What is published: of an hour, by a HEAD of its part, and which hours are, by the part keys of tier 1. */
import { decodeTime } from "ulid";
import { remedyText } from "../command-text.js";
import type { Dataset } from "../config/settings.js";
import { HourpackError, isHourpackError } from "../errors.js";
import { addHours, DAY_MS, type Hour, startMs } from "../hour.js";
import {
  attemptOfKey,
  attemptsDayPrefix,
  journalsPrefix,
  manifestsPrefix,
  partitionDayPrefix,
  partKey,
  partOfKey,
} from "../layout.js";
import type { ObjectHead, Store } from "../store/store.js";
import type { HourContext } from "../task.js";
import { factsIn, readFooter } from "./footer.js";
import { fromMetadata, type PartFacts, type Published } from "./manifest.js";

/** The part of an hour, or undefined. Throws `data` as `headPart` does, with the commands that help. */
export async function publishedPart({
  dataset,
  hour,
  components,
  signal,
}: HourContext): Promise<Published | undefined> {
  const key = partKey(dataset.tier1.prefix, dataset.table, hour);
  const store = await components.tier1(dataset);
  return headPart(store, key, signal).catch((error) => {
    if (!isHourpackError(error, "data")) throw error;
    const of = { dataset: dataset.name, hour, settings: components.settings };
    throw error.with({ hint: `${remedyText(of, store.uri + key)} ${NOT_OURS}` });
  });
}

/** Of a file that has the name of a part. */
const NOT_OURS = "Where others write there, give the dataset another tier-1 prefix or table name.";

/**
 * What is published under a part's key, or undefined. A directory has no object metadata, so there the footer is
 * read. Throws `data` where what lies there does not say that it is a part.
 */
export async function headPart(
  store: Store,
  key: string,
  signal: AbortSignal | undefined,
): Promise<Published | undefined> {
  const head = await store.head(key, { signal });
  if (!head) return undefined;
  const facts = fromMetadata(head.metadata) ?? (await factsInFooter(store, head, signal));
  if (!facts) {
    throw new HourpackError(
      "data",
      `head ${store.uri}${key}: no part of hourpack's lies there, or one whose end is damaged`,
      {
        stage: "list",
        location: store.uri + key,
        hint: `Bring back an older version of it, or move it away: the hour is then packed from its raw objects. ${NOT_OURS}`,
      },
    );
  }
  return {
    ...facts,
    key,
    etag: head.etag,
    sizeBytes: head.sizeBytes,
    lastModifiedMs: head.lastModifiedMs,
  };
}

/** Undefined where its end is damaged. */
async function factsInFooter(
  store: Store,
  head: ObjectHead,
  signal: AbortSignal | undefined,
): Promise<PartFacts | undefined> {
  try {
    return factsIn(await readFooter(store, head, signal));
  } catch (error) {
    if (error instanceof HourpackError) throw error;
    return undefined;
  }
}

interface NewestPublished {
  /** Of those that have begun: by one of a year to come no hour before it is passed. */
  newest?: Hour;
  /** A later one, whose hour has not begun: nobody's data are of it yet. */
  ahead?: Hour;
}

/** The newest hour that has a part: walks down the newest year, month, day and hour. */
export async function newestPublishedHour(
  store: Store,
  dataset: Dataset,
  nowMs: number,
  signal: AbortSignal | undefined,
): Promise<NewestPublished> {
  const found: NewestPublished = {};
  for await (const hour of hoursFrom("newest", store, dataset, dataset.tier1.prefix, LEVELS, signal)) {
    if (startMs(hour) <= nowMs) return { ...found, newest: hour };
    found.ahead ??= hour;
  }
  return found;
}

const LEVELS = ["year=", "month=", "day=", "hour="];

/** The oldest hour that has a part, by the same walk. */
export async function oldestPublishedHour(
  store: Store,
  dataset: Dataset,
  signal: AbortSignal | undefined,
): Promise<Hour | undefined> {
  for await (const hour of hoursFrom("oldest", store, dataset, dataset.tier1.prefix, LEVELS, signal))
    return hour;
  return undefined;
}

async function* hoursFrom(
  end: "newest" | "oldest",
  store: Store,
  dataset: Dataset,
  prefix: string,
  [level, ...deeper]: string[],
  signal: AbortSignal | undefined,
): AsyncGenerator<Hour> {
  if (level === undefined) return yield* hoursUnder(store, dataset, prefix, signal);
  const names = (await store.listPrefixes(prefix, { signal })).filter((name) =>
    name.slice(prefix.length).startsWith(level),
  );
  names.sort();
  if (end === "newest") names.reverse();
  for (const name of names) yield* hoursFrom(end, store, dataset, name, deeper, signal);
}

/** Every published hour in the range, in order; day by day, so that a long range costs a listing a day. */
export async function publishedHours(
  store: Store,
  dataset: Dataset,
  range: { from: Hour; to: Hour },
  signal: AbortSignal | undefined,
): Promise<Hour[]> {
  const hours: Hour[] = [];
  for (
    let day = `${range.from.slice(0, 10)}T00` as Hour;
    startMs(day) < startMs(range.to);
    day = addHours(day, 24)
  ) {
    const prefix = dataset.tier1.prefix + partitionDayPrefix(day);
    for await (const hour of hoursUnder(store, dataset, prefix, signal)) {
      if (hour >= range.from && hour < range.to) hours.push(hour);
    }
  }
  return hours.sort();
}

/** Every published hour there is, in order: a listing of all parts. */
export async function allPublishedHours(
  store: Store,
  dataset: Dataset,
  signal: AbortSignal | undefined,
): Promise<Set<Hour>> {
  return (await allParts(store, dataset, signal)).get(dataset.table) ?? new Set();
}

/** The hours of all parts that there are, by their tables: the dataset's, and any other that somebody packed here. */
export async function allParts(
  store: Store,
  { tier1 }: Dataset,
  signal: AbortSignal | undefined,
): Promise<Map<string, Set<Hour>>> {
  const tables = new Map<string, Set<Hour>>();
  for await (const { table, hour } of everyPart(store, tier1.prefix, signal)) {
    const hours = tables.get(table) ?? new Set();
    tables.set(table, hours.add(hour));
  }
  return tables;
}

/** Of any table, by the names alone. */
export function everyPart(
  store: Store,
  tier1Prefix: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<{ table: string; hour: Hour }> {
  return partsUnder(store, tier1Prefix, `${tier1Prefix}year=`, signal);
}

/** The dataset's, of the parts whose keys begin with `prefix`, in the order of the keys. */
async function* hoursUnder(
  store: Store,
  { tier1, table }: Dataset,
  prefix: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<Hour> {
  for await (const part of partsUnder(store, tier1.prefix, prefix, signal))
    if (part.table === table) yield part.hour;
}

async function* partsUnder(
  store: Store,
  tier1Prefix: string,
  prefix: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<{ table: string; hour: Hour }> {
  for await (const page of store.list(prefix, { signal })) {
    for (const { key } of page) {
      const part = partOfKey(tier1Prefix, key);
      if (part) yield part;
    }
  }
}

/** Every hour of which raw objects were deleted, since its part had their records. */
export async function expiredHours(
  store: Store,
  dataset: Dataset,
  signal: AbortSignal | undefined,
): Promise<Set<Hour>> {
  const hours = new Set<Hour>();
  const folder = journalsPrefix(dataset.tier1.prefix);
  for await (const { hour } of attemptsUnder(store, folder, folder, signal)) hours.add(hour);
  return hours;
}

/** The files of attempts in one of their folders whose keys begin with `prefix`. */
export async function* attemptsUnder(
  store: Store,
  folder: string,
  prefix: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<{ key: string; hour: Hour; attempt: string }> {
  for await (const page of store.list(prefix, { signal })) {
    for (const { key } of page) {
      const found = attemptOfKey(folder, key);
      if (found) yield { key, ...found };
    }
  }
}

/**
 * `expired`: raw objects of it were deleted, which its part had. `manifest`: an attempt of over a day ago wrote one; `recent`:
 * a younger one did, which may be at work.
 */
export type Trace = "expired" | "manifest" | "recent";

/** Of hours without a part, those that had one, or nearly so; two listings a day. */
export async function tracesOf(
  store: Store,
  dataset: Dataset,
  hours: Hour[],
  options: { nowMs: number; signal?: AbortSignal },
): Promise<Map<Hour, Trace>> {
  const { nowMs, signal } = options;
  const { prefix } = dataset.tier1;
  const traces = new Map<Hour, Trace>();
  const days = new Map(hours.map((hour) => [hour.slice(0, 10), hour]));
  const asked = new Set(hours);
  // The store has dated what lies in it.
  const isOver = (attempt: string) => decodeTime(attempt) < nowMs + store.clockOffsetMs - DAY_MS;
  // In this order: what is expired is certain.
  const folders = [
    ["manifest", manifestsPrefix(prefix)],
    ["expired", journalsPrefix(prefix)],
  ] as const;
  for (const [trace, folder] of folders) {
    for (const hour of days.values()) {
      for await (const found of attemptsUnder(store, folder, attemptsDayPrefix(folder, hour), signal)) {
        if (!asked.has(found.hour)) continue;
        if (trace === "expired" || isOver(found.attempt)) traces.set(found.hour, trace);
        else if (!traces.has(found.hour)) traces.set(found.hour, "recent");
      }
    }
  }
  for (const [hour, trace] of traces) {
    // Published since the parts were listed.
    const isThere = async () => store.head(partKey(prefix, dataset.table, hour), { signal });
    if (trace === "recent" && (await isThere())) traces.delete(hour);
  }
  return traces;
}
