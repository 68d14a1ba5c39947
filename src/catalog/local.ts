/**
 * A DuckDB file whose views read tier 1. No process can change a DuckDB file that another one has open. So
 * the file is changed aside and renamed, and only if a view differs: readers are not in the way. Writers are
 * waited for, because what they write to a file that was renamed over is lost.
 */
import { existsSync } from "node:fs";
import { copyFile, mkdtemp, opendir, rename, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout } from "node:timers/promises";
import type { CatalogSettings } from "../config/settings.js";
import { openDatabase, sqlName, sqlString } from "../engine/duckdb/database.js";
import { duckdbType, noRowsSql, typedSql } from "../engine/duckdb/types.js";
import { HourpackError, isHourpackError, kindOfSystemError, reasonOf } from "../errors.js";
import type { Hour } from "../hour.js";
import { partitionPrefix } from "../layout.js";
import { type FileLock, trySharedLock, withFileLock } from "../lock.js";
import { makeFolders } from "../make-folders.js";
import { PARTITION_KEYS } from "../schema/types.js";
import { tell } from "../waiting.js";
import type { Catalog, PartitionSync, TableChange, TableSpec } from "./catalog.js";
import { copyObjects, hasCopies, type Source } from "./copies.js";

type LocalSettings = Extract<CatalogSettings, { type: "local" }>;

/** Returns the store that an `s3://` location lies in, and its prefix there. */
export type StoreAt = (uri: string) => Promise<Source>;

export class LocalCatalog implements Catalog {
  private readonly settings: LocalSettings;
  private readonly storeAt: StoreAt;

  constructor(settings: LocalSettings, storeAt: StoreAt) {
    this.settings = settings;
    this.storeAt = storeAt;
  }

  async ensureTable(table: TableSpec, options: { signal?: AbortSignal } = {}): Promise<TableChange> {
    return this.change(table, await this.viewSql(table), options.signal);
  }

  /**
   * The view reads folders: in a directory a partition is there with its part. Partitions in S3 are copied
   * beside the file.
   */
  async syncPartitions(
    table: TableSpec,
    hours: Hour[],
    options: { signal?: AbortSignal } = {},
  ): Promise<PartitionSync> {
    const sync: PartitionSync = { added: 0, corrected: 0, unchanged: 0, notes: [] };
    if (table.format !== "parquet" || !isS3(table.location)) return { ...sync, unchanged: hours.length };
    for (const hour of hours) {
      const isNew = await this.copyPartition(table, hour, options.signal);
      if (isNew) sync.added++;
      else sync.unchanged++;
    }
    await this.ensureTable(table, options);
    return sync;
  }

  async lacking(table: TableSpec, hours: Hour[]): Promise<Hour[]> {
    if (table.format !== "parquet" || !isS3(table.location)) return [];
    const copied = await Promise.all(hours.map((hour) => hasCopies(this.copyOf(table, hour))));
    return hours.filter((_, i) => !copied[i]);
  }

