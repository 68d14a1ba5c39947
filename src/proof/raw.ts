/** What an object's bytes hold, read anew: records, and bytes that are none. Shares nothing with the converter. */
import { GZIP_LIMITS, RECORD_BYTES, VALUE_BYTES_MAX } from "../limits.js";
import { Cursor } from "./cursor.js";
import { endOfLine, firstLineIsWhole, isMark, isOpener, MARK_BYTES } from "./first-line.js";
import { Damage, type Json, Obj, objectOf, Reader, UNREAD_CHARS, Unread } from "./json.js";
import { isSpace, Scanner } from "./scan.js";
import type { GzipLimits, Source } from "./source.js";

export interface RawLimits extends GzipLimits {
  /** A longer value is no record. */
  recordBytes: number;
}

/** What a run takes unless it is told otherwise. */
export const RAW_LIMITS: RawLimits = {
  recordBytes: RECORD_BYTES,
  objectBytes: GZIP_LIMITS.maxBytes,
  ratio: GZIP_LIMITS.maxRatio,
};

interface Place {
  offset: number;
  sizeBytes: number;
}

export interface RawRecord extends Place {
  kind: "record";
  value: Obj;
  /** The members outside the record path; absent for `$`. */
  envelope?: Obj;
  /** Holds NaN or Infinity, which only a double column takes. */
  hasNonFinite: boolean;
}

/** Bytes that are no record. Long ones come in several pieces, the later of which `goesOn`. */
export interface NonRecord extends Place {
  kind: "none";
  reason: string;
  goesOn?: boolean;
}

/** White space and marks between values, and what stands around the records under a record path. */
export interface Gap extends Place {
  kind: "gap";
}

/** In the order of the bytes, and every byte is in exactly one of them. */
export type RawItem = RawRecord | NonRecord | Gap;

/** Read in pieces of about this size, so that a text of a whole big object never exists beside its bytes. */
const WINDOW_BYTES = 4 * 2 ** 20;

export interface RawOptions {
  /** The keys to the array of records; none for `$`. */
  path: string[];
  limits: RawLimits;
  windowBytes?: number;
  /** Whether a record with NaN or Infinity is one that columns take; none is unless given. */
  isTaken?(value: Obj, envelope: Obj): boolean;
}

/** Reads an opened object. Never throws on data. */
export class RawReader {
  private readonly source: Source;
  private readonly path: string[];
  private readonly isTaken: (value: Obj, envelope: Obj) => boolean;
  private readonly windowBytes: number;
  private readonly recordBytes: number;
  /** A longer value is not looked at: it is no record, and holds none under a record path. */
  private readonly valueBytes: number;
  private readonly cursor: Cursor;
  /** The bytes that items are being read from, and their place in the object. */
  private view: Buffer = Buffer.alloc(0);
  private base = 0;
  /** In the view: where the value or mark that is being read begins, and up to where there are items. */
  private at = 0;
  private done = 0;
  /** What ended the view before its end. */
  private ended: { reason: string; isCut: boolean } | undefined;
  /** Of the arrays in the view, under a record path. */
  private spans: WeakMap<Json[], number[]> | undefined;
  /** In a top-level array, whose elements come one by one. */
  private inArray = false;
  private isAfterElement = false;
  private isLines: boolean | undefined;

  constructor(source: Source, options: RawOptions) {
    const { path, limits, windowBytes = WINDOW_BYTES, isTaken = () => false } = options;
    this.source = source;
    this.path = path;
    this.isTaken = isTaken;
    this.windowBytes = windowBytes;
    this.recordBytes = limits.recordBytes;
    this.valueBytes = path.length > 0 ? VALUE_BYTES_MAX : Math.min(limits.recordBytes, VALUE_BYTES_MAX);
    this.cursor = new Cursor(source);
  }

  /** Each batch is read to its end before the next. */
  async *items(): AsyncGenerator<Iterable<RawItem>> {
    const { cursor, windowBytes } = this;
    try {
      for (;;) {
        await cursor.fill(windowBytes);
        if (cursor.heldBytes === 0) return;
        this.look(Math.min(windowBytes, cursor.heldBytes));
        yield this.values(cursor.isEnd && cursor.heldBytes === this.view.length);
        cursor.drop(this.done);
        const left = this.view.length - this.done;
        if (this.ended && !this.ended.isCut) yield* this.damage(this.ended.reason);
        else if (left > windowBytes / 2) yield* this.longValue();
      }
    } finally {
      await cursor.close();
    }
  }

  /** An item's bytes, as long as its batch is read. */
  bytesOf({ offset, sizeBytes }: RawItem): Buffer {
    return this.view.subarray(offset - this.base, offset - this.base + sizeBytes);
  }

  private look(sizeBytes: number): void {
    this.view = this.cursor.bytes(sizeBytes);
    this.base = this.cursor.at;
    this.at = 0;
    this.done = 0;
    this.ended = undefined;
  }

