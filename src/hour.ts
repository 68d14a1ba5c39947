import { HourpackError } from "./errors.js";
import { count } from "./words.js";

/** A UTC hour, written `2022-07-26T00`. Hours compare and sort as strings. */
export type Hour = string & { readonly __hour: unique symbol };

export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;

/** The longest range that a command takes, since it looks at each hour. */
export const RANGE_YEARS_MAX = 100;
export const RANGE_MAX_MS = RANGE_YEARS_MAX * 366 * DAY_MS;

interface HourParts {
  yyyy: string;
  MM: string;
  dd: string;
  HH: string;
}

/** The years that data may have. Any other year is a typo, in a name or on the command line. */
export const FIRST_YEAR = 1970;
export const LAST_YEAR = 2199;

const PATTERN = /^(\d{4})-(\d{2})-(\d{2})[T ](\d{2})(?::00(?::00)?)?Z?$/;

/** Reads `2022-07-26T00` (also `2022-07-26T00:00Z`). Throws `invalid` if the text is not a UTC hour. */
export function parseHour(text: string): Hour {
  const match = PATTERN.exec(text.trim());
  if (match) {
    const [, yyyy, MM, dd, HH] = match;
    const hour = `${yyyy}-${MM}-${dd}T${HH}`;
    if (isHour(hour)) return hour;
  }
  throw new HourpackError("invalid", `"${text}" is not an hour`, {
    hint: `Write a UTC hour like 2022-07-26T00, of the years ${FIRST_YEAR} to ${LAST_YEAR}.`,
  });
}

/** Whether the hour exists: no thirteenth month, no hour 24, no year outside the range. */
export function isHour(text: string): text is Hour {
  const ms = Date.parse(`${text}:00:00Z`);
  if (!Number.isFinite(ms) || hourOfMs(ms) !== text) return false;
  const year = Number(text.slice(0, 4));
  return year >= FIRST_YEAR && year <= LAST_YEAR;
}

/** Reads an hour or a day (`2022-07-26` is its first hour). */
export function parseHourOrDay(text: string): Hour {
  return parseHour(/^\d{4}-\d{2}-\d{2}$/.test(text.trim()) ? `${text.trim()}T00` : text);
}

/** The hour that contains the instant `ms` (milliseconds since the epoch). */
export function hourOfMs(ms: number): Hour {
  return new Date(ms).toISOString().slice(0, 13) as Hour;
}

/** First millisecond of the hour. */
export function startMs(hour: Hour): number {
  return Date.parse(`${hour}:00:00Z`);
}

/** First millisecond after the hour. */
export function endMs(hour: Hour): number {
  return startMs(hour) + HOUR_MS;
}

export function addHours(hour: Hour, hours: number): Hour {
  return hourOfMs(startMs(hour) + hours * HOUR_MS);
}

/** The oldest hour that ended less than `settleMs` before `nowMs`, or has not ended. All hours before it are closed. */
export function firstOpenHour(nowMs: number, settleMs: number): Hour {
  return hourOfMs(nowMs - settleMs);
}

/** Every hour from `from` up to but not including `to`, in order. */
export function hoursBetween(from: Hour, to: Hour): Hour[] {
  const hours: Hour[] = [];
  for (let hour = from; hour < to; hour = addHours(hour, 1)) hours.push(hour);
  return hours;
}

/** For a sentence: `2022-07-26T00`, or `3 hours from 2022-07-26T00 to 2022-07-26T02`. */
export function hoursText(hours: Hour[]): string {
  const [first] = hours;
  const last = hours.at(-1);
  if (!first || !last || first === last) return String(first);
  const [from, to] = addHours(first, hours.length - 1) === last ? ["from", "to"] : ["between", "and"];
  return `${count(hours.length)} hours ${from} ${first} ${to} ${last}`;
}

export function partsOf(hour: Hour): HourParts {
  return { yyyy: hour.slice(0, 4), MM: hour.slice(5, 7), dd: hour.slice(8, 10), HH: hour.slice(11, 13) };
}
