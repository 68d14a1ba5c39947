/**
 * Reads a part's rows with hyparquet as they are stored, so that no digit passes through a JavaScript number.
 */
import { open } from "node:fs/promises";
import type { AsyncBuffer, FileMetaData, SchemaElement } from "hyparquet";
import { parquetMetadataAsync, parquetRead, parquetSchema } from "hyparquet";
import { HourpackError } from "../errors.js";
import { readFully } from "../read-fully.js";
import { type Column, RESCUED_COLUMN, type Schema, type Type } from "../schema/types.js";
import { collectGarbage } from "./garbage.js";
import { Day, Instant, type Json, Num, Obj } from "./json.js";

/** One row: the columns' values in the schema's order, and the text of `_rescued_data`. */
export interface Row {
  values: Json[];
  rescued: string | null;
}

export interface Part {
  rows: number;
  /** Row group by row group, in the order of the file. Can be read again. */
  read(): AsyncGenerator<Row>;
  /**
   * What `make` returns for each row. If `make` throws, the part is damaged, as it is if it cannot be read.
   */
  readAs<T>(make: (row: Row) => T): AsyncGenerator<T>;
  close(): Promise<void>;
}

/**
 * Opens a local Parquet file. Errors name it by its `location` in the store. Throws `data` if it is damaged,
 * or if its columns are not those of the schema.
 */
export async function openPart(path: string, schema: Schema, location: string): Promise<Part> {
  const file = await open(path, "r");
  try {
    const buffer = await asyncBuffer(file);
    const metadata = await parquetMetadataAsync(buffer);
    checkColumns(metadata, schema, location);
    const rows = Number(metadata.num_rows);
    showPhysical(metadata.schema);
    const read = <T>(make: (row: Row, at: number) => T) => readRows(buffer, metadata, schema, location, make);
    return {
      rows,
      read: () => read((row) => row),
      readAs: (make) => read((row, at) => made(make, row, at, location)),
      close: () => file.close(),
    };
  } catch (error) {
    await file.close();
    if (error instanceof HourpackError) throw error;
    throw damaged(location, "its footer", error);
  }
}

/** hyparquet's own error is of no use to whoever reads the message, so it is the cause. */
function damaged(location: string, where: string, cause: unknown): HourpackError {
  const message = `read the part ${location}: it is damaged, and ${where} cannot be read`;
  return new HourpackError("data", message, { cause, location });
}

function made<T>(make: (row: Row) => T, row: Row, at: number, location: string): T {
  try {
    return make(row);
  } catch (cause) {
    throw damaged(location, `what is in its row ${at}`, cause);
  }
}

/** After a row group that leaves this much behind, the garbage is collected before the next. */
const GARBAGE_BYTES = 16 * 2 ** 20;
const GARBAGE_ROWS = 50_000;

type FileHandle = Awaited<ReturnType<typeof open>>;

async function asyncBuffer(file: FileHandle): Promise<AsyncBuffer> {
  const { size } = await file.stat();
  return {
    byteLength: size,
    async slice(start, end = size) {
      const bytes = new Uint8Array(end - start);
      await readFully(file, start, bytes);
      return bytes.buffer;
    },
  };
}

async function* readRows<T>(
  file: AsyncBuffer,
  metadata: FileMetaData,
  schema: Schema,
  location: string,
  make: (row: Row, at: number) => T,
): AsyncGenerator<T> {
  const present = new Set(parquetSchema(metadata).children.map((child) => child.element.name));
  const readers = schema.columns.map(({ name, type }) => ({ name, read: valueReader(type) }));
  let rowStart = 0;
  for (const group of metadata.row_groups) {
    const rowEnd = rowStart + Number(group.num_rows);
    if (rowEnd === rowStart) continue;
    try {
      const columns = await readGroup(file, metadata, present, rowStart, rowEnd);
      let row = rowStart;
      for (const read of rowsOf(columns, readers, rowEnd - rowStart)) yield make(read, row++);
      // Nothing holds on to the columns while the next row group's are decoded.
      columns.clear();
    } catch (cause) {
      if (cause instanceof HourpackError) throw cause;
      throw damaged(location, `what is in its rows ${rowStart} to ${rowEnd}`, cause);
    }
    rowStart = rowEnd;
    if (Number(group.total_byte_size) > GARBAGE_BYTES || Number(group.num_rows) > GARBAGE_ROWS)
      collectGarbage();
  }
}

