import type { Column, Schema } from "../schema/types.js";
import type { RowsDigest } from "./digest.js";

/** Lines that a schema's columns take without loss, ready to become Parquet. */
export interface RowFiles {
  schema: Schema;
  /** NDJSON with the raw records' own members. The schema's grammar accepted each line. */
  accepted: string | undefined;
  /** NDJSON by column name, as `writeRow` makes it. */
  exact: string | undefined;
  /** The longest line in either, bytes. */
  maxLineBytes: number;
}

export interface WrittenRows {
  path: string;
  rows: number;
}

/** A merge of Parquet files into one: Snappy, V1 pages. */
export interface Merge {
  /**
   * Adds the next file. Copies its rows at once if nothing else is to be done with them. It may lack columns:
   * they are NULL then.
   */
  add(path: string): Promise<void>;
  /**
   * Writes the footer with this metadata. No files at all make a part of 0 rows. `sha256` is that of the
   * file's bytes, in hexadecimal digits; it is absent if DuckDB wrote them.
   */
  finish(metadata: Record<string, string>): Promise<WrittenRows & { sha256?: string }>;
}

/** The embedded database that reads and writes Parquet. A process has one; its calls may overlap. */
export interface Engine {
  /**
   * Writes lines to one Parquet file with the schema's columns and `_rescued_data`. Only `merge` reads the
   * file, which may contain more. The digest is that of the rows before they were written; it is absent if it
   * would take too much memory.
   */
  writeRows(files: RowFiles, outPath: string): Promise<WrittenRows & { digest?: RowsDigest }>;
  /**
   * Begins a part with these columns at `outPath`. `sortBy` names the columns that its rows are sorted by, in
   * pieces that fit in memory.
   */
  merge(columns: Column[], outPath: string, options: { sortBy: string[] }): Merge;
  /**
   * The digest of all rows of the files, over these columns and `_rescued_data`. `complete`: each file has
   * all of them.
   */
  digest(paths: string[], columns: Column[], options?: { complete: boolean }): Promise<RowsDigest>;
  close(): Promise<void>;
}
