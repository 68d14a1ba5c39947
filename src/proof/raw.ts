/** What an object's bytes hold, read anew: records, and bytes that are none. Shares nothing with the converter. */
import { type Gunzip, gunzipSync } from "node:zlib";
import { reasonOf } from "../errors.js";
import { Damage, type Json, Obj, Reader } from "./json.js";

export interface RawLimits {
  /** A longer value is no record. */
  recordBytes: number;
  /** A gzip object that unpacks to more, or to more than `ratio` times its size, is damaged. */
  objectBytes: number;
  ratio: number;
}

/** What a run takes unless it is told otherwise. */
export const RAW_LIMITS: RawLimits = { recordBytes: 64 * 2 ** 20, objectBytes: 512 * 2 ** 20, ratio: 200 };
/** Up to this no ratio is looked at. */
const SMALL_BYTES = 64 * 2 ** 20;

export interface RawRecord {
  kind: "record";
  value: Obj;
  /** The members outside the record path; absent for `$`. */
  envelope?: Obj;
  offset: number;
  sizeBytes: number;
  /** Holds NaN or Infinity, which only a double column takes. */
  hasNonFinite: boolean;
}

export interface NonRecord {
  kind: "none";
  offset: number;
  sizeBytes: number;
  reason: string;
}

export type RawItem = RawRecord | NonRecord;

export interface RawObject {
  /** What offsets count in: the decompressed bytes, or the stored ones where the gzip is damaged. */
  bytes: Buffer;
  items(): Generator<RawItem>;
}

/** Read in pieces of about this size, so that a text of a whole big object never exists beside its bytes. */
const WINDOW_BYTES = 4 * 2 ** 20;
/** V8 has no longer strings (2^29 - 24 chars on 64 bits). */
const TEXT_BYTES = 2 ** 29 - 24;
const LF = 0x0a;
const CR = 0x0d;

/**
 * Reads an object as the store holds it. `path` are the keys to the array of records; none for `$`.
 * Never throws on data.
 */
export function readRaw(stored: Buffer, path: string[], limits: RawLimits = RAW_LIMITS): RawObject {
  let bytes = stored;
  if (stored[0] === 0x1f && stored[1] === 0x8b) {
    try {
      bytes = unpack(stored, limits);
    } catch (error) {
      const reason = `damaged gzip: ${reasonOf(error)}`;
      return {
        bytes: stored,
        *items() {
          yield { kind: "none", offset: 0, sizeBytes: stored.length, reason };
        },
      };
    }
  }
  return { bytes, items: () => new RawReader(bytes, path, limits).items() };
}

/** Throws on damage. Zeros may follow the last member, as padding; zlib does not look at what follows those. */
function unpack(stored: Buffer, limits: RawLimits): Buffer {
  const maxOutputLength = Math.min(limits.objectBytes, Math.max(SMALL_BYTES, stored.length * limits.ratio));
  const unpacked = gunzipSync(stored, { maxOutputLength, info: true } as object) as unknown;
  const { buffer, engine } = unpacked as { buffer: Buffer; engine: Gunzip };
  if (stored.subarray(engine.bytesWritten).some((byte) => byte !== 0))
    throw new Error("bytes follow its end");
  return buffer;
}

class RawReader {
  private readonly bytes: Buffer;
  private readonly path: string[];
  private readonly limits: RawLimits;
  /** Offset of the value or the mark that is being read. */
  private at = 0;
  /** In a top-level array, whose elements come one by one. */
  private inArray = false;
  private isAfterElement = false;
  private isLines: boolean | undefined;

  constructor(bytes: Buffer, path: string[], limits: RawLimits) {
    this.bytes = bytes;
    this.path = path;
    this.limits = limits;
  }

  *items(): Generator<RawItem> {
    const { bytes } = this;
    let windowBytes = WINDOW_BYTES;
    while (this.at < bytes.length) {
      const base = this.at;
      const end = this.windowEnd(windowBytes);
      const isLast = end === bytes.length || end - base >= TEXT_BYTES;
      yield* this.window(bytes.toString("latin1", base, end), base, isLast);
      // What was left at its end may go on behind the window.
      windowBytes = Math.max(WINDOW_BYTES, 2 * (end - this.at));
    }
  }

  /** The values of a window; the one that its end cuts off is left for the next, unless this is the last. */
  private *window(text: string, base: number, isLast: boolean): Generator<RawItem> {
    const end = base + text.length;
    while (this.at < end) {
      const reader = new Reader(text, { keepSpans: this.path.length > 0 });
      reader.at = this.at - base;
      try {
        yield* this.values(reader, base);
        this.at = end;
      } catch (error) {
        if (!(error instanceof Damage)) throw error;
        if (reader.at >= reader.end && !isLast) return;
        yield this.damage(error.reason);
      }
    }
  }

  /** A window ends behind a newline, so that no number, word, string or mark is cut in two. */
  private windowEnd(windowBytes: number): number {
    const { bytes, at } = this;
    const wanted = Math.min(at + windowBytes, bytes.length, at + TEXT_BYTES);
    if (wanted === bytes.length) return wanted;
    const last = bytes.lastIndexOf(LF, wanted - 1) + 1;
    if (last > at) return last;
    const next = bytes.indexOf(LF, wanted) + 1;
    return Math.min(next === 0 ? bytes.length : next, at + TEXT_BYTES);
  }

  /** What fails goes up to its newline where the object is lines, else up to the end. */
  private damage(reason: string): NonRecord {
    const { bytes, at: start } = this;
    this.isLines ??= this.firstLineIsWhole();
    this.at = this.isLines ? this.endOfLine(start) : bytes.length;
    this.inArray = false;
    return none(start, this.at, reason);
  }