function* rowsOf(
  byName: Map<string, ArrayLike<unknown>>,
  readers: { name: string; read: (value: unknown) => Json }[],
  rows: number,
): Generator<Row> {
  const columns = readers.map(({ name }) => byName.get(name));
  const rescued = byName.get(RESCUED_COLUMN);
  for (let row = 0; row < rows; row++) {
    const values = readers.map(({ read }, i) => {
      const value = columns[i]?.[row];
      return value === null || value === undefined ? null : read(value);
    });
    yield { values, rescued: (rescued?.[row] as string | null | undefined) ?? null };
  }
}

/**
 * One row group's columns, each as an array of its rows. They are decoded one by one, because each takes
 * several times its size.
 */
async function readGroup(
  file: AsyncBuffer,
  metadata: FileMetaData,
  names: Iterable<string>,
  rowStart: number,
  rowEnd: number,
): Promise<Map<string, ArrayLike<unknown>>> {
  const columns = new Map<string, ArrayLike<unknown>>();
  for (const name of names) {
    const pieces: ArrayLike<unknown>[] = [];
    const onChunk = ({ columnData }: { columnData: ArrayLike<unknown> }) => pieces.push(columnData);
    await parquetRead({
      file,
      metadata,
      rowStart,
      rowEnd,
      columns: [name],
      parsers: { stringFromBytes },
      onChunk,
    });
    const [first = []] = pieces;
    const column = pieces.length === 1 ? first : pieces.flatMap((piece) => Array.from(piece));
    if (column.length !== rowEnd - rowStart) {
      throw new Error(`column ${name} has ${column.length} values for ${rowEnd - rowStart} rows`);
    }
    columns.set(name, column);
  }
  return columns;
}

/** Unlike hyparquet's own, keeps a byte order mark at a string's start. */
function stringFromBytes(bytes: Uint8Array | undefined): string | undefined {
  return bytes && Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");
}

/**
 * Changes what hyparquet believes about the file. Decimals, timestamps and dates are shown as the integers
 * that they are stored as; hyparquet would make doubles of decimals. A map is shown as the group that it is
 * stored as, with one repeated group of pairs inside; hyparquet would make a JavaScript object of it, which
 * loses repeated keys, the order and `__proto__`.
 */
function showPhysical(elements: SchemaElement[]): void {
  for (const element of elements) {
    const { converted_type: converted } = element;
    if (converted === "MAP" || converted === "MAP_KEY_VALUE") {
      element.converted_type = undefined;
      element.logical_type = undefined;
    } else if (
      element.type !== undefined &&
      converted !== "UTF8" &&
      element.logical_type?.type !== "STRING"
    ) {
      element.converted_type = undefined;
      element.logical_type = undefined;
    }
  }
}

/** A stored value that is not null, as JSON. */
function valueReader(type: Type): (value: unknown) => Json {
  switch (type.kind) {
    case "boolean":
    case "string":
      return (value) => value as boolean | string;
    case "int":
    case "bigint":
      return (value) => new Num(String(value));
    case "double":
      return (value) => new Num(doubleText(value as number));
    case "decimal":
      return (value) => new Num(decimalText(unscaled(value), type.scale));
    case "timestamp":
      return (value) => new Instant(Number(value));
    case "date":
      return (value) => new Day(Number(value));
    case "array": {
      const read = orNull(valueReader(type.element));
      return (value) => Array.from(value as ArrayLike<unknown>, read);
    }
    case "map": {
      const read = orNull(valueReader(type.value));
      return (value) => {
        const object = new Obj();
        const [pairs = []] = Object.values(value as Record<string, { key: string; value: unknown }[]>);
        for (const pair of pairs) object.set(pair.key, read(pair.value));
        return object;
      };
    }
    case "struct": {
      const fields = type.fields.map(({ name, key, type }) => ({
        name,
        key,
        read: orNull(valueReader(type)),
      }));
      return (value) => {
        const object = new Obj();
        for (const { name, key, read } of fields) {
          const member = read((value as Record<string, unknown>)[name]);
          if (member !== null) object.set(key, member);
        }
        return object;
      };
    }
  }
}