  /** The values of the view; one that its end cuts off is left, unless this is the last. */
  private *values(isLast: boolean, isLong = false): Generator<RawItem> {
    const text = this.view.toString("latin1");
    this.spans = this.path.length > 0 ? new WeakMap() : undefined;
    const { spans } = this;
    const unreadChars = isLong ? Math.min(UNREAD_CHARS, this.windowBytes / 2) : undefined;
    while (this.at < text.length && !this.ended) {
      const reader = new Reader(text, { spans, isOpen: !isLast, unreadChars });
      reader.at = this.at;
      try {
        yield* this.valuesOf(reader);
        this.at = text.length;
      } catch (error) {
        if (!(error instanceof Damage)) throw error;
        const isCut = !isLast && reader.at >= reader.end;
        if (isCut || !this.isLines) this.ended = { reason: error.reason, isCut };
        else yield* this.damagedLine(error.reason);
      }
    }
    yield* this.gap();
  }

  /** Among lines damage is passed over at once, where its newline is in the view. */
  private *damagedLine(reason: string): Generator<RawItem> {
    const end = endOfLine(this.view, this.at);
    yield* this.gap();
    if (end === this.view.length) this.ended = { reason, isCut: false };
    else {
      yield this.none(this.at, end, reason);
      this.inArray = false;
      this.at = end;
      this.done = end;
    }
  }

  /** Values one after the other, up to the reader's end; byte order marks between them are passed over. */
  private *valuesOf(reader: Reader): Generator<RawItem> {
    for (let code = reader.peek(); !Number.isNaN(code); code = reader.peek()) {
      this.at = reader.at;
      if (code === 0xef) this.skipMark(reader);
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
      } else yield* this.one(reader);
    }
  }

  private skipMark(reader: Reader): void {
    if (isMark(this.view, this.at)) reader.at += MARK_BYTES;
    else if (this.view.length - this.at < MARK_BYTES) throw reader.cut("a mark is cut");
    else throw new Damage("no JSON value");
  }

  /** What lies before the value that is being read. */
  private *gap(): Generator<RawItem> {
    if (this.at > this.done) yield { kind: "gap", ...this.place(this.done, this.at) };
    this.done = Math.max(this.at, this.done);
  }

  /** The value at the reader's place. */
  private *one(reader: Reader): Generator<RawItem> {
    const start = reader.at;
    const value = reader.value();
    if (!this.inArray) checkDelimited(reader, value);
    const end = reader.at;
    yield* this.gap();
    for (const item of this.recordsOf(reader, value, start, end)) {
      this.at = item.offset - this.base;
      yield* this.gap();
      yield item;
      this.done = this.at + item.sizeBytes;
    }
    this.at = end;
    for (const met of [reader.badStrings, reader.loneSurrogates, reader.nonFinites]) met.length = 0;
    this.isAfterElement = true;
  }

  private *recordsOf(reader: Reader, value: Json, start: number, end: number): Generator<RawItem> {
    if (this.path.length === 0) {
      yield this.record(reader, value, start, end, undefined);
      return;
    }
    const found = takePath(value, this.path);
    if (!found) {
      yield this.none(start, end, `no array at the record path ${this.path.join(".")}`);
      return;
    }
    const { items, envelope } = found;
    const spans = (items instanceof Unread ? undefined : this.spans?.get(items)) ?? [];
    const [first, last] =
      items instanceof Unread ? [items.start, items.end] : [spans[0] ?? end, spans.at(-1) ?? end];
    const outside = (at: number) => at < first || at >= last;
    const met = [...reader.badStrings, ...reader.loneSurrogates, ...reader.nonFinites];
    if (met.some(outside)) {
      yield this.none(start, end, "the envelope holds what no valid JSON can give back");
      return;
    }
    const places = () => (items instanceof Unread ? items.places() : placesOf(items, spans));
    // The envelope is given back with its records: where none is one, all of the value is in quarantine.
    if (envelope.keys.length > 0 && !this.hasRecord(reader, places(), envelope)) {
      yield this.none(start, end, "an envelope without a record");
      return;
    }
    for (const place of places()) yield this.element(reader, place, envelope);
  }

  private hasRecord(reader: Reader, elements: Iterable<Element>, envelope: Obj): boolean {
    for (const place of elements) {
      const item = this.element(reader, place, envelope);
      if (item.kind !== "record") continue;
      if (!item.hasNonFinite || this.isTaken(item.value, envelope)) return true;
    }
    return false;
  }

  private element(reader: Reader, { value, start, end }: Element, envelope: Obj): RawItem {
    return this.record(reader, objectOf(value) ?? value, start, end, envelope);
  }

  private record(reader: Reader, value: Json, start: number, end: number, envelope?: Obj): RawItem {
    const inside = (at: number) => at >= start && at < end;
    if (reader.badStrings.some(inside)) return this.none(start, end, "not UTF-8");
    if (!(value instanceof Obj)) return this.none(start, end, "no JSON object");
    if (end - start > this.recordBytes) return this.none(start, end, this.tooLong());
    if (reader.loneSurrogates.some(inside)) return this.none(start, end, "a lone surrogate");
    const hasNonFinite = reader.nonFinites.some(inside);
    return { kind: "record", value, envelope, ...this.place(start, end), hasNonFinite };
  }

  /** A value that is longer than a window: its end is looked for first. */
  private async *longValue(): AsyncGenerator<Iterable<RawItem>> {
    const { cursor } = this;
    const found = await this.endOfValue();
    if ("reason" in found) return yield* this.damage(found.reason);
    if (found.sizeBytes > this.valueBytes) {
      yield* this.nones(this.tooLong(), () => found.sizeBytes - (cursor.at - found.start));
    } else {
      await cursor.fill(found.sizeBytes);
      this.look(found.sizeBytes);
      yield this.values(true, true);
      cursor.drop(this.done);
      if (this.ended) yield* this.damage(this.ended.reason);
    }
    this.isAfterElement = true;
  }

  /** Holds the value's bytes where they are few enough to be looked at. */
  private async endOfValue(): Promise<{ start: number; sizeBytes: number } | { reason: string }> {
    const { cursor, inArray } = this;
    const scanner = new Scanner();
    const start = cursor.at;
    let sizeBytes = 0;
    let end = -1;
    try {
      for await (const piece of cursor.ahead(this.valueBytes)) {
        end = scanner.scan(piece);
        sizeBytes += end < 0 ? piece.length : end;
        if (end < 0) continue;
        if (scanner.isWhole && !inArray && !isDelimiter(piece[end])) return { reason: "no JSON value" };
        break;
      }
    } catch (error) {
      if (!(error instanceof Damage)) throw error;
      return { reason: error.reason };
    }
    if (end < 0 && !scanner.isWhole) return { reason: "a value does not end" };
    return { start, sizeBytes };
  }

  /** What fails goes up to its newline where the object is lines, else up to the end. */
  private async *damage(reason: string): AsyncGenerator<Iterable<RawItem>> {
    this.inArray = false;
    this.isLines ??= await firstLineIsWhole(this.source);
    if (this.isLines) yield* this.nones(reason, (bytes) => endOfLine(bytes));
    else yield* this.nones(reason, () => Number.POSITIVE_INFINITY);
  }

  /** Bytes from the cursor on that are no record, as many of each piece as are told; fewer than a piece are the last. */
  private async *nones(reason: string, take: (bytes: Buffer) => number): AsyncGenerator<Iterable<RawItem>> {
    const { cursor } = this;
    for (let goesOn = false; ; goesOn = true) {
      await cursor.fill(1);
      this.look(Math.min(cursor.heldBytes, this.windowBytes));
      const sizeBytes = Math.min(take(this.view), this.view.length);
      if (sizeBytes > 0) {
        yield [{ kind: "none", ...this.place(0, sizeBytes), reason, ...(goesOn && { goesOn }) }];
      }
      cursor.drop(sizeBytes);
      if (sizeBytes < this.view.length || this.view.length === 0) return;
    }
  }

  private none(start: number, end: number, reason: string): NonRecord {
    return { kind: "none", ...this.place(start, end), reason };
  }

  private place(start: number, end: number): Place {
    return { offset: this.base + start, sizeBytes: end - start };
  }

  private tooLong(): string {
    return `longer than ${this.recordBytes} bytes`;
  }
}

