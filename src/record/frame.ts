/**
 * Framing: finds the records in an object's bytes, and the stretches that are no record. The bytes alone
 * decide the shape: one value a line, several, none delimited at all, top-level arrays, pretty-printed JSON,
 * in any mix.
 */
import { isUtf8 } from "node:buffer";
import type { RecordPath } from "../schema/path.js";
import { skipBlank } from "./blank.js";
import {
  asArray,
  asObject,
  isFiniteJson,
  isWellFormed,
  JsonDamage,
  JsonNumber,
  JsonObject,
  type JsonValue,
  type Parsed,
  parseJson,
  partsOf,
  type Span,
} from "./json.js";
import { otherFormatReason } from "./other-formats.js";

export interface FrameLimits {
  /** A longer record is quarantined. */
  maxRecordBytes: number;
}

/** What is known of bytes that are a piece of a larger object (`cut.ts`). */
export interface Within {
  /** Whether the object is lines, so that damage ends at its newline. */
  areLines?: boolean;
  /** Set if the piece begins with an element of a top-level array. */
  inArray?: boolean;
}

/** State in a top-level array. Its elements come one by one, so a cut-off array keeps what came before. */
export type InArray = "outside" | "opened" | "before an element" | "after an element";

interface Place {
  /** Offset in the bytes given. */
  offset: number;
  sizeBytes: number;
}

/**
 * A value under the record path that holds more than its records. Their rows hold the rest, or nothing does.
 */
export interface Enclosing extends Place {
  /** How many of its records became rows. Whoever makes the rows counts them. */
  rows: number;
  /** Why it goes to quarantine if none did. */
  reason: string;
}

export type Framed =
  | ({ kind: "record"; value: JsonObject; envelope?: JsonObject; within?: Enclosing } & Place)
  | ({ kind: "quarantine"; reason: string; within?: Enclosing } & Place);

/**
 * Yields records and damage in the order of the bytes. Never throws, whatever the bytes are. Returns true if
 * they end inside a top-level array: what follows them is then an element of it.
 */
export function* frameObject(
  bytes: Buffer,
  records: RecordPath,
  limits: FrameLimits,
  within: Within = {},
): Generator<Framed, boolean> {
  const object = new ObjectText(bytes);
  const { text } = object;
  let { areLines } = within;
  let position = 0;
  let array: InArray = within.inArray ? "before an element" : "outside";
  /**
   * Where the damage begins if the next value is damaged. If no value has come yet, that is the beginning of
   * the object. If an array has no element yet, it is the array's bracket, such as that of a log line's
   * `[ERROR]`. Undefined means the value itself. A piece of a larger object has values before it.
   */
  let from = within.areLines || within.inArray ? undefined : 0;
  for (;;) {
    position = object.skip(position);
    if (position >= text.length && array !== "opened") return array !== "outside";
    const char = text[position];
    if (array === "outside" && char === "[") {
      array = "opened";
      from ??= position;
    } else if (array !== "outside" && char === "]") {
      array = "outside";
      from = undefined;
    } else if (array === "after an element" && char === ",") array = "before an element";
    else {
      const parsed = parsedAt(text, position, array !== "outside");
      const start = from ?? position;
      from = undefined;
      if (typeof parsed === "object") {
        if (array !== "outside") array = "after an element";
        yield* framed(object, { start: position, end: parsed.end }, parsed, records, limits);
        position = parsed.end;
        continue;
      }
      areLines ??= firstLineIsWhole(object);
      const newline = areLines ? lineEnd(text, start) : -1;
      const end = newline < 0 ? text.length : newline;
      const other = start === 0 && !areLines ? otherFormatReason(bytes) : undefined;
      yield { kind: "quarantine", reason: other ?? parsed, ...object.place({ start, end }) };
      if (newline < 0) return false;
      array = "outside";
      position = newline;
    }
    position++;
  }
}

/** The value that begins here, or why there is none. */
function parsedAt(text: string, position: number, isElement: boolean): Parsed | string {
  try {
    const parsed = parseJson(text, position);
    return endsThere(text, parsed, isElement) ? parsed : `no JSON: ${UNDELIMITED}`;
  } catch (error) {
    if (error instanceof JsonDamage) return `no JSON: ${error.message}`;
    throw error;
  }
}

