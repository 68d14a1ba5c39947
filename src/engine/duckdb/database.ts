/**
 * The only place that opens DuckDB. It uses the bindings that DuckDB's client is made of, and loads the
 * client itself only to read rows of any type. An hour reads a few numbers, and the client's files take
 * longer to load than DuckDB.
 */
import { createRequire } from "node:module";
import type { DuckDBValueConverter, Json } from "@duckdb/node-api";
import type { Connection, Database as DuckDB } from "@duckdb/node-bindings";
import { HourpackError, reasonOf } from "../../errors.js";
import { require } from "../../require.js";

/** By column name. */
export type Row = Record<string, unknown>;

interface QueryOptions {
  /** The schema whose tables need no prefix. */
  schema?: string | undefined;
  /** On abort, the query throws soon after. */
  signal?: AbortSignal | undefined;
}

export interface Database {
  /** Runs statements and drops their result. */
  run(sql: string): Promise<void>;
  /** The first row of a result whose columns are BIGINT or HUGEINT, none of them NULL. */
  numbers(sql: string): Promise<bigint[]>;
  /**
   * Runs a query and returns its rows by column name, as JSON values. A whole number that JavaScript's
   * numbers cannot hold is a string.
   */
  rows(sql: string, options?: QueryOptions): Promise<Row[]>;
  /** Like `rows`, but some rows at a time, as they are made. */
  stream(sql: string, options?: QueryOptions): AsyncGenerator<Row[]>;
  /** How many statements a text has. 0 if it is not SQL; running it shows why. */
  statements(sql: string): Promise<number>;
  close(): Promise<void>;
}

/**
 * `path` may be `:memory:`. `config` has DuckDB's settings by name. Throws `invalid` if the file is not a
 * database, `unavailable` if it cannot be opened.
 */
export async function openDatabase(path: string, config: Record<string, string> = {}): Promise<Database> {
  const duckdb = loadBindings();
  const settings = duckdb.create_config();
  for (const [name, value] of Object.entries(config)) duckdb.set_config(settings, name, value);
  const database = await duckdb.open(path, settings).catch((error) => {
    throw unopened(error, path);
  });
  const { open, interruptAll } = connectionsTo(duckdb, database);
  // The process cannot end while a statement runs in it.
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

/** One connection per statement, so that calls can overlap. A signal interrupts only its own statement. */
function connectionsTo(duckdb: Bindings, database: DuckDB) {
  const atWork = new Set<Connection>();
  const open = async (signal?: AbortSignal) => {
    const connection = await duckdb.connect(database);
    // Again and again: DuckDB forgets an interrupt that comes before a statement has begun.
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
      ? "Name another file with --catalog-path, or move this one away: a run creates it again."
      : "Another process may hold it open.",
  });
}

type Bindings = typeof import("@duckdb/node-bindings");

/** The client's own copy of the bindings. Another copy cannot use its connections. */
function loadBindings(): Bindings {
  return createRequire(require.resolve("@duckdb/node-api"))("@duckdb/node-bindings") as Bindings;
}

const INTERRUPT_MS = 20;

/** The bindings' `Type.HUGEINT`. */
const HUGEINT = 16;

/**
 * DuckDB's vectors hold integers in the machine's byte order. All machines that it runs on are little-endian.
 */
function integerOf(bytes: Uint8Array): bigint {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.byteLength === 8) return view.getBigInt64(0, true);
  return (view.getBigInt64(8, true) << 64n) | view.getBigUint64(0, true);
}

async function* rowsOf(connection: Connection, sql: string): AsyncGenerator<Row[]> {
  const { DuckDBConnection, JsonDuckDBValueConverter } =
    require("@duckdb/node-api") as typeof import("@duckdb/node-api");
  /** Also inside structs and lists. */
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
