import type { Hour } from "../hour.js";
import type { Type } from "../schema/types.js";

export interface TableColumn {
  name: string;
  type: Type;
  /** In a raw table: the member's key, where it is another than the name. */
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
  /** An hour's objects have a prefix of their own but no folder: Athena could read none of the partitions. */
  withoutFolders?: boolean;
  /** Where hours can be projected. */
  projection?: Projection;
  /** The command that adds all its published hours, for messages. */
  registerText: string;
}

/** Partition projection: Athena computes the partitions, and looks at none that is registered. */
export interface Projection {
  /** Then it replaces registration. */
  isOn: boolean;
  /** What `storage.location.template` takes. */
  locationTemplate: string;
  firstYear: number;
  lastYear: number;
}

export interface TableOptions {
  signal?: AbortSignal;
  /** Is told what somebody should do about the table. */
  note?: (text: string) => void;
}

export interface SyncOptions {
  signal?: AbortSignal;
  /** The hours whose partitions are compared where each costs a statement (Athena); all where absent. */
  located?: Hour[];
}

export interface PartitionSync {
  added: number;
  /** Partitions whose location was another one, or that stood under a second spelling. Each is named in `notes`. */
  corrected: number;
  /** Those that are there and not of `located`, too. */
  unchanged: number;
  notes: string[];
}

/** Glue, Athena or a local DuckDB file. Errors: `unavailable`, `invalid`, `interrupted`. */
export interface Catalog {
  /** Creates the database and table, or brings the table's columns and properties in step. True where it wrote. */
  ensureTable(table: TableSpec, options?: TableOptions): Promise<boolean>;
  /**
   * Adds the partitions that these hours lack, and sets the location of those that lie elsewhere, as far as they are compared:
   * looks them up in bulk and writes only differences.
   */
  syncPartitions(table: TableSpec, hours: Hour[], options?: SyncOptions): Promise<PartitionSync>;
  /** Which of these hours have no partition in a table that is there. Changes nothing. */
  lacking(table: TableSpec, hours: Hour[], options?: { signal?: AbortSignal }): Promise<Hour[]>;
  /**
   * Which of these tables are not there. Changes nothing, and does not try for long, as somebody waits for the answer. One
   * that lies elsewhere is `invalid` where that is seen at no cost (Glue).
   */
  lackingTables(tables: TableSpec[], options?: { signal?: AbortSignal }): Promise<TableSpec[]>;
  close(): Promise<void>;
}
