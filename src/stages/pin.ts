/** The pinned schema: read, made from the first hour, grown by appending. Every write is conditional. */
import { setImmediate } from "node:timers/promises";
import type { Batch } from "../batch.js";
import { commandText } from "../command-text.js";
import type { Components } from "../components.js";
import type { Dataset, Settings } from "../config/settings.js";
import { HourpackError, isHourpackError } from "../errors.js";
import type { Hour } from "../hour.js";
import { partKey, schemaKey } from "../layout.js";
import type { Published } from "../manifest.js";
import { everyPart } from "../published.js";
import { type FrameLimits, frameObject } from "../record/frame.js";
import { Shape } from "../record/inference.js";
import { appendColumns, mergeConfigured } from "../schema/evolution.js";
import { hiveType } from "../schema/hive.js";
import type { RecordPath } from "../schema/path.js";
import {
  currentSchema,
  digestOfColumns,
  emptyPinned,
  type Pinned,
  parsePinned,
  reconcile,
  serialisePinned,
} from "../schema/pinned.js";
import type { Column, Schema } from "../schema/types.js";
import type { Store } from "../store/store.js";
import type { HourContext, HourTask } from "../task.js";
import { count, counted } from "../words.js";
import { headPart } from "./list.js";

/**
 * The version that this hour is converted against, pinned before any hour converts. Where nothing is pinned or
 * configured it is inferred over the whole hour, so all batches are gathered first; else they pass through untouched.
 */
export async function pinSchema(
  task: HourTask,
  batches: AsyncIterable<Batch>,
  attempt: string,
): Promise<{ schema: Schema; batches: AsyncIterable<Batch> | Batch[] }> {
  const { dataset, components, signal } = task;
  const store = await components.tier1(dataset);
  const again = rebuildOf(components.settings, dataset);
  const options = { attempt, nowMs: components.nowMs(), signal, again };
  const pin = async (inferred: Column[] | undefined) =>
    currentSchema(
      await pinColumns(
        store,
        dataset.tier1.prefix,
        dataset.table,
        (pinned) => withConfigured(pinned, dataset.columns) ?? inferred ?? [],
        // Who asks for a part anew needs none of the columns that are gone.
        { ...options, anew: task.request.rebuild },
      ),
    );
  if (dataset.columns) return { schema: await pin(undefined), batches };
  const pinned = await readPinned(store, dataset.tier1.prefix, signal);
  if (pinned) {
    requireTable(pinned, dataset.table, store.uri + dataset.tier1.prefix);
    return { schema: currentSchema(pinned), batches };
  }
  const gathered: Batch[] = [];
  const shape = new Shape();
  const limits = { maxRecordBytes: components.settings.run.maxRecordBytes };
  let gatheredBytes = 0;
  const { spoolBytesMax } = components.settings.run;
  for await (const batch of batches) {
    gathered.push(batch);
    gatheredBytes += batch.sizeBytes;
    await observeBatch(batch, shape, dataset.records, limits).finally(() => batch.store());
    if (gatheredBytes > spoolBytesMax) throw tooMuchToInfer(task, spoolBytesMax);
  }
  const inferred = shape.columns();
  // An hour without a single record tells nothing about the columns: the next one is asked.
  if (inferred.length === 0) return { schema: { version: 0, columns: [] }, batches: gathered };
  const schema = await pin(inferred);
  const location = store.uri + schemaKey(dataset.tier1.prefix);
  task.observe({ type: "pinned", dataset: dataset.name, hour: task.hour, location, columns: schema.columns });
  tellList(task, schema);
  return { schema, batches: gathered };
}

/** A CloudTrail object, say, of which each record is to be a row. */
function tellList({ dataset, hour, observe }: HourTask, { columns: [column, ...others] }: Schema): void {
  if (column?.type.kind !== "array" || others.length > 0 || dataset.records.keys.length > 0) return;
  const text = `its one column is a list: to have a row for each of its elements, delete the dataset's tier 1 and say records: ${column.path[0]}[*]`;
  observe({ type: "notice", dataset: dataset.name, hour, text });
}

