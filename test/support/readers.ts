/**
 * Three independent readers of a Parquet file, brought to one notation, that of `rows.ndjson`: bigints beyond 2^53 and
 * decimals as strings, timestamps as `2022-07-26T00:00:01.000Z`, dates as `2022-07-26`, maps and structs as objects, NaN and
 * the infinities by their names.
 */
import {
  DuckDBDateValue,
  DuckDBDecimalValue,
  DuckDBInstance,
  DuckDBListValue,
  DuckDBMapValue,
  DuckDBStructValue,
  DuckDBTimestampMillisecondsValue,
  DuckDBTimestampTZValue,
  DuckDBTimestampValue,
  type DuckDBType,
  DuckDBTypeId,
  type DuckDBValue,
} from "@duckdb/node-api";
import { asyncBufferFromFile, parquetReadObjects } from "hyparquet";

export type Cell = null | boolean | number | string | Cell[] | { [key: string]: Cell };
export type Row = Record<string, Cell>;

interface TypedRows {
  rows: Row[];
  columns: { name: string; type: DuckDBType }[];
}

export interface DuckdbReader {
  read(path: string): Promise<TypedRows>;
  close(): void;
}

export async function openDuckdbReader(): Promise<DuckdbReader> {
  const instance = await DuckDBInstance.create(":memory:", { threads: "1" });
  const connection = await instance.connect();
  return {
    async read(path) {
      const file = `'${path.replaceAll("'", "''")}'`;
      const reader = await connection.runAndReadAll(
        `SELECT * FROM read_parquet(${file}, hive_partitioning=false)`,
      );
      const names = reader.columnNames();
      const columns = reader.columnTypes().map((type, i) => ({ name: names[i] ?? "", type }));
      const rows = reader
        .getRows()
        .map((values) => Object.fromEntries(names.map((name, i) => [name, cellOfDuckdb(values[i] ?? null)])));
      return { rows, columns };
    },
    close() {
      connection.closeSync();
      instance.closeSync();
    },
  };
}

function cellOfDuckdb(value: DuckDBValue): Cell {
  if (value === null || typeof value === "boolean" || typeof value === "string") return value;
  if (typeof value === "number") return cellOfNumber(value);
  if (typeof value === "bigint") return cellOfBigint(value);
  if (value instanceof DuckDBDecimalValue) return cellOfDecimal(value.value, value.scale);
  if (value instanceof DuckDBDateValue) return isoDate(value.days);
  if (value instanceof DuckDBTimestampMillisecondsValue) return isoTimestamp(Number(value.millis));
  if (value instanceof DuckDBTimestampValue || value instanceof DuckDBTimestampTZValue) {
    if (value.micros % 1000n !== 0n) throw new Error(`a timestamp is finer than milliseconds: ${value}`);
    return isoTimestamp(Number(value.micros / 1000n));
  }
  if (value instanceof DuckDBListValue) return value.items.map(cellOfDuckdb);
  if (value instanceof DuckDBMapValue) {
    return Object.fromEntries(value.entries.map((entry) => [String(entry.key), cellOfDuckdb(entry.value)]));
  }
  if (value instanceof DuckDBStructValue) {
    return Object.fromEntries(Object.entries(value.entries).map(([key, item]) => [key, cellOfDuckdb(item)]));
  }
  throw new Error(`a part holds a value of no type of ours: ${value}`);
}

/** hyparquet gives decimals as JavaScript numbers, whose last digits may be wrong: compare its rows `withoutDecimals`. */
export async function readWithHyparquet(path: string, columns: TypedRows["columns"]): Promise<Row[]> {
  const rows = await parquetReadObjects({ file: await asyncBufferFromFile(path) });
  return rows.map((row) =>
    Object.fromEntries(columns.map(({ name, type }) => [name, cellOfHyparquet(row[name], type)])),
  );
}

