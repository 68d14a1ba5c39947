/** What is published: the part of an hour, by a HEAD, and the published hours, by the part keys of tier 1. */
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

/** The part of an hour; undefined if it has none. Throws `data` as `headPart` does, with the commands that help. */
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

/** The hint for a file that has the name of a part and is not ours. */
const NOT_OURS = "Where others write there, give the dataset another tier-1 prefix or table name.";

/**
 * The part under this key; undefined if nothing is there. A directory has no object metadata, so the facts then come from the
 * footer. Throws `data` if the file does not say that it is a part.
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

/** Undefined if the end of the file is damaged. */
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
  /** The newest that has begun: a part of a future year must not make the hours before it count as passed. */
  newest?: Hour;
  /** A later published hour that has not begun: nobody can have data for it yet. */
  ahead?: Hour;
}

/** The newest published hour. Walks down the newest year, month, day and hour. */
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

/** The oldest published hour, by the same walk; undefined if nothing is published. */
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

/** The published hours in the range (without `to`), in order. Costs a listing a day. */
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

/** All published hours, in order. Costs a listing of all parts. */
export async function allPublishedHours(
  store: Store,
  dataset: Dataset,
  signal: AbortSignal | undefined,
): Promise<Set<Hour>> {
  return (await allParts(store, dataset, signal)).get(dataset.table) ?? new Set();
}

/** The hours of all parts, by table: the dataset's, and any other that somebody packed here. */
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

/** The parts of all tables, by their names only. */
export function everyPart(
  store: Store,
  tier1Prefix: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<{ table: string; hour: Hour }> {
  return partsUnder(store, tier1Prefix, `${tier1Prefix}year=`, signal);
}

/** The hours of the dataset's parts whose keys begin with `prefix`, in key order. */
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

/** The hours that have a journal: `expire` deleted raw objects of them, since their parts had the records. */
export function expiredHours(
  store: Store,
  { tier1 }: Dataset,
  signal: AbortSignal | undefined,
): Promise<Set<Hour>> {
  return attemptHours(store, journalsPrefix(tier1.prefix), signal);
}

/** The hours that have a manifest: an attempt began to publish them. Costs a listing of all manifests. */
export function attemptedHours(
  store: Store,
  { tier1 }: Dataset,
  signal: AbortSignal | undefined,
): Promise<Set<Hour>> {
  return attemptHours(store, manifestsPrefix(tier1.prefix), signal);
}

async function attemptHours(
  store: Store,
  folder: string,
  signal: AbortSignal | undefined,
): Promise<Set<Hour>> {
  const hours = new Set<Hour>();
  for await (const { hour } of attemptsUnder(store, folder, folder, signal)) hours.add(hour);
  return hours;
}

/** The attempts' files in `folder` whose keys begin with `prefix`. */
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
 * What shows that an hour had a part. `expired`: raw objects that its part had were deleted. `manifest`: an attempt older than
 * a day wrote a manifest. `recent`: a younger attempt wrote one and may still be at work.
 */
export type Trace = "expired" | "manifest" | "recent";

/** For hours without a part: which of them had one, or nearly had. Costs two listings a day. */
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
  // By the store's clock, which dated its files.
  const isOver = (attempt: string) => decodeTime(attempt) < nowMs + store.clockOffsetMs - DAY_MS;
  // `expired` comes last and replaces `manifest`, because a journal is certain.
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
    // The hour may have been published since the parts were listed.
    const isThere = async () => store.head(partKey(prefix, dataset.table, hour), { signal });
    if (trace === "recent" && (await isThere())) traces.delete(hour);
  }
  return traces;
}
