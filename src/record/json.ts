/**
 * An exact JSON reader and writer: members keep their order and their duplicates, numbers their text. RFC 8259, and
 * two leniencies that the rest of the room decides about: trailing commas are passed over, NaN and Infinity are
 * numbers whose text is no JSON.
 */

/** A number by its text, such as `1.10` or `1E5`; also `NaN`, `Infinity` and `-Infinity`. */
export class JsonNumber {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }

  get isFinite(): boolean {
    const last = this.text.charCodeAt(this.text.length - 1);
    return last >= 0x30 && last <= 0x39;
  }
}

/** All members in the order of the text, duplicates too. */
export class JsonObject {
  readonly keys: string[];
  readonly values: JsonValue[];
  constructor(keys: string[], values: JsonValue[]) {
    this.keys = keys;
    this.values = values;
  }
}

export type JsonValue = null | boolean | string | JsonNumber | JsonValue[] | JsonObject;

/** Why a text is no JSON, and where (characters from its start). */
export class JsonDamage extends Error {
  readonly position: number;
  constructor(reason: string, position: number) {
    super(reason);
    this.position = position;
  }
}

/** Deeper values are damage; the stack would not hold them in every reader. */
export const DEPTH_MAX = 1000;

export interface Parsed {
  value: JsonValue;
  end: number;
  /** False where some string holds a lone surrogate, which no UTF-8 can write. */
  isWellFormed: boolean;
  /** False where NaN or Infinity is in it, which no JSON can write. */
  isFinite: boolean;
}

/** The value that begins at or after `start` (white space before it is passed over), and where it ends. */
export function parseJson(text: string, start = 0, maxDepth = DEPTH_MAX): Parsed {
  const reader = new Reader(text, start, maxDepth);
  const value = reader.value(0);
  return { value, end: reader.position, isWellFormed: reader.isWellFormed, isFinite: reader.isFinite };
}

/** Whether no string in the value, keys included, holds a lone surrogate. */
export function isWellFormed(value: JsonValue): boolean {
  if (typeof value === "string") return !LONE_SURROGATE.test(value);
  if (Array.isArray(value)) return value.every(isWellFormed);
  return (
    !(value instanceof JsonObject) || (value.keys.every(isWellFormed) && value.values.every(isWellFormed))
  );
}

/** Whether no number in the value is NaN or Infinity. */
export function isFiniteJson(value: JsonValue): boolean {
  if (value instanceof JsonNumber) return value.isFinite;
  if (Array.isArray(value)) return value.every(isFiniteJson);
  return !(value instanceof JsonObject) || value.values.every(isFiniteJson);
}

const LONE_SURROGATE = /\p{Surrogate}/u;

/** Where something stands in a text. */
export interface Span {
  start: number;
  end: number;
}

/** The spans of the elements of the array that begins at `start`. The text was parsed before. */
export function elementSpans(text: string, start: number): Span[] {
  return new Reader(text, start).elements();
}

/** Where the last value of this key begins in the object that begins at `start`. The text was parsed before. */
export function memberStart(text: string, start: number, key: string): number {
  return new Reader(text, start).member(key);
}

class Reader {
  position: number;
  isWellFormed = true;
  isFinite = true;
  private readonly text: string;
  private readonly maxDepth: number;

  constructor(text: string, position: number, maxDepth = DEPTH_MAX) {
    this.text = text;
    this.position = position;
    this.maxDepth = maxDepth;
  }

  value(depth: number): JsonValue {
    const unit = this.peek();
    switch (unit) {
      case 0x22:
        return this.string();
      case 0x7b:
        return this.object(depth + 1);
      case 0x5b:
        return this.array(depth + 1);
      case 0x74:
        return this.literal("true", true);
      case 0x66:
        return this.literal("false", false);
      case 0x6e:
        return this.literal("null", null);
      case 0x4e:
        return this.nonFinite("NaN");
      case 0x49:
        return this.nonFinite("Infinity");
      default:
        return this.number(unit);
    }
  }

  elements(): Span[] {
    const spans: Span[] = [];
    this.peek();
    this.position++;
    for (let unit = this.peek(); unit !== 0x5d; unit = this.peek()) {
      const start = this.position;
      this.value(0);
      spans.push({ start, end: this.position });
      if (!this.comma(0x5d)) break;
    }
    return spans;
  }

  member(key: string): number {
    let found = -1;
    this.peek();
    this.position++;
    for (let unit = this.peek(); unit !== 0x7d; unit = this.peek()) {
      const name = this.string();
      this.peek();
      this.position++;
      this.peek();
      if (name === key) found = this.position;
      this.value(0);
      if (!this.comma(0x7d)) break;
    }
    return found;
  }

  /** The first character that is no white space; NaN at the end. */
  private peek(): number {
    const { text } = this;
    let unit = text.charCodeAt(this.position);
    while (unit === 0x20 || unit === 0x0a || unit === 0x0d || unit === 0x09) {
      unit = text.charCodeAt(++this.position);
    }
    return unit;
  }

  private object(depth: number): JsonObject {
    if (depth > this.maxDepth) this.fail(`nested deeper than ${this.maxDepth}`);
    const keys: string[] = [];
    const values: JsonValue[] = [];
    this.position++;
    for (let unit = this.peek(); unit !== 0x7d; unit = this.peek()) {
      if (unit !== 0x22) this.fail("a key was expected");
      keys.push(this.string());
      if (this.peek() !== 0x3a) this.fail("a colon was expected");
      this.position++;
      values.push(this.value(depth));
      if (!this.comma(0x7d)) break;
    }
    this.position++;
    return new JsonObject(keys, values);
  }

