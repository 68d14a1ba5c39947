/** hourpack query: SQL over the local catalog. */
import { existsSync } from "node:fs";
import { commandText, remedyText } from "../command-text.js";
import type { CatalogSettings, Settings } from "../config/settings.js";
import type { Database, Row } from "../engine/duckdb/database.js";
import { EXIT, HourpackError, isHourpackError, reasonOf } from "../errors.js";
import { partOfKey } from "../layout.js";
import { counted, listed } from "../words.js";
import type { Command } from "./command.js";
import type { Output } from "./output.js";
import { datasetNames, settingsOf, settingsOptions } from "./settings.js";
import { showWhole } from "./table.js";

export const command: Command = {
  options: {
    limit: {
      type: "number",
      default: 100,
      describe: "Rows shown at most; --json shows all",
    },
    ...settingsOptions,
  },
  examples: [
    ['$0 query "select event_name, count(*) as n from mmp_ios group by 1"', "a table"],
    ['$0 query "show tables"', "what there is"],
  ],
  async handler(args, { output, signal }) {
    const settings = await settingsOf(args, { withoutDatasets: true });
    const datasets = datasetNames(args);
    // A query may use the tables of all datasets, but a name that does not exist is a mistake all the same.
    if (datasets) (await import("../run.js")).datasetsOf(settings, datasets);
    const answer = await ask(settings, String(args["sql"]), {
      rowsMax: output.json ? 1 : Number(args["limit"]),
      each: (rows) => output.records(rows.map((row) => ({ type: "row", row }))),
      signal,
    });
    if (!output.json) showRows(answer, output);
    output.result({
      rows: answer.rowCount,
      columns: answer.columns.map(({ name, type }) => ({ name, type })),
    });
    return EXIT.done;
  },
};

function whatPacks(settings: Settings): string {
  const [run, register] = ["run", "register"].map((verb) => commandText(verb, settings));
  const hint = `Where nothing is packed yet, ${run} packs what is due, and with --from and --to any other hours; where parts are there, ${register} registers them.`;
  return withDataset(hint, settings);
}

/** A query needs no dataset, but the commands that the hint names do. */
function withDataset(hint: string, { datasets }: Settings): string {
  if (datasets.length > 0) return hint;
  return `${hint} No dataset is configured here, and that needs one: add --config with its file, or --raw, --tier1 and --table.`;
}

/** The schema's default name. A file made by another configuration may have another one. */
const DATABASE_DEFAULT = "hourpack";

export interface Answer {
  columns: { name: string; type?: string }[];
  /** The first ones. */
  rows: Row[];
  /** How many rows there are in all. */
  rowCount: number;
}

interface AskOptions {
  /** How many rows are kept. */
  rowsMax: number;
  /** Receives all rows, some at a time; false ends the query. */
  each?: (rows: Row[]) => Promise<boolean>;
  signal?: AbortSignal;
}

/** Opens the catalog's file read-only. Throws `invalid` if there is none, and for SQL that DuckDB refuses. */
export async function ask(
  settings: Settings,
  sql: string,
  { rowsMax, each, signal }: AskOptions,
): Promise<Answer> {
  const catalog = localCatalog(settings);
  if (!existsSync(catalog.path)) {
    throw new HourpackError("invalid", `query the catalog ${catalog.path}: there is no such file yet`, {
      location: catalog.path,
      hint: whatPacks(settings),
    });
  }
  const { openDatabase } = await import("../engine/duckdb/database.js");
  const database = await openDatabase(catalog.path, { access_mode: "READ_ONLY" });
  let schema: string | undefined;
  try {
    schema = await schemaOf(database, catalog.database);
    await expectOne(sql, database, settings);
    const types = await database.rows(`DESCRIBE ${sql}`, { schema }).catch(() => []);
    const keptMax = Math.min(rowsMax, TABLE_ROWS_MAX);
    const rows: Row[] = [];
    let rowCount = 0;
    for await (const some of database.stream(sql, { schema, signal })) {
      rowCount += some.length;
      rows.push(...some.slice(0, Math.max(0, keptMax - rows.length)));
      if (each && !(await each(some))) break;
    }
    const columns =
      types.length > 0
        ? types.map((row) => ({ name: String(row["column_name"]), type: String(row["column_type"]) }))
        : Object.keys(rows[0] ?? {}).map((name) => ({ name }));
    return { columns, rows, rowCount };
  } catch (error) {
    if (signal?.aborted) throw new HourpackError("interrupted", "query: interrupted");
    if (isHourpackError(error)) throw error;
    const noParts = await withoutParts(reasonOf(error), database, settings);
    if (noParts) throw noParts;
    const damage = damageOf(reasonOf(error), settings, catalog.path);
    if (damage) throw damage.with({ cause: error });
    throw new HourpackError("invalid", `query ${catalog.path}: ${reasonOf(error)}`, {
      location: catalog.path,
      cause: error,
      hint: await hintFor(reasonOf(error), { sql, schema, database, settings }),
    });
  } finally {
    await database.close();
  }
}

