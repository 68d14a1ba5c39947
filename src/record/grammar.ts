/**
 * The fast way: a grammar compiled from the schema. It accepts a line only if the columns hold every member
 * of it without loss, and the engine's own JSON reader gives exactly those values. Everything else goes the
 * exact way, so the grammar may be as narrow as it likes, but never too wide.
 *
 * Lines are matched as Latin-1 text of UTF-8 bytes that were checked natively before, so bytes from 0x80 on
 * occur only in strings. The first character tells each alternative from the next, so matching never
 * backtracks far.
 */
import { fold } from "../schema/names.js";
import { type Column, type Field, RESCUED_COLUMN, type Schema, type Type } from "../schema/types.js";

/** Any JSON string without control characters and lone surrogates. */
const STRING = (() => {
  const plain = String.raw`[^"\\\x00-\x1f]*`;
  const unit = String.raw`u(?:[0-9a-cA-CefEF][0-9a-fA-F]{3}|[dD][0-7][0-9a-fA-F]{2}|[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})`;
  return String.raw`"${plain}(?:\\(?:["\\/bfnrt]|${unit})${plain})*"`;
})();

/** Integers of at most 18 digits, which fit a bigint. `-0` is left to the exact way. */
const BIGINT = "(?:0|-?[1-9][0-9]{0,17})";
/** At most 9 digits, which fit an int. */
const INT = "(?:0|-?[1-9][0-9]{0,8})";
/** At most 15 significant digits: the nearest double gives back every such decimal. */
const DOUBLE =
  "(?:0|-?[1-9][0-9]{0,14}(?![0-9.])|-?(?:0|[1-9][0-9]{0,4})\\.[0-9]{1,10}|-?[1-9][0-9]{0,8}\\.[0-9]{1,6})";
/**
 * The same, written as a double is printed: no zero at the end, and no small fraction that takes an exponent.
 */
const PRINTED_DOUBLE = "(?:0|-?[1-9][0-9]{0,14}(?![0-9.])|-?[1-9][0-9]{0,8}\\.[0-9]{0,5}[1-9])";

/** How JSON is written: plainly, or inside a string. */
interface Notation {
  string: string;
  quote: string;
  /** What may follow a colon or a comma. */
  gap: string;
  /** Inside a string (`json: string`) the text must be given back: only its one compact spelling is accepted. */
  isInString: boolean;
}

const PLAIN: Notation = { string: STRING, quote: '"', gap: " ?", isInString: false };
const IN_STRING: Notation = {
  string: String.raw`\\"[^"\\\x00-\x1f]*\\"`,
  quote: String.raw`\\"`,
  gap: "",
  isInString: true,
};

/**
 * Dates of the Gregorian calendar from 1700 to 2199. 29 February only in years that surely are leap years.
 */
const DATE = (() => {
  const years = "(?:1[7-9]|2[01])[0-9]{2}";
  const leap = "(?:1[7-9]|2[01])(?:0[48]|[2468][048]|[13579][26])";
  const day = [
    "(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])",
    "(?:0[13-9]|1[0-2])-(?:29|30)",
    "(?:0[13578]|1[02])-31",
  ].join("|");
  return `(?:${years}-(?:${day})|${leap}-02-29)`;
})();
const TIME = "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,3})?";
const OFFSET = "(?:Z|[+-](?:0[0-9]|1[0-3]):?[0-5][0-9])";

/** Members per object and levels of nesting that are compiled. Wider or deeper schemas go the exact way. */
const MEMBERS_MAX = 400;
const DEPTH_MAX = 8;
const VARIANTS_MAX = 8;
/** A larger pattern takes seconds to compile, or cannot be compiled. Keys may have any length. */
const PATTERN_CHARS_MAX = 400_000;

/** A line may end in blanks or a carriage return. */
const LINE_END = String.raw`[ \t\r]*\n`;

export class Grammar {
  /** The members that it knows, by key as written in the record. */
  private readonly members: Map<string, string>;
  private variants: RegExp[] = [];
  private readonly tried = new Set<string>();

