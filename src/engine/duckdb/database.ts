/** The one place that opens DuckDB. */
import { HourpackError, reasonOf } from "../../errors.js";

export interface Database {
  /** Runs statements and throws their result away. */
  run(sql: string): Promise<void>;
  /** Runs a query and returns its rows by column name, as JSON values. */
  rows(sql: string): Promise<Record<string, unknown>[]>;
  close(): Promise<void>;
}

/** `path` may be `:memory:`. `config` are DuckDB's settings by name. Throws `unavailable` where it cannot be opened. */
export async function openDatabase(path: string, config: Record<string, string> = {}): Promise<Database> {
  const { DuckDBInstance } = await import("@duckdb/node-api");
  const instance = await DuckDBInstance.create(path, config).catch((error) => {
    throw new HourpackError("unavailable", `open the DuckDB file ${path}: ${reasonOf(error)}`, {
      location: path,
      cause: error,
      hint: "Another process may hold it open, or it is not a DuckDB file.",
    });
  });
  /** A connection a statement, so that calls can overlap. */
  const connected = async <T>(
    task: (connection: Awaited<ReturnType<typeof instance.connect>>) => Promise<T>,
  ) => {
    const connection = await instance.connect();
    try {
      return await task(connection);
    } finally {
      connection.closeSync();
    }
  };
  return {
    run: (sql) =>
      connected(async (connection) => {
        await connection.run(sql);
      }),
    rows: (sql) =>
      connected(
        async (connection) =>
          (await connection.runAndReadAll(sql)).getRowObjectsJson() as Record<string, unknown>[],
      ),
    close: async () => instance.closeSync(),
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
