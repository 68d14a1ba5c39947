/** Exact decimal arithmetic on the texts of JSON numbers. */

/** digits × 10^exponent, without trailing zeros in digits; zero is 0 × 10^0. */
interface Decimal {
  digits: bigint;
  exponent: number;
  /** Significant digits. */
  precision: number;
}

const NUMBER = /^(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?$/;

/** A JSON number by RFC 8259, and nothing else: no `012`, `+5`, ` 12`, `NaN`. */
export function isJsonNumber(text: string): boolean {
  return NUMBER.test(text);
}

/**
 * Returns undefined if the text is not a JSON number, or if its exponent or digits are beyond any column.
 * Never makes up digits.
 */
export function parseDecimal(text: string): Decimal | undefined {
  const match = NUMBER.exec(text);
  if (!match) return undefined;
  const [, sign, whole = "", fraction = "", power] = match;
  const all = (whole + fraction).replace(/^0+/, "");
  const significant = all.slice(0, endWithoutZeros(all));
  if (significant === "") return { digits: 0n, exponent: 0, precision: 0 };
  if (significant.length > DIGITS_MAX) return undefined;
  const exponent = Number(power ?? 0) - fraction.length + (all.length - significant.length);
  if (!Number.isSafeInteger(exponent)) return undefined;
  const digits = BigInt(significant);
  return { digits: sign === "-" ? -digits : digits, exponent, precision: significant.length };
}

/** More significant digits than any column holds. */
export const DIGITS_MAX = 1000;

/** A regular expression would start again at every zero on the way. */
function endWithoutZeros(digits: string): number {
  let end = digits.length;
  while (end > 0 && digits[end - 1] === "0") end--;
  return end;
}

/** The number as an integer; undefined if it is not one, or has more than `maxDigits` digits. */
export function toInteger(decimal: Decimal, maxDigits: number): bigint | undefined {
  if (decimal.exponent < 0 || decimal.precision + decimal.exponent > maxDigits) return undefined;
  return decimal.digits * 10n ** BigInt(decimal.exponent);
}

/** The number at this scale; undefined if that is not exact, or has more than `precision` digits. */
export function toUnscaled(decimal: Decimal, precision: number, scale: number): bigint | undefined {
  return toInteger({ ...decimal, exponent: decimal.exponent + scale }, precision);
}

/**
 * The nearest double, if it gives the number back when it is printed with as many digits as the number has
 * (at most 17). `isHeld`: it also does when it is printed as short as can be, as `restore` and most readers
 * print it. They turn 0.10000000000000001 into 0.1.
 */
export function toDouble(text: string): { double: number; isHeld: boolean } | undefined {
  const double = Number(text);
  // A double always gives back up to 15 digits without an exponent (IEEE 754 binary64).
  if (text.length <= 15 && !/[eE]/.test(text)) return { double, isHeld: true };
  const exact = parseDecimal(text);
  if (!exact || !Number.isFinite(double)) return undefined;
  if (exact.precision === 0 || isThat(exact, String(double))) return { double, isHeld: true };
  if (exact.precision > 17 || !isThat(exact, double.toPrecision(exact.precision))) return undefined;
  return { double, isHeld: false };
}

function isThat({ digits, exponent }: Decimal, printed: string): boolean {
  const other = parseDecimal(printed);
  return other?.digits === digits && other.exponent === exponent;
}