function orNull(read: (value: unknown) => Json): (value: unknown) => Json {
  return (value) => (value === null || value === undefined ? null : read(value));
}

/** The shortest text that is this double. JavaScript prints -0 without its sign. */
function doubleText(value: number): string {
  return Object.is(value, -0) ? "-0.0" : String(value);
}

/** Reads big-endian two's complement, or an integer as it is (parquet-format's LogicalTypes.md, DECIMAL). */
function unscaled(value: unknown): bigint {
  if (!(value instanceof Uint8Array)) return BigInt(value as number | bigint);
  const hex = Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("hex");
  return BigInt.asIntN(value.length * 8, BigInt(`0x${hex}`));
}

function decimalText(value: bigint, scale: number): string {
  return scale === 0 ? String(value) : `${value}e-${scale}`;
}

const PHYSICAL: Record<string, { types: string[]; converted?: string[] }> = {
  boolean: { types: ["BOOLEAN"] },
  int: { types: ["INT32"] },
  bigint: { types: ["INT64"] },
  double: { types: ["DOUBLE"] },
  decimal: { types: ["INT32", "INT64", "FIXED_LEN_BYTE_ARRAY"], converted: ["DECIMAL"] },
  string: { types: ["BYTE_ARRAY"], converted: ["UTF8"] },
  timestamp: { types: ["INT64"], converted: ["TIMESTAMP_MILLIS"] },
  date: { types: ["INT32"], converted: ["DATE"] },
};

type Tree = ReturnType<typeof parquetSchema>;

/**
 * Compares the columns in the file's footer with the schema, and throws `data` if they differ. A column that
 * the file lacks reads as NULL.
 */
function checkColumns(metadata: FileMetaData, schema: Schema, location: string): void {
  const known = new Map<string, Type>(schema.columns.map((column: Column) => [column.name, column.type]));
  known.set(RESCUED_COLUMN, { kind: "string" });
  for (const child of parquetSchema(metadata).children) {
    const { name } = child.element;
    const type = known.get(name);
    const fault = type === undefined ? "is not in the schema" : faultOf(child, type);
    if (fault) {
      throw new HourpackError("data", `read the part ${location}: its column ${name} ${fault}`, {
        location,
        hint: "Verify the part against the version of the schema that its metadata names.",
      });
    }
  }
}

function faultOf(tree: Tree, type: Type): string | undefined {
  const { element, children } = tree;
  if (type.kind === "struct") {
    const missing = type.fields.find((field) => !children.some((child) => child.element.name === field.name));
    if (missing || children.length !== type.fields.length) return "is no struct of the schema's fields";
    return firstFault(
      type.fields.map((field) => [children.find((c) => c.element.name === field.name), field.type]),
    );
  }
  if (type.kind === "array" || type.kind === "map") {
    const inner = children[0]?.children ?? [];
    const wanted = type.kind === "array" ? "LIST" : "MAP";
    if (element.converted_type !== wanted && element.logical_type?.type !== wanted)
      return `is no ${type.kind}`;
    return firstFault(type.kind === "array" ? [[inner[0], type.element]] : [[inner[1], type.value]]);
  }
  const { types, converted } = PHYSICAL[type.kind] ?? { types: [] };
  if (!types.includes(element.type ?? "")) return `is stored as ${element.type}, which is no ${type.kind}`;
  if (converted && !converted.includes(element.converted_type ?? "")) return `is marked as no ${type.kind}`;
  const isScaled = type.kind !== "decimal" || (element.scale ?? 0) === type.scale;
  return isScaled ? undefined : `has the scale ${element.scale ?? 0}, not ${type.scale}`;
}

function firstFault(pairs: [Tree | undefined, Type][]): string | undefined {
  for (const [tree, type] of pairs) {
    const fault = tree ? faultOf(tree, type) : "lacks a nested field";
    if (fault) return fault;
  }
  return undefined;
}
