/**
 * What a column shows, as canonical text: for the member that it is made of, and for the value in its row.
 * Unlike what it holds (`canon.ts`), this need not be all of the member. Of a list or an object it may be a
 * part, of a time the floor.
 */
import { COLUMN_VALUES_MAX } from "../limits.js";
import type { Column, Field, Type } from "../schema/types.js";
import { holdOf, NonFinite, quoted } from "./canon.js";
import { epochMs, parseTimestamp } from "./instant.js";
import { Joined } from "./joined.js";
import { elementsOf, fold, Instant, type Json, Num, objectOf } from "./json.js";
import { canonicalNumber, numberText, parseDecimal } from "./number.js";
import { parseJson } from "./text.js";

/** Undefined for NULL. */
export type Shown = (value: Json) => string | undefined;

interface Reading {
  zone: string;
  /** Nothing of a row's value is passed over: what the column has twice, or as NULL, is in the text. */
  isRow: boolean;
}

/** `left`: how many values the column takes before it is NULL as a whole. */
type Show = (value: Json, left: { values: number }) => string;

const NULL = "null";

/** Thrown internally if a column is NULL because the record has more values for it than one takes. */
class TooMany {}

export function shownBy({ type, jsonString }: Column, reading: Reading): Shown {
  const show = showOf(type, reading);
  const isParsed = jsonString && !reading.isRow;
  return (value) => {
    const meant = isParsed && typeof value === "string" ? (parseJson(value) ?? null) : value;
    try {
      const text = show(meant, { values: COLUMN_VALUES_MAX });
      return text === NULL ? undefined : text;
    } catch (error) {
      if (error instanceof NonFinite || error instanceof TooMany) return undefined;
      throw error;
    }
  };
}

function showOf(type: Type, reading: Reading): Show {
  const show = notNull(type, reading);
  return (value, left) => {
    if (--left.values < 0) throw new TooMany();
    return value === null ? NULL : show(value, left);
  };
}

function notNull(type: Type, reading: Reading): Show {
  switch (type.kind) {
    case "array":
      return showArray(showOf(type.element, reading));
    case "map":
      return showMap(showOf(type.value, reading), reading.isRow);
    case "struct":
      return showStruct(type.fields, reading);
    case "double":
      return (value) => showDouble(value) ?? NULL;
    case "timestamp":
      return (value) => showTimestamp(value, type.epoch, type.zone ?? reading.zone) ?? NULL;
    default: {
      const hold = holdOf(type, reading.zone);
      return (value) => hold(value) ?? NULL;
    }
  }
}

function showArray(show: Show): Show {
  return (value, left) => {
    const elements = elementsOf(value);
    if (!elements) return NULL;
    const texts = new Joined(",");
    for (const element of elements) texts.push(show(element, left));
    return `[${texts.text()}]`;
  };
}

/** If a record has a key twice, the last one is shown. */
function showMap(show: Show, isRow: boolean): Show {
  return (value, left) => {
    const object = objectOf(value);
    if (!object) return NULL;
    const entries: [key: string, text: string][] = [];
    for (const [i, key] of object.keys.entries()) {
      const member = object.values[i] ?? null;
      if (isRow || member !== null) entries.push([key, show(member, left)]);
    }
    const shown = isRow ? entries : [...new Map(entries)];
    shown.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
    const texts = new Joined(",");
    for (const [key, text] of shown) texts.push(`${quoted(key)}:${text}`);
    return `{${texts.text()}}`;
  };
}

/**
 * If several members belong to one field, the last one is shown. A member that belongs to none is not shown.
 */
function showStruct(fields: readonly Field[], reading: Reading): Show {
  const shows = fields.map((field) => showOf(field.type, reading));
  const exact = new Map(fields.map(({ key }, i) => [key, i]));
  const folded = new Map([...fields.entries()].reverse().map(([i, { key }]) => [fold(key), i]));
  return (value, left) => {
    const object = objectOf(value);
    if (!object) return NULL;
    const texts = new Array<string>(fields.length).fill(NULL);
    for (const [i, key] of object.keys.entries()) {
      const member = object.values[i] ?? null;
      const at = exact.get(key) ?? folded.get(fold(key));
      if (member !== null && at !== undefined) texts[at] = (shows[at] as Show)(member, left);
    }
    return `{${texts.join(",")}}`;
  };
}

/** A number is also shown if the double nearest to it, printed with as many digits, is the number. */
function showDouble(value: Json): string | undefined {
  if (value instanceof Num && !value.isFinite) return value.text;
  const text = numberText(value);
  if (text === undefined) return undefined;
  const double = Number(text);
  const { length } = parseDecimal(text).digits;
  if (!Number.isFinite(double) || length > 17) return undefined;
  const shortest = canonicalNumber(String(double));
  const asLong = length === 0 ? shortest : canonicalNumber(double.toPrecision(length));
  return [shortest, asLong].includes(canonicalNumber(text)) ? shortest : undefined;
}

/** No column takes a number of more digits. */
const DIGITS_MAX = 1000;

function showTimestamp(value: Json, epoch: "s" | "ms" | undefined, zone: string): string | undefined {
  if (value instanceof Instant) return `T${value.ms}`;
  const written = typeof value === "string" ? parseTimestamp(value, zone) : undefined;
  if (written) return `T${written.ms}`;
  const text = epoch && numberText(value);
  if (!text) return undefined;
  const { digits, exponent } = parseDecimal(text);
  if (digits.length > DIGITS_MAX || !Number.isSafeInteger(exponent)) return undefined;
  const counted = epochMs(value, epoch);
  return counted && `T${counted.ms}`;
}
