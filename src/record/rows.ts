/** Rows as lines: how the exact way hands its values to the engine, which then only has to cast them. */
import { type Column, RESCUED_COLUMN, type Type, type Value } from "../schema/types.js";

/** One NDJSON line by column name. Decimals, timestamps and dates are strings, so no reader re-prints them. */
export function writeRow(
  columns: readonly Column[],
  values: readonly Value[],
  rescued: string | null,
): string {
  let line = "{";
  for (let i = 0; i < columns.length; i++) {
    const value = values[i];
    if (value === null || value === undefined) continue;
    const column = columns[i] as Column;
    line += `${line.length > 1 ? "," : ""}"${column.name}":${valueText(value, column.type)}`;
  }
  if (rescued !== null) line += `${line.length > 1 ? "," : ""}"${RESCUED_COLUMN}":${JSON.stringify(rescued)}`;
  return `${line}}\n`;
}

/** A value as it is written in such a line. */
export function valueText(value: Value, type: Type): string {
  if (value === null) return "null";
  switch (type.kind) {
    case "boolean":
    case "int":
    case "bigint":
      return String(value);
    case "double":
      return doubleText(value as number);
    case "decimal":
      return `"${decimalText(value as bigint, type.scale)}"`;
    case "string":
      return JSON.stringify(value);
    case "timestamp":
      return `"${timestampText(value as number)}"`;
    case "date":
      return `"${timestampText((value as number) * 86_400_000).slice(0, 10)}"`;
    case "array":
      return `[${(value as Value[]).map((element) => valueText(element, type.element)).join(",")}]`;
    case "map":
      return `{${(value as [string, Value][])
        .map(([key, entry]) => `${JSON.stringify(key)}:${valueText(entry, type.value)}`)
        .join(",")}}`;
    case "struct":
      return `{${type.fields
        .map((field, i) => `"${field.name}":${valueText((value as Value[])[i] ?? null, field.type)}`)
        .join(",")}}`;
  }
}

/**
 * The JSON integer `-0` would lose its sign. NaN and the infinities are not JSON numbers; the engine reads
 * them from strings.
 */
function doubleText(value: number): string {
  if (Object.is(value, -0)) return "-0.0";
  return Number.isFinite(value) ? String(value) : `"${value}"`;
}

/** `-12.30` from -1230 at scale 2. */
export function decimalText(unscaled: bigint, scale: number): string {
  const sign = unscaled < 0n ? "-" : "";
  const digits = String(unscaled < 0n ? -unscaled : unscaled).padStart(scale + 1, "0");
  if (scale === 0) return sign + digits;
  return `${sign}${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
}

/** `2022-07-26T00:00:01.123`, UTC, years 0001 to 9999. */
function timestampText(ms: number): string {
  return new Date(ms).toISOString().slice(0, -1);
}
