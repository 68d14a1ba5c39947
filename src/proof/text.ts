/** JSON values from whole texts, and back. */
import { Damage, Reader, type ReaderOptions, Unread } from "./json.js";
import { Day, type Json, Num, Obj } from "./values.js";

/**
 * A whole text as one value; undefined if it is not one. Refuses lone surrogates, NaN and Infinity. With
 * `isStrict` (RFC 8259) it also refuses spare commas.
 */
export function parseJson(
  text: string,
  { isStrict = false, ...options }: ReaderOptions & { isStrict?: boolean } = {},
): Json | undefined {
  const reader = new Reader(bytesAsText(text), options);
  try {
    const value = reader.value();
    const isWhole = Number.isNaN(reader.peek()) && !(isStrict && reader.hasSpareComma);
    return isWhole && reader.loneSurrogates.length + reader.nonFinites.length === 0 ? value : undefined;
  } catch (error) {
    if (error instanceof Damage) return undefined;
    throw error;
  }
}

/** One char per byte of its UTF-8. */
function bytesAsText(text: string): string {
  return /[^\x00-\x7f]/.test(text) ? Buffer.from(text, "utf8").toString("latin1") : text;
}

/** Compact JSON text, numbers as they were written, members in their order. */
export function writeJson(value: Json): string {
  if (value === null || typeof value === "boolean") return String(value);
  if (typeof value === "string") return JSON.stringify(value);
  if (value instanceof Num) return value.text;
  if (Array.isArray(value)) return `[${value.map(writeJson).join(",")}]`;
  if (value instanceof Obj) {
    return `{${value.keys.map((key, i) => `${JSON.stringify(key)}:${writeJson(value.values[i] ?? null)}`).join(",")}}`;
  }
  if (value instanceof Unread) return writeJson(value.whole());
  return JSON.stringify(new Date(value instanceof Day ? value.days * 86_400_000 : value.ms).toISOString());
}
