/** What an object's bytes hold, read again: records, and bytes that are none. Shares nothing with the converter. */
import { RECORD_BYTES, VALUE_BYTES_MAX } from "../limits.js";
import { Cursor } from "./cursor.js";
import {
  CLOSE_ARRAY,
  endOfLine,
  firstLineIsWhole,
  isDelimiter,
  isMark,
  MARK_BYTES,
  OPEN_ARRAY,
} from "./first-line.js";
import { Damage, type Json, Obj, objectOf, Reader, UNREAD_CHARS, Unread } from "./json.js";
import { findLongValue } from "./long-value.js";
import { type Element, placesOf, takePath } from "./record-path.js";
import type { Source } from "./source.js";

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

/** Bytes that are no record. Long ones come in several pieces; the later ones have `goesOn`. */
interface NonRecord extends Place {
  kind: "none";
  reason: string;
  goesOn?: boolean;
}

/** White space and marks between values, and what surrounds the records under a record path. */
interface Gap extends Place {
  kind: "gap";
}

/** Items come in the order of the bytes, and every byte is in exactly one of them. */
export type RawItem = RawRecord | NonRecord | Gap;

/**
 * The size of the pieces that are read, so that a whole large object's text never exists beside its bytes.
 */
const WINDOW_BYTES = 4 * 2 ** 20;

interface RawOptions {
  /** The keys to the array of records; none for `$`. */
  path: string[];
  /** A longer value is no record; `RECORD_BYTES` unless given. */
  maxRecordBytes?: number;
  windowBytes?: number;
  /** Whether the columns take a record with NaN or Infinity. If absent, they take none. */
  isTaken?(value: Obj, envelope: Obj): boolean;
}

/** Reads an opened object. Never throws on data. */
export class RawReader {
  private readonly source: Source;
  private readonly path: string[];
  private readonly isTaken: (value: Obj, envelope: Obj) => boolean;
  private readonly windowBytes: number;
  private readonly maxRecordBytes: number;
  /** A longer value is not looked at: it is no record, and holds none under a record path. */
  private readonly valueBytes: number;
  private readonly cursor: Cursor;
  /** The bytes that items are read from, and their place in the object. */
  private view: Buffer = Buffer.alloc(0);
  private base = 0;
  /** In the view: where the current value or mark begins, and up to where there are items. */
  private at = 0;
  private done = 0;
  /** What ended the view before its end. */
  private ended: { reason: string; isCut: boolean } | undefined;
  /** Of the arrays in the view, if there is a record path. */
  private spans: WeakMap<Json[], number[]> | undefined;
  /** In a top-level array, whose elements come one by one. */
  private inArray = false;
  private isAfterElement = false;
  /**
   * No value has come yet, in the object or in a top-level array. If the first one is damaged, so is what
   * comes before it.
   */
  private isFirst = true;
  private isLines: boolean | undefined;

  constructor(source: Source, options: RawOptions) {
    const { path, maxRecordBytes = RECORD_BYTES, windowBytes = WINDOW_BYTES } = options;
    const { isTaken = () => false } = options;
    this.source = source;
    this.path = path;
    this.isTaken = isTaken;
    this.windowBytes = windowBytes;
    this.maxRecordBytes = maxRecordBytes;
    this.valueBytes = path.length > 0 ? VALUE_BYTES_MAX : Math.min(maxRecordBytes, VALUE_BYTES_MAX);
    this.cursor = new Cursor(source);
  }

  /** Each batch must be read to its end before the next. */
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

  /** An item's bytes, valid as long as its batch is read. */
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

