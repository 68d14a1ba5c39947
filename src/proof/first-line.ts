/**
 * Whether an object is lines, so that damage ends at its newline. Its first line that is not blank decides.
 */
import { Cursor } from "./cursor.js";
import { Damage } from "./json.js";
import { isSpace, Scanner } from "./scan.js";
import type { Source } from "./source.js";

const LF = 0x0a;
const CR = 0x0d;
const COMMA = 0x2c;
export const OPEN_ARRAY = 0x5b;
export const CLOSE_ARRAY = 0x5d;
export const MARK_BYTES = 3;
const CHUNK_BYTES = 2 ** 16;

/** Whether the first line with anything in it is values and nothing else. */
export async function firstLineIsWhole(source: Source): Promise<boolean> {
  const cursor = new Cursor(source);
  const line = new Line();
  try {
    await skipBlanks(cursor);
    while (cursor.heldBytes > 0) {
      const bytes = cursor.bytes(Math.min(cursor.heldBytes, CHUNK_BYTES));
      const end = endOfLine(bytes);
      line.take(bytes.subarray(0, end));
      if (end < bytes.length) break;
      cursor.drop(end);
      await cursor.fill(1);
    }
    return line.isWhole;
  } catch (error) {
    if (error instanceof Damage) return false;
    throw error;
  } finally {
    await cursor.close();
  }
}

/** Values one after the other. */
class Line {
  private scanner: Scanner | undefined;
  /** A number or a word has just ended, and something must separate it from the next one. */
  private isOpen = false;

  /** Throws Damage. */
  take(bytes: Buffer): void {
    let at = 0;
    while (at < bytes.length) {
      if (!this.scanner) {
        if (isSpace(bytes[at])) {
          this.isOpen = false;
          at++;
          continue;
        }
        const isScalar = !isOpener(bytes[at]);
        if (this.isOpen && isScalar) throw new Damage("no JSON value");
        this.isOpen = isScalar;
        this.scanner = new Scanner();
      }
      const end = this.scanner.scan(bytes.subarray(at));
      if (end < 0) return;
      this.scanner = undefined;
      at += end;
    }
  }

  get isWhole(): boolean {
    return !this.scanner || this.scanner.isWhole;
  }
}

/** Skips blank lines, white space and byte order marks. */
export async function skipBlanks(cursor: Cursor): Promise<void> {
  for (;;) {
    await cursor.fill(CHUNK_BYTES);
    const bytes = cursor.bytes(Math.min(cursor.heldBytes, CHUNK_BYTES));
    let start = 0;
    while (isSpace(bytes[start]) || isMark(bytes, start)) start += isSpace(bytes[start]) ? 1 : MARK_BYTES;
    cursor.drop(start);
    // Looks again if anything was skipped: the chunk may end inside a mark.
    if (start === 0) return;
  }
}

/** The next LF or CR from here on, or the end. */
export function endOfLine(bytes: Buffer, from = 0): number {
  let end = from;
  while (end < bytes.length && bytes[end] !== LF && bytes[end] !== CR) end++;
  return end;
}

/** A byte order mark, EF BB BF. */
export function isMark(bytes: Buffer, at: number): boolean {
  return bytes[at] === 0xef && bytes[at + 1] === 0xbb && bytes[at + 2] === 0xbf;
}

/**
 * A number or a word must be followed by white space, an opening bracket or a quote. An element may also be
 * followed by a comma or `]`.
 */
export function isDelimiter(byte: number, isElement: boolean): boolean {
  return isSpace(byte) || isOpener(byte) || (isElement && (byte === COMMA || byte === CLOSE_ARRAY));
}

/** Whether the byte begins an object, an array or a string. */
export function isOpener(byte: number | undefined): boolean {
  return byte === 0x7b || byte === OPEN_ARRAY || byte === 0x22;
}
