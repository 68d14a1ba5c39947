import type { Hour } from "../hour.js";
import type { Type } from "../schema/types.js";

export interface TableColumn {
  name: string;
  type: Type;
  /** In a raw table: the member's key, if it differs from the name. */
  key?: string;
}

/** A table as the catalog should know it. Partitions are always year, month, day, hour as int. */
export interface TableSpec {
  database: string;
  name: string;
  /** `parquet`: tier 1. `json`: the raw objects through the OpenX JSON SerDe. */
  format: "parquet" | "json";
  /** The table's own location, with a trailing slash: an `s3://` URI or an absolute directory. */
  location: string;
  /** Data columns without the partition keys; for `parquet`, `_rescued_data` string comes last. */
  columns: TableColumn[];
  /** Where an hour's data lies, with a trailing slash unless `withoutFolders`. */
  partitionLocation(hour: Hour): string;
  /**
   * An hour's objects have a prefix of their own but no folder, so Athena could not read any of the
   * partitions.
   */
  withoutFolders?: boolean;
  /** Present if hours can be projected. */
  projection?: Projection;
  /** The command that adds all its published hours, for messages. */
  registerText: string;
}

/** Partition projection: Athena computes the partitions, and ignores those that are registered. */
export interface Projection {
  /** If true, projection replaces registration. */
  isOn: boolean;
  /** The value of `storage.location.template`. */
  locationTemplate: string;
  firstYear: number;
  lastYear: number;
}

export interface TableOptions {
  signal?: AbortSignal;
  /** Receives what somebody should do about the table. */
  note?: (text: string) => void;
}

export interface SyncOptions {
  signal?: AbortSignal;
  /** The hours whose partitions are compared if each one costs a statement (Athena). All, if absent. */
  located?: Hour[];
}

export interface PartitionSync {
  added: number;
  /**
   * Partitions that had another location, or were also there under a second spelling. Each is named in
   * `notes`.
   */
  corrected: number;
  /** Includes the partitions that are there but not in `located`. */
  unchanged: number;
  notes: string[];
}

/** What became of a table. */
export type TableChange = "created" | "changed" | "unchanged";

/** Glue, Athena or a local DuckDB file. Errors: `unavailable`, `invalid`, `interrupted`. */
export interface Catalog {
  /** Creates the database and table, or brings the table's columns and properties in step. */
  ensureTable(table: TableSpec, options?: TableOptions): Promise<TableChange>;
  /**
   * Adds the partitions that these hours lack, and sets the location of those that lie elsewhere, as far as
   * they are compared. Looks them up in bulk and writes only differences.
   */
  syncPartitions(table: TableSpec, hours: Hour[], options?: SyncOptions): Promise<PartitionSync>;
  /** Which of these hours have no partition in a table that exists. Changes nothing. */
  lacking(table: TableSpec, hours: Hour[], options?: { signal?: AbortSignal }): Promise<Hour[]>;
  /**
   * Which of these tables do not exist. Changes nothing, and does not try for long, because somebody waits
   * for the answer. A table that lies elsewhere is `invalid` if that is seen at no cost (Glue).
   */
  lackingTables(tables: TableSpec[], options?: { signal?: AbortSignal }): Promise<TableSpec[]>;
  close(): Promise<void>;
}