function localCatalog({ catalog, file }: Settings): Extract<CatalogSettings, { type: "local" }> {
  if (catalog.type === "local") return catalog;
  const choose =
    file === undefined ? "There is no hourpack.yaml here: name one with --config. Or choose" : "Choose";
  const message = `query the catalog: it is ${catalog.type}, and only the local one can be queried here`;
  throw new HourpackError("invalid", message, {
    location: "catalog.type",
    hint:
      catalog.type === "none"
        ? `${choose} the local one with --catalog-path ./catalog.duckdb, or in hourpack.yaml.`
        : "Ask Athena; or keep a local catalog beside it: register and query with --catalog local.",
  });
}

/** The error if a table's view finds no file. Undefined if the statement itself asked for files. */
async function withoutParts(
  reason: string,
  database: Database,
  settings: Settings,
): Promise<HourpackError | undefined> {
  const [, pattern] = /^IO Error: No files found that match the pattern "(.*)"/.exec(reason) ?? [];
  if (pattern === undefined) return undefined;
  const views = await database.rows(
    "SELECT view_name AS name, sql FROM duckdb_views() WHERE NOT internal ORDER BY name",
  );
  const view = views.find(({ sql }) => String(sql).includes(pattern));
  if (!view) return undefined;
  const message = `query ${view["name"]}: nothing is packed where its parts are to be`;
  return new HourpackError("invalid", message, { location: pattern, hint: whatPacks(settings) });
}

/**
 * The error if what is read is not a whole Parquet file. It says what to do about the part, or its copy, that
 * DuckDB names. For some damage DuckDB says what the decoder met, and no name. Undefined if the error is
 * about something else, or about a file that the statement itself asked for.
 */
