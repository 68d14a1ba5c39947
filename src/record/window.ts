/** The stretch of a large object that is in memory, and what can be told of it at a glance. */
import { isBlank } from "./blank.js";
import { ValueScan } from "./scan.js";

/** An object's decompressed bytes, wherever they lie. */
export interface Source {
  readonly sizeBytes: number;
  /** Fills `into` with what lies from `start` on. */
  read(start: number, into: Buffer): Promise<void>;
}

export function inMemory(bytes: Buffer): Source {
  return {
    sizeBytes: bytes.length,
    async read(start, into) {
      bytes.copy(into, 0, start);
    },
  };
}

/** One after the other, each in the memory that the one before it was in. */
export async function* stretchesOf(source: Source, stretchBytes: number): AsyncGenerator<Buffer, void> {
  const bytes = Buffer.allocUnsafeSlow(Math.min(stretchBytes, source.sizeBytes));
  for (let start = 0; start < source.sizeBytes; start += stretchBytes) {
    const stretch = bytes.subarray(0, Math.min(stretchBytes, source.sizeBytes - start));
    await source.read(start, stretch);
    yield stretch;
  }
}

/** Offsets are those in the object. */
export class Window {
  start = 0;
  end = 0;
  private bytes = Buffer.alloc(0);
  private readonly source: Source;
  private readonly rangeBytes: number;
  private readonly line = new ValueScan();

  constructor(source: Source, rangeBytes: number) {
    this.source = source;
    this.rangeBytes = rangeBytes;
  }

  /** Whether the object ends with it. */
  get isLast(): boolean {
    return this.end === this.source.sizeBytes;
  }

  /** Reads a range more, and forgets what lies before `from`. */
  async extend(from: number): Promise<void> {
    const { source, bytes, start, end } = this;
    const kept = end - from;
    const moreBytes = Math.min(this.rangeBytes, source.sizeBytes - end);
    if (kept + moreBytes > bytes.length) {
      const ranges = Math.ceil((kept + moreBytes) / this.rangeBytes);
      this.bytes = Buffer.allocUnsafeSlow(ranges * this.rangeBytes);
      bytes.copy(this.bytes, 0, from - start, end - start);
    } else bytes.copyWithin(0, from - start, end - start);
    this.start = from;
    await source.read(end, this.bytes.subarray(kept, kept + moreBytes));
    this.end = end + moreBytes;
  }

  /** Begins anew at `start`. */
  async seek(start: number): Promise<void> {
    this.start = start;
    this.end = start;
    await this.extend(start);
  }

  slice(start: number, end: number): Buffer {
    return this.bytes.subarray(start - this.start, end - this.start);
  }

  byteAt(at: number): number {
    return this.bytes[at - this.start] as number;
  }

  skipBlanks(from: number): number {
    const { bytes } = this;
    const to = this.end - this.start;
    let i = from - this.start;
    while (i < to && isBlank(bytes[i])) i++;
    return this.start + i;
  }

  /** Whether a byte order mark (EF BB BF) stands there; undefined where the window ends too early to tell. */
  markAt(at: number): boolean | undefined {
    const { bytes } = this;
    const i = at - this.start;
    if (bytes[i] !== 0xef) return false;
    if (this.end - at >= MARK_BYTES) return bytes[i + 1] === 0xbb && bytes[i + 2] === 0xbf;
    return this.isLast ? false : undefined;
  }

  /** The next LF or CR (a CR alone ends lines, too). */
  lineEnd(from: number): number | undefined {
    const { bytes } = this;
    const to = this.end - this.start;
    for (let i = from - this.start; i < to; i++)
      if (bytes[i] === LF || bytes[i] === CR) return this.start + i;
    return undefined;
  }

  scan(scan: ValueScan, from: number, to: number): number {
    return this.start + scan.scan(this.bytes, from - this.start, to - this.start);
  }

  /** A number or a word runs up to white space, a bracket or a quote, as an element also to what ends one. */
  isDelimited(scan: ValueScan, end: number, isElement: boolean): boolean {
    if (!scan.isDone || !scan.isOpen || end === this.end) return true;
    const byte = this.byteAt(end);
    return isBlank(byte) || OPENING.has(byte) || (isElement && ENDING.has(byte));
  }