function tooMuchToInfer(task: HourTask, spoolBytesMax: number): HourpackError {
  return new HourpackError(
    "invalid",
    `pack ${task.dataset.name} ${task.hour}: its columns are inferred over the whole hour, which is more than the spool's ${spoolBytesMax} bytes`,
    {
      stage: "pin",
      location: "run.spoolMax",
      hint: "Raise --spool-max, or say the columns with --columns (`hourpack init` finds them from a sample).",
    },
  );
}

/** Appends columns for members that no column knew, each of the type that all its values of the hour share. */
export async function growSchema(task: HourTask, unknown: Shape, attempt: string): Promise<Schema> {
  const { dataset, components, signal } = task;
  const store = await components.tier1(dataset);
  // Those of this hour alone: another one that is worked on meanwhile may have brought the same members, and more.
  let added: Column[] = [];
  const grow = (pinned: Pinned | undefined) => {
    const schema = pinned ? currentSchema(pinned) : { version: 0, columns: [] };
    const { columns } = appendColumns(schema, unknown.columns(schema));
    added = columns.slice(schema.columns.length);
    return columns;
  };
  const again = rebuildOf(components.settings, dataset);
  const options = { attempt, nowMs: components.nowMs(), signal, again };
  const pinned = await pinColumns(store, dataset.tier1.prefix, dataset.table, grow, options);
  if (added.length > 0) tellAdded(task, added);
  return currentSchema(pinned);
}

/** They stay as they are from now on, types and all. */
function tellAdded({ dataset, hour, observe }: HourTask, added: Column[]): void {
  const named = added.slice(0, ADDED_NAMED).map(({ name, type }) => `${name} ${hiveType(type)}`);
  if (added.length > ADDED_NAMED) named.push(`and ${count(added.length - ADDED_NAMED)} more`);
  const text = `${counted(added.length, "new column")} (unknown: add): ${named.join(", ")}`;
  const alike = "new columns (`hourpack schema` shows all)";
  observe({ type: "notice", dataset: dataset.name, hour, text, alike });
}

const ADDED_NAMED = 10;

/** Every record of a batch, not a sample. */
async function observeBatch(
  batch: Batch,
  shape: Shape,
  records: RecordPath,
  limits: FrameLimits,
): Promise<void> {
  const bytes = await batch.bytes();
  let turnStartedMs = performance.now();
  for (const segment of batch.segments) {
    if (segment.damage !== undefined) continue;
    const piece = bytes.subarray(segment.offset, segment.offset + segment.sizeBytes);
    for (const framed of frameObject(piece, records, limits, segment)) {
      if (framed.kind === "record") shape.observe(framed.value);
    }
    if (performance.now() - turnStartedMs < TURN_MS) continue;
    // Downloads are served in between.
    await setImmediate();
    turnStartedMs = performance.now();
  }
}

const TURN_MS = 8;

/** It hardly ever changes, and each hour of a month asks: one HEAD tells that it is still this one. */
const lastRead = new WeakMap<Store, WithEtag & { key: string }>();

interface WithEtag {
  pinned: Pinned;
  /** Of the schema.json it was read from. */
  etag: string;
}

/** The dataset's schema.json, or undefined where none is pinned yet. Not to be changed by whoever reads it. */
export async function readPinned(
  store: Store,
  prefix: string,
  signal: AbortSignal | undefined,
): Promise<Pinned | undefined> {
  return (await readWithEtag(store, prefix, signal))?.pinned;
}

async function readWithEtag(
  store: Store,
  prefix: string,
  signal: AbortSignal | undefined,
): Promise<WithEtag | undefined> {
  const key = schemaKey(prefix);
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const head = await store.head(key, { signal });
    if (!head) return undefined;
    const last = lastRead.get(store);
    if (last?.key === key && last.etag === head.etag) return last;
    try {
      const bytes = await store.get(key, { etag: head.etag, signal });
      const read = { key, pinned: parsePinned(bytes, store.uri + key), etag: head.etag };
      lastRead.set(store, read);
      return read;
    } catch (error) {
      // Replaced between the two requests: read the new one.
      if (!isHourpackError(error, "conflict")) throw error;
    }
  }
  throw contended(store, key);
}

