/** hourpack query: SQL over the local catalog. */
import { existsSync } from "node:fs";
import type { CatalogSettings } from "../config/settings.js";
import type { Database } from "../engine/duckdb/database.js";
import { EXIT, HourpackError, reasonOf } from "../errors.js";
import type { Command } from "./command.js";
import { counted } from "./figures.js";
import type { Output } from "./output.js";
import { settingsOf, settingsOptions } from "./settings.js";
import { showTable } from "./table.js";

export const command: Command = {
  options: {
    limit: {
      type: "number",
      default: 100,
      describe: "Rows of the table at most; --json shows all",
    },
    ...settingsOptions,
  },
  examples: [
    ['$0 query "select event_name, count(*) as n from mmp_ios group by 1"', "a table"],
    ['$0 query "show tables"', "what there is"],
  ],
  async handler(args, { output, signal }) {
    const { catalog } = await settingsOf(args, { withoutDatasets: true });
    if (catalog.type !== "local") {
      throw new HourpackError(
        "invalid",
        `query the catalog: it is ${catalog.type}, and only the local one can be queried here`,
        {
          location: "catalog.type",
          hint:
            catalog.type === "none"
              ? "Choose the local one with --catalog-path ./catalog.duckdb, or in hourpack.yaml."
              : "Ask Athena; or keep a local catalog beside it with --catalog local and `hourpack register`.",
        },
      );
    }
    const answer = await ask(catalog, String(args["sql"]), signal);
    for (const row of answer.rows) output.record({ type: "row", row });
    if (!output.json) showRows(answer, Number(args["limit"]), output);
    output.result({
      rows: answer.rows.length,
      columns: answer.columns.map(({ name, type }) => ({ name, type })),
    });
    return EXIT.done;
  },
};

/** Of the schema; a file made by another configuration may have another one. */
const DATABASE_DEFAULT = "hourpack";

export interface Answer {
  columns: { name: string; type?: string }[];
  rows: Record<string, unknown>[];
}

/** Opens the catalog's file for reading only. Throws `invalid` for SQL that DuckDB refuses. */
export async function ask(
  catalog: Extract<CatalogSettings, { type: "local" }>,
  sql: string,
  signal?: AbortSignal,
): Promise<Answer> {
  if (!existsSync(catalog.path)) {
    throw new HourpackError("invalid", `query the catalog ${catalog.path}: there is no such file`, {
      location: catalog.path,
      hint: "`hourpack run` or `hourpack register` with a local catalog makes it.",
    });
  }
  const { openDatabase } = await import("../engine/duckdb/database.js");
  const database = await openDatabase(catalog.path, { access_mode: "READ_ONLY" });
  try {
    const schema = await schemaOf(database, catalog.database);
    const types = await database.rows(`DESCRIBE ${sql}`, { schema }).catch(() => []);
    const rows = await database.rows(sql, { schema, signal });
    const columns =
      types.length > 0
        ? types.map((row) => ({ name: String(row["column_name"]), type: String(row["column_type"]) }))
        : Object.keys(rows[0] ?? {}).map((name) => ({ name }));
    return { columns, rows };
  } catch (error) {
    if (signal?.aborted) throw new HourpackError("interrupted", "query: interrupted");
    throw new HourpackError("invalid", `query ${catalog.path}: ${reasonOf(error)}`, {
      location: catalog.path,
      cause: error,
      hint: hintFor(reasonOf(error)),
    });
  } finally {
    await database.close();
  }
}

/** The catalog's database; where nobody named one, the only one that the file has. */
async function schemaOf(database: Database, wanted: string): Promise<string | undefined> {
  const rows = await database.rows("SELECT schema_name FROM duckdb_schemas() WHERE NOT internal");
  const names = rows.map((row) => String(row["schema_name"]));
  if (names.includes(wanted)) return wanted;
  return names.length === 1 && wanted === DATABASE_DEFAULT ? names[0] : undefined;
}

/** DuckDB names the nearest table or column itself; where a statement is no SQL, tables are beside the point. */
function hintFor(reason: string): string | undefined {
  if (/^Catalog Error: Table /.test(reason)) return 'Tables are those of `hourpack query "show tables"`.';
  if (/^Binder Error: Referenced column /.test(reason))
    return 'Columns are those of `hourpack query "describe <table>"`.';
  return /^Parser Error/.test(reason) ? "Statements are in DuckDB's SQL." : undefined;
}

/** A longer table is for nobody, and more than its library can lay out; --json has them all. */
const TABLE_ROWS_MAX = 10_000;

const NUMERIC = /^(U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|DOUBLE|FLOAT|DECIMAL.*)$/;

export function showRows({ columns, rows }: Answer, wanted: number, output: Output): void {
  const limit = Math.min(wanted, TABLE_ROWS_MAX);
  const words = [counted(rows.length, "row") + (rows.length > limit ? `, the first ${limit} shown` : "")];
  if (columns.length > 0) {
    const heads = columns.map(({ name, type = "" }) => ({ name, isNumber: NUMERIC.test(type) }));
    const cells = rows.slice(0, limit).map((row) => columns.map(({ name }) => row[name]));
    const shown = showTable(heads, cells, output);
    if (shown < columns.length)
      words.push(`${shown} of ${counted(columns.length, "column")} fit the terminal; --json has all`);
  }
  output.line(output.colors.dim(words.join("; ")));
}
