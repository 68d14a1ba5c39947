/**
 * The proof's own JSON: a recursive-descent reader that keeps what JSON.parse drops, namely the text of
 * numbers, repeated keys, the order of members and where a value lies.
 */
import { isUtf8 } from "node:buffer";
import { type Json, Num, Obj } from "./values.js";

export { Day, fold, Instant, type Json, Num, Obj } from "./values.js";

/**
 * A large object or array that was checked and not kept. It is read again, one level at a time, because a
 * tree of it would take ten times its text.
 */
export class Unread {
  private readonly text: string;
  /** Its place in the text that the reader was given. */
  readonly start: number;
  readonly end: number;
  private readonly spans: WeakMap<Json[], number[]> | undefined;

  constructor(text: string, start: number, end: number, spans?: WeakMap<Json[], number[]>) {
    this.text = text;
    this.start = start;
    this.end = end;
    this.spans = spans;
  }

  get isArray(): boolean {
    return this.text[this.start] === "[";
  }

  /** The whole value. */
  whole(): Json {
    return this.reader({}).value();
  }

  /** The object's members. Large ones are unread. */
  members(): Obj {
    return this.reader({ unreadChars: UNREAD_CHARS }).value() as Obj;
  }

  /** The array's elements, one by one. */
  *elements(): Generator<Json, void> {
    for (const { value } of this.places()) yield value;
  }

  /** The same, with their places in the text. */
  *places(): Generator<{ value: Json; start: number; end: number }, void> {
    const reader = this.reader({ unreadChars: UNREAD_CHARS });
    reader.at++;
    while (reader.peek() !== 0x5d) {
      const start = reader.at;
      const value = reader.value(1);
      yield { value, start, end: reader.at };
      if (reader.peek() === 0x2c) reader.at++;
    }
  }

  private reader(options: ReaderOptions): Reader {
    const reader = new Reader(this.text, { maxDepth: MAX_DEPTH + 1, spans: this.spans, ...options });
    reader.at = this.start;
    reader.end = this.end;
    return reader;
  }
}

/** The members of an object; undefined if the value is not one. */
export function objectOf(value: Json): Obj | undefined {
  if (value instanceof Unread) return value.isArray ? undefined : value.members();
  return value instanceof Obj ? value : undefined;
}

/** The elements of an array; undefined if the value is not one. */
export function elementsOf(value: Json): Iterable<Json> | undefined {
  if (value instanceof Unread) return value.isArray ? value.elements() : undefined;
  return Array.isArray(value) ? value : undefined;
}

/** An object or array of this many chars is left unread, if the reader is asked to. */
export const UNREAD_CHARS = 2 ** 16;

/** Bytes that are not a JSON value; `reason` says why. Readers throw it, and only their callers catch it. */
export class Damage {
  readonly reason: string;
  constructor(reason: string) {
    this.reason = reason;
  }
}

/** The nesting limit. Deeper values are no records. A reader that recurses must have a limit. */
export const MAX_DEPTH = 1_000;