function damageOf(reason: string, settings: Settings, catalogPath: string): HourpackError | undefined {
  const { message = "", path } =
    /^Invalid (?:Input )?Error: (?<message>.*?(?<quote>["'])(?<path>\/.*\.parquet)\k<quote>.*)$/s.exec(reason)
      ?.groups ?? {};
  if (path === undefined) {
    if (!/^Invalid Error: /.test(reason)) return undefined;
    const verify = commandText("verify", settings, { flags: "--deep" });
    return new HourpackError("data", `query: a part that it reads may be damaged: ${reason}`, {
      hint: withDataset(
        `${verify} says whether one of the newest day is, and with --from and --to of any other hours.`,
        settings,
      ),
    });
  }
  if (path.startsWith(`${catalogPath}.parts/`)) {
    return new HourpackError("data", `query: ${message}`, {
      location: path,
      hint: withDataset(
        `It is a copy of a part in S3: delete it, and ${commandText("register", settings)} copies it again.`,
        settings,
      ),
    });
  }
  const [of] = settings.datasets.flatMap(({ name, table, tier1: { root, prefix } }) => {
    const part = path.startsWith(`${root}/`) ? partOfKey(prefix, path.slice(root.length + 1)) : undefined;
    return part?.table === table ? [{ dataset: name, hour: part.hour, settings }] : [];
  });
  if (!of) return undefined;
  const verify = commandText("verify", settings, { dataset: of.dataset, hours: of.hour, flags: "--deep" });
  const isEnd = /^No magic bytes| too small to be |^Footer length error/.test(message);
  return new HourpackError("data", `query: ${message}`, {
    location: path,
    hint: `${verify} says what is wrong with the part. ${remedyText(of, isEnd ? path : undefined)}`,
  });
}

/** The catalog's database. If nobody named one, the only one that the file has. */
async function schemaOf(database: Database, wanted: string): Promise<string | undefined> {
  const rows = await database.rows("SELECT schema_name FROM duckdb_schemas() WHERE NOT internal");
  const names = rows.map((row) => String(row["schema_name"]));
  if (names.includes(wanted)) return wanted;
  return names.length === 1 && wanted === DATABASE_DEFAULT ? names[0] : undefined;
}

/**
 * An answer has one table, and `--json` one list of columns. With several statements, all but one would be
 * lost.
 */
async function expectOne(sql: string, database: Database, settings: Settings): Promise<void> {
  const statements = await database.statements(sql);
  if (statements === 1) return;
  // Throws what DuckDB objects to. Blanks and comments alone throw nothing.
  if (statements === 0) await database.run(sql);
  throw new HourpackError("invalid", `query: ${counted(statements, "statement")}, where one is asked for`, {
    hint:
      statements === 0
        ? `${commandText("query", settings, { flags: "'show tables'" })} lists the tables.`
        : "Ask them one by one; nothing was run.",
  });
}

interface Asked {
  sql: string;
  schema: string | undefined;
  database: Database;
  settings: Settings;
}

/**
 * DuckDB names the nearest table or column itself; this lists what there is. If a statement is not SQL, that
 * is beside the point.
 */
async function hintFor(
  reason: string,
  { sql, schema, database, settings }: Asked,
): Promise<string | undefined> {
  const [isTable, table = ""] = /^Catalog Error: Table (?:with name (\S+))?/.exec(reason) ?? [];
  if (isTable !== undefined) {
    const all = await database.rows(
      "SELECT schema_name AS s, view_name AS t FROM duckdb_views() WHERE NOT internal UNION SELECT schema_name, table_name FROM duckdb_tables() WHERE NOT internal ORDER BY s, t",
    );
    const names = all.map(({ s, t }) => (s === schema ? String(t) : `${s}.${t}`));
    if (names.length === 0) return `The catalog has no tables yet. ${whatPacks(settings)}`;
    const isRaw = /_raw$/.test(table) && names.includes(table.replace(/_raw$/, ""));
    return `Tables are: ${listed(names, NAMES_MAX)}.${isRaw ? " Raw objects in S3 have no view here; Glue and Athena show them." : ""}`;
  }
  const [, column] = /^Binder Error: (?:Referenced column|.* have a column named) "(.*?)"/.exec(reason) ?? [];
  if (column !== undefined) {
    // If the statement names several tables, the columns of all.
    const words = new Set(sql.split(/\W+/));
    const all = await database.rows(
      "SELECT DISTINCT table_name AS t, column_name AS c, column_index AS i FROM duckdb_columns() WHERE NOT internal ORDER BY t, i",
    );
    const names = all.filter(({ t }) => words.has(String(t))).map(({ c }) => String(c));
    const isText = sql.includes(`"${column}"`);
    return (
      (isText ? `A text stands in single quotes: '${column}'. ` : "") +
      (names.length === 0 ? "" : `Columns are: ${listed([...new Set(names)], NAMES_MAX)}.`)
    ).trim();
  }
  if (/read-only mode|^Catalog Error: .* is not an table/.test(reason))
    return "query only reads; the catalog is written by run and register.";
  if (!/^Parser Error/.test(reason)) return undefined;
  const word = await keywordColumn(sql, database);
  const quoted =
    word === undefined ? "" : ` A column whose name is a word of SQL stands in double quotes: "${word}".`;
  return `Statements are in DuckDB's SQL.${quoted}`;
}

/** An unquoted word of the statement that is a column of the catalog and a keyword of SQL. */
async function keywordColumn(sql: string, database: Database): Promise<string | undefined> {
  const rows = await database.rows(
    "SELECT DISTINCT column_name AS c FROM duckdb_columns() JOIN duckdb_keywords() ON keyword_name = column_name WHERE NOT internal AND keyword_category <> 'unreserved'",
  );
  const words = new Set(sql.toLowerCase().match(/(?<!["\w])\w+(?!["\w])/g));
  return rows.map(({ c }) => String(c)).find((column) => words.has(column));
}

/** A hint takes a line or two. */
const NAMES_MAX = 30;

/** Nobody reads a longer table, and the library cannot lay one out; --json has all rows. */
const TABLE_ROWS_MAX = 10_000;

const NUMERIC = /^(U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|DOUBLE|FLOAT|DECIMAL.*)$/;

export function showRows({ columns, rows, rowCount }: Answer, output: Output): void {
  const more = rowCount > rows.length ? `, the first ${rows.length} shown` : "";
  if (columns.length > 0) {
    const heads = columns.map(({ name, type = "" }) => ({ name, isNumber: NUMERIC.test(type) }));
    const cells = rows.map((row) => columns.map(({ name }) => row[name]));
    showWhole(heads, cells, output);
  }
  output.line(output.colors.dim(counted(rowCount, "row") + more));
}
