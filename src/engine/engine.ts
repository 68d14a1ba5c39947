import type { Column, Schema } from "../schema/types.js";
import type { RowsDigest } from "./digest.js";

/** Lines that a schema's columns take without loss, ready to become Parquet. */
export interface RowFiles {
  schema: Schema;
  /** NDJSON whose members are the raw records' own; each line was accepted by the schema's grammar. */
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

/** Parquet files on their way into one: Snappy, V1 pages. */
export interface Merge {
  /** The next file, whose rows are copied at once where nothing else is to be done with them. It may lack columns: they are NULL then. */
  add(path: string): Promise<void>;
  /**
   * Writes the footer with this metadata; no files at all make a part of 0 rows. The SHA-256 is that of the file's bytes, in
   * hexadecimal digits; absent where DuckDB wrote them.
   */
  finish(metadata: Record<string, string>): Promise<WrittenRows & { sha256?: string }>;
}

/** The embedded database that reads and writes Parquet. One for a process; calls may overlap. */
export interface Engine {
  /**
   * Lines to one Parquet file with the schema's columns and `_rescued_data`, for `merge` alone to read: it may have more in
   * it. The digest is that of the rows before they were written; absent where that would take too much memory.
   */
  writeRows(files: RowFiles, outPath: string): Promise<WrittenRows & { digest?: RowsDigest }>;
  /** Begins a part with these columns at `outPath`. `sortBy`: names of columns that its rows are sorted by, in pieces that the memory holds. */
  merge(columns: Column[], outPath: string, options: { sortBy: string[] }): Merge;
  /** Over these columns and `_rescued_data` of all rows of the files; `complete`: each of them has them all. */
  digest(paths: string[], columns: Column[], options?: { complete: boolean }): Promise<RowsDigest>;
  close(): Promise<void>;
}
