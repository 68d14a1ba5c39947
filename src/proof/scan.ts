/** Finds where a JSON value ends, byte by byte. It keeps nothing of the value, so that any length will do. */
import { Damage, MAX_DEPTH } from "./json.js";

/** What comes next. */
const VALUE = 0;
const ELEMENT_OR_END = 1;
const KEY_OR_END = 2;
const COLON = 3;
const COMMA_OR_END = 4;
const STRING = 5;
const ESCAPED = 6;
const HEX = 7;
const WORD = 8;
const MINUS = 9;
const ZERO = 10;
const INTEGER = 11;
const POINT = 12;
const FRACTION = 13;
const E = 14;
const E_SIGN = 15;
const EXPONENT = 16;

const OBJECT = 1;
const ARRAY = 2;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const ESCAPES = new Set([...'"\\/bfnrt'].map((char) => char.charCodeAt(0)));
const WORDS = new Map(["true", "false", "null", "NaN", "Infinity"].map((word) => [word.charCodeAt(0), word]));

/** Takes the bytes of one value, piece by piece, by the same grammar as `Reader`. */
export class Scanner {
  private state = VALUE;
  private readonly containers = new Uint8Array(MAX_DEPTH);
  private depth = 0;
  private isKey = false;
  private word = "";
  /** How many chars of the word, or hexadecimal digits of the escape, were met. */
  private met = 0;

  /** Where the value ends in these bytes, or -1 if it goes on after them. Throws Damage. */
  scan(bytes: Uint8Array): number {
    for (let at = 0; at < bytes.length; at++) {
      if (this.state === STRING) at = inString(bytes, at);
      const byte = bytes[at];
      if (byte === undefined) return -1;
      // A number ends before the first byte that is not part of it.
      if (this.isNumberEnd(byte)) {
        if (this.depth === 0) return at;
        this.state = COMMA_OR_END;
      }
      if (this.take(byte)) return at + 1;
    }
    return -1;
  }

  /** At the end of all bytes: whether they are a whole value. Only a number does not end by itself. */
  get isWhole(): boolean {
    return this.depth === 0 && isWholeNumber(this.state);
  }

  private isNumberEnd(byte: number): boolean {
    if (!isWholeNumber(this.state) || isDigit(byte)) return false;
    if (byte === 0x2e) return this.state !== ZERO && this.state !== INTEGER;
    return (byte !== 0x65 && byte !== 0x45) || this.state === EXPONENT;
  }

  /** Whether the value ends with this byte. */
  private take(byte: number): boolean {
    switch (this.state) {
      case STRING:
        return this.takeOfString(byte);
      case ESCAPED:
        this.met = 0;
        if (byte === 0x75) this.state = HEX;
        else if (ESCAPES.has(byte)) this.state = STRING;
        else throw new Damage("no escape");
        return false;
      case HEX:
        if (!isHex(byte)) throw new Damage("no escape");
        if (++this.met === 4) this.state = STRING;
        return false;
      case WORD:
        if (byte !== this.word.charCodeAt(this.met)) throw new Damage("a value is missing");
        return ++this.met === this.word.length && this.ended();
    }
    if (this.state >= MINUS) return this.takeOfNumber(byte);
    return isSpace(byte) ? false : this.takeMark(byte);
  }

  private takeOfString(byte: number): boolean {
    if (byte === BACKSLASH) this.state = ESCAPED;
    else if (byte !== QUOTE) throw new Damage("a control character in a string");
    else if (this.isKey) this.state = COLON;
    else return this.ended();
    return false;
  }

  private takeOfNumber(byte: number): boolean {
    const { state } = this;
    if (isDigit(byte)) {
      if (state === ZERO) throw new Damage("a number with a leading zero");
      if (state === MINUS) this.state = byte === 0x30 ? ZERO : INTEGER;
      else if (state === POINT) this.state = FRACTION;
      else if (state === E || state === E_SIGN) this.state = EXPONENT;
    } else if (byte === 0x2e && (state === ZERO || state === INTEGER)) this.state = POINT;
    else if ((byte === 0x65 || byte === 0x45) && isWholeNumber(state)) this.state = E;
    else if ((byte === 0x2b || byte === 0x2d) && state === E) this.state = E_SIGN;
    else if (byte === 0x49 && state === MINUS) this.beginWord("Infinity");
    else throw new Damage("a value is missing");
    return false;
  }

  /** A byte that is neither white space nor inside a string, a word or a number. */
  private takeMark(byte: number): boolean {
    const { state, depth } = this;
    const container = depth > 0 ? this.containers[depth - 1] : 0;
    if (byte === 0x7d && (state === KEY_OR_END || (state === COMMA_OR_END && container === OBJECT))) {
      return this.closed();
    }
    if (byte === 0x5d && (state === ELEMENT_OR_END || (state === COMMA_OR_END && container === ARRAY))) {
      return this.closed();
    }
    if (state === VALUE || state === ELEMENT_OR_END) this.begin(byte);
    else if (state === KEY_OR_END && byte === QUOTE) this.beginString(true);
    else if (state === COLON && byte === 0x3a) this.state = VALUE;
    else if (state === COMMA_OR_END && byte === COMMA) {
      this.state = container === OBJECT ? KEY_OR_END : ELEMENT_OR_END;
    } else throw new Damage("a mark is missing");
    return false;
  }

  private begin(byte: number): void {
    const word = WORDS.get(byte);
    if (byte === 0x7b) this.open(OBJECT, KEY_OR_END);
    else if (byte === 0x5b) this.open(ARRAY, ELEMENT_OR_END);
    else if (byte === QUOTE) this.beginString(false);
    else if (byte === 0x2d) this.state = MINUS;
    else if (isDigit(byte)) this.state = byte === 0x30 ? ZERO : INTEGER;
    else if (word !== undefined) this.beginWord(word);
    else throw new Damage("a value is missing");
  }

  private beginString(isKey: boolean): void {
    this.isKey = isKey;
    this.state = STRING;
  }

  private beginWord(word: string): void {
    this.word = word;
    this.met = 1;
    this.state = WORD;
  }

  private open(container: number, state: number): void {
    if (this.depth >= MAX_DEPTH) throw new Damage(`nested deeper than ${MAX_DEPTH}`);
    this.containers[this.depth++] = container;
    this.state = state;
  }

  private closed(): boolean {
    this.depth--;
    return this.ended();
  }

  private ended(): boolean {
    this.state = COMMA_OR_END;
    return this.depth === 0;
  }
}

/** The next byte from here on that means something in a string. */
function inString(bytes: Uint8Array, from: number): number {
  let at = from;
  for (; at < bytes.length; at++) {
    const byte = bytes[at] as number;
    if (byte === QUOTE || byte === BACKSLASH || byte < 0x20) break;
  }
  return at;
}

function isWholeNumber(state: number): boolean {
  return state === ZERO || state === INTEGER || state === FRACTION || state === EXPONENT;
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}

function isHex(byte: number): boolean {
  return isDigit(byte) || (byte >= 0x41 && byte <= 0x46) || (byte >= 0x61 && byte <= 0x66);
}

/** White space as RFC 8259 defines it. */
export function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}
