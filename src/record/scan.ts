/**
 * Finds where a JSON value ends in bytes that come piece by piece, and whether it is JSON. It accepts what
 * `json.ts` reads, and nothing else. It builds nothing, so it is as quick for 5 GB as for 5 bytes.
 */
import { DEPTH_MAX } from "./json.js";

/** The states: what may come next. A text may end in ZERO, INTEGER, FRACTION, POWER or WORD_END. */
const VALUE = 0;
const ELEMENT_OR_END = 1;
const KEY_OR_END = 2;
const COLON = 3;
const COMMA_OR_END = 4;
const STRING = 5;
const ESCAPE = 6;
const HEX = 7;
const WORD = 8;
const MINUS = 9;
const ZERO = 10;
const INTEGER = 11;
const POINT = 12;
const FRACTION = 13;
const EXPONENT = 14;
const SIGN = 15;
const POWER = 16;
const WORD_END = 17;

const WORDS = ["true", "false", "null", "NaN", "Infinity"].map((word) => Buffer.from(word));
const BLANK = 1;
const DIGIT = 2;
const PLAIN_IN_STRING = 4;
const HEX_DIGIT = 8;
const ESCAPED = 16;
/** The classes of each byte. */
const CLASS = new Uint8Array(256);
for (let byte = 0x20; byte < 256; byte++) if (byte !== 0x22 && byte !== 0x5c) CLASS[byte] = PLAIN_IN_STRING;
const mark = (bytes: string, what: number) => {
  for (const byte of Buffer.from(bytes)) CLASS[byte] = (CLASS[byte] as number) | what;
};
mark(" \t\r\n", BLANK);
mark("0123456789", DIGIT | HEX_DIGIT);
mark("abcdefABCDEF", HEX_DIGIT);
mark('"\\/bfnrt', ESCAPED);

export class ValueScan {
  /** Why it is not a value. Scanning then stops. */
  damage: string | undefined;
  isDone = false;
  /** Whether it is a number or a word, which only the byte after it ends. */
  isOpen = false;
  private state = VALUE;
  private depth = 0;
  private isKey = false;
  private hexLeft = 0;
  private word = WORDS[0] as Buffer;
  private wordAt = 0;
  /** By depth: whether the open value is an object. */
  private readonly isObject = new Uint8Array(DEPTH_MAX + 1);

  /** Begins a new value with the next byte. */
  begin(): this {
    this.damage = undefined;
    this.isDone = false;
    this.isOpen = false;
    this.state = VALUE;
    this.depth = 0;
    this.isKey = false;
    return this;
  }

  /**
   * Goes on from `from`. Returns where the value ends or fails, or `to` if neither is seen yet. A number or a
   * word is done once another byte follows it.
   */
  scan(bytes: Buffer, from: number, to: number): number {
    let at = from;
    while (at < to) {
      const byte = bytes[at] as number;
      switch (this.state) {
        case STRING: {
          while (at < to && ((CLASS[bytes[at] as number] as number) & PLAIN_IN_STRING) !== 0) at++;
          if (at === to) return at;
          const end = bytes[at] as number;
          if (end === 0x22) {
            if (this.isKey) this.state = COLON;
            else if (this.closed()) return at + 1;
            this.isKey = false;
          } else if (end === 0x5c) this.state = ESCAPE;
          else return this.fail("a control character in a string", at);
          at++;
          break;
        }
        case COMMA_OR_END:
          if (byte === 0x2c) {
            this.state = this.isObject[this.depth] ? KEY_OR_END : ELEMENT_OR_END;
          } else if (byte === (this.isObject[this.depth] ? 0x7d : 0x5d)) {
            this.depth--;
            if (this.closed()) return at + 1;
          } else if (((CLASS[byte] as number) & BLANK) === 0) return this.fail("a comma was expected", at);
          at++;
          break;
        case KEY_OR_END:
          if (byte === 0x22) {
            this.isKey = true;
            this.state = STRING;
          } else if (byte === 0x7d) {
            this.depth--;
            if (this.closed()) return at + 1;
          } else if (((CLASS[byte] as number) & BLANK) === 0) return this.fail("a key was expected", at);
          at++;
          break;
        case COLON:
          if (byte === 0x3a) this.state = VALUE;
          else if (((CLASS[byte] as number) & BLANK) === 0) return this.fail("a colon was expected", at);
          at++;
          break;
        case ELEMENT_OR_END:
        case VALUE:
          if (byte === 0x22) this.state = STRING;
          else if (byte === 0x5d && this.state === ELEMENT_OR_END) {
            this.depth--;
            if (this.closed()) return at + 1;
          } else if (((CLASS[byte] as number) & BLANK) === 0 && !this.opens(byte)) {
            return this.fail(this.damage ?? "a value was expected", at);
          }
          at++;
          break;
        case ESCAPE:
        case HEX:
          if (!this.isEscaped(byte)) {
            return this.fail("an escape that JSON does not have, or a control character in a string", at);
          }
          at++;
          break;
        default:
          // A number or a word. The byte that ends it is read again, as what comes after it.
          if (this.goesOn(byte)) at++;
          else if (this.damage !== undefined) return at;
          else if (this.closed()) return at;
      }
    }
    return at;
  }

