/** The column types in DuckDB's words. */
import type { Type } from "../../schema/types.js";
import { sqlName, sqlString } from "./database.js";

/** The type that a column has in the part. TIMESTAMP_MS becomes TIMESTAMP_MILLIS in Parquet. */
export function duckdbType(type: Type): string {
  return typeText(type, (scalar) => SCALARS[scalar.kind] ?? `DECIMAL(${precisionOf(scalar)})`);
}

interface SqlColumn {
  name: string;
  /** In DuckDB's words. */
  type: string;
}

/** These columns of `rows`, in their types. */
export function typedSql(columns: SqlColumn[], rows: string): string {
  return `SELECT ${casts(columns, sqlName)} FROM (${rows})`;
}

/** Gives these columns to rows that lack some of them (UNION ALL BY NAME), and to a result without rows. */
export function noRowsSql(columns: SqlColumn[]): string {
  return `SELECT ${casts(columns, () => "NULL")} WHERE false`;
}

function casts(columns: SqlColumn[], given: (name: string) => string): string {
  return columns.map(({ name, type }) => `CAST(${given(name)} AS ${type}) AS ${sqlName(name)}`).join(", ");
}

/**
 * The type that lines are read in: text, cast later, if DuckDB's JSON reader would re-print or guess the
 * value.
 */
export function readType(type: Type): string {
  return typeText(type, (scalar) =>
    scalar.kind === "timestamp" || scalar.kind === "date" || scalar.kind === "decimal"
      ? "VARCHAR"
      : (SCALARS[scalar.kind] as string),
  );
}

/**
 * Casts what was read to the column's type. A text with an offset is cast by way of TIMESTAMP_NS: the cast to
 * TIMESTAMP drops the offset, and the one to TIMESTAMPTZ takes a text without an offset as the machine's
 * local time. TIMESTAMP_NS spans 1677 to 2262, and the grammar accepts less; below the top it accepts no
 * offsets.
 */
export function valueSql(source: string, type: Type, isTop: boolean): string {
  if (type.kind === "timestamp" && isTop)
    return `CAST(make_timestamp_ms(epoch_ms(CAST(${source} AS TIMESTAMP_NS))) AS TIMESTAMP_MS)`;
  return `CAST(${source} AS ${duckdbType(type)})`;
}

/** Turns a JSON text into a struct, in the types that are read. */
export function jsonTextSql(source: string, type: Type): string {
  return `json_transform(${source}, ${sqlString(JSON.stringify(structureOf(type)))})`;
}

type Structure = string | Structure[] | { [name: string]: Structure };

function structureOf(type: Type): Structure {
  switch (type.kind) {
    case "array":
      return [structureOf(type.element)];
    case "struct":
      return Object.fromEntries(type.fields.map((field) => [field.key, structureOf(field.type)]));
    default:
      return readType(type);
  }
}

type Scalar = Exclude<Type, { kind: "array" | "map" | "struct" }>;

const SCALARS: Record<string, string> = {
  boolean: "BOOLEAN",
  int: "INTEGER",
  bigint: "BIGINT",
  double: "DOUBLE",
  string: "VARCHAR",
  timestamp: "TIMESTAMP_MS",
  date: "DATE",
};

function precisionOf(type: Scalar): string {
  return type.kind === "decimal" ? `${type.precision},${type.scale}` : "";
}

function typeText(type: Type, scalar: (type: Scalar) => string): string {
  switch (type.kind) {
    case "array":
      return `${typeText(type.element, scalar)}[]`;
    case "map":
      return `MAP(VARCHAR, ${typeText(type.value, scalar)})`;
    case "struct":
      return `STRUCT(${type.fields.map((field) => `${sqlName(field.name)} ${typeText(field.type, scalar)}`).join(", ")})`;
    default:
      return scalar(type);
  }
}
