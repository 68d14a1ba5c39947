import { stat } from "node:fs/promises";
import { HourpackError, kindOfSystemError, reasonOf } from "../../errors.js";
import { Limiter } from "../../limiter.js";
import { ownerOf } from "../../record/grammar.js";
import { type Column, leavesOfAll, RESCUED_COLUMN, type Schema } from "../../schema/types.js";
import { digestOfAll, type RowsDigest } from "../digest.js";
import type { Engine, Merge, RowFiles, WrittenRows } from "../engine.js";
import { ParquetJoin } from "../parquet/join.js";
import { type Database, openDatabase, sqlName, sqlString } from "./database.js";
import { HASH_COLUMN, hashedSql } from "./hashed-rows.js";
import { MemoryLimit } from "./memory-limit.js";
import { duckdbType, jsonTextSql, noRowsSql, readType, typedSql, valueSql } from "./types.js";

interface DuckdbSettings {
  /** DuckDB's memory_limit, bytes. */
  memoryBytes: number;
  /** How many calls run at a time, one thread each. */
  concurrency: number;
  tempDir: string;
}

/** DuckDB in this process. One thread per conversion measured best beside a download. */
export async function openDuckdb(settings: DuckdbSettings): Promise<Engine> {
  const database = await openDatabase(":memory:", {
    memory_limit: `${Math.floor(settings.memoryBytes / (1 << 20))}MiB`,
    temp_directory: settings.tempDir,
    preserve_insertion_order: "false",
    threads: "1",
    // Batches and parts are read once. If cached, they would fill the memory up to its limit in a large hour.
    enable_external_file_cache: "false",
  });
  return new Duckdb(database, new Limiter(settings.concurrency), settings.memoryBytes);
}

class Duckdb implements Engine {
  private readonly database: Database;
  private readonly calls: Limiter;
  /** As configured. */
  private readonly memoryBytes: number;
  private readonly limit: MemoryLimit;

  constructor(database: Database, calls: Limiter, memoryBytes: number) {
    this.database = database;
    this.calls = calls;
    this.memoryBytes = memoryBytes;
    this.limit = new MemoryLimit(database, memoryBytes);
  }

  async writeRows(files: RowFiles, outPath: string): Promise<WrittenRows & { digest?: RowsDigest }> {
    const { columns } = files.schema;
    const sources: string[] = [];
    if (files.accepted !== undefined) sources.push(acceptedSql(files, files.accepted));
    if (files.exact !== undefined) sources.push(exactSql(columns, files.exact, files.maxLineBytes));
    const rows = sources.join(" UNION ALL ");
    return this.withRoom({ columns, maxLineBytes: files.maxLineBytes }, async () => {
      if (isWide(columns)) return this.copy(rows, outPath, { columns });
      const written = await this.copy(hashedSql(rows, columns), outPath, { columns });
      return { ...written, digest: await this.sum(`FROM read_parquet(${sqlString(outPath)}, ${AS_FILES})`) };
    });
  }

  merge(columns: Column[], outPath: string, { sortBy }: { sortBy: string[] }): Merge {
    const paths: string[] = [];
    const names = [...columns.map(({ name }) => name), RESCUED_COLUMN];
    let join = sortBy.length > 0 ? undefined : new ParquetJoin(outPath, { names, dropped: HASH_COLUMN });
    // Not one of the calls: copying files leaves both cores to them.
    const joining = <T>(task: (join: ParquetJoin) => Promise<T>) =>
      told(`join ${outPath}`, async () => join && task(join));
    return {
      add: async (path) => {
        paths.push(path);
        if (!(await joining((join) => join.add(path)))) join = undefined;
      },
      finish: async (metadata) => {
        if (sortBy.length > 0 && paths.length > 0)
          return this.mergeSorted(paths, columns, outPath, { metadata, sortBy });
        const joined = await joining((join) => join.finish(metadata, rowGroupRows(columns) / SMALL_GROUPS));
        if (joined) return { path: outPath, ...joined };
        const query = partsSql(paths, columns);
        return this.withRoom({ columns }, () => this.copy(query, outPath, { columns, metadata }));
      },
    };
  }