function cellOfHyparquet(value: unknown, type: DuckDBType): Cell {
  if (value === null || value === undefined) return null;
  if (typeof value === "boolean" || typeof value === "string") return value;
  if (typeof value === "number") return cellOfNumber(value);
  if (typeof value === "bigint") return cellOfBigint(value);
  if (value instanceof Date) {
    return type.typeId === DuckDBTypeId.DATE ? isoDate(value.getTime() / 86_400_000) : value.toISOString();
  }
  if (type.typeId === DuckDBTypeId.LIST && Array.isArray(value)) {
    return value.map((item) => cellOfHyparquet(item, type.valueType));
  }
  if (type.typeId === DuckDBTypeId.MAP && typeof value === "object") {
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [key, cellOfHyparquet(item, type.valueType)]),
    );
  }
  if (type.typeId === DuckDBTypeId.STRUCT && typeof value === "object") {
    const members = value as Record<string, unknown>;
    return Object.fromEntries(
      fieldsOf(type).map((field) => [field.name, cellOfHyparquet(members[field.name], field.type)]),
    );
  }
  throw new Error(`hyparquet read ${typeof value} where ${type} belongs`);
}

/** Replaces every decimal that is not NULL, at any depth. */
export function withoutDecimals(rows: Row[], columns: TypedRows["columns"]): Row[] {
  return rows.map((row) =>
    Object.fromEntries(
      Object.entries(row).map(([name, cell]) => {
        const type = columns.find((column) => column.name === name)?.type;
        return [name, type ? maskDecimals(cell, type) : cell];
      }),
    ),
  );
}

function maskDecimals(cell: Cell, type: DuckDBType): Cell {
  if (cell === null) return null;
  if (type.typeId === DuckDBTypeId.DECIMAL) return "decimal";
  if (type.typeId === DuckDBTypeId.LIST && Array.isArray(cell)) {
    return cell.map((item) => maskDecimals(item, type.valueType));
  }
  if (typeof cell !== "object" || Array.isArray(cell)) return cell;
  const typeOf = (key: string) =>
    type.typeId === DuckDBTypeId.MAP
      ? type.valueType
      : type.typeId === DuckDBTypeId.STRUCT
        ? type.typeForEntry(key)
        : undefined;
  return Object.fromEntries(
    Object.entries(cell).map(([key, item]) => {
      const inner = typeOf(key);
      return [key, inner ? maskDecimals(item, inner) : item];
    }),
  );
}

/** The type in Hive's notation, as Athena writes it. */
export function hiveTypeOf(type: DuckDBType): string {
  switch (type.typeId) {
    case DuckDBTypeId.BOOLEAN:
      return "boolean";
    case DuckDBTypeId.INTEGER:
      return "int";
    case DuckDBTypeId.BIGINT:
      return "bigint";
    case DuckDBTypeId.DOUBLE:
      return "double";
    case DuckDBTypeId.VARCHAR:
      return "string";
    case DuckDBTypeId.DATE:
      return "date";
    case DuckDBTypeId.TIMESTAMP:
    case DuckDBTypeId.TIMESTAMP_MS:
    case DuckDBTypeId.TIMESTAMP_TZ:
      return "timestamp";
    case DuckDBTypeId.DECIMAL:
      return `decimal(${type.width},${type.scale})`;
    case DuckDBTypeId.LIST:
      return `array<${hiveTypeOf(type.valueType)}>`;
    case DuckDBTypeId.MAP:
      return `map<${hiveTypeOf(type.keyType)},${hiveTypeOf(type.valueType)}>`;
    case DuckDBTypeId.STRUCT:
      return `struct<${fieldsOf(type)
        .map((field) => `${field.name}:${hiveTypeOf(field.type)}`)
        .join(",")}>`;
    default:
      throw new Error(`a part has a column of type ${type}, which is none of Athena's`);
  }
}

function fieldsOf(
  type: Extract<DuckDBType, { typeId: DuckDBTypeId.STRUCT }>,
): { name: string; type: DuckDBType }[] {
  return type.entryNames.map((name, i) => ({ name, type: type.entryTypes[i] as DuckDBType }));
}

function cellOfNumber(value: number): Cell {
  return Number.isFinite(value) ? value : String(value);
}

function cellOfBigint(value: bigint): Cell {
  const limit = 2n ** 53n;
  return value >= -limit && value <= limit ? Number(value) : String(value);
}

function cellOfDecimal(unscaled: bigint, scale: number): string {
  const digits = (unscaled < 0n ? -unscaled : unscaled).toString().padStart(scale + 1, "0");
  const point = digits.length - scale;
  const text = scale === 0 ? digits : `${digits.slice(0, point)}.${digits.slice(point)}`;
  return unscaled < 0n ? `-${text}` : text;
}

function isoTimestamp(ms: number): string {
  return new Date(ms).toISOString();
}

function isoDate(days: number): string {
  return new Date(days * 86_400_000).toISOString().slice(0, 10);
}
