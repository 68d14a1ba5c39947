/**
 * Cutting: an object too large to be held is read range by range, and cut into pieces that are framed by
 * themselves (`frame.ts`). Framing the pieces finds what framing the whole would find: the same records, and
 * the same bytes in quarantine.
 */
import { type InArray, UNDELIMITED, type Within } from "./frame.js";
import { MAGIC_BYTES_MAX, otherFormatReason } from "./other-formats.js";
import { ValueScan } from "./scan.js";
import { FirstLine, type Source, Window } from "./window.js";

export interface CutLimits {
  /** How much is read at a time. A piece that is lines is as long at most. */
  rangeBytes: number;
  /** The size limit of any other piece, unless a single value is longer. */
  pieceBytes: number;
  /** A longer value, or longer damage, is never held: its bytes go to quarantine in several pieces. */
  heldBytes: number;
}

export interface Piece extends Within {
  /** Offset in the object's bytes. */
  offset: number;
  /** Valid until the next piece is asked for. */
  bytes: Buffer;
  /** Set if the bytes are no record: why. */
  damage?: string;
}

/** The pieces of an object, in order. Only white space, commas and brackets lie between them. */
export function cutObject(source: Source, limits: CutLimits): AsyncGenerator<Piece, void> {
  return new Cutter(source, limits).pieces();
}

/** Bytes that are no record, verbatim. If they are cut, it is between characters, so that text stays text. */
export async function* damagedPieces(
  source: Source,
  { start, end }: { start: number; end: number },
  damage: string,
  { pieceBytes, heldBytes }: CutLimits,
): AsyncGenerator<Piece, void> {
  const wholeBytes = Math.min(heldBytes, ENTRY_BYTES_MAX);
  const isWhole = end - start <= wholeBytes;
  for (let offset = start; offset < end; ) {
    const bytes = Buffer.allocUnsafeSlow(Math.min(isWhole ? wholeBytes : pieceBytes, end - offset));
    await source.read(offset, bytes);
    const cut = offset + bytes.length === end ? bytes.length : lastCharacter(bytes);
    yield { offset, bytes: bytes.subarray(0, cut), damage };
    offset += cut;
  }
}

/** Longer damage is held in several entries of quarantine (docs/fidelity.md). */
const ENTRY_BYTES_MAX = 64 << 20;

/** Where the last character of a UTF-8 text begins if it has several bytes; else the end. */
function lastCharacter(bytes: Buffer): number {
  for (let at = bytes.length - 1; at > 0 && at >= bytes.length - 4; at--) {
    const byte = bytes[at] as number;
    if (byte < 0x80) break;
    if (byte >= 0xc0) return at;
  }
  return bytes.length;
}

/** Values of the object that go into one piece. */
interface Run {
  start: number;
  end: number;
  inArray: boolean;
}

type Met = "more" | "a full piece" | "damage" | "a value too long";

class Cutter {
  private readonly source: Source;
  private readonly limits: CutLimits;
  private readonly window: Window;
  private readonly scan = new ValueScan();
  private areLines: boolean | undefined;
  /** Where to look next. All offsets are offsets in the object. */
  private at = 0;
  /** As in framing: the elements of a top-level array come one by one. */
  private array: InArray = "outside";
  /** As in framing: where the damage begins if the next value is damaged. */
  private from: number | undefined = 0;
  /** Where the value that is being scanned begins. */
  private value: number | undefined;
  private run: Run | undefined;
  /** The run before `run`, closed because the next value did not fit. */
  private full: Run | undefined;
  /** Up to here, the quick way found no border between lines. */
  private scannedUpTo = 0;

  constructor(source: Source, limits: CutLimits) {
    this.source = source;
    this.limits = limits;
    this.window = new Window(source, limits.rangeBytes);
  }

  async *pieces(): AsyncGenerator<Piece, void> {
    const { window } = this;
    await window.extend(0);
    this.areLines = new FirstLine().isWhole(window);
    for (;;) {
      if (this.mayBeLines()) {
        const lines = await this.lines();
        if (lines) {
          yield this.pieceOf(lines);
          continue;
        }
      }
      const met = this.advance();
      if (met === "a full piece") yield this.pieceOf(this.full as Run);
      else if (met === "damage") {
        if (!(yield* this.damaged())) return;
      } else if (met === "a value too long") {
        yield* this.flush();
        yield* this.tooLong();
      } else if (window.isLast) break;
      else yield* this.more();
    }
    yield* this.flush();
  }

  /** Goes through the window value by value. */
  private advance(): Met {
    const { window, scan, limits } = this;
    for (;;) {
      if (this.value === undefined) {
        if (!this.skip()) return "more";
        this.value = this.at;
        scan.begin();
      }
      this.at = window.scan(scan, this.at, window.end);
      if (!scan.isDone && scan.damage === undefined) {
        if (!window.isLast) return "more";
        scan.finish();
      }
      if (!window.isDelimited(scan, this.at, this.array !== "outside")) scan.damage = UNDELIMITED;
      if (scan.damage !== undefined) return "damage";
      this.from = undefined;
      if (this.at - this.value > limits.heldBytes) return "a value too long";
      const isFull = this.add(this.value, this.at);
      if (this.array !== "outside") this.array = "after an element";
      this.value = undefined;
      if (isFull) return "a full piece";
    }
  }