/** How a first version may be pinned where parts are there; `again` is the command that makes them anew. */
interface Beginning {
  anew?: boolean;
  again: string;
  signal?: AbortSignal;
}

function rebuildOf(settings: Settings, { name }: Dataset, hours?: Hour): string {
  return commandText("run", settings, { dataset: name, hours, flags: "--rebuild" });
}

/**
 * Sees to it that these columns are pinned, and returns what is. `grow` is given the columns pinned so far (none at
 * first) and names those that should be; a lost race means that it is asked again with what the winner wrote. Throws
 * `data` where parts are there whose columns nothing names, unless columns are to be pinned `anew`.
 */
export async function pinColumns(
  store: Store,
  prefix: string,
  table: string,
  grow: (pinned: Pinned | undefined) => Column[],
  options: Beginning & { attempt: string; nowMs: number },
): Promise<Pinned> {
  const key = schemaKey(prefix);
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const current = await readWithEtag(store, prefix, options.signal);
    const base = current?.pinned ?? emptyPinned(table);
    requireTable(base, table, store.uri + prefix);
    if (!current && !(await mayBegin(store, prefix, table, options))) continue;
    const next = reconcile(grow(current?.pinned), base, {
      createdAt: new Date(options.nowMs).toISOString(),
      attempt: options.attempt,
    });
    if (current && next.versions.length === base.versions.length) return base;
    const put = await store.put(key, serialisePinned(next), {
      condition: current ? { etag: current.etag } : { absent: true },
      contentType: "application/json",
      signal: options.signal,
    });
    if (put.outcome === "written") return next;
  }
  throw contended(store, key);
}

/**
 * Throws what `pinSchema` would about the dataset's columns and table, and writes nothing. Of the part of the `newest`
 * hour the columns must be there: under an older schema.json that was put back, others would get its version's number.
 */
export async function requirePinnable(
  components: Pick<Components, "settings" | "tier1">,
  dataset: Dataset,
  { rebuild, newest, signal }: { rebuild?: boolean; newest?: Hour; signal?: AbortSignal },
): Promise<void> {
  const { table, columns } = dataset;
  const { prefix } = dataset.tier1;
  const { settings } = components;
  const store = await components.tier1(dataset);
  // Before its columns, which were pinned before it was published. One that is damaged fails its own hour.
  const part =
    newest && !rebuild
      ? await unlessDamaged(headPart(store, partKey(prefix, table, newest), signal))
      : undefined;
  const pinned = await readPinned(store, prefix, signal);
  if (!pinned) {
    await mayBegin(store, prefix, table, { anew: rebuild, again: rebuildOf(settings, dataset), signal });
    return;
  }
  requireTable(pinned, table, store.uri + prefix);
  if (part && newest && part.schemaVersion > currentSchema(pinned).version)
    throw versionGone(store, prefix, { part, again: rebuildOf(settings, dataset, newest), why: NOT_PINNED });
  withConfigured(pinned, columns);
}

/** Undefined where what is looked at is damaged. */
export async function unlessDamaged<T>(look: Promise<T>): Promise<T | undefined> {
  return look.catch((error) => {
    if (isHourpackError(error, "data")) return undefined;
    throw error;
  });
}

/** Two tables' parts in one folder would be read as one. Throws `invalid`. */
function requireTable(pinned: Pinned, table: string, location: string): void {
  if (pinned.table !== table) throw otherTable(pinned.table, table, location);
}

function otherTable(held: string, table: string, location: string): HourpackError {
  return new HourpackError(
    "invalid",
    `pack into ${location}: it holds the table ${held}, and ${table} is another`,
    {
      stage: "pin",
      location,
      hint: `Give ${table} a tier-1 prefix of its own, or name the table ${held}.`,
    },
  );
}

