/**
 * The one place that opens DuckDB: by the bindings that its client is made of, and the client itself only where rows of any
 * type are read. An hour reads a few numbers, and the client's files take longer to load than DuckDB.
 */
import { createRequire } from "node:module";
import type { DuckDBValueConverter, Json } from "@duckdb/node-api";
import type { Connection, Database as DuckDB } from "@duckdb/node-bindings";
import { HourpackError, reasonOf } from "../../errors.js";
import { require } from "../../require.js";

/** By column name. */
export type Row = Record<string, unknown>;

interface QueryOptions {
  /** Whose tables need not be named with it. */
  schema?: string | undefined;
  /** It throws soon after. */
  signal?: AbortSignal | undefined;
}

export interface Database {
  /** Runs statements and throws their result away. */
  run(sql: string): Promise<void>;
  /** The first row of a result whose columns are BIGINT or HUGEINT, none of them NULL. */
  numbers(sql: string): Promise<bigint[]>;
  /**
   * Runs a query and returns its rows by column name, as JSON values; a whole number that JavaScript's numbers do not
   * hold is a text.
   */
  rows(sql: string, options?: QueryOptions): Promise<Row[]>;
  /** The same, some rows at a time, as they are made. */
  stream(sql: string, options?: QueryOptions): AsyncGenerator<Row[]>;
  /** How many statements a text has; 0 where it is no SQL, which running it explains. */
  statements(sql: string): Promise<number>;
  close(): Promise<void>;
}

/** `path` may be `:memory:`. `config` are DuckDB's settings by name. Throws `invalid` where it is no database, `unavailable` where it cannot be opened. */
export async function openDatabase(path: string, config: Record<string, string> = {}): Promise<Database> {
  const duckdb = loadBindings();
  const settings = duckdb.create_config();
  for (const [name, value] of Object.entries(config)) duckdb.set_config(settings, name, value);
  const database = await duckdb.open(path, settings).catch((error) => {
    throw unopened(error, path);
  });
  const { open, interruptAll } = connectionsTo(duckdb, database);
  // A process cannot end while a statement runs in it.
  process.once("exit", interruptAll);
  const connected = async <T>(task: (connection: Connection) => Promise<T>): Promise<T> => {
    const { connection, release } = await open();
    try {
      return await task(connection);
    } finally {
      release();
    }
  };
  async function* stream(sql: string, { schema, signal }: QueryOptions = {}): AsyncGenerator<Row[]> {
    const { connection, release } = await open(signal);
    try {
      signal?.throwIfAborted();
      if (schema !== undefined) await duckdb.query(connection, `USE ${sqlName(schema)}`);
      yield* rowsOf(connection, sql);
    } finally {
      release();
    }
  }
  return {
    run: (sql) =>
      connected(async (connection) => {
        await duckdb.query(connection, sql);
      }),
    numbers: (sql) =>
      connected(async (connection) => {
        const result = await duckdb.query(connection, sql);
        const chunk = await duckdb.fetch_chunk(result);
        if (!chunk || duckdb.data_chunk_get_size(chunk) === 0) return [];
        return Array.from({ length: duckdb.column_count(result) }, (_, i) => {
          const isHuge = duckdb.column_type(result, i) === HUGEINT;
          return integerOf(duckdb.vector_get_data(duckdb.data_chunk_get_vector(chunk, i), isHuge ? 16 : 8));
        });
      }),
    stream,
    rows: async (sql, options) => {
      const all: Row[] = [];
      for await (const some of stream(sql, options)) all.push(...some);
      return all;
    },
    statements: (sql) =>
      connected(async (connection) => {
        const found = await duckdb.extract_statements(connection, sql).catch(() => undefined);
        return found?.statement_count ?? 0;
      }),
    close: async () => {
      process.off("exit", interruptAll);
      duckdb.close_sync(database);
    },
  };
}

/** A connection a statement, so that calls can overlap. A signal interrupts what runs on its own. */
function connectionsTo(duckdb: Bindings, database: DuckDB) {
  const atWork = new Set<Connection>();
  const open = async (signal?: AbortSignal) => {
    const connection = await duckdb.connect(database);
    // Again and again: one that comes before a statement has begun is forgotten.
    let interrupting: NodeJS.Timeout | undefined;
    const interrupt = () => {
      duckdb.interrupt(connection);
      interrupting = setInterval(() => duckdb.interrupt(connection), INTERRUPT_MS);
    };
    atWork.add(connection);
    signal?.addEventListener("abort", interrupt, { once: true });
    const release = () => {
      signal?.removeEventListener("abort", interrupt);
      clearInterval(interrupting);
      atWork.delete(connection);
      duckdb.disconnect_sync(connection);
    };
    return { connection, release };
  };
  const interruptAll = () => {
    for (const connection of atWork) duckdb.interrupt(connection);
  };
  return { open, interruptAll };
}

/** DuckDB's errors have no codes. */
const NO_DATABASE = /not a valid DuckDB database file|Is a directory/;

function unopened(error: unknown, path: string): HourpackError {
  const reason = reasonOf(error);
  const isNone = NO_DATABASE.test(reason);
  return new HourpackError(isNone ? "invalid" : "unavailable", `open the DuckDB file ${path}: ${reason}`, {
    location: path,
    cause: error,
    hint: isNone
      ? "Name another file with --catalog-path, or move this one away: a run makes it anew."
      : "Another process may hold it open.",
  });
}

type Bindings = typeof import("@duckdb/node-bindings");

/** Those that the client has, and brings: a connection is of no use to another copy of them. */
function loadBindings(): Bindings {
  return createRequire(require.resolve("@duckdb/node-api"))("@duckdb/node-bindings") as Bindings;
}

const INTERRUPT_MS = 20;

/** The bindings' `Type.HUGEINT`. */
const HUGEINT = 16;

/** DuckDB's vectors hold integers as the machine does: all that it runs on have the low bytes first. */
function integerOf(bytes: Uint8Array): bigint {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.byteLength === 8) return view.getBigInt64(0, true);
  return (view.getBigInt64(8, true) << 64n) | view.getBigUint64(0, true);
}

async function* rowsOf(connection: Connection, sql: string): AsyncGenerator<Row[]> {
  const { DuckDBConnection, JsonDuckDBValueConverter } =
    require("@duckdb/node-api") as typeof import("@duckdb/node-api");
  /** Inside structs and lists, too. */
  const jsonValue: DuckDBValueConverter<Json> = (value, type, converter) =>
    typeof value === "bigint" && Number.isSafeInteger(Number(value))
      ? Number(value)
      : JsonDuckDBValueConverter(value, type, converter);
  yield* (await new DuckDBConnection(connection).stream(sql)).yieldConvertedRowObjects(jsonValue);
}

/** A string literal. */
export function sqlString(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/** A quoted identifier. */
export function sqlName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
