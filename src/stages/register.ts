/** Stage 8: brings the catalog in step with the published hours; only differences cost a write. */
import type { Catalog, PartitionSync, SyncOptions, TableSpec } from "../catalog/catalog.js";
import type { Hour } from "../hour.js";
import { neighbours } from "../layout.js";

export interface Registered extends PartitionSync {
  table: string;
  /** Whether the table was not there before. */
  created: boolean;
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
