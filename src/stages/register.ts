/** Stage 8: brings the catalog in step with the published hours; only differences cost a write. */
import type { Catalog, PartitionSync, SyncOptions, TableSpec } from "../catalog/catalog.js";
import type { Hour } from "../hour.js";
import { neighbours } from "../layout.js";
import { currentSchema } from "../schema/pinned.js";
import { tablesIn, tablesOf } from "../tables.js";
import type { DatasetContext } from "../task.js";
import { allPublishedHours } from "../tier1/published.js";
import { readPinned, requirePinnable } from "../tier1/schema-file.js";
import { agreeing, counted } from "../words.js";

export interface Registered extends PartitionSync {
  table: string;
  /** Whether the table was not there before. */
  created: boolean;
}

/** What was registered of one of a dataset's tables. */
export interface RegisteredTable extends Registered {
  dataset: string;
}

/**
 * Registers published hours on each table that the catalog gets of the dataset. Does nothing if no part has rows and no columns
 * are pinned. Throws `data` if the columns of parts are gone.
 */
export async function* registerTables(
  context: DatasetContext,
  hours: Hour[],
  located?: Hour[],
): AsyncGenerator<RegisteredTable> {
  const { components, dataset, signal } = context;
  const { settings } = components;
  const pinned = await readPinned(await components.tier1(dataset), dataset.tier1.prefix, signal);
  if (!pinned) return requirePinnable(context, {});
  const catalog = await components.catalog();
  const tables = tablesOf(dataset, currentSchema(pinned).columns, settings);
  for (const table of tablesIn(tables, settings)) {
    const done = await registerHours(catalog, table, hours, { ahead: settings.run.ahead, located, signal });
    if (done.created && table === tables.parquet)
      done.notes.push(...(await lackingNotes(context, catalog, table)));
    yield { dataset: dataset.name, ...done };
  }
}

/**
 * Registers every given hour on the table. With `ahead` it also registers the hour before and the hour after, so that the
 * newest data can be queried at once. If the table uses partition projection, or its hours have no folders, only the table
 * itself is kept in step.
 */
export async function registerHours(
  catalog: Catalog,
  table: TableSpec,
  hours: Hour[],
  { ahead, ...options }: SyncOptions & { ahead: boolean },
): Promise<Registered> {
  const notes: string[] = [];
  const note = (text: string) => notes.push(text);
  const created = (await catalog.ensureTable(table, { signal: options.signal, note })) === "created";
  const of = { table: table.name, created };
  if (table.projection?.isOn || table.withoutFolders)
    return { ...of, added: 0, corrected: 0, unchanged: 0, notes };
  const wanted = ahead ? hours.flatMap(neighbours) : hours;
  const sync = await catalog.syncPartitions(table, [...new Set(wanted)].sort(), options);
  return { ...of, ...sync, notes: [...notes, ...sync.notes] };
}

/** In a new table somebody expects to see all hours, not only those of this run. */
async function lackingNotes(
  { components, dataset, signal }: DatasetContext,
  catalog: Catalog,
  table: TableSpec,
): Promise<string[]> {
  if (table.projection?.isOn) return [];
  const published = await allPublishedHours(await components.tier1(dataset), dataset, signal);
  const { length } = await catalog.lacking(table, [...published], { signal });
  if (length === 0) return [];
  return [
    `${table.registerText} adds ${counted(length, "hour")} that ${agreeing(length, "was")} packed before`,
  ];
}