  private async mergeSorted(
    paths: string[],
    columns: Column[],
    outPath: string,
    { metadata, sortBy }: { metadata: Record<string, string>; sortBy: string[] },
  ): Promise<WrittenRows & { sha256?: string }> {
    const merge = this.merge(columns, outPath, { sortBy: [] });
    let count = 0;
    for (const piece of await inPieces(paths, this.memoryBytes / SORTED_SHARE)) {
      const sorted = await this.sort(piece, columns, sortBy, `${outPath}.sorted-${count}`);
      for (const path of sorted) await merge.add(path);
      count += sorted.length;
    }
    return merge.finish(metadata);
  }

  /** Sorts into one file, or into several if one takes more memory than there is. */
  private async sort(
    paths: string[],
    columns: Column[],
    sortBy: string[],
    outPath: string,
  ): Promise<string[]> {
    const query = `${partsSql(paths, columns)} ORDER BY ${sortBy.map(sqlName).join(", ")}`;
    try {
      return [(await this.withRoom({ columns }, () => this.copy(query, outPath, { columns }))).path];
    } catch (error) {
      if (!(error instanceof HourpackError) || !OUT_OF_MEMORY.test(reasonOf(error.cause))) throw error;
      // Rows in another order are the same rows, so this is never a reason to fail.
      if (paths.length === 1) return paths;
    }
    const half = paths.length >> 1;
    return [
      ...(await this.sort(paths.slice(0, half), columns, sortBy, `${outPath}-a`)),
      ...(await this.sort(paths.slice(half), columns, sortBy, `${outPath}-b`)),
    ];
  }

  async digest(
    paths: string[],
    columns: Column[],
    options: { complete: boolean } = { complete: false },
  ): Promise<RowsDigest> {
    if (paths.length === 0) return digestOfAll([]);
    return this.withRoom({ columns }, async () => {
      const shares = await this.shares(paths, columns, options);
      return digestOfAll(
        await Promise.all(shares.map((rows) => this.sum(`FROM (${hashedSql(rows, columns)})`))),
      );
    });
  }

  /** Sums of hashes do not depend on the order of rows, and count a row as often as it occurs. */
  private async sum(from: string): Promise<RowsDigest> {
    const hash = sqlName(HASH_COLUMN);
    const sums = [hash, `hash(${hash})`].map((value) => `coalesce(sum(${value}::HUGEINT), 0)`);
    const sql = `SELECT count(*), ${sums.join(", ")} ${from}`;
    const [rows, first, second] = await this.call("hash rows", () => this.database.numbers(sql));
    return { rows: Number(rows), sums: [first as bigint, second as bigint] };
  }

  /**
   * Shares the rows among calls. A call runs on one thread, so two calls use two cores. Row groups outside a
   * range of rows are not read. Of many files, a few are open at a time.
   */
  private async shares(
    paths: string[],
    columns: Column[],
    options: { complete: boolean },
  ): Promise<string[]> {
    const [path] = paths;
    const isMany = paths.length > 1;
    // Each statement reads the footer of a file for itself: 75 MB of DuckDB's memory for a large hour's part.
    const isAlone = this.calls.capacity === 1 || isWide(columns);
    if (path === undefined || (!isMany && (isAlone || (await stat(path)).size < WORTH_HALVING_BYTES)))
      return [partsSql(paths, columns, options)];
    if (isMany || columns.some(({ name }) => name === ROW_NUMBER)) {
      const share = Math.min(FILES_OPEN_MAX, Math.ceil(paths.length / 2));
      const starts = Array.from({ length: Math.ceil(paths.length / share) }, (_, i) => i * share);
      return starts.map((start) => partsSql(paths.slice(start, start + share), columns, options));
    }
    const sql = `SELECT num_rows FROM parquet_file_metadata(${sqlString(path)})`;
    const [rows] = await this.call(`look at ${path}`, () => this.database.numbers(sql));
    const middle = Math.ceil(Number(rows) / 2);
    return [`< ${middle}`, `>= ${middle}`].map((half) =>
      partsSql(paths, columns, { ...options, where: `${ROW_NUMBER} ${half}` }),
    );
  }

  close(): Promise<void> {
    return this.database.close();
  }

  private async copy(
    query: string,
    outPath: string,
    { columns, metadata = {} }: { columns: readonly Column[]; metadata?: Record<string, string> },
  ): Promise<WrittenRows> {
    const pairs = Object.entries(metadata).map(([key, value]) => `${sqlName(key)}: ${sqlString(value)}`);
    const options = [
      "FORMAT parquet",
      "COMPRESSION snappy",
      "PARQUET_VERSION v1",
      `ROW_GROUP_SIZE ${rowGroupRows(columns)}`,
      ...(pairs.length > 0 ? [`KV_METADATA {${pairs.join(", ")}}`] : []),
    ];
    const sql = `COPY (${query}) TO ${sqlString(outPath)} (${options.join(", ")})`;
    const [rows] = await this.call(`write ${outPath}`, () => this.database.numbers(sql));
    return { path: outPath, rows: Number(rows) };
  }