  /** Call this when no more bytes come. */
  finish(): void {
    const { state } = this;
    if (this.isDone || this.damage !== undefined) return;
    const canEnd = state === ZERO || state === INTEGER || state === FRACTION || state === POWER;
    if (this.depth === 0 && (canEnd || state === WORD_END)) this.closed();
    else if (state === STRING || state === ESCAPE || state === HEX) this.damage = "the text ends in a string";
    else this.damage = "the text ends early";
  }

  /** Closes a value. Returns true if it was the outermost one. */
  private closed(): boolean {
    this.state = COMMA_OR_END;
    this.isDone = this.depth === 0;
    return this.isDone;
  }

  private fail(reason: string, at: number): number {
    this.damage = reason;
    return at;
  }

  /** Whether this byte begins a value other than a string. */
  private opens(byte: number): boolean {
    if (byte === 0x7b || byte === 0x5b) {
      if (this.depth === DEPTH_MAX) {
        this.damage = `nested deeper than ${DEPTH_MAX}`;
        return false;
      }
      this.depth++;
      this.isObject[this.depth] = byte === 0x7b ? 1 : 0;
      this.state = byte === 0x7b ? KEY_OR_END : ELEMENT_OR_END;
      return true;
    }
    if (this.depth === 0) this.isOpen = true;
    if (byte === 0x2d) this.state = MINUS;
    else if (byte === 0x30) this.state = ZERO;
    else if (((CLASS[byte] as number) & DIGIT) !== 0) this.state = INTEGER;
    else return this.beginsWord(byte);
    return true;
  }

  private beginsWord(byte: number): boolean {
    const word = WORDS.find((one) => one[0] === byte);
    if (!word) return false;
    this.word = word;
    this.wordAt = 1;
    this.state = WORD;
    return true;
  }

  private isEscaped(byte: number): boolean {
    const what = CLASS[byte] as number;
    if (this.state === HEX) {
      if (--this.hexLeft === 0) this.state = STRING;
      return (what & HEX_DIGIT) !== 0;
    }
    this.state = byte === 0x75 ? HEX : STRING;
    this.hexLeft = 4;
    return byte === 0x75 || (what & ESCAPED) !== 0;
  }

  /**
   * Whether the number or word goes on with this byte. If not, either `damage` is set, or it ended before.
   */
  private goesOn(byte: number): boolean {
    const isDigit = ((CLASS[byte] as number) & DIGIT) !== 0;
    const isExponent = byte === 0x65 || byte === 0x45;
    switch (this.state) {
      case WORD:
        if (byte !== this.word[this.wordAt]) return this.refuses("a value was expected");
        if (++this.wordAt === this.word.length) this.state = WORD_END;
        return true;
      case MINUS:
        if (byte === 0x49) return this.beginsWord(byte);
        if (!isDigit) return this.refuses("a digit was expected");
        this.state = byte === 0x30 ? ZERO : INTEGER;
        return true;
      case ZERO:
      case INTEGER:
        if (isDigit && this.state === ZERO) return this.refuses("a number with a leading zero");
        if (byte === 0x2e) this.state = POINT;
        else if (isExponent) this.state = EXPONENT;
        else return isDigit;
        return true;
      case FRACTION:
        if (isExponent) this.state = EXPONENT;
        return isDigit || isExponent;
      case EXPONENT:
        if (byte === 0x2b || byte === 0x2d) {
          this.state = SIGN;
          return true;
        }
        break;
      case POWER:
      case WORD_END:
        return isDigit && this.state === POWER;
    }
    // After a point, an exponent or its sign.
    if (!isDigit) return this.refuses("a digit was expected");
    this.state = this.state === POINT ? FRACTION : POWER;
    return true;
  }

  private refuses(reason: string): boolean {
    this.damage = reason;
    return false;
  }
}