/** Walks to the array; the envelope is what is left of the value beside it. A repeated key on the way is no path. */
function takePath(value: Json, path: string[]): { items: Json[] | Unread; envelope: Obj } | undefined {
  const object = objectOf(value);
  if (!object) return undefined;
  const [key, ...rest] = path;
  const envelope = new Obj();
  let found: Json | undefined;
  for (const [i, name] of object.keys.entries()) {
    const member = object.values[i] ?? null;
    if (name !== key) envelope.set(name, member);
    else if (found !== undefined) return undefined;
    else found = member;
  }
  if (found === undefined || key === undefined) return undefined;
  if (rest.length === 0) {
    const isArray = Array.isArray(found) || (found instanceof Unread && found.isArray);
    return isArray ? { items: found as Json[] | Unread, envelope } : undefined;
  }
  const inner = takePath(found, rest);
  if (!inner) return undefined;
  if (inner.envelope.keys.length > 0) envelope.set(key, inner.envelope);
  return { items: inner.items, envelope };
}

interface Element {
  value: Json;
  start: number;
  end: number;
}

function* placesOf(items: Json[], spans: number[]): Generator<Element, void> {
  for (const [i, value] of items.entries()) {
    yield { value, start: spans[2 * i] as number, end: spans[2 * i + 1] as number };
  }
}

/** A number or a word runs up to white space, a bracket or a quote: `2022-07-26` is not the number 2022. */
function checkDelimited(reader: Reader, value: Json): void {
  if (value instanceof Obj || Array.isArray(value) || typeof value === "string") return;
  const end = reader.at;
  const code = reader.peek();
  if (Number.isNaN(code) && reader.isOpen) throw reader.cut("a value may go on");
  if (reader.at === end && !Number.isNaN(code) && !isOpener(code)) throw new Damage("no JSON value");
  reader.at = end;
}

function isDelimiter(byte: number | undefined): boolean {
  return isSpace(byte) || isOpener(byte);
}