  /** Opens a copy, because a DuckDB file that another process has open cannot be opened. */
  async lackingTables(tables: TableSpec[]): Promise<TableSpec[]> {
    const { path, database } = this.settings;
    if (!existsSync(path)) return tables;
    const folder = await mkdtemp(join(tmpdir(), "hourpack-catalog-"));
    try {
      const copy = join(folder, "catalog.duckdb");
      await copyFile(path, copy);
      const file = await openDatabase(copy, { access_mode: "READ_ONLY" });
      const rows = await file
        .rows(`SELECT table_name FROM duckdb_columns() WHERE schema_name = ${sqlString(database)}`)
        .finally(() => file.close());
      const there = new Set(rows.map((row) => row["table_name"]));
      return tables.filter(({ name }) => !there.has(name));
    } catch (error) {
      throw new HourpackError("unavailable", `read the catalog ${path}: ${reasonOf(error)}`, {
        location: path,
        cause: error,
        hint: `Move it away if it is no DuckDB file: ${tables[0]?.registerText ?? "register"} creates it again.`,
      });
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }

  async close(): Promise<void> {}

  /** Raw objects are in a directory here: those in S3 have no table (tables.ts). */
  private async viewSql(table: TableSpec): Promise<string> {
    if (table.format === "json") return rawViewSql(table);
    const folder = isS3(table.location) ? this.copiesOf(table) : table.location;
    const glob = `${literal(folder.replace(/\/+$/, ""))}/year=*/month=*/day=*/hour=*/*.parquet`;
    return partsViewSql(table, (await hasParts(folder)) ? glob : undefined);
  }

  private async change(table: TableSpec, sql: string, signal: AbortSignal | undefined): Promise<TableChange> {
    const { path } = this.settings;
    try {
      await makeFolders(dirname(path));
      return await withFileLock(`${path}.lock`, async () => {
        const untilMs = performance.now() + WRITER_MS;
        for (let tries = 1; ; tries++) {
          const changed = await this.changeUnlessHeld(table, sql);
          if (changed !== undefined) return changed;
          if (performance.now() > untilMs) throw heldByWriter(path, table);
          if (tries === 1)
            tell(`the catalog ${path} is open for writing in another process: waiting until it is closed`);
          await setTimeout(POLL_MS, undefined, { signal });
        }
      });
    } catch (error) {
      if (isHourpackError(error) || signal?.aborted) throw error;
      throw new HourpackError(kindOfSystemError(error), `write the catalog ${path}: ${reasonOf(error)}`, {
        stage: "register",
        location: path,
        cause: error,
        hint: `Check that its folder can be written and that it is a DuckDB file; ${table.registerText} creates it again.`,
      });
    }
  }

  /**
   * Undefined if the file has to change and somebody has it open for writing, or left changes beside it that
   * are not in it yet.
   */
  private async changeUnlessHeld(table: TableSpec, sql: string): Promise<TableChange | undefined> {
    const { path } = this.settings;
    const isThere = existsSync(path);
    const lock = isThere ? await lockAgainstWriters(path) : undefined;
    const isHeld = isThere && lock === undefined;
    // One name is enough, since the lock beside the file has one holder: what a killed holder left is in
    // nobody's way.
    const aside = `${path}.new`;
    try {
      for (const leftover of [aside, `${aside}.wal`]) await rm(leftover, { force: true });
      if (isThere) await copyFile(path, aside);
      const change = await this.changeFile(aside, table, sql);
      if (change === "unchanged") return change;
      if (isHeld) return undefined;
      await rename(aside, path);
      return change;
    } catch (error) {
      // The file was copied while it was written to.
      if (isHeld) return undefined;
      throw renamed(error, aside, path);
    } finally {
      await rm(aside, { force: true });
      await lock?.release();
    }
  }

  private async changeFile(path: string, table: TableSpec, sql: string): Promise<TableChange> {
    const { database } = this.settings;
    const view = `${sqlName(database)}.${sqlName(table.name)}`;
    const file = await openDatabase(path);
    try {
      await file.run(`CREATE SCHEMA IF NOT EXISTS ${sqlName(database)}`);
      const before = await file.rows(
        `SELECT comment FROM duckdb_views() WHERE schema_name = ${sqlString(database)} AND view_name = ${sqlString(table.name)}`,
      );
      if (before[0]?.["comment"] === sql) return "unchanged";
      await file.run(`CREATE OR REPLACE VIEW ${view} AS ${sql}`);
      await file.run(`COMMENT ON VIEW ${view} IS ${sqlString(sql)}`);
      await file.run("CHECKPOINT");
      return before.length === 0 ? "created" : "changed";
    } finally {
      await file.close();
    }
  }

  /** Returns true if there was no copy yet. */
  private async copyPartition(table: TableSpec, hour: Hour, signal?: AbortSignal): Promise<boolean> {
    const location = table.partitionLocation(hour);
    const folder = this.copyOf(table, hour);
    try {
      return await copyObjects(await this.storeAt(location), folder, signal);
    } catch (error) {
      if (isHourpackError(error) || signal?.aborted) throw error;
      throw new HourpackError(kindOfSystemError(error), `copy ${location} to ${folder}: ${reasonOf(error)}`, {
        stage: "register",
        location: folder,
        cause: error,
        hint: `Check that the folder can be written and that there is room; ${table.registerText} copies what is missing.`,
      });
    }
  }

  private copyOf(table: TableSpec, hour: Hour): string {
    return join(this.copiesOf(table), partitionPrefix(hour));
  }

  private copiesOf(table: TableSpec): string {
    return join(`${this.settings.path}.parts`, table.name);
  }
}

/** Somebody may have it open in a shell that opens it for writing. A run must not wait long for that. */
const WRITER_MS = 5_000;
const POLL_MS = 100;

function heldByWriter(path: string, { registerText }: TableSpec): HourpackError {
  return new HourpackError(
    "unavailable",
    `write the catalog ${path}: another process has it open for writing`,
    {
      stage: "register",
      location: path,
      hint: `Close it there (a DuckDB shell only reads with -readonly), and run ${registerText}; the next run does it by itself. If nobody has it open, ${path}.wal has changes that are not in it yet: open it once in a DuckDB shell.`,
    },
  );
}

/**
 * Keeps writers out: DuckDB locks a file that it opens for writing (on Linux). Undefined if somebody has
 * locked it so, or if changes lie beside it.
 */
async function lockAgainstWriters(path: string): Promise<FileLock | undefined> {
  if (!(await stat(path)).isFile()) {
    throw new HourpackError("invalid", `write the catalog ${path}: what is there is no file`, {
      stage: "register",
      location: path,
      hint: "Name another file with --catalog-path.",
    });
  }
  const changes = `${path}.wal`;
  // A killed process left it: opening the file takes the changes in. If the process is alive, that fails.
  if (existsSync(changes)) await (await openDatabase(path).catch(() => undefined))?.close();
  const lock = await trySharedLock(path);
  if (!lock || !existsSync(changes)) return lock;
  await lock.release();
  return undefined;
}

/** In an error about a copy, names the original file: nobody knows the copy. */
function renamed(error: unknown, copy: string, path: string): unknown {
  if (!isHourpackError(error)) return error;
  return error.with({ message: error.message.replaceAll(copy, path), location: path });
}

function isS3(location: string): boolean {
  return location.startsWith("s3://");
}

/**
 * Whether the view's pattern finds a file. Depth first: mostly the first folders lead to one, and a walk of Node.js's own goes
 * through all the others before.
 */
async function hasParts(
  folder: string,
  [key, ...deeper]: readonly string[] = PARTITION_KEYS,
): Promise<boolean> {
  if (!(await stat(folder).catch(() => undefined))?.isDirectory()) return false;
  for await (const { name } of await opendir(folder)) {
    if (key === undefined) {
      if (name.endsWith(".parquet")) return true;
    } else if (name.startsWith(`${key}=`) && (await hasParts(join(folder, name), deeper))) return true;
  }
  return false;
}

/** All declared columns in their types, whichever of them the files have, then the partition keys. */
function partsViewSql(table: TableSpec, glob: string | undefined): string {
  const all = [
    ...table.columns.map(({ name, type }) => ({ name, type: duckdbType(type) })),
    ...PARTITION_KEYS.map((name) => ({ name, type: "INTEGER" })),
  ];
  if (glob === undefined) return noRowsSql(all);
  const path = pathColumn(table);
  const others = [path, ...PARTITION_KEYS].map(sqlString).join(", ");
  const keys = PARTITION_KEYS.map((key) => `${keySql(key, path)} AS ${sqlName(key)}`).join(", ");
  const files = `read_parquet(${sqlString(glob)}, hive_partitioning = false, union_by_name = true, filename = ${sqlString(path)})`;
  const rows = `SELECT COLUMNS(name -> name NOT IN (${others})), ${keys} FROM ${files}`;
  return typedSql(all, `${noRowsSql(all)} UNION ALL BY NAME ${rows}`);
}

/** DuckDB opens only the files that a query needs if their paths are in a column of this name, which a table may have itself. */
function pathColumn({ columns }: TableSpec): string {
  return columns.some(({ name }) => name === "filename") ? "path of the file" : "filename";
}

/** Not by `hive_partitioning`: it makes a column of each folder called `key=value`, also above the table, in place of the file's own. */
function keySql(key: string, path: string): string {
  return `CAST(regexp_extract(${sqlName(path)}, ${sqlString(`(?s).*/${key}=([^/]*)/`)}, 1) AS INTEGER)`;
}

/** The raw objects of a directory as they are, one row each. */
function rawViewSql(table: TableSpec): string {
  return `SELECT filename, content FROM read_text(${sqlString(`${literal(table.location)}**`)})`;
}

/**
 * A DuckDB pattern that matches only this path. A backslash would part folders there, so the range from [ to
 * ] stands for it.
 */
function literal(path: string): string {
  return path.replace(/[*?[\\]/g, (letter) => (letter === "\\" ? "[[-]]" : `[${letter}]`));
}