  /**
   * DuckDB counts the memory that it reserves: 1.5 MB for each leaf of a schema and call, most of which it
   * never touches, and up to 64 times the longest line if that is one array. Under the limit of ordinary
   * hours, an hour that needs more would fail every time.
   */
  private withRoom<T>(
    { columns, maxLineBytes = 0 }: { columns: readonly Column[]; maxLineBytes?: number },
    statements: () => Promise<T>,
  ): Promise<T> {
    const leaves = leavesOfAll(columns);
    const wideBytes = Math.max(0, leaves - USUAL_LEAVES) * (2 << 20);
    const longBytes = Math.max(0, maxLineBytes - USUAL_LINE_BYTES) * 70;
    return this.limit.raisedTo(this.memoryBytes + wideBytes + longBytes, statements);
  }

  private call<T>(doing: string, task: () => Promise<T>): Promise<T> {
    return told(doing, () => this.calls.run(task));
  }
}

/**
 * Errors of disk and memory are `unavailable`. Any other error means that a statement or a line was sent that
 * should not have been.
 */
async function told<T>(doing: string, task: () => Promise<T>): Promise<T> {
  try {
    return await task();
  } catch (error) {
    const reason = reasonOf(error);
    // DuckDB's errors have no codes. Those of Node.js's files do.
    const isResource = OUT_OF_MEMORY.test(reason) || reason.startsWith("IO Error:");
    const isOfFile = (error as NodeJS.ErrnoException).syscall !== undefined;
    const kind = isOfFile ? kindOfSystemError(error) : isResource ? "unavailable" : "internal";
    throw new HourpackError(kind, `${doing}: ${reason}`, {
      stage: "convert",
      cause: error,
      hint: kind === "internal" ? undefined : "Give it more memory (--engine-memory) or disk (--spool-dir).",
    });
  }
}

/** The first words of DuckDB's errors are their type. What comes after them may quote a record. */
const OUT_OF_MEMORY = /^Out of Memory Error:/;

/** DuckDB keeps the footer of each file that a statement names. */
const FILES_OPEN_MAX = 32;

/** A smaller Parquet file is hashed in less time than it takes to plan a second statement. */
const WORTH_HALVING_BYTES = 1 << 20;

/**
 * Groups the files, in order, into pieces that are sorted together. The pieces are about equally large, and
 * none is above `bytesMax` unless it is one file. A sort that spills costs twice as much, and more with each
 * doubling.
 */
async function inPieces(paths: string[], bytesMax: number): Promise<string[][]> {
  const sizes = await Promise.all(paths.map(async (path) => (await stat(path)).size));
  const totalBytes = sizes.reduce((sum, size) => sum + size, 0);
  const usualBytes = totalBytes / Math.ceil(totalBytes / bytesMax);
  const pieces: string[][] = [];
  let before = 0;
  for (const [i, path] of paths.entries()) {
    const size = sizes[i] as number;
    const index = Math.floor((before + size / 2) / usualBytes);
    pieces[index] ??= [];
    pieces[index].push(path);
    before += size;
  }
  return pieces.filter(Boolean);
}

/**
 * Parquet that is sorted at once may be as large as the memory divided by this. Read, it is five times as
 * large or more.
 */
const SORTED_SHARE = 4;

/**
 * For a thousand columns, hashing rows on their way to the file took 130 MB more, and reading it by two calls
 * took 100 MB more.
 */
function isWide(columns: readonly Column[]): boolean {
  return leavesOfAll(columns) > 256;
}

const USUAL_LEAVES = 64;
const USUAL_LINE_BYTES = 1 << 20;

/**
 * Rows in a row group: 122,880 rows of 600 bytes of JSON are 11 MB of Parquet, and engines read row groups in parallel.
 * DuckDB holds a row group's values, NULL or not, until it is written, so a wide table gets as many values
 * and fewer rows.
 */
function rowGroupRows(columns: readonly Column[]): number {
  const rows = (ROW_GROUP_ROWS * USUAL_LEAVES) / Math.max(USUAL_LEAVES, leavesOfAll(columns));
  return Math.max(1, Math.round(rows / VECTOR_ROWS)) * VECTOR_ROWS;
}

