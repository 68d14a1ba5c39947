/** The column types in Parquet's words, to compare a file's schema with the one that was asked for. */
import type { SchemaElement } from "hyparquet";
import type { Type } from "./types.js";

/** What DuckDB should have written for a type: `INT64 TIMESTAMP_MILLIS`, `{a:BYTE_ARRAY UTF8}`, `[INT64]`. */
export function parquetType(type: Type): string {
  switch (type.kind) {
    case "decimal":
      return `DECIMAL(${type.precision},${type.scale})`;
    case "array":
      return `[${parquetType(type.element)}]`;
    case "map":
      return `<${SCALARS["string"]},${parquetType(type.value)}>`;
    case "struct":
      return `{${type.fields.map(({ name, type: field }) => `${name}:${parquetType(field)}`).join(",")}}`;
    default:
      return SCALARS[type.kind] as string;
  }
}

const SCALARS: Record<string, string> = {
  boolean: "BOOLEAN",
  int: "INT32",
  bigint: "INT64",
  double: "DOUBLE",
  string: "BYTE_ARRAY UTF8",
  timestamp: "INT64 TIMESTAMP_MILLIS",
  date: "INT32 DATE",
};

/**
 * The same for a footer's columns, by name, in order. Lists and maps are as in parquet-format's
 * LogicalTypes.md.
 */
export function footerTypes(schema: readonly SchemaElement[]): { name: string; type: string }[] {
  let next = 1;
  const read = (): { name: string; type: string } => {
    const element = schema[next++] as SchemaElement;
    const children = Array.from({ length: element.num_children ?? 0 }, read);
    return { name: element.name, type: typeOf(element, children) };
  };
  return Array.from({ length: schema[0]?.num_children ?? 0 }, read);
}

function typeOf(element: SchemaElement, children: { name: string; type: string }[]): string {
  const { converted_type: converted, type = "" } = element;
  if (element.num_children === undefined) {
    if (converted === "DECIMAL") return `DECIMAL(${element.precision},${element.scale ?? 0})`;
    return converted === undefined || /^INT_(32|64)$/.test(converted) ? type : `${type} ${converted}`;
  }
  // The repeated group in the middle has one child for a list, and key and value for a map.
  const inner = children[0]?.type.slice(1, -1) ?? "";
  if (converted === "LIST") return `[${inner.slice(inner.indexOf(":") + 1)}]`;
  if (converted === "MAP") return `<${inner.replace(/^key:/, "").replace(",value:", ",")}>`;
  return `{${children.map((child) => `${child.name}:${child.type}`).join(",")}}`;
}
