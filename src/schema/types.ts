/**
 * The column types, defined once. They are Athena's. Every other notation is derived from them: Hive's in
 * `hive.ts`, Parquet's in `parquet.ts`, DuckDB's in `engine/duckdb`.
 */
export type Type =
  | { kind: "boolean" }
  | { kind: "int" }
  | { kind: "bigint" }
  | { kind: "double" }
  | { kind: "decimal"; precision: number; scale: number }
  | { kind: "string" }
  /** Milliseconds, UTC. `epoch` also accepts numbers, as seconds or milliseconds since 1970. */
  | { kind: "timestamp"; epoch?: "s" | "ms"; zone?: string }
  | { kind: "date" }
  | { kind: "array"; element: Type }
  /** Keys are always strings, as the keys of JSON members are. */
  | { kind: "map"; value: Type }
  | { kind: "struct"; fields: Field[] };

export interface Field {
  /** Lower case `[a-z0-9_]`, at most 255 characters. */
  name: string;
  /** The member's key in the record, matched by ASCII case folding. Mostly equal to `name`. */
  key: string;
  type: Type;
}

/** One column of tier 1. */
export interface Column {
  /** Lower case `[a-z0-9_]`, at most 255 characters; never a partition key nor `_rescued_data`. */
  name: string;
  type: Type;
  /** Where in the record the value is: `["tag"]` for a plain column, longer for a derived one. */
  path: string[];
  /**
   * Has a `from:`. Such a column holds nothing by itself: its member has a column of its own, or is rescued.
   */
  derived: boolean;
  /** The member is a string whose text is JSON, to be parsed into `type`. */
  jsonString?: boolean;
  /** A derived column that reads the envelope (`from: ^.logGroup`) and not the record. */
  envelope?: boolean;
}

/** A pinned version of a dataset's columns. Versions only ever append columns. */
export interface Schema {
  version: number;
  columns: Column[];
}

/**
 * Levels of arrays, maps and structs in a column. The engine takes twice as long for each level of arrays.
 */
export const NESTING_MAX = 16;

/**
 * DuckDB needs far more memory for nested arrays than for as many side by side: 50 of 16 levels took 256 MB.
 */
const ARRAY_IN_ARRAY = 7;

/** What a writer needs memory for: the Parquet columns that this type becomes, and the levels of arrays. */
export function leavesOf(type: Type): number {
  switch (type.kind) {
    case "array":
      return 1 + (type.element.kind === "array" ? ARRAY_IN_ARRAY : 0) + leavesOf(type.element);
    case "map":
      return 1 + leavesOf(type.value);
    case "struct":
      return type.fields.reduce((sum, field) => sum + leavesOf(field.type), 0);
    default:
      return 1;
  }
}

export function leavesOfAll(columns: readonly Column[]): number {
  return columns.reduce((sum, { type }) => sum + leavesOf(type), 0);
}

export const RESCUED_COLUMN = "_rescued_data";
export const ENVELOPE_KEY = "_envelope";
export const PARTITION_KEYS = ["year", "month", "day", "hour"] as const;

/**
 * A value as the exact way hands it to the engine, by type:
 * boolean → boolean; int, double → number; bigint → bigint; decimal → unscaled bigint; string → string;
 * timestamp → milliseconds since 1970 (number); date → days since 1970 (number); array → Value[];
 * map → [key, value][]; struct → Value[] in the order of its fields; NULL → null.
 */
export type Value = null | boolean | number | bigint | string | Value[] | [string, Value][];
