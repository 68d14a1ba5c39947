/** The stretch of a large object that is in memory, and what can be seen of it at a glance. */
import { isBlank } from "./blank.js";
import { ValueScan } from "./scan.js";

/** An object's decompressed bytes, wherever they are. */
export interface Source {
  readonly sizeBytes: number;
  /** Fills `into` with the bytes from `start` on. */
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

/** The source's stretches, in order. Each reuses the memory of the one before. */
export async function* stretchesOf(source: Source, stretchBytes: number): AsyncGenerator<Buffer, void> {
  const bytes = Buffer.allocUnsafeSlow(Math.min(stretchBytes, source.sizeBytes));
  for (let start = 0; start < source.sizeBytes; start += stretchBytes) {
    const stretch = bytes.subarray(0, Math.min(stretchBytes, source.sizeBytes - start));
    await source.read(start, stretch);
    yield stretch;
  }
}

/** All offsets are offsets in the object. */
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

  /** Whether the window reaches the object's end. */
  get isLast(): boolean {
    return this.end === this.source.sizeBytes;
  }

  /** Reads one more range, and forgets what lies before `from`. */
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

  /** Starts again at `start`. */
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

  /** Whether a byte order mark (EF BB BF) is there; undefined if the window ends too early to tell. */
  markAt(at: number): boolean | undefined {
    const { bytes } = this;
    const i = at - this.start;
    if (bytes[i] !== 0xef) return false;
    if (this.end - at >= MARK_BYTES) return bytes[i + 1] === 0xbb && bytes[i + 2] === 0xbf;
    return this.isLast ? false : undefined;
  }

  /** The next LF or CR. A CR alone also ends a line. */
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

  /**
   * A number or a word must be followed by white space, an opening bracket or a quote. An element may also be
   * followed by a comma or `]`.
   */
  isDelimited(scan: ValueScan, end: number, isElement: boolean): boolean {
    if (!scan.isDone || !scan.isOpen || end === this.end) return true;
    const byte = this.byteAt(end);
    return isBlank(byte) || OPENING.has(byte) || (isElement && ENDING.has(byte));
  }

  /**
   * The last place from `start` up to `limit` where a line ends outside all values; undefined if none is
   * seen. `start` must be such a place, in an object of lines.
   *
   * No value of several lines can go on between two lines that are an object each, since a comma or a colon
   * would stand there. A top-level array can, since commas may be missing in it. So nothing may look like the
   * beginning of one. Within a record's values, a bracket follows a colon, a comma or a bracket, unless
   * blanks precede it or it is in a string.
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

/** Whether the first line that is not blank is made of whole values. If so, the object is lines. */
export class FirstLine {
  /** Where to look next. */
  at = 0;
  private readonly scan = new ValueScan();
  private hasBegun = false;
  private inValue = false;

  /** Returns undefined if the line goes on behind the window, which must then be extended from `at`. */
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

  /** Skips blank lines and byte order marks. Returns false if nothing else has come yet. */
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
/** What may follow a number or a word besides white space: {, [ or a quote. */
const OPENING: ReadonlySet<number> = new Set([0x7b, 0x5b, 0x22]);
/** What ends an element: a comma or ]. */
const ENDING: ReadonlySet<number> = new Set([0x2c, 0x5d]);
/** What precedes a bracket that is not at the top: a colon, a comma, a bracket. */
const INSIDE: ReadonlySet<number> = new Set([0x3a, 0x2c, 0x5b]);
const LINES_TRIED_MAX = 100;
