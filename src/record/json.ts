/**
 * An exact JSON reader: members keep their order and duplicates, numbers keep their text. It reads RFC 8259,
 * with two leniencies that the rest of the room decides about: it skips trailing commas, and takes NaN and
 * Infinity for numbers whose text is not JSON.
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

/** All members in the order of the text, duplicates included. */
export class JsonObject {
  readonly keys: string[];
  readonly values: JsonValue[];
  constructor(keys: string[], values: JsonValue[]) {
    this.keys = keys;
    this.values = values;
  }
}

/**
 * An array or object of very many values, kept as its text. A tree would take up to fifty times as much
 * memory. Its parts are parsed again each time that they are asked for.
 */
export class JsonText {
  readonly isArray: boolean;
  readonly text: string;
  readonly span: Span;
  constructor(text: string, span: Span) {
    this.text = text;
    this.span = span;
    this.isArray = text[span.start] === "[";
  }

  /** Its members. Arrays and objects in them stay text. */
  opened(): JsonObject {
    const object = new JsonObject([], []);
    for (const { key, value } of partsOf(this.text, this.span.start, 0)) {
      object.keys.push(key);
      object.values.push(value);
    }
    return object;
  }

  *[Symbol.iterator](): Generator<JsonValue> {
    for (const { value } of partsOf(this.text, this.span.start)) yield value;
  }
}

export type JsonValue = null | boolean | string | JsonNumber | JsonValue[] | JsonObject | JsonText;

/** The value as an object; undefined if it is not one. */
export function asObject(value: JsonValue | undefined): JsonObject | undefined {
  if (value instanceof JsonObject) return value;
  return value instanceof JsonText && !value.isArray ? value.opened() : undefined;
}

/** The value's elements; undefined if it is not an array. */
export function asArray(value: JsonValue | undefined): Iterable<JsonValue> | undefined {
  if (Array.isArray(value)) return value;
  return value instanceof JsonText && value.isArray ? value : undefined;
}

/** Why a text is not JSON. */
export class JsonDamage extends Error {}

/** Deeper values are damage: not every reader's stack would hold them. */
export const DEPTH_MAX = 1000;

export interface Parsed {
  value: JsonValue;
  end: number;
  /** False if a string holds a lone surrogate, which UTF-8 cannot write. */
  isWellFormed: boolean;
  /** False if the value contains NaN or Infinity, which JSON cannot write. */
  isFinite: boolean;
}

/** So many values of a text become a tree, some tens of bytes each. After that, arrays and objects stay text. */
const VALUES_MAX = 100_000;
/** An array or object begun before that also becomes text once it has more parts than this. */
const PARTS_MAX = 1000;

/**
 * The value that begins at or after `start`, and where it ends. Skips white space before it. Throws
 * JsonDamage if no JSON value is there.
 */
export function parseJson(text: string, start = 0, maxDepth = DEPTH_MAX, maxValues = VALUES_MAX): Parsed {
  const reader = new Reader(text, start, maxDepth, maxValues);
  const value = reader.value(0);
  return { value, end: reader.position, isWellFormed: reader.isWellFormed, isFinite: reader.isFinite };
}

/** Whether no string in the value, keys included, holds a lone surrogate. */
export function isWellFormed(value: JsonValue): boolean {
  if (typeof value === "string") return !LONE_SURROGATE.test(value);
  if (value instanceof JsonText) return parseJson(value.text, value.span.start, Infinity, 0).isWellFormed;
  if (Array.isArray(value)) return value.every(isWellFormed);
  return (
    !(value instanceof JsonObject) || (value.keys.every(isWellFormed) && value.values.every(isWellFormed))
  );
}

/** Whether no number in the value is NaN or Infinity. */
export function isFiniteJson(value: JsonValue): boolean {
  if (value instanceof JsonNumber) return value.isFinite;
  if (value instanceof JsonText) return parseJson(value.text, value.span.start, Infinity, 0).isFinite;
  if (Array.isArray(value)) return value.every(isFiniteJson);
  return !(value instanceof JsonObject) || value.values.every(isFiniteJson);
}

const LONE_SURROGATE = /\p{Surrogate}/u;

/** A stretch of a text. */
export interface Span {
  start: number;
  end: number;
}

/** An element of an array (its key is empty) or a member of an object. */
interface Part extends Span {
  key: string;
  value: JsonValue;
}

/** The parts of the array or object that begins at `start`, one by one. The text was parsed before. */
export function* partsOf(text: string, start: number, maxValues = VALUES_MAX): Generator<Part, void> {
  const reader = new Reader(text, start, Infinity, maxValues);
  const isObject = reader.peek() === 0x7b;
  const close = isObject ? 0x7d : 0x5d;
  reader.position++;
  while (reader.peek() !== close) {
    const key = isObject ? reader.key() : "";
    reader.peek();
    const from = reader.position;
    const value = reader.value(0);
    yield { key, value, start: from, end: reader.position };
    if (!reader.comma(close)) return;
    reader.valuesLeft = maxValues;
  }
}

