/** What hourpack needs of the catalog: that it answers, that its tables are ours, and that it knows what is published. */
import { isSamePlace } from "../../catalog/location.js";
import { type KnownTable, lookAtCatalog } from "../../catalog/look.js";
import { commandText } from "../../command-text.js";
import type { Dataset, Settings } from "../../config/settings.js";
import { HourpackError } from "../../errors.js";
import { newestPublishedHour, oldestPublishedHour } from "../../published.js";
import { tablesIn, tablesOf } from "../../tables.js";
import type { Verdict } from "./check.js";
import type { StoreContext } from "./stores.js";

/** Both tables of each dataset, in one look; then what is published, of the datasets whose tier 1 could be read. */
export async function checkCatalog(
  context: StoreContext,
  datasets: Dataset[],
  readable: Dataset[],
): Promise<void> {
  const { components, checks, signal } = context;
  const { settings } = components;
  if (settings.catalog.type === "none") return;
  const wanted = datasets.flatMap((dataset) => tablesFor(dataset, settings));
  const names = wanted.map(({ name }) => name);
  let known: KnownTable[] = [];
  const isRead = await checks.make("catalog", undefined, async () => {
    known = await lookAtCatalog(settings.catalog, names, signal);
    return verdictOfTables(
      settings,
      known.map((table, i) => ({ ...table, ours: wanted[i]?.location ?? "" })),
    );
  });
  const there = new Set(known.filter(({ location }) => location !== undefined).map(({ name }) => name));
  if (isRead) for (const dataset of readable) await checkRegistered(context, dataset, there);
}

/** That of tier 1 first. */
function tablesFor(dataset: Dataset, settings: Settings) {
  return tablesIn(tablesOf(dataset, [], settings), settings).toReversed();
}

function verdictOfTables({ catalog }: Settings, known: (KnownTable & { ours: string })[]): Verdict {
  const database = catalog.type === "none" ? "" : catalog.database;
  for (const { name, location, ours } of known) {
    if (catalog.type !== "glue" || location === undefined || isSamePlace(location, ours)) continue;
    throw new HourpackError("invalid", `${database}.${name} is there already, and lies at ${location}`, {
      hint: `It should lie at ${ours}: drop it, or give the dataset another table name.`,
    });
  }
  const there = known.filter(({ location }) => location !== undefined).map(({ name }) => name);
  const missing = known.filter(({ location }) => location === undefined).map(({ name }) => name);
  const words = [
    ...(there.length > 0 ? [`readable: ${there.join(", ")}`] : []),
    ...(missing.length > 0 ? [`not there yet, made by the first run: ${missing.join(", ")}`] : []),
  ];
  return { status: "ok", message: `${catalog.type} database ${database}, ${words.join("; ")}` };
}

/** No fault, as queries of the other hours are right: told only where hours are lacking, since no run is about all of them. */
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

/** A new catalog lacks the oldest hour, once a run has been, and one that was away the newest: not all are compared. */
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