  private array(depth: number): JsonValue[] {
    if (depth > this.maxDepth) this.fail(`nested deeper than ${this.maxDepth}`);
    const values: JsonValue[] = [];
    this.position++;
    for (let unit = this.peek(); unit !== 0x5d; unit = this.peek()) {
      values.push(this.value(depth));
      if (!this.comma(0x5d)) break;
    }
    this.position++;
    return values;
  }

  /** Passes over a comma; false at the closing character, which is left. */
  private comma(close: number): boolean {
    const unit = this.peek();
    if (unit === 0x2c) {
      this.position++;
      return true;
    }
    if (unit !== close) this.fail("a comma was expected");
    return false;
  }

  private string(): string {
    const { text } = this;
    const start = this.position + 1;
    let position = start;
    for (;;) {
      const unit = text.charCodeAt(position);
      if (unit === 0x22) {
        this.position = position + 1;
        return text.slice(start, position);
      }
      if (unit === 0x5c) return this.escapedString(start, position);
      if (!(unit >= 0x20)) {
        this.position = position;
        this.fail(position >= text.length ? "the text ends in a string" : "a control character in a string");
      }
      position++;
    }
  }

  /** From the first backslash on: unescaped stretches are copied whole. */
  private escapedString(start: number, firstEscape: number): string {
    const { text } = this;
    let result = text.slice(start, firstEscape);
    let position = firstEscape;
    let pendingHigh = false;
    for (;;) {
      const unit = text.charCodeAt(position);
      if (unit === 0x5c) {
        this.position = position;
        const escaped = this.escape(position + 1);
        const code = escaped.charCodeAt(0);
        const isLow = code >= 0xdc00 && code <= 0xdfff;
        if (isLow !== pendingHigh) this.isWellFormed = false;
        pendingHigh = code >= 0xd800 && code <= 0xdbff;
        result += escaped;
        position = this.position;
        continue;
      }
      if (pendingHigh) this.isWellFormed = false;
      pendingHigh = false;
      if (unit === 0x22) {
        this.position = position + 1;
        return result;
      }
      const stretch = position;
      let next = unit;
      while (next >= 0x20 && next !== 0x22 && next !== 0x5c) next = text.charCodeAt(++position);
      result += text.slice(stretch, position);
      if (!(next >= 0x20)) {
        this.position = position;
        this.fail(position >= text.length ? "the text ends in a string" : "a control character in a string");
      }
    }
  }

  /** What stands for `\x`; leaves the position after it. */
  private escape(position: number): string {
    const letter = this.text[position] ?? "";
    if (letter === "u") {
      const digits = this.text.slice(position + 1, position + 5);
      if (!/^[0-9a-fA-F]{4}$/.test(digits)) this.fail("a \\u without four hexadecimal digits");
      this.position = position + 5;
      return String.fromCharCode(Number.parseInt(digits, 16));
    }
    const plain = ESCAPES[letter];
    if (plain === undefined) this.fail("an unknown escape");
    this.position = position + 1;
    return plain as string;
  }

  private number(first: number): JsonNumber {
    const { text } = this;
    const start = this.position;
    let position = start;
    const digits = () => {
      const from = position;
      let unit = text.charCodeAt(position);
      while (unit >= 0x30 && unit <= 0x39) unit = text.charCodeAt(++position);
      if (position === from) {
        this.position = position;
        this.fail(start === from ? "a value was expected" : "a digit was expected");
      }
    };
    if (first === 0x2d) {
      position++;
      if (text.startsWith("Infinity", position)) return this.nonFinite("-Infinity");
    }
    const leading = position;
    digits();
    if (text.charCodeAt(leading) === 0x30 && position > leading + 1) {
      this.position = leading;
      this.fail("a number with a leading zero");
    }
    if (text.charCodeAt(position) === 0x2e) {
      position++;
      digits();
    }
    const unit = text.charCodeAt(position);
    if (unit === 0x65 || unit === 0x45) {
      const sign = text.charCodeAt(++position);
      if (sign === 0x2b || sign === 0x2d) position++;
      digits();
    }
    this.position = position;
    return new JsonNumber(text.slice(start, position));
  }

  private literal<T extends JsonValue>(word: string, value: T): T {
    if (!this.text.startsWith(word, this.position)) this.fail("a value was expected");
    this.position += word.length;
    return value;
  }

  private nonFinite(word: string): JsonNumber {
    this.isFinite = false;
    return this.literal(word, new JsonNumber(word));
  }

  private fail(reason: string): never {
    const isEnd = this.position >= this.text.length;
    throw new JsonDamage(
      isEnd && !reason.startsWith("the text ends") ? "the text ends early" : reason,
      this.position,
    );
  }
}

const ESCAPES: Record<string, string> = {
  '"': '"',
  "\\": "\\",
  "/": "/",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
};

/** Compact JSON; numbers with their own text. Throws JsonDamage for NaN and Infinity, which JSON cannot write. */
export function writeJson(value: JsonValue): string {
  if (value === null || typeof value === "boolean") return String(value);
  if (typeof value === "string") return JSON.stringify(value);
  if (value instanceof JsonNumber) {
    if (!value.isFinite) throw new JsonDamage(`${value.text} outside a double column`, 0);
    return value.text;
  }
  if (Array.isArray(value)) return `[${value.map(writeJson).join(",")}]`;
  return `{${value.keys.map((key, i) => `${JSON.stringify(key)}:${writeJson(value.values[i] ?? null)}`).join(",")}}`;
}

/** Reads a text of `_rescued_data`, in which an envelope lies a level deeper than in its object. */
export function parseRescued(text: string): JsonObject {
  return parseJson(text, 0, DEPTH_MAX + 1).value as JsonObject;
}