const PLAIN_STRING = /[^"\\\x00-\x1f\x80-\xff]*"/y;
const NUMBER = /-?(?:0(?![0-9])|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const NON_FINITE = /NaN|-?Infinity/y;
const ESCAPE = /\\(?:u([0-9a-fA-F]{4})|([^u])|)/g;
const ESCAPED: Record<string, string> = {
  '"': '"',
  "\\": "\\",
  "/": "/",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
};

/** How the rest of a number begins if the text ends inside it. */
const OPEN_NUMBER = /^(?:\.|[eE][+-]?)?$/;
/** As long as `-Infinity`, the longest word. */
const WORD_CHARS = 9;

export interface ReaderOptions {
  /** Start and end of each element of an array are kept here, in pairs. */
  spans?: WeakMap<Json[], number[]>;
  maxDepth?: number;
  /** More bytes may follow. */
  isOpen?: boolean;
  /** Objects and arrays of this many chars inside the value come as `Unread`. */
  unreadChars?: number;
}

/**
 * Reads values from bytes that were turned into text, one char a byte (latin1), so that positions in the text
 * are offsets in the bytes. String literals are decoded as UTF-8 one by one. Accepts trailing commas, NaN and
 * Infinity, as DuckDB's JSON reader does, and nothing else that RFC 8259 forbids.
 *
 * If more bytes may follow (`isOpen`) and the text ends inside a value, throws Damage with `at` at the end.
 */
export class Reader {
  at: number;
  end: number;
  private readonly text: string;
  /** Positions of the strings that are not UTF-8, of those with a lone surrogate, and of NaN and Infinity. */
  readonly badStrings: number[] = [];
  readonly loneSurrogates: number[] = [];
  readonly nonFinites: number[] = [];
  /** Whether a comma had nothing after it, which only a lenient reader accepts. */
  hasSpareComma = false;
  private readonly spans: WeakMap<Json[], number[]> | undefined;

  readonly isOpen: boolean;
  private readonly maxDepth: number;
  private unreadChars: number;

  constructor(text: string, options: ReaderOptions = {}) {
    this.text = text;
    this.unreadChars = options.unreadChars ?? Number.POSITIVE_INFINITY;
    this.isOpen = options.isOpen ?? false;
    this.maxDepth = options.maxDepth ?? MAX_DEPTH;
    this.at = 0;
    this.end = text.length;
    this.spans = options.spans;
  }

  /** Skips white space. Returns the next char; NaN at the end. */
  peek(): number {
    const { text, end } = this;
    let at = this.at;
    let code = Number.NaN;
    while (at < end) {
      code = text.charCodeAt(at);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) break;
      at++;
    }
    this.at = at;
    return at < end ? code : Number.NaN;
  }

  /** The value at `at`. Skips white space before it. Throws Damage. */
  value(depth = 0): Json {
    const code = this.peek();
    if (depth > 0 && this.unreadChars < this.end && (code === 0x7b || code === 0x5b)) {
      return this.unreadOrWhole(depth);
    }
    switch (code) {
      case 0x7b:
        return this.object(this.deeper(depth));
      case 0x5b:
        return this.array(this.deeper(depth));
      case 0x22:
        return this.string();
      case 0x74:
        return this.word("true", true);
      case 0x66:
        return this.word("false", false);
      case 0x6e:
        return this.word("null", null);
      default:
        return this.number();
    }
  }

  private unreadOrWhole(depth: number): Json {
    const { unreadChars } = this;
    const start = this.at;
    this.pass(depth);
    if (this.at - start >= unreadChars) return new Unread(this.text, start, this.at, this.spans);
    this.at = start;
    this.unreadChars = Number.POSITIVE_INFINITY;
    const value = this.value(depth);
    this.unreadChars = unreadChars;
    return value;
  }

  /** Reads a value and builds nothing. Throws what `value` throws. */
  private pass(depth: number): void {
    const open = this.peek();
    if (open !== 0x7b && open !== 0x5b) {
      this.value(depth);
      return;
    }
    const inner = this.deeper(depth);
    const close = open === 0x7b ? 0x7d : 0x5d;
    this.at++;
    for (let isFirst = true; ; isFirst = false) {
      const code = this.peek();
      if (code === close) {
        this.hasSpareComma ||= !isFirst;
        break;
      }
      if (open === 0x7b) this.key(code);
      this.pass(inner);
      const next = this.peek();
      if (next !== 0x2c && next !== close) throw this.unexpected("`,` or the end");
      if (next === close) break;
      this.at++;
    }
    this.at++;
  }

  /** A key and its colon. */
  private key(code: number): string {
    if (code !== 0x22) throw this.unexpected("a key or `}`");
    const key = this.string();
    if (this.peek() !== 0x3a) throw this.unexpected("`:`");
    this.at++;
    return key;
  }

  private deeper(depth: number): number {
    if (depth >= this.maxDepth) throw new Damage(`nested deeper than ${this.maxDepth}`);
    return depth + 1;
  }

  private object(depth: number): Obj {
    const object = new Obj();
    this.at++;
    while (true) {
      const code = this.peek();
      if (code === 0x7d && this.at++) {
        this.hasSpareComma ||= object.keys.length > 0;
        return object;
      }
      const key = this.key(code);
      object.set(key, this.value(depth));
      const next = this.peek();
      if (next !== 0x2c && next !== 0x7d) throw this.unexpected("`,` or `}`");
      this.at++;
      if (next === 0x7d) return object;
    }
  }

  private array(depth: number): Json[] {
    const items: Json[] = [];
    const spans: number[] = [];
    this.at++;
    while (true) {
      if (this.peek() === 0x5d && this.at++) {
        this.hasSpareComma ||= items.length > 0;
        break;
      }
      const start = this.at;
      items.push(this.value(depth));
      if (this.spans) spans.push(start, this.at);
      const next = this.peek();
      if (next !== 0x2c && next !== 0x5d) throw this.unexpected("`,` or `]`");
      this.at++;
      if (next === 0x5d) break;
    }
    this.spans?.set(items, spans);
    return items;
  }

  private string(): string {
    const start = this.at + 1;
    PLAIN_STRING.lastIndex = start;
    if (PLAIN_STRING.test(this.text) && PLAIN_STRING.lastIndex <= this.end) {
      this.at = PLAIN_STRING.lastIndex;
      return this.text.slice(start, this.at - 1);
    }
    let at = start;
    let escapes = false;
    let bits = 0;
    while (true) {
      if (at >= this.end) throw this.cut("a string does not end");
      const code = this.text.charCodeAt(at);
      if (code === 0x22) break;
      if (code < 0x20) throw new Damage("a control character in a string");
      bits |= code;
      escapes ||= code === 0x5c;
      at += code === 0x5c ? 2 : 1;
    }
    this.at = at + 1;
    let value = this.text.slice(start, at);
    if (bits > 0x7f) value = this.decode(value, start);
    return escapes ? this.unescape(value, start) : value;
  }

  private decode(text: string, position: number): string {
    const bytes = Buffer.from(text, "latin1");
    if (!isUtf8(bytes)) this.badStrings.push(position);
    return bytes.toString("utf8");
  }

  private unescape(text: string, position: number): string {
    const value = text.replace(ESCAPE, (whole, hex?: string, letter?: string) => {
      if (hex !== undefined) return String.fromCharCode(Number.parseInt(hex, 16));
      const char = ESCAPED[letter ?? ""];
      if (char === undefined) throw new Damage(`\`${whole}\` is no escape`);
      return char;
    });
    // With the flag u, a surrogate matches only if it has no partner.
    if (/\p{Surrogate}/u.test(value)) this.loneSurrogates.push(position);
    return value;
  }

  private number(): Num {
    const start = this.at;
    for (const pattern of [NUMBER, NON_FINITE]) {
      pattern.lastIndex = start;
      if (pattern.test(this.text) && pattern.lastIndex <= this.end) {
        this.at = pattern.lastIndex;
        if (pattern === NON_FINITE) this.nonFinites.push(start);
        else if (this.isOpen && OPEN_NUMBER.test(this.text.slice(this.at, this.at + 3))) {
          throw this.cut("a number may go on");
        }
        return new Num(this.text.slice(start, this.at));
      }
    }
    throw this.noValue();
  }

  private word<T>(word: string, value: T): T {
    if (!this.text.startsWith(word, this.at) || this.at + word.length > this.end) throw this.noValue();
    this.at += word.length;
    return value;
  }

  /** A word, or the beginning of a number, may be cut off. */
  private noValue(): Damage {
    return this.isOpen && this.end - this.at < WORD_CHARS
      ? this.cut("a value is cut")
      : this.unexpected("a value");
  }

  cut(reason: string): Damage {
    this.at = this.end;
    return new Damage(reason);
  }

  private unexpected(wanted: string): Damage {
    return new Damage(this.at >= this.end ? `ends where ${wanted} should be` : `${wanted} is missing`);
  }
}
