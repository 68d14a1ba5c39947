/** What hourpack needs of the catalog: it answers, its tables are ours, and it knows what is published. */
import { existsSync } from "node:fs";
import { dirname } from "node:path";
import type { TableSpec } from "../../catalog/catalog.js";
import { commandText } from "../../command-text.js";
import type { Dataset, Settings } from "../../config/settings.js";
import { HourpackError, reasonOf } from "../../errors.js";
import { tablesIn, tablesOf } from "../../tables.js";
import { newestPublishedHour, oldestPublishedHour } from "../../tier1/published.js";
import type { Verdict } from "./check.js";
import { tryToWrite } from "./machine.js";
import type { StoreContext } from "./stores.js";

/**
 * Looks at both tables of each dataset in one call, then at what is published for the datasets whose tier 1
 * could be read.
 */
export async function checkCatalog(
  context: StoreContext,
  datasets: Dataset[],
  readable: Dataset[],
): Promise<void> {
  const { components, checks, signal } = context;
  const { settings } = components;
  if (settings.catalog.type === "none") return;
  const tables = datasets.flatMap((dataset) => tablesFor(dataset, settings));
  let lacking: TableSpec[] = [];
  const isRead = await checks.make("catalog", undefined, async () => {
    if (settings.catalog.type === "local") await requireWritable(settings.catalog.path);
    lacking = await (await components.catalog()).lackingTables(tables, { signal });
    return verdictOfTables(settings, tables, lacking);
  });
  const there = new Set(tables.filter((table) => !lacking.includes(table)).map(({ name }) => name));
  if (isRead) for (const dataset of readable) await checkRegistered(context, dataset, there);
}

/** A run replaces the catalog's file by a rename, which takes rights to its folder. A folder that is missing it makes. */
async function requireWritable(path: string): Promise<void> {
  const folder = dirname(path);
  if (!existsSync(folder)) return;
  try {
    await tryToWrite(folder);
  } catch (error) {
    throw new HourpackError("invalid", `write beside the catalog ${path}: ${reasonOf(error)}`, {
      location: path,
      hint: "Let this user write in its folder, or name another file with --catalog-path.",
    });
  }
}

/** The tier-1 table comes first. */
function tablesFor(dataset: Dataset, settings: Settings) {
  return tablesIn(tablesOf(dataset, [], settings), settings).toReversed();
}

function verdictOfTables({ catalog }: Settings, tables: TableSpec[], lacking: TableSpec[]): Verdict {
  const database = catalog.type === "none" ? "" : catalog.database;
  const there = tables.filter((table) => !lacking.includes(table));
  const namesOf = (tables: TableSpec[]) => tables.map(({ name }) => name).join(", ");
  const words = [
    ...(there.length > 0 ? [`readable: ${namesOf(there)}`] : []),
    ...(lacking.length > 0 ? [`not there yet, made by the first run: ${namesOf(lacking)}`] : []),
  ];
  return { status: "ok", message: `${catalog.type} database ${database}, ${words.join("; ")}` };
}

/**
 * Not a fault, because queries of the other hours are right. Reported only if hours are lacking, since no run
 * covers all hours.
 */
async function checkRegistered(context: StoreContext, dataset: Dataset, there: Set<string>): Promise<void> {
  const { components, checks } = context;
  const looking = lackingOf(context, dataset, there);
  const isFine = await looking.then(
    (lacking) => lacking.length === 0,
    () => false,
  );
  if (isFine) return;
  const command = commandText("register", components.settings, { dataset: dataset.name });
  await checks.make("registered hours", dataset.name, async () => ({
    status: "warning",
    message: `hours are published and not in the catalog: ${(await looking).join(", ")}`,
    hint: `${command} adds every published hour; a run adds those alone that it is about, at its end.`,
  }));
}

/**
 * Compares two hours, not all. A new catalog lacks the oldest one once there has been a run; one that was
 * away lacks the newest.
 */
async function lackingOf(
  { components, signal }: StoreContext,
  dataset: Dataset,
  there: Set<string>,
): Promise<string[]> {
  const tier1 = await components.tier1(dataset);
  const oldest = await oldestPublishedHour(tier1, dataset, signal);
  if (oldest === undefined) return [];
  const { newest = oldest } = await newestPublishedHour(tier1, dataset, components.nowMs(), signal);
  const hours = [...new Set([oldest, newest])];
  const catalog = await components.catalog();
  const lacking: string[] = [];
  for (const table of tablesFor(dataset, components.settings)) {
    if (!there.has(table.name)) lacking.push(`there is no ${table.name}`);
    else if (!table.projection?.isOn && !table.withoutFolders) {
      const missing = await catalog.lacking(table, hours, { signal });
      if (missing.length > 0) lacking.push(`${table.name} lacks ${missing.join(" and ")}`);
    }
  }
  return lacking;
}