  /** `zone`: timestamps without a zone are accepted only under UTC. */
  constructor(schema: Schema, zone: string) {
    this.members = memberPatterns(schema, zone);
    const keys = [...this.members.keys()];
    if (keys.length <= MEMBERS_MAX) this.addVariant(keys);
  }

  /** The end of the line that begins at `start` (after its newline), or -1 if the line is not accepted. */
  accept(text: string, start: number): number {
    for (let i = 0; i < this.variants.length; i++) {
      const variant = this.variants[i] as RegExp;
      variant.lastIndex = start;
      if (matches(variant, text)) {
        if (i > 0) this.prefer(i);
        return variant.lastIndex;
      }
    }
    return -1;
  }

  /**
   * Learns the key order of a record that had to go the exact way, so that the next such line is accepted.
   */
  learn(keys: readonly string[]): void {
    if (this.variants.length >= VARIANTS_MAX || keys.length === 0 || keys.length > MEMBERS_MAX) return;
    const id = JSON.stringify(keys);
    if (this.tried.has(id) || this.tried.size > 1000) return;
    this.tried.add(id);
    if (new Set(keys).size !== keys.length || !keys.every((key) => this.members.has(key))) return;
    this.addVariant(keys);
  }

  private addVariant(keys: readonly string[]): void {
    const members = keys.map((key) => [key, this.members.get(key) as string] as const);
    const pattern = objectPattern(members, PLAIN);
    if (pattern.length > PATTERN_CHARS_MAX) return;
    this.variants.push(new RegExp(pattern + LINE_END, "y"));
  }

  private prefer(index: number): void {
    const [variant] = this.variants.splice(index, 1);
    this.variants.unshift(variant as RegExp);
  }
}