/**
 * A number or a word must be followed by white space, an opening bracket or a quote. An element may also be
 * followed by a comma or `]`. So a log line's `2022-07-26` is not the number 2022.
 */
function endsThere(text: string, { value, end }: Parsed, isElement: boolean): boolean {
  const isOpen = value === null || typeof value === "boolean" || value instanceof JsonNumber;
  if (!isOpen || end >= text.length) return true;
  return (isElement ? /[ \t\r\n{["\],]/ : /[ \t\r\n{["]/).test(text[end] as string);
}

/**
 * The bytes as text: UTF-8 if valid, else byte by byte, so that the good neighbours of bad bytes can be read.
 */
class ObjectText {
  readonly text: string;
  private readonly bytes: Buffer;
  private readonly isByteByByte: boolean;
  private readonly isText: boolean;
  private readonly mark: string;
  private from = { position: 0, offset: 0 };

  constructor(bytes: Buffer) {
    this.bytes = bytes;
    const isText = isUtf8(bytes);
    this.isText = isText;
    const text = isText ? bytes.toString("utf8") : bytes.toString("latin1");
    this.text = text;
    this.isByteByByte = !isText || text.length === bytes.length;
    this.mark = isText ? "\ufeff" : "\xef\xbb\xbf";
  }

  /** Skips white space and byte order marks. Files put one after the other also have marks in the middle. */
  skip(from: number): number {
    let position = skipBlank(this.text, from);
    while (this.text.startsWith(this.mark, position))
      position = skipBlank(this.text, position + this.mark.length);
    return position;
  }

  /** A span's place in bytes. Spans mostly come in order, so the text before is not measured again each time. */
  place(span: Span): Place {
    if (this.isByteByByte) return { offset: span.start, sizeBytes: span.end - span.start };
    if (span.start < this.from.position) this.from = { position: 0, offset: 0 };
    const offset = this.from.offset + Buffer.byteLength(this.text.slice(this.from.position, span.start));
    this.from = { position: span.start, offset };
    return { offset, sizeBytes: Buffer.byteLength(this.text.slice(span.start, span.end)) };
  }

  /** The key as this text spells it. */
  spelled(key: string): string {
    return this.isText ? key : Buffer.from(key, "utf8").toString("latin1");
  }

  /**
   * A span's value. If the object is not UTF-8 as a whole, the span is parsed by itself; undefined if it is
   * not UTF-8 either.
   */
  decoded(span: Span, parsed: JsonValue): JsonValue | undefined {
    return this.isText ? parsed : this.parsed(this.bytes.subarray(span.start, span.end));
  }

  /** A span's value without the elements of an array in it; undefined if the rest is not UTF-8. */
  without(span: Span, array: Span, parsed: JsonValue): JsonValue | undefined {
    if (this.isText) return this.decoded(span, parsed);
    const rest = `${this.text.slice(span.start, array.start)}[]${this.text.slice(array.end, span.end)}`;
    return this.parsed(Buffer.from(rest, "latin1"));
  }

  private parsed(bytes: Buffer): JsonValue | undefined {
    return isUtf8(bytes) ? parseJson(bytes.toString("utf8")).value : undefined;
  }
}

/** Frames a whole value: a record, or what holds records under the record path. */
function* framed(
  text: ObjectText,
  span: Span,
  parsed: Parsed,
  records: RecordPath,
  limits: FrameLimits,
): Generator<Framed> {
  const quarantine = (reason: string): Framed => ({ kind: "quarantine", reason, ...text.place(span) });
  if (records.keys.length === 0) return yield element(text, span, parsed.value, parsed, limits);
  const keys = records.keys.map((key) => text.spelled(key));
  const found = asObject(parsed.value);
  if (!found || !followPath(found, keys)) return yield quarantine(`no array at ${records.text}`);
  const array = pathSpan(text.text, span, keys);
  const outside = asObject(text.without(span, array, parsed.value));
  if (outside === undefined) return yield quarantine(NO_UTF8);
  const envelope = followPath(outside, records.keys) as JsonObject;
  if (!parsed.isWellFormed && !isWellFormed(envelope)) return yield quarantine(LONE);
  if (!parsed.isFinite && !isFiniteJson(envelope)) return yield quarantine(NON_FINITE);
  const reason = `no record at ${records.text}`;
  const within = envelope.keys.length > 0 ? { ...text.place(span), rows: 0, reason } : undefined;
  let isEmpty = true;
  for (const part of partsOf(text.text, array.start)) {
    const framed = element(text, part, part.value, parsed, limits);
    yield framed.kind === "record" ? { ...framed, envelope, within } : { ...framed, within };
    isEmpty = false;
  }
  if (isEmpty && within) yield quarantine(reason);
}

/** Frames what should be a record. `whole` is the value that it is, or that contains it. */
function element(
  text: ObjectText,
  span: Span,
  parsed: JsonValue,
  whole: Parsed,
  limits: FrameLimits,
): Framed {
  const place = text.place(span);
  const { sizeBytes } = place;
  const quarantine = (reason: string): Framed => ({ kind: "quarantine", reason, ...place });
  const decoded = text.decoded(span, parsed);
  if (decoded === undefined) return quarantine(NO_UTF8);
  const value = asObject(decoded);
  if (!value) return quarantine(`no JSON object, but ${kindOf(decoded)}`);
  if (!whole.isWellFormed && !isWellFormed(value)) return quarantine(LONE);
  if (sizeBytes > limits.maxRecordBytes) {
    return quarantine(`a record of ${sizeBytes} bytes, more than the limit of ${limits.maxRecordBytes}`);
  }
  return { kind: "record", value, ...place };
}

/**
 * What lies outside the array at the path; undefined if there is no array. A key that occurs twice leads
 * nowhere, because neither value takes precedence.
 */
function followPath(value: JsonObject, keys: readonly string[]): JsonObject | undefined {
  const [key, ...rest] = keys as [string, ...string[]];
  const index = value.keys.lastIndexOf(key);
  const member = index < 0 || value.keys.indexOf(key) < index ? undefined : value.values[index];
  const outside = new JsonObject(
    value.keys.filter((_, i) => i !== index),
    value.values.filter((_, i) => i !== index),
  );
  if (rest.length === 0) return asArray(member) && outside;
  const object = asObject(member);
  const inner = object && followPath(object, rest);
  if (!inner || inner.keys.length === 0) return inner && outside;
  return new JsonObject([...outside.keys, key], [...outside.values, inner]);
}

/** Where the array at the path is. The text was parsed before, and has one. */
function pathSpan(text: string, span: Span, keys: readonly string[]): Span {
  return keys.reduce((inner, key) => {
    for (const part of partsOf(text, inner.start, 0)) if (part.key === key) return part;
    return inner;
  }, span);
}

/** Whether the first line that is not blank is made of whole values. If so, the object is lines. */
function firstLineIsWhole(text: ObjectText): boolean {
  const start = text.skip(0);
  const newline = lineEnd(text.text, start);
  const line = text.text.slice(start, newline < 0 ? text.text.length : newline);
  for (let position = 0; position < line.length; position = skipBlank(line, position)) {
    const parsed = parsedAt(line, position, false);
    if (typeof parsed === "string") return false;
    position = parsed.end;
  }
  return true;
}

/** The next LF or CR, or -1. A CR alone also ends a line. */
function lineEnd(text: string, from: number): number {
  // indexOf would search the whole text for whichever of the two it does not have.
  const newline = /[\r\n]/g;
  newline.lastIndex = from;
  return newline.exec(text)?.index ?? -1;
}

function kindOf(value: JsonValue): string {
  if (asArray(value)) return "an array";
  if (value instanceof JsonNumber) return "a number";
  return typeof value === "string" ? "a string" : String(value);
}

// All damage of one sort has the same reason, so that reasons can be counted.
/** A log line, for example. */
export const UNDELIMITED = "text that begins like a number or a word";
const LONE = "a lone surrogate";
const NO_UTF8 = "invalid UTF-8";
const NON_FINITE = "NaN or Infinity outside of the records";
