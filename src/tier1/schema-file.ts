/** Reads, begins and grows a dataset's schema.json in tier 1, which names the columns of all its parts. Every write is conditional. */
import { commandText } from "../command-text.js";
import type { Dataset, Settings } from "../config/settings.js";
import { HourpackError, unlessDamaged } from "../errors.js";
import type { Hour } from "../hour.js";
import { partKey, schemaKey } from "../layout.js";
import { mergeConfigured } from "../schema/evolution.js";
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
import type { DatasetContext, HourContext } from "../task.js";
import { ConditionalFile } from "./conditional-file.js";
import type { Published } from "./manifest.js";
import { everyPart, headPart } from "./published.js";

/** The file last used of each store: each hour of a month asks for it. */
const lastFile = new WeakMap<Store, ConditionalFile<Pinned>>();

function schemaFile(store: Store, prefix: string): ConditionalFile<Pinned> {
  const key = schemaKey(prefix);
  const last = lastFile.get(store);
  if (last?.key === key) return last;
  const file = new ConditionalFile(store, key, {
    parse: parsePinned,
    serialise: serialisePinned,
    doing: { read: "pin the schema", change: "pin the schema" },
    contended: { stage: "pin", hint: "Many workers are changing one schema; run again." },
  });
  lastFile.set(store, file);
  return file;
}

/** The dataset's schema.json; undefined if nothing is pinned yet. Callers must not change it. */
export async function readPinned(
  store: Store,
  prefix: string,
  signal: AbortSignal | undefined,
): Promise<Pinned | undefined> {
  return schemaFile(store, prefix).read(signal);
}

/** How a first version may be pinned if parts exist already. `again` is the command that rebuilds them. */
interface Beginning {
  rebuild?: boolean;
  again: string;
  signal?: AbortSignal;
}

export function rebuildOf(settings: Settings, { name }: Dataset, hours?: Hour): string {
  return commandText("run", settings, { dataset: name, hours, flags: "--rebuild" });
}

/**
 * Makes sure that the columns are pinned, and returns what is pinned then. `grow` receives the columns pinned so far (none at
 * first) and returns those that should be. After a lost race it is called again with what the winner wrote. Throws `invalid`
 * if the prefix holds another table, and `data` if parts exist whose columns nothing names, unless `rebuild` is set.
 */
export async function pinColumns(
  store: Store,
  prefix: string,
  table: string,
  grow: (pinned: Pinned | undefined) => Column[],
  options: Beginning & { attempt: string; nowMs: number },
): Promise<Pinned> {
  const pinned = await schemaFile(store, prefix).change(async (current) => {
    const base = current ?? emptyPinned(table);
    requireTable(base, table, store.uri + prefix);
    if (!current && !(await mayBegin(store, prefix, table, options))) return undefined;
    const next = reconcile(grow(current), base, {
      createdAt: new Date(options.nowMs).toISOString(),
      attempt: options.attempt,
    });
    return current && next.versions.length === base.versions.length ? current : next;
  }, options.signal);
  // Another worker has begun the file meanwhile: grow that one.
  return pinned ?? pinColumns(store, prefix, table, grow, options);
}

/**
 * Throws what `pinSchema` would about the dataset's columns and table, and writes nothing. Throws `data` if the columns of the
 * `newest` hour's part are not pinned: after an older schema.json was put back, new columns would get that version's number.
 */
export async function requirePinnable(
  { components, dataset, signal }: DatasetContext,
  { rebuild, newest }: { rebuild?: boolean; newest?: Hour },
): Promise<void> {
  const { table } = dataset;
  const { prefix } = dataset.tier1;
  const { settings } = components;
  const store = await components.tier1(dataset);
  // Read before the schema, since columns are pinned before their part is published. A damaged part fails only its own hour.
  const part =
    newest && !rebuild
      ? await unlessDamaged(headPart(store, partKey(prefix, table, newest), signal))
      : undefined;
  const pinned = await readPinned(store, prefix, signal);
  if (!pinned) {
    await mayBegin(store, prefix, table, { rebuild, again: rebuildOf(settings, dataset), signal });
    return;
  }
  requireTable(pinned, table, store.uri + prefix);
  if (part && newest && part.schemaVersion > currentSchema(pinned).version)
    throw versionGone(store, prefix, { part, again: rebuildOf(settings, dataset, newest), why: NOT_PINNED });
  withConfigured(pinned, dataset);
}

/** Throws `invalid` if the prefix holds another table: engines would read the parts of both as one table. */
export function requireTable(pinned: Pinned, table: string, location: string): void {
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

/** Whether to begin a schema.json, after none was found. False if one exists by now. Throws if existing parts forbid it. */
async function mayBegin(store: Store, prefix: string, table: string, options: Beginning): Promise<boolean> {
  const why = await whyNotBegin(store, prefix, table, options);
  if (!why) return true;
  // Another worker may have pinned, and then published, before we looked at the parts.
  if (await readPinned(store, prefix, options.signal)) return false;
  throw why;
}

/**
 * Why no first version may be pinned if schema.json is missing: parts exist, and only the lost file named their columns. Parts
 * of hours before the first record have no columns. This listing happens once in a dataset's life.
 */
async function whyNotBegin(
  store: Store,
  prefix: string,
  table: string,
  { rebuild, again, signal }: Beginning,
): Promise<HourpackError | undefined> {
  for await (const part of everyPart(store, prefix, signal)) {
    const isOwn = part.table === table;
    if (isOwn && rebuild) continue;
    const key = partKey(prefix, part.table, part.hour);
    const look = headPart(store, key, signal);
    // A file named like another table's part may not be a part.
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
      hint: `Bring it back from a backup or an older version of the object. Where there is none, ${again} over all published hours (\`--from\`, \`--to\`) pins columns again and rebuilds the parts of those whose raw objects are all there.`,
    },
  );
}

/**
 * The columns that a part was written under. `digest` is their digest in its manifest; undefined if the manifest cannot be read.
 * Throws `data` if schema.json lacks the version, or has other columns under its number.
 */
export async function schemaOf(
  { dataset, hour, components, signal }: HourContext,
  { key, schemaVersion }: Published,
  digest: string | undefined,
): Promise<Schema> {
  // A part without a record may have been published before anything was pinned.
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
      hint: `Bring back the schema.json that names them, from a backup or an older version of the object; where there is none, ${again} rebuilds the part while all of its raw objects are there.`,
    },
  );
}

/** The pinned columns with the configured ones: new ones are appended. Throws `invalid` if a type has changed. */
export function withConfigured(
  pinned: Pinned | undefined,
  dataset: Pick<Dataset, "name" | "tier1" | "columns">,
): Column[] | undefined {
  return pinned ? mergeConfigured(currentSchema(pinned), dataset).columns : dataset.columns;
}
