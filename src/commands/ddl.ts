/** hourpack ddl: the tables and partitions as SQL for Athena. */
import { addPartitions, createDatabase, createTable } from "../catalog/ddl.js";
import type { Components } from "../components.js";
import type { Dataset, Settings } from "../config/settings.js";
import { EXIT, HourpackError, isHourpackError, reasonOf } from "../errors.js";
import { type Hour, hoursBetween } from "../hour.js";
import { neighbours } from "../layout.js";
import { datasetsOf } from "../run.js";
import { mergeConfigured } from "../schema/evolution.js";
import { isValidName } from "../schema/names.js";
import { currentSchema, type Pinned } from "../schema/pinned.js";
import type { Column } from "../schema/types.js";
import { tablesOf, unreadableByAthena } from "../tables.js";
import { allPublishedHours } from "../tier1/published.js";
import { readPinned } from "../tier1/schema-file.js";
import type { Command, CommandContext } from "./command.js";
import { hourOptions, hoursOf } from "./request.js";
import { datasetNames, settingsOf, settingsOptions, withComponents } from "./settings.js";

export const command: Command = {
  options: {
    ...hourOptions,
    database: { type: "string", describe: "Database; that of the catalog where absent" },
    ...settingsOptions,
  },
  examples: [
    ["$0 ddl", "tables, and partitions of every published hour"],
    ["$0 ddl --from 2022-07-01 --to 2022-08-01", "partitions of a month, published or not"],
  ],
  async handler(args, context) {
    const range = hoursOf(args);
    const settings = inDatabase(await settingsOf(args), args["database"] as string | undefined);
    return withComponents(settings, async (components) => {
      const statements: string[] = [];
      const notes: string[] = [];
      for (const dataset of datasetsOf(settings, datasetNames(args))) {
        const columns = await columnsOf(components, dataset, context);
        const tables = tablesOf(dataset, columns, settings);
        notes.push(...unreadableByAthena(dataset).map((what) => `${dataset.name}: ${what}`));
        const hours = await partitionHours(components, dataset, range, context.signal);
        statements.push(createDatabase(tables.raw.database));
        for (const table of [tables.raw, tables.parquet]) {
          statements.push(createTable(table));
          if (!table.projection?.isOn && !table.withoutFolders)
            statements.push(...addPartitions(table, hours));
        }
      }
      const { output } = context;
      const distinct = [...new Set(statements)];
      for (const note of notes) {
        // The statements may go into a file, so the note appears beside them, too. A terminal has the line
        // below.
        if (output.json || !output.stdout.isTTY) output.notice(note);
        output.line(`-- ${note}`);
      }
      for (const statement of distinct) output.record({ type: "statement", sql: statement });
      for (const statement of distinct) output.line(`${statement};\n`);
      output.result({ statements: distinct.length });
      return EXIT.done;
    });
  },
};

function inDatabase(settings: Settings, database: string | undefined): Settings {
  if (database === undefined) return settings;
  if (!isValidName(database)) {
    throw new HourpackError("invalid", `"${database}" is no database name`, {
      location: "--database",
      hint: "Use lower-case letters, digits and underscores, at most 255.",
    });
  }
  return { ...settings, catalog: { ...settings.catalog, type: "local", database, path: "" } };
}

/** The pinned columns and the configured ones. The store need not be there for the latter. */
async function columnsOf(
  components: Components,
  dataset: Dataset,
  context: CommandContext,
): Promise<Column[]> {
  const { prefix } = dataset.tier1;
  let found: Pinned | undefined;
  try {
    const tier1 = await components.tier1(dataset);
    found = await readPinned(tier1, prefix, context.signal);
  } catch (error) {
    if (!dataset.columns || !isOutOfReach(error)) throw error;
    const message = `${dataset.name}: tier 1 cannot be read, so these are the configured columns, and partitions only of hours that are named (${reasonOf(error)})`;
    context.output.warning({ message, hint: error.hint }, { dataset: dataset.name });
  }
  if (found) return mergeConfigured(currentSchema(found), dataset).columns;
  if (dataset.columns) return dataset.columns;
  throw new HourpackError("invalid", `write the tables of ${dataset.name}: its columns are not known yet`, {
    hint: "Configure columns, or pack a first hour, whose columns are then pinned.",
  });
}

async function partitionHours(
  components: Components,
  dataset: Dataset,
  range: { from: Hour; to: Hour } | undefined,
  signal: AbortSignal,
): Promise<Hour[]> {
  if (range) return hoursBetween(range.from, range.to);
  try {
    const tier1 = await components.tier1(dataset);
    const hours = [...(await allPublishedHours(tier1, dataset, signal))];
    const wanted = components.settings.run.ahead ? hours.flatMap(neighbours) : hours;
    return [...new Set(wanted)].sort();
  } catch (error) {
    if (isOutOfReach(error)) return [];
    throw error;
  }
}

/** The store does not answer, or refuses us. */
function isOutOfReach(error: unknown): error is HourpackError {
  return isHourpackError(error, "unavailable") || isHourpackError(error, "invalid");
}