  /**
   * The last place up to `limit`, from `start` on, where a line ends outside of all values: `start` must be such a place
   * in an object of lines. Undefined where there seems to be none.
   *
   * Between two lines that are an object each no value of several lines can go on, since it would have a comma or a colon
   * there; but a top-level array can, in which commas may be missing. So nothing may look like the beginning of one:
   * within a record's values a bracket follows a colon, a comma or a bracket, unless there are blanks, or it is in a text.
   */
  lastLineBetweenObjects(start: number, limit: number): number | undefined {
    const from = start - this.start;
    const bytes = this.bytes.subarray(0, this.end - this.start);
    const before = bytes.subarray(0, limit - this.start);
    for (let i = before.indexOf(OPEN_BRACKET, from); i >= 0; i = before.indexOf(OPEN_BRACKET, i + 1)) {
      if (i === from || !INSIDE.has(bytes[i - 1] as number)) return undefined;
    }
    let border = before.lastIndexOf(LF) + 1;
    for (let tries = 0; tries < LINES_TRIED_MAX && border > from + 1; tries++) {
      const first = Math.max(bytes.lastIndexOf(LF, border - 2) + 1, from);
      const next = bytes.indexOf(LF, border);
      if (next >= 0 && this.isObject(bytes, first, border) && this.isObject(bytes, border, next)) {
        return this.start + border;
      }
      border = first;
    }
    return undefined;
  }

  /** Whether a line is an object, and nothing else. */
  private isObject(bytes: Buffer, from: number, to: number): boolean {
    if (bytes[from] !== 0x7b) return false;
    let end = this.line.begin().scan(bytes, from, to);
    if (!this.line.isDone) return false;
    while (end < to && isBlank(bytes[end])) end++;
    return end === to;
  }
}

/** Whether the first line that is not blank is made of whole values: then the object is lines. */
export class FirstLine {
  /** What is looked at next. */
  at = 0;
  private readonly scan = new ValueScan();
  private hasBegun = false;
  private inValue = false;

  /** Undefined where it goes on behind the window: which then must be extended from `at`. */
  isWhole(window: Window): boolean | undefined {
    const { scan } = this;
    if (!this.hasBegun && !this.begin(window)) return window.isLast ? true : undefined;
    const newline = window.lineEnd(this.at);
    const end = newline ?? window.end;
    for (;;) {
      if (!this.inValue) {
        this.at = Math.min(window.skipBlanks(this.at), end);
        if (this.at === end) break;
        scan.begin();
        this.inValue = true;
      }
      this.at = window.scan(scan, this.at, end);
      if (scan.damage !== undefined || !window.isDelimited(scan, this.at, false)) return false;
      if (!scan.isDone) break;
      this.inValue = false;
    }
    if (newline === undefined && !window.isLast) return undefined;
    if (this.inValue) scan.finish();
    return scan.damage === undefined;
  }

  /** Passes over blank lines, and over byte order marks; false where nothing else has come yet. */
  private begin(window: Window): boolean {
    for (;;) {
      this.at = window.skipBlanks(this.at);
      if (this.at === window.end) return false;
      const mark = window.markAt(this.at);
      if (mark === undefined) return false;
      if (!mark) break;
      this.at += MARK_BYTES;
    }
    this.hasBegun = true;
    return true;
  }
}

const MARK_BYTES = 3;
const LF = 0x0a;
const CR = 0x0d;
const OPEN_BRACKET = 0x5b;
/** What, besides white space, may follow a number or a word: {, [ or a quote. */
const OPENING: ReadonlySet<number> = new Set([0x7b, 0x5b, 0x22]);
/** What ends an element: a comma, ]. */
const ENDING: ReadonlySet<number> = new Set([0x2c, 0x5d]);
/** What comes before a bracket that is not at the top: a colon, a comma, a bracket. */
const INSIDE: ReadonlySet<number> = new Set([0x3a, 0x2c, 0x5b]);
const LINES_TRIED_MAX = 100;