  /** The next LF or CR, or the end. */
  private endOfLine(from: number): number {
    const { bytes } = this;
    let end = from;
    while (end < bytes.length && bytes[end] !== LF && bytes[end] !== CR) end++;
    return end;
  }

  /** Whether the first line with anything in it is values and nothing else. */
  private firstLineIsWhole(): boolean {
    const { bytes } = this;
    let start = 0;
    while (isSpace(bytes[start]) || isMark(bytes, start)) start += isSpace(bytes[start]) ? 1 : MARK_BYTES;
    const end = this.endOfLine(start);
    if (end - start > TEXT_BYTES) return false;
    const reader = new Reader(bytes.toString("latin1", start, end));
    try {
      while (!Number.isNaN(reader.peek())) checkDelimited(reader, reader.value());
      return true;
    } catch (error) {
      if (error instanceof Damage) return false;
      throw error;
    }
  }

  /** Values one after the other, up to the reader's end; byte order marks between them are passed over. */
  private *values(reader: Reader, base: number): Generator<RawItem> {
    for (let code = reader.peek(); !Number.isNaN(code); code = reader.peek()) {
      this.at = base + reader.at;
      if (isMark(this.bytes, this.at)) reader.at += MARK_BYTES;
      else if (!this.inArray && code === 0x5b) {
        reader.at++;
        this.inArray = true;
        this.isAfterElement = false;
      } else if (this.inArray && this.isAfterElement && code === 0x2c) {
        reader.at++;
        this.isAfterElement = false;
      } else if (this.inArray && code === 0x5d) {
        reader.at++;
        this.inArray = false;
      } else yield* this.one(reader, base);
    }
  }

  /** The value at the reader's place. */
  private *one(reader: Reader, base: number): Generator<RawItem> {
    const start = reader.at;
    const value = reader.value();
    if (!this.inArray) checkDelimited(reader, value);
    const end = reader.at;
    yield* this.recordsOf(reader, value, start, end, base);
    for (const met of [reader.badStrings, reader.loneSurrogates, reader.nonFinites]) met.length = 0;
    this.isAfterElement = true;
  }

  private *recordsOf(
    reader: Reader,
    value: Json,
    start: number,
    end: number,
    base: number,
  ): Generator<RawItem> {
    if (this.path.length === 0) {
      yield this.record(reader, value, start, end, base, undefined);
      return;
    }
    const found = value instanceof Obj ? takePath(value, this.path) : undefined;
    const spans = found && reader.spans?.get(found.items);
    if (!found || !spans) {
      yield none(base + start, base + end, `no array at the record path ${this.path.join(".")}`);
      return;
    }
    const [first = end, last = end] = [spans[0], spans.at(-1)];
    const outside = (at: number) => at < first || at >= last;
    const met = [...reader.badStrings, ...reader.loneSurrogates, ...reader.nonFinites];
    if (met.some(outside)) {
      yield none(base + start, base + end, "the envelope holds what no valid JSON can give back");
      return;
    }
    for (const [i, item] of found.items.entries()) {
      const [itemStart = start, itemEnd = end] = [spans[2 * i], spans[2 * i + 1]];
      yield this.record(reader, item, itemStart, itemEnd, base, found.envelope);
    }
  }

  private record(
    reader: Reader,
    value: Json,
    start: number,
    end: number,
    base: number,
    envelope?: Obj,
  ): RawItem {
    const inside = (at: number) => at >= start && at < end;
    if (reader.badStrings.some(inside)) return none(base + start, base + end, "not UTF-8");
    if (!(value instanceof Obj)) return none(base + start, base + end, "no JSON object");
    if (end - start > this.limits.recordBytes) {
      return none(base + start, base + end, `longer than ${this.limits.recordBytes} bytes`);
    }
    if (reader.loneSurrogates.some(inside)) return none(base + start, base + end, "a lone surrogate");
    const hasNonFinite = reader.nonFinites.some(inside);
    return { kind: "record", value, envelope, offset: base + start, sizeBytes: end - start, hasNonFinite };
  }
}

/** Walks to the array; the envelope is what is left of the value beside it. A repeated key on the way is no path. */
function takePath(value: Obj, path: string[]): { items: Json[]; envelope: Obj } | undefined {
  const [key, ...rest] = path;
  const envelope = new Obj();
  let found: Json | undefined;
  for (const [i, name] of value.keys.entries()) {
    const member = value.values[i] ?? null;
    if (name !== key) envelope.set(name, member);
    else if (found !== undefined) return undefined;
    else found = member;
  }
  if (rest.length === 0) return Array.isArray(found) ? { items: found, envelope } : undefined;
  const inner = found instanceof Obj ? takePath(found, rest) : undefined;
  if (!inner || key === undefined) return undefined;
  if (inner.envelope.keys.length > 0) envelope.set(key, inner.envelope);
  return { items: inner.items, envelope };
}

function none(start: number, end: number, reason: string): NonRecord {
  return { kind: "none", offset: start, sizeBytes: end - start, reason };
}

/** A number or a word runs up to white space, a bracket or a quote: `2022-07-26` is not the number 2022. */
function checkDelimited(reader: Reader, value: Json): void {
  if (value instanceof Obj || Array.isArray(value) || typeof value === "string") return;
  const end = reader.at;
  const code = reader.peek();
  if (reader.at === end && !Number.isNaN(code) && code !== 0x7b && code !== 0x5b && code !== 0x22) {
    throw new Damage("no JSON value");
  }
  reader.at = end;
}

/** A byte order mark, EF BB BF. */
function isMark(bytes: Buffer, at: number): boolean {
  return bytes[at] === 0xef && bytes[at + 1] === 0xbb && bytes[at + 2] === 0xbf;
}

const MARK_BYTES = 3;

function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x09 || byte === LF || byte === CR;
}
