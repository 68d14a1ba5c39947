/** Numbers by exact value, from their texts. Nothing is rounded, whatever its size. */
import { type Json, Num } from "./values.js";

interface Decimal {
  negative: boolean;
  /** Significant digits without leading and trailing zeros; empty for zero. */
  digits: string;
  /** The value is digits × 10^exponent. Exact as long as the exponent is written with at most 15 digits. */
  exponent: number;
}

const PARTS = /^(-?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?$/;
/** The grammar of a number in RFC 8259. */
const JSON_NUMBER = /^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$/;
const SHORT_INTEGER = /^(?:0|-?[1-9][0-9]{0,14})$/;
const LONG_EXPONENT = /[eE][+-]?0*[1-9][0-9]{15}/;

/**
 * The text of a number, or of a string written like one; undefined for all else, NaN and Infinity included.
 */
export function numberText(value: Json): string | undefined {
  if (value instanceof Num) return value.isFinite ? value.text : undefined;
  return typeof value === "string" && JSON_NUMBER.test(value) ? value : undefined;
}

export function parseDecimal(text: string): Decimal {
  const match = PARTS.exec(text);
  if (!match) throw new TypeError(`"${text}" is no decimal number`);
  const [, sign, integer = "", fraction = "", power = "0"] = match;
  const all = integer + fraction;
  let start = 0;
  while (all.charCodeAt(start) === 0x30) start++;
  let end = all.length;
  while (end > start && all.charCodeAt(end - 1) === 0x30) end--;
  if (start === end) return { negative: false, digits: "", exponent: 0 };
  const exponent = Number(power) - fraction.length + (all.length - end);
  return { negative: sign === "-", digits: all.slice(start, end), exponent };
}

/** One text per value: `0`, `-15e-1`, `12`. Integers below 10^15 are written plainly. */
export function canonicalNumber(text: string): string {
  if (SHORT_INTEGER.test(text)) return text;
  const { negative, digits, exponent } = parseDecimal(text);
  if (digits === "") return "0";
  const sign = negative ? "-" : "";
  if (LONG_EXPONENT.test(text)) return `${sign}${digits}e${exactExponent(text)}`;
  if (exponent >= 0 && digits.length + exponent <= 15) return sign + digits + "0".repeat(exponent);
  return `${sign}${digits}e${exponent}`;
}

/** The exponent of a number if it is larger than a double counts exactly. */
function exactExponent(text: string): bigint {
  const [mantissa = "", power = "0"] = text.split(/[eE]/);
  return BigInt(power) + BigInt(parseDecimal(mantissa).exponent);
}

/** The canonical text if the value is an integer in the signed range of this many bits. */
export function holdInteger(text: string, bits: 32 | 64): string | undefined {
  const canonical = holdDecimal(text, 19, 0);
  if (canonical === undefined) return undefined;
  const limit = 1n << BigInt(bits - 1);
  const isShort = canonical.length < (bits === 32 ? 10 : 16) && SHORT_INTEGER.test(canonical);
  const value = isShort ? 0n : integerOf(canonical);
  return value < limit && value >= -limit ? canonical : undefined;
}

function integerOf(text: string): bigint {
  const { negative, digits, exponent } = parseDecimal(text);
  const value = BigInt(digits + "0".repeat(exponent));
  return negative ? -value : value;
}

/** The canonical text if value × 10^scale is an integer of at most `precision` digits. */
export function holdDecimal(text: string, precision: number, scale: number): string | undefined {
  const { digits, exponent } = parseDecimal(text);
  const isHeld = digits === "" || (exponent + scale >= 0 && digits.length + exponent + scale <= precision);
  return isHeld ? canonicalNumber(text) : undefined;
}

/**
 * A double holds v if the double nearest to v is printed as v, with the fewest digits that read back as the
 * same double. Returns that text.
 */
export function holdDouble(text: string): string | undefined {
  const double = Number(text);
  if (!Number.isFinite(double)) return undefined;
  const shortest = canonicalNumber(String(double));
  return shortest === canonicalNumber(text) ? shortest : undefined;
}
