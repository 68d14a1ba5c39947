/** Timestamps and dates, read by the grammar of docs/fidelity.md. */
import { numberText, parseDecimal } from "./number.js";
import type { Json } from "./values.js";

interface Timestamp {
  /** Milliseconds since 1970, floored. */
  ms: number;
  /** Whether nothing was floored away. */
  exact: boolean;
}

const TIMESTAMP =
  /^([0-9]{4})-([0-9]{2})-([0-9]{2})[T ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?(Z|[+-][0-9]{2}:?[0-9]{2})?$/;
const DATE = /^([0-9]{4})-([0-9]{2})-([0-9]{2})$/;
const DAY_MS = 86_400_000;

/**
 * Undefined for what is no timestamp: a date alone, lower-case t or z, the year 0000, the 30th of February.
 */
export function parseTimestamp(text: string, zone: string): Timestamp | undefined {
  const match = TIMESTAMP.exec(text);
  if (!match) return undefined;
  const [, year, month, day, HH, mm, ss, fraction = "", offset] = match;
  const days = daysOf(Number(year), Number(month), Number(day));
  const [hours, minutes, seconds] = [Number(HH), Number(mm), Number(ss)];
  if (days === undefined || hours > 23 || minutes > 59 || seconds > 59) return undefined;
  const localMs =
    days * DAY_MS +
    ((hours * 60 + minutes) * 60 + seconds) * 1_000 +
    Number(fraction.slice(0, 3).padEnd(3, "0"));
  const ms = offset === undefined ? utcOfLocal(localMs, zone) : utcOfOffset(localMs, offset);
  if (ms === undefined || !isInRange(ms)) return undefined;
  return { ms, exact: !/[1-9]/.test(fraction.slice(3)) };
}

/** Years 0001 to 9999, UTC. */
function isInRange(ms: number): boolean {
  return ms >= -62_135_596_800_000 && ms < 253_402_300_800_000;
}

/** Days since 1970; undefined for anything but a date. */
export function parseDate(text: string): number | undefined {
  const match = DATE.exec(text);
  return match ? daysOf(Number(match[1]), Number(match[2]), Number(match[3])) : undefined;
}

function daysOf(year: number, month: number, day: number): number | undefined {
  if (year < 1 || month < 1 || month > 12 || day < 1) return undefined;
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  return date.getUTCMonth() === month - 1 ? date.getTime() / DAY_MS : undefined;
}

function utcOfOffset(localMs: number, offset: string): number | undefined {
  if (offset === "Z") return localMs;
  const hours = Number(offset.slice(1, 3));
  const minutes = Number(offset.slice(-2));
  if (hours > 23 || minutes > 59) return undefined;
  const offsetMs = (hours * 60 + minutes) * 60_000;
  return offset.startsWith("-") ? localMs + offsetMs : localMs - offsetMs;
}

/**
 * The instant of a wall clock's reading in a zone. If the clock showed the reading twice, the earlier instant
 * counts. If the clock skipped it, undefined.
 */
function utcOfLocal(localMs: number, zone: string): number | undefined {
  if (zone === "UTC") return localMs;
  const around = [offsetMsAt(zone, localMs - DAY_MS), offsetMsAt(zone, localMs + DAY_MS)];
  const instants = around
    .map((offsetMs) => localMs - offsetMs)
    .filter((ms) => ms + offsetMsAt(zone, ms) === localMs);
  return instants.length === 0 ? undefined : Math.min(...instants);
}

const clocks = new Map<string, Intl.DateTimeFormat>();

/** Before this no clock ever changed, and a formatter's years could be those before Christ. */
const YEAR_2_MS = -62_104_060_800_000;

/** How far a zone's clock is ahead of UTC at an instant. */
function offsetMsAt(zone: string, instantMs: number): number {
  const ms = Math.max(instantMs, YEAR_2_MS);
  if (/^[+-][0-9]/.test(zone)) return -(utcOfOffset(0, zone) ?? 0);
  let clock = clocks.get(zone);
  if (!clock) {
    clock = new Intl.DateTimeFormat("en-US", {
      timeZone: zone,
      hourCycle: "h23",
      year: "numeric",
      month: "numeric",
      day: "numeric",
      hour: "numeric",
      minute: "numeric",
      second: "numeric",
    });
    clocks.set(zone, clock);
  }
  const parts: Record<string, number> = {};
  for (const { type, value } of clock.formatToParts(ms)) parts[type] = Number(value);
  const { year = 1970, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = parts;
  const days = daysOf(year, month, day) ?? 0;
  return days * DAY_MS + ((hour * 60 + minute) * 60 + second) * 1_000 - Math.floor(ms / 1_000) * 1_000;
}

/** Milliseconds since 1970, floored; undefined for anything but a number within the years of a timestamp. */
export function epochMs(value: Json, epoch: "s" | "ms"): { ms: number; exact: boolean } | undefined {
  const text = numberText(value);
  if (text === undefined) return undefined;
  const { negative, digits, exponent } = parseDecimal(text);
  const places = digits.length + exponent + (epoch === "s" ? 3 : 0);
  // The year 9999 has 15 digits.
  if (digits !== "" && places > 15) return undefined;
  const whole = Number(digits.slice(0, Math.max(places, 0)).padEnd(places, "0"));
  const exact = digits.length <= Math.max(places, 0);
  const ms = negative ? -whole - (exact ? 0 : 1) : whole;
  return isInRange(ms) ? { ms: ms || 0, exact } : undefined;
}
