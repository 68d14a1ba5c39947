/** The one place that opens DuckDB. */
import type { DuckDBValueConverter, Json } from "@duckdb/node-api";
import { HourpackError, reasonOf } from "../../errors.js";
import { require } from "../../require.js";

export interface Database {
  /** Runs statements and throws their result away. */
  run(sql: string): Promise<void>;
  /**
   * Runs a query and returns its rows by column name, as JSON values; a whole number that JavaScript's numbers do not
   * hold is a text. `schema`: whose tables need not be named with it. Throws soon after the signal.
   */
  rows(sql: string, options?: { schema?: string; signal?: AbortSignal }): Promise<Record<string, unknown>[]>;
  /** How many statements a text has; 0 where it is no SQL, which running it explains. */
  statements(sql: string): Promise<number>;
  close(): Promise<void>;
}

/** `path` may be `:memory:`. `config` are DuckDB's settings by name. Throws `unavailable` where it cannot be opened. */
export async function openDatabase(path: string, config: Record<string, string> = {}): Promise<Database> {
  const { DuckDBInstance, JsonDuckDBValueConverter } =
    require("@duckdb/node-api") as typeof import("@duckdb/node-api");
  /** Inside structs and lists, too. */
  const jsonValue: DuckDBValueConverter<Json> = (value, type, converter) =>
    typeof value === "bigint" && Number.isSafeInteger(Number(value))
      ? Number(value)
      : JsonDuckDBValueConverter(value, type, converter);
  const instance = await DuckDBInstance.create(path, config).catch((error) => {
    throw new HourpackError("unavailable", `open the DuckDB file ${path}: ${reasonOf(error)}`, {
      location: path,
      cause: error,
      hint: "Another process may hold it open, or it is not a DuckDB file.",
    });
  });
  const atWork = new Set<Awaited<ReturnType<typeof instance.connect>>>();
  // A process cannot end while a statement runs in it.
  const interruptAll = () => {
    for (const connection of atWork) connection.interrupt();
  };
  process.once("exit", interruptAll);
  /** A connection a statement, so that calls can overlap. */
  const connected = async <T>(
    task: (connection: Awaited<ReturnType<typeof instance.connect>>) => Promise<T>,
    signal?: AbortSignal,
  ) => {
    const connection = await instance.connect();
    const interrupt = () => connection.interrupt();
    atWork.add(connection);
    signal?.addEventListener("abort", interrupt, { once: true });
    try {
      return await task(connection);
    } finally {
      signal?.removeEventListener("abort", interrupt);
      atWork.delete(connection);
      connection.closeSync();
    }
  };
  return {
    run: (sql) =>
      connected(async (connection) => {
        await connection.run(sql);
      }),
    rows: (sql, { schema, signal } = {}) =>
      connected(async (connection) => {
        if (schema !== undefined) await connection.run(`USE ${sqlName(schema)}`);
        return (await connection.runAndReadAll(sql)).convertRowObjects(jsonValue);
      }, signal),
    statements: (sql) =>
      connected(async (connection) => {
        const found = await connection.extractStatements(sql).catch(() => undefined);
        return found?.count ?? 0;
      }),
    close: async () => {
      process.off("exit", interruptAll);
      instance.closeSync();
    },
  };
}

/** A string literal. */
export function sqlString(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/** A quoted identifier. */
export function sqlName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