  /** The values of the view. A value that the view's end cuts off is left, unless this is the last view. */
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
        // The array is read again from its bracket on, or passed over.
        if (this.isFirst) this.inArray = false;
        const isCut = !isLast && reader.at >= reader.end;
        if (isCut || !this.isLines) this.ended = { reason: error.reason, isCut };
        else yield* this.damagedLine(error.reason);
      }
    }
    yield* this.gap();
  }

  /** Among lines, damage is passed over at once if its newline is in the view. */
  private *damagedLine(reason: string): Generator<RawItem> {
    const end = endOfLine(this.view, this.at);
    yield* this.gap();
    if (end === this.view.length) this.ended = { reason, isCut: false };
    else {
      yield this.none(this.at, end, reason);
      this.inArray = false;
      this.isFirst = false;
      this.at = end;
      this.done = end;
    }
  }

  /** Values one after the other, up to the reader's end. Skips byte order marks between them. */
  private *valuesOf(reader: Reader): Generator<RawItem> {
    for (let code = reader.peek(); !Number.isNaN(code) || this.isOpened; code = reader.peek()) {
      if (!this.isFirst) this.at = reader.at;
      if (code === 0xef) this.skipMark(reader);
      else if (!this.inArray && code === OPEN_ARRAY) {
        reader.at++;
        this.inArray = true;
        this.isFirst = true;
        this.isAfterElement = false;
      } else if (this.inArray && this.isAfterElement && code === 0x2c) {
        reader.at++;
        this.isAfterElement = false;
      } else if (this.inArray && code === CLOSE_ARRAY) {
        reader.at++;
        this.inArray = false;
        this.isFirst = false;
      } else yield* this.one(reader);
    }
    if (this.isFirst && reader.isOpen) throw reader.cut("no value yet");
  }

  private get isOpened(): boolean {
    return this.isFirst && this.inArray;
  }

  private skipMark(reader: Reader): void {
    if (isMark(this.view, reader.at)) reader.at += MARK_BYTES;
    else if (this.view.length - reader.at < MARK_BYTES) throw reader.cut("a mark is cut");
    else throw new Damage("no JSON value");
  }

  /** What comes before the value that is being read. */
  private *gap(): Generator<RawItem> {
    if (this.at > this.done) yield { kind: "gap", ...this.place(this.done, this.at) };
    this.done = Math.max(this.at, this.done);
  }

  /** The value at the reader's place. */
  private *one(reader: Reader): Generator<RawItem> {
    const start = reader.at;
    const value = reader.value();
    checkDelimited(reader, value, this.inArray);
    const end = reader.at;
    this.isFirst = false;
    this.at = start;
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
    // The envelope is given back with its records. If none is one, all of the value is in quarantine.
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
    if (end - start > this.maxRecordBytes) return this.none(start, end, this.tooLong());
    if (reader.loneSurrogates.some(inside)) return this.none(start, end, "a lone surrogate");
    const hasNonFinite = reader.nonFinites.some(inside);
    return { kind: "record", value, envelope, ...this.place(start, end), hasNonFinite };
  }

  /** A value, with the gap before it, that may be longer than a window. Its end is found first. */
  private async *longValue(): AsyncGenerator<Iterable<RawItem>> {
    const { cursor } = this;
    const found = await findLongValue(cursor, this.inArray, this.valueBytes);
    if (found instanceof Damage) return yield* this.damage(found.reason);
    const { start, end } = found;
    yield* this.stretches(
      () => start - cursor.at,
      (place) => ({ kind: "gap", ...place }),
    );
    this.inArray = found.isElement;
    this.isFirst = false;
    if (end - start > this.valueBytes) yield* this.nones(this.tooLong(), () => end - cursor.at);
    else {
      await cursor.fill(end - start);
      this.look(end - start);
      yield this.values(true, true);
      cursor.drop(this.done);
      if (this.ended) yield* this.damage(this.ended.reason);
    }
    this.isAfterElement = true;
  }

  /** Damage ends at its newline if the object is lines, else with the object. */
  private async *damage(reason: string): AsyncGenerator<Iterable<RawItem>> {
    this.inArray = false;
    this.isFirst = false;
    this.isLines ??= await firstLineIsWhole(this.source);
    if (this.isLines) yield* this.nones(reason, (bytes) => endOfLine(bytes));
    else yield* this.nones(reason, () => Number.POSITIVE_INFINITY);
  }

  /** Bytes from the cursor on that are no record. `take` says how many of each piece. */
  private nones(reason: string, take: (bytes: Buffer) => number): AsyncGenerator<Iterable<RawItem>> {
    return this.stretches(take, (place, goesOn) => ({
      kind: "none",
      ...place,
      reason,
      ...(goesOn && { goesOn }),
    }));
  }

  /**
   * From the cursor on, as many bytes of each piece as `take` says. If these are fewer than the piece, they
   * are the last.
   */
  private async *stretches(
    take: (bytes: Buffer) => number,
    itemAt: (place: Place, goesOn: boolean) => RawItem,
  ): AsyncGenerator<Iterable<RawItem>> {
    const { cursor } = this;
    for (let goesOn = false; ; goesOn = true) {
      await cursor.fill(1);
      this.look(Math.min(cursor.heldBytes, this.windowBytes));
      const sizeBytes = Math.min(take(this.view), this.view.length);
      if (sizeBytes > 0) yield [itemAt(this.place(0, sizeBytes), goesOn)];
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
    return `longer than ${this.maxRecordBytes} bytes`;
  }
}

/** Throws Damage if nothing ends the value: a log line's `2022-07-26` is not the number 2022. */
function checkDelimited(reader: Reader, value: Json, isElement: boolean): void {
  if (value instanceof Obj || Array.isArray(value) || typeof value === "string") return;
  const end = reader.at;
  const code = reader.peek();
  if (Number.isNaN(code) && reader.isOpen) throw reader.cut("a value may go on");
  if (reader.at === end && !Number.isNaN(code) && !isDelimiter(code, isElement)) {
    throw new Damage("no JSON value");
  }
  reader.at = end;
}
