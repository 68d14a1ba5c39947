/** The text that a `json: string` column gives back: compact, its fields in order, without null members. */
import type { Type } from "../schema/types.js";
import { Day, Instant, type Json, Num, Obj } from "./json.js";
import { writeJson } from "./text.js";

/** `value`: as the part's reader gives it. */
export function columnText(value: Json, type: Type): string {
  if (value instanceof Num && type.kind === "decimal") return decimalText(value.text, type.scale);
  if (value instanceof Instant && type.kind === "timestamp") return timestampText(value.ms, type.epoch);
  if (value instanceof Day) return `"${new Date(value.days * 86_400_000).toISOString().slice(0, 10)}"`;
  if (Array.isArray(value) && type.kind === "array")
    return `[${value.map((element) => columnText(element, type.element)).join(",")}]`;
  if (value instanceof Obj && type.kind === "map") return objectText(value, () => type.value);
  if (value instanceof Obj && type.kind === "struct") {
    const types = new Map(type.fields.map((field) => [field.key, field.type]));
    return objectText(value, (key) => types.get(key) as Type);
  }
  return writeJson(value);
}

function objectText({ keys, values }: Obj, typeOf: (key: string) => Type): string {
  const members: string[] = [];
  for (const [i, key] of keys.entries()) {
    const value = values[i] ?? null;
    if (value !== null) members.push(`${JSON.stringify(key)}:${columnText(value, typeOf(key))}`);
  }
  return `{${members.join(",")}}`;
}

/** All digits of the scale: `-150e-2` is `-1.50`. */
function decimalText(text: string, scale: number): string {
  if (scale === 0) return text;
  const [, sign = "", unscaled = ""] = /^(-?)([0-9]+)/.exec(text) ?? [];
  const digits = unscaled.padStart(scale + 1, "0");
  return `${sign}${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
}

function timestampText(ms: number, epoch: "s" | "ms" | undefined): string {
  if (epoch === "ms") return String(ms);
  if (epoch === "s") return ms % 1000 === 0 ? String(ms / 1000) : decimalText(`${ms}`, 3);
  return `"${new Date(ms).toISOString()}"`;
}