  /**
   * Skips what stands between values. Returns false if the window ends before the next value, unless one must
   * come: an array that the object's end cuts off before its first element is damage.
   */
  private skip(): boolean {
    const { window } = this;
    for (;;) {
      this.at = window.skipBlanks(this.at);
      if (this.at === window.end) return window.isLast && this.array === "opened";
      const mark = window.markAt(this.at);
      if (mark === undefined) return false;
      const byte = window.byteAt(this.at);
      if (mark) this.at += 2;
      else if (this.array === "outside" && byte === 0x5b) {
        this.array = "opened";
        this.from ??= this.at;
      } else if (this.array !== "outside" && byte === 0x5d) {
        this.array = "outside";
        this.from = undefined;
      } else if (this.array === "after an element" && byte === 0x2c) this.array = "before an element";
      else return true;
      this.at++;
    }
  }

  /** Adds a value to the piece. Returns true if it begins another, because this one would get too long. */
  private add(start: number, end: number): boolean {
    const { run } = this;
    if (run && end - run.start <= this.limits.pieceBytes) {
      run.end = end;
      return false;
    }
    this.full = run;
    this.run = { start, end, inArray: this.array !== "outside" };
    return run !== undefined;
  }

  private pieceOf({ start, end, inArray }: Run): Piece {
    return { offset: start, bytes: this.window.slice(start, end), inArray, areLines: this.areLines };
  }

  private *flush(): Generator<Piece, void> {
    if (this.run) yield this.pieceOf(this.run);
    this.run = undefined;
  }

  /** Reads one more range. Keeps nothing of a value that is too long. */
  private async *more(): AsyncGenerator<Piece, void> {
    const { window, limits, value = this.at } = this;
    if (this.run && window.end - this.run.start > limits.pieceBytes) yield* this.flush();
    const isHeld = window.end - value <= limits.heldBytes;
    await window.extend(this.run?.start ?? (isHeld ? value : this.at));
  }

  private async *tooLong(): AsyncGenerator<Piece, void> {
    const { value: start = 0, at: end, limits } = this;
    const reason = `a value of ${end - start} bytes, more than the limit of ${limits.heldBytes}`;
    yield* damagedPieces(this.source, { start, end }, reason, limits);
    if (this.array !== "outside") this.array = "after an element";
    this.value = undefined;
  }

  /** Damage ends at its newline if the object is lines. Else it ends with the object, and false is returned. */
  private async *damaged(): AsyncGenerator<Piece, boolean> {
    const { value = 0, source, limits, window } = this;
    const start = this.from ?? value;
    if (this.array === "opened") this.array = "outside";
    this.from = undefined;
    const reason = `no JSON: ${this.scan.damage}`;
    this.areLines ??= await this.firstLineIsWhole();
    const isInWindow = start >= window.start && window.lineEnd(start) !== undefined;
    if (!isInWindow) yield* this.flush();
    const lineEnd = this.areLines ? await this.lineEnd(start) : source.sizeBytes;
    if (lineEnd - start > limits.heldBytes || !this.areLines) {
      yield* this.flush();
      const other = start === 0 && !this.areLines ? await this.otherFormatReason() : undefined;
      yield* damagedPieces(source, { start, end: lineEnd }, other ?? reason, limits);
    } else if (this.add(start, lineEnd)) yield this.pieceOf(this.full as Run);
    this.at = lineEnd;
    this.array = "outside";
    this.value = undefined;
    return this.areLines;
  }

  /** Looks at the object's first bytes. */
  private async otherFormatReason(): Promise<string | undefined> {
    const first = Buffer.alloc(Math.min(this.source.sizeBytes, MAGIC_BYTES_MAX));
    await this.source.read(0, first);
    return otherFormatReason(first);
  }

  private async firstLineIsWhole(): Promise<boolean> {
    const window = new Window(this.source, this.limits.rangeBytes);
    const line = new FirstLine();
    for (;;) {
      await window.extend(line.at);
      const isWhole = line.isWhole(window);
      if (isWhole !== undefined) return isWhole;
    }
  }

  /** The end of the line that contains `start`. The window then holds the line, unless it is too long. */
  private async lineEnd(start: number): Promise<number> {
    const { window } = this;
    if (start < window.start) await window.seek(start);
    for (let from = start; ; ) {
      const end = window.lineEnd(from) ?? (window.isLast ? window.end : undefined);
      if (end !== undefined) return end;
      from = window.end;
      const isHeld = window.end - start <= this.limits.heldBytes;
      await window.extend(this.run?.start ?? (isHeld ? start : from));
    }
  }

  /** Whether what comes next may be cut at a newline without looking at every byte. */
  private mayBeLines(): boolean {
    return (
      this.areLines === true &&
      this.value === undefined &&
      this.array === "outside" &&
      !this.run?.inArray &&
      this.at >= this.scannedUpTo
    );
  }

  private async lines(): Promise<Run | undefined> {
    const { window, limits } = this;
    const start = this.run?.start ?? this.at;
    while (!window.isLast && window.end - start < limits.rangeBytes) await window.extend(start);
    const isRest = window.isLast && window.end - start <= limits.rangeBytes;
    const limit = Math.min(start + limits.rangeBytes, window.end);
    const end = isRest ? window.end : window.lastLineBetweenObjects(start, limit);
    if (end === undefined || end <= this.at) {
      this.scannedUpTo = limit;
      return undefined;
    }
    this.at = end;
    this.run = undefined;
    this.from = undefined;
    return { start, end, inArray: false };
  }
}