/** Where there was no schema.json. False where there is one by now. */
async function mayBegin(store: Store, prefix: string, table: string, options: Beginning): Promise<boolean> {
  const why = await whyNotBegin(store, prefix, table, options);
  if (!why) return true;
  // Another worker may have pinned, and then published, before we looked at the parts.
  if (await readPinned(store, prefix, options.signal)) return false;
  throw why;
}

/**
 * What speaks against a first version, where there is no schema.json: parts. Only what is gone said what is in their
 * columns. Those of hours before the first record have none. One look in a dataset's life.
 */
async function whyNotBegin(
  store: Store,
  prefix: string,
  table: string,
  { anew, again, signal }: Beginning,
): Promise<HourpackError | undefined> {
  for await (const part of everyPart(store, prefix, signal)) {
    const isOwn = part.table === table;
    if (isOwn && anew) continue;
    const key = partKey(prefix, part.table, part.hour);
    const look = headPart(store, key, signal);
    // Another's may be somebody else's file of such a name.
    const published = await (isOwn ? look : unlessDamaged(look));
    if (published && !isOwn) return otherTable(part.table, table, store.uri + prefix);
    if (published && published.schemaVersion > 0) return schemaGone(store, prefix, published, again);
  }
  return undefined;
}

function schemaGone(
  store: Store,
  prefix: string,
  { key, schemaVersion }: Published,
  again: string,
): HourpackError {
  const location = store.uri + schemaKey(prefix);
  return new HourpackError(
    "data",
    `pin the columns in ${location}: it is not there, and it named the columns of parts that are (version ${schemaVersion} those of ${key})`,
    {
      stage: "pin",
      location,
      hint: `Bring it back from a backup or an older version of the object. Where there is none, ${again} over all published hours (\`--from\`, \`--to\`) pins columns anew and makes the parts of those whose raw objects are all there.`,
    },
  );
}

/**
 * The columns that a part was written under. `digest` is what its manifest has of them, undefined where nobody knows.
 * Throws `data` where schema.json does not have the version, or has another of its number.
 */
export async function schemaOf(
  { dataset, hour, components, signal }: HourContext,
  { key, schemaVersion }: Published,
  digest: string | undefined,
): Promise<Schema> {
  // An hour without a record is packed before anything is pinned.
  if (schemaVersion === 0) return { version: 0, columns: [] };
  const store = await components.tier1(dataset);
  const pinned = await readPinned(store, dataset.tier1.prefix, signal);
  const schema = pinned?.versions.find(({ version }) => version === schemaVersion);
  if (schema && (digest === undefined || digestOfColumns(schema.columns) === digest)) return schema;
  const why = schema ? "is pinned with other columns than the part has" : NOT_PINNED;
  const again = rebuildOf(components.settings, dataset, hour);
  throw versionGone(store, dataset.tier1.prefix, { part: { key, schemaVersion }, again, why });
}

const NOT_PINNED = "is not pinned";

function versionGone(
  store: Store,
  prefix: string,
  { part, again, why }: { part: Pick<Published, "key" | "schemaVersion">; again: string; why: string },
): HourpackError {
  const location = store.uri + schemaKey(prefix);
  return new HourpackError(
    "data",
    `read the part ${store.uri}${part.key}: version ${part.schemaVersion} of its columns ${why} in ${location}`,
    {
      location,
      hint: `Bring back the schema.json that names them, from a backup or an older version of the object; where there is none, ${again} makes the part anew while all of its raw objects are there.`,
    },
  );
}

/** Configured columns are merged in: new ones appended; a changed type is refused (`invalid`). */
function withConfigured(pinned: Pinned | undefined, configured: Column[] | undefined): Column[] | undefined {
  if (!pinned) return configured;
  const schema = currentSchema(pinned);
  return configured ? mergeConfigured(schema, configured).columns : schema.columns;
}

const ATTEMPTS_MAX = 20;

function contended(store: Store, key: string): HourpackError {
  return new HourpackError(
    "conflict",
    `pin the schema ${store.uri}${key}: it changed ${ATTEMPTS_MAX} times under us`,
    {
      stage: "pin",
      location: store.uri + key,
      hint: "Many workers are changing one schema; run again.",
    },
  );
}