const ROW_GROUP_ROWS = 122_880;
/** DuckDB ends a row group only where one of its vectors ends. */
const VECTOR_ROWS = 2048;
/** If this many row groups would fit into one, they are written again: readers pay for each of them. */
const SMALL_GROUPS = 8;

/** Raw lines with members named by key, in types that give every accepted value as it is. */
function acceptedSql(files: RowFiles, path: string): string {
  const { columns } = files.schema;
  const plain = columns.filter((column) => !column.derived && column.path[0] !== "");
  const expressions = columns.map(
    (column) => `${acceptedValue(column, files.schema)} AS ${sqlName(column.name)}`,
  );
  expressions.push(`NULL::VARCHAR AS ${RESCUED_COLUMN}`);
  const types = plain.map(
    (column) => [column.path[0] as string, column.jsonString ? "VARCHAR" : readType(column.type)] as const,
  );
  return `SELECT ${expressions.join(", ")} FROM ${readLines(path, types, files.maxLineBytes)}`;
}

function acceptedValue(column: Column, schema: Schema): string {
  const from = column.derived ? ownerOf(column, schema) : { column, fields: [] };
  if (!from || from.column.path[0] === "") return `NULL::${duckdbType(column.type)}`;
  const member = sqlName(from.column.path[0] as string);
  const fields = from.fields.map((field) => `.${sqlName(field.name)}`).join("");
  const source = from.column.jsonString ? jsonTextSql(member, from.column.type) : member;
  return valueSql(fields === "" ? source : `(${source})${fields}`, column.type, fields === "");
}

/** Lines by column name. Decimals, timestamps and dates are strings that cast exactly. */
function exactSql(columns: readonly Column[], path: string, maxLineBytes: number): string {
  const expressions = columns.map(
    (column) => `CAST(${sqlName(column.name)} AS ${duckdbType(column.type)}) AS ${sqlName(column.name)}`,
  );
  const types = columns.map((column) => [column.name, readType(column.type)] as const);
  return `SELECT ${[...expressions, RESCUED_COLUMN].join(", ")} FROM ${readLines(path, [...types, [RESCUED_COLUMN, "VARCHAR"]], maxLineBytes)}`;
}

function readLines(path: string, types: (readonly [string, string])[], maxLineBytes: number): string {
  const columns = types.length > 0 ? types : [["_hourpack_none", "VARCHAR"] as const];
  const spec = columns.map(([name, type]) => `${sqlString(name)}: ${sqlString(type)}`).join(", ");
  const objectBytes = Math.max(LINE_BUFFER_BYTES, maxLineBytes * 2 + 1024);
  return `read_json(${sqlString(path)}, format = 'newline_delimited', records = true, auto_detect = false,
    ${AS_FILES}, maximum_object_size = ${objectBytes}, columns = {${spec}})`;
}

const LINE_BUFFER_BYTES = 2 << 20;

/** By default, DuckDB takes a folder called `key=value` above a file for a column, in place of the file's own. */
const AS_FILES = "hive_partitioning = false";

/**
 * Reads files by column name. A column that a file lacks is NULL. No files make no rows. Each column is cast,
 * because DuckDB reads TIMESTAMP_MILLIS as microseconds. `complete`: no file lacks a column; planning then
 * takes a third of the time.
 */
function partsSql(
  paths: string[],
  columns: readonly Column[],
  { where, complete = false }: { where?: string; complete?: boolean } = {},
): string {
  const all = [
    ...columns.map(({ name, type }) => ({ name, type: duckdbType(type) })),
    { name: RESCUED_COLUMN, type: "VARCHAR" },
  ];
  if (paths.length === 0) return noRowsSql(all);
  const options = `union_by_name = ${!complete}, ${AS_FILES}`;
  const list = `[${paths.map(sqlString).join(", ")}]`;
  const rows = where
    ? `SELECT * EXCLUDE ${ROW_NUMBER} FROM read_parquet(${list}, ${options}, ${ROW_NUMBER} = true) WHERE ${where}`
    : `SELECT * FROM read_parquet(${list}, ${options})`;
  return typedSql(all, complete ? rows : `${noRowsSql(all)} UNION ALL BY NAME ${rows}`);
}

/** DuckDB's name for a row's place in its file. A dataset's column may have this name, too. */
const ROW_NUMBER = "file_row_number";