/** A value of millions of escapes or elements overflows the matcher's stack. The exact way takes it. */
function matches(pattern: RegExp, text: string): boolean {
  try {
    return pattern.test(text);
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}

/**
 * The plain column that a derived one is read from, and the fields on the way to it; undefined if no plain
 * column contains it.
 */
export function ownerOf(column: Column, schema: Schema): { column: Column; fields: Field[] } | undefined {
  const owner = schema.columns.find((other) => !other.derived && other.path[0] === column.path[0]);
  if (!owner || column.envelope || column.jsonString) return undefined;
  // The whole member is the text, not what the text says.
  if (owner.jsonString && column.path.length === 1) return undefined;
  const fields: Field[] = [];
  let type = owner.type;
  for (const key of column.path.slice(1)) {
    if (type.kind !== "struct") return undefined;
    const field = type.fields.find((candidate) => candidate.key === key);
    if (!field) return undefined;
    fields.push(field);
    type = field.type;
  }
  return sameType(type, column.type) ? { column: owner, fields } : undefined;
}

function memberPatterns(schema: Schema, zone: string): Map<string, string> {
  const folded = new Set<string>();
  const members = new Map<string, string>();
  const blocked = new Set<string>();
  for (const column of schema.columns) {
    if (column.derived && !column.envelope && ownerOf(column, schema) === undefined) {
      blocked.add(fold(column.path[0] as string));
    }
  }
  for (const column of schema.columns) {
    const key = column.path[0] as string;
    if (column.derived || folded.has(fold(key))) continue;
    folded.add(fold(key));
    if (blocked.has(fold(key)) || !isPlainKey(key)) continue;
    const pattern = column.jsonString
      ? jsonStringPattern(column.type, zone)
      : valuePattern(column.type, zone, 0, PLAIN);
    if (pattern !== undefined) members.set(key, pattern);
  }
  return members;
}

/**
 * The engine names columns by key. A key that it cannot name, or that means something here, goes the exact
 * way.
 */
function isPlainKey(key: string): boolean {
  return (
    key !== "" && key.length <= KEY_CHARS_MAX && fold(key) !== RESCUED_COLUMN && !/[\x00-\x1f]/.test(key)
  );
}

/** The compiler of regular expressions refuses a literal of tens of thousands of characters. */
const KEY_CHARS_MAX = 1000;

/** Returns undefined if values of this type always go the exact way. */
function valuePattern(type: Type, zone: string, depth: number, notation: Notation): string | undefined {
  if (depth > DEPTH_MAX) return undefined;
  const { isInString, string, quote, gap } = notation;
  const orNull = isInString ? "" : "|null";
  switch (type.kind) {
    case "boolean":
      return `(?:true|false${orNull})`;
    case "int":
      return `(?:${INT}${orNull})`;
    case "bigint":
      return `(?:${BIGINT}${orNull})`;
    case "double":
      return isInString ? PRINTED_DOUBLE : `(?:${DOUBLE}|null)`;
    case "string":
      return isInString ? string : `(?:${string}|${BIGINT}|true|false|null)`;
    case "array": {
      const element = valuePattern(type.element, zone, depth + 1, notation);
      return element && String.raw`(?:\[(?:${element}(?:,${gap}${element})*)?\]${orNull})`;
    }
    case "struct": {
      const object = structPattern(type.fields, zone, depth, notation);
      return object && `(?:${object}${orNull})`;
    }
    case "date":
      return isInString ? undefined : `(?:${quote}${DATE}${quote}|null)`;
    case "timestamp":
      return isInString ? undefined : timestampPattern(type, zone, depth);
    case "decimal":
      return isInString ? undefined : decimalPattern(type.precision, type.scale);
    case "map":
      return undefined;
  }
}

function timestampPattern(
  type: Extract<Type, { kind: "timestamp" }>,
  zone: string,
  depth: number,
): string | undefined {
  if (type.epoch) return undefined;
  const isUtc = (type.zone ?? zone) === "UTC";
  // The engine's cast of a nested text would drop an offset, so below the top only UTC is accepted.
  if (depth > 0) return isUtc ? `(?:"${DATE}[T ]${TIME}Z?"|null)` : undefined;
  return `(?:"${DATE}[T ]${TIME}${OFFSET}${isUtc ? "?" : ""}"|null)`;
}

/**
 * In the engine, a JSON number reaches a decimal through a double: only integers of up to 15 digits are safe.
 */
function decimalPattern(precision: number, scale: number): string | undefined {
  const digits = Math.min(precision - scale, 15);
  return digits < 1 ? undefined : `(?:0|-?[1-9][0-9]{0,${digits - 1}}|null)`;
}

/** A string that holds a struct's JSON, written compactly: `"{\"a\":1}"`. */
function jsonStringPattern(type: Type, zone: string): string | undefined {
  if (type.kind !== "struct") return undefined;
  const object = structPattern(type.fields, zone, 0, IN_STRING);
  return object && `(?:"${object}"|null)`;
}

function structPattern(fields: Field[], zone: string, depth: number, notation: Notation): string | undefined {
  if (fields.length > MEMBERS_MAX || new Set(fields.map((field) => fold(field.key))).size < fields.length) {
    return undefined;
  }
  const members: (readonly [string, string])[] = [];
  for (const field of fields) {
    const pattern = valuePattern(field.type, zone, depth + 1, notation);
    // A struct's reader also names members by key, so a key that is not the field's name goes the exact way.
    if (pattern !== undefined && field.key === field.name && field.key.length <= KEY_CHARS_MAX)
      members.push([field.key, pattern]);
  }
  return objectPattern(members, notation);
}

/** An object with these members in this order, each of them optional. A comma precedes all but the first. */
function objectPattern(members: (readonly [string, string])[], notation: Notation): string {
  const { quote, gap } = notation;
  const written = members.map(
    ([key, value]) => String.raw`(?:(?:,${gap}|(?<=\{))${keyPattern(key, quote)}:${gap}${value})?`,
  );
  return String.raw`\{(?!,)${written.join("")}\}`;
}

/** The key as JSON text, its UTF-8 bytes seen as Latin-1, escaped for a regular expression. */
function keyPattern(key: string, quote: string): string {
  const text = Buffer.from(JSON.stringify(key).slice(1, -1), "utf8").toString("latin1");
  return quote + text.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&") + quote;
}

function sameType(a: Type, b: Type): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