class Reader {
  position: number;
  /** How many more values become a tree. */
  valuesLeft: number;
  isWellFormed = true;
  isFinite = true;
  private readonly text: string;
  private readonly maxDepth: number;

  constructor(text: string, position: number, maxDepth: number, maxValues: number) {
    this.text = text;
    this.position = position;
    this.maxDepth = maxDepth;
    this.valuesLeft = maxValues;
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

  /** Skips white space. Returns the next character; NaN at the end. */
  peek(): number {
    const { text } = this;
    let unit = text.charCodeAt(this.position);
    while (unit === 0x20 || unit === 0x0a || unit === 0x0d || unit === 0x09) {
      unit = text.charCodeAt(++this.position);
    }
    return unit;
  }

  private object(depth: number): JsonObject | JsonText {
    if (depth > this.maxDepth) this.fail(`nested deeper than ${this.maxDepth}`);
    const keys: string[] = [];
    const values: JsonValue[] = [];
    const start = this.position;
    let isKept = this.valuesLeft > 0;
    this.position++;
    for (let unit = this.peek(); unit !== 0x7d; unit = this.peek()) {
      if (unit !== 0x22) this.fail("a key was expected");
      const key = this.key();
      const value = this.value(depth);
      if (isKept) {
        keys.push(key);
        isKept = this.keep(values, value);
      }
      if (!this.comma(0x7d)) break;
    }
    this.position++;
    return isKept ? new JsonObject(keys, values) : new JsonText(this.text, { start, end: this.position });
  }

  private array(depth: number): JsonValue[] | JsonText {
    if (depth > this.maxDepth) this.fail(`nested deeper than ${this.maxDepth}`);
    const values: JsonValue[] = [];
    const start = this.position;
    let isKept = this.valuesLeft > 0;
    this.position++;
    for (let unit = this.peek(); unit !== 0x5d; unit = this.peek()) {
      const value = this.value(depth);
      if (isKept) isKept = this.keep(values, value);
      if (!this.comma(0x5d)) break;
    }
    this.position++;
    return isKept ? values : new JsonText(this.text, { start, end: this.position });
  }

  /** Returns false once only the text of these values is kept. */
  private keep(values: JsonValue[], value: JsonValue): boolean {
    values.push(value);
    if (this.valuesLeft-- > 0 || values.length <= PARTS_MAX) return true;
    values.length = 0;
    return false;
  }

  /** A key and its colon. */
  key(): string {
    const key = this.string();
    if (this.peek() !== 0x3a) this.fail("a colon was expected");
    this.position++;
    return key;
  }

  /** Skips a comma. Returns false at the closing character, which it leaves. */
  comma(close: number): boolean {
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
    const start = this.position;
    let position = start + 1;
    let hasEscapes = false;
    for (;;) {
      const unit = text.charCodeAt(position);
      if (unit === 0x22) {
        this.position = position + 1;
        return hasEscapes ? this.unescaped(start) : text.slice(start + 1, position);
      }
      if (unit === 0x5c) {
        hasEscapes = true;
        position++;
      } else if (!(unit >= 0x20)) {
        this.position = position;
        this.fail(position >= text.length ? "the text ends in a string" : "a control character in a string");
      }
      position++;
    }
  }

  private unescaped(start: number): string {
    try {
      const value = JSON.parse(this.text.slice(start, this.position)) as string;
      if (LONE_SURROGATE.test(value)) this.isWellFormed = false;
      return value;
    } catch {
      this.position = start;
      return this.fail("an escape that JSON does not have, or a control character in a string");
    }
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
      if (text[position] === "I") return this.nonFinite("-Infinity");
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
    const { text, position } = this;
    const isWhole = text.startsWith(word, position);
    // A word cut off by the end of the text may have been whole: the damage is then that the text ends early.
    if (isWhole || word.startsWith(text.slice(position, position + word.length)))
      this.position += word.length;
    if (!isWhole) this.fail("a value was expected");
    return value;
  }

  private nonFinite(word: string): JsonNumber {
    this.isFinite = false;
    return this.literal(word, new JsonNumber(word));
  }

  private fail(reason: string): never {
    const isEnd = this.position >= this.text.length;
    throw new JsonDamage(isEnd && !reason.startsWith("the text ends") ? "the text ends early" : reason);
  }
}

/** Reads the text of `_rescued_data`, in which an envelope lies one level deeper than in its object. */
export function parseRescued(text: string): JsonObject {
  return asObject(parseJson(text, 0, DEPTH_MAX + 1).value) as JsonObject;
}
