/** A dataset's schema.json in tier 1, which names the columns of all its parts: read, begun, grown. Every write is conditional. */
import { commandText } from "../command-text.js";
import type { Components } from "../components.js";
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
import type { HourContext } from "../task.js";
import { ConditionalFile } from "./conditional-file.js";
import type { Published } from "./manifest.js";
import { everyPart, headPart } from "./published.js";

/** Each hour of a month asks for it. */
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

/** The dataset's schema.json, or undefined where none is pinned yet. Not to be changed by whoever reads it. */
export async function readPinned(
  store: Store,
  prefix: string,
  signal: AbortSignal | undefined,
): Promise<Pinned | undefined> {
  return schemaFile(store, prefix).read(signal);
}

/** How a first version may be pinned where parts are there; `again` is the command that makes them anew. */
interface Beginning {
  anew?: boolean;
  again: string;
  signal?: AbortSignal;
}

export function rebuildOf(settings: Settings, { name }: Dataset, hours?: Hour): string {
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
  // Begun by another worker meanwhile: grown from that.
  return pinned ?? pinColumns(store, prefix, table, grow, options);
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
  const { table } = dataset;
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
  withConfigured(pinned, dataset);
}

/** Two tables' parts in one folder would be read as one. Throws `invalid`. */
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
export function withConfigured(
  pinned: Pinned | undefined,
  dataset: Pick<Dataset, "name" | "tier1" | "columns">,
): Column[] | undefined {
  return pinned ? mergeConfigured(currentSchema(pinned), dataset).columns : dataset.columns;
}
