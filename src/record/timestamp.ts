/**
 * The grammar of timestamps and dates: ISO 8601 with `T` or a space, and stricter than DuckDB and JavaScript.
 */

const TIMESTAMP =
  /^([0-9]{4})-([0-9]{2})-([0-9]{2})[T ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?(Z|[+-][0-9]{2}:?[0-9]{2})?$/;
const DATE = /^([0-9]{4})-([0-9]{2})-([0-9]{2})$/;

interface Instant {
  /** Milliseconds since 1970, floored. */
  ms: number;
  /** False if the text is finer than milliseconds. */
  isExact: boolean;
}

/**
 * Returns undefined if the text is not a timestamp, or lies outside the years 0001 to 9999. `zone` applies to
 * texts that carry none.
 */
export function parseTimestamp(text: string, zone: string): Instant | undefined {
  const match = TIMESTAMP.exec(text);
  if (!match) return undefined;
  const [, year, month, day, hour, minute, second, fraction = "", offset] = match;
  const dayMs = dateMs(Number(year), Number(month), Number(day));
  if (dayMs === undefined || Number(hour) > 23 || Number(minute) > 59 || Number(second) > 59)
    return undefined;
  const local =
    dayMs +
    Number(hour) * 3_600_000 +
    Number(minute) * 60_000 +
    Number(second) * 1000 +
    Number(fraction.slice(0, 3).padEnd(3, "0"));
  const ms = offset === undefined ? fromZone(local, zone) : fromOffset(local, offset);
  if (ms === undefined || !isInRange(ms)) return undefined;
  return { ms, isExact: !/[1-9]/.test(fraction.slice(3)) };
}

/** Days since 1970 of a date like `2022-07-26`; undefined for any other text. */
export function parseDate(text: string): number | undefined {
  const match = DATE.exec(text);
  const ms = match ? dateMs(Number(match[1]), Number(match[2]), Number(match[3])) : undefined;
  return ms === undefined ? undefined : ms / 86_400_000;
}

const FIRST_MS = -62_135_596_800_000; // 0001-01-01
const LAST_MS = 253_402_300_799_999; // 9999-12-31T23:59:59.999

export function isInRange(ms: number): boolean {
  return ms >= FIRST_MS && ms <= LAST_MS;
}

function dateMs(year: number, month: number, day: number): number | undefined {
  if (year < 1 || month < 1 || month > 12 || day < 1) return undefined;
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  return date.getUTCMonth() === month - 1 ? date.getTime() : undefined;
}

function fromOffset(local: number, offset: string): number | undefined {
  if (offset === "Z") return local;
  const hours = Number(offset.slice(1, 3));
  const minutes = Number(offset.slice(-2));
  if (hours > 23 || minutes > 59) return undefined;
  const offsetMs = (hours * 60 + minutes) * 60_000;
  return offset[0] === "-" ? local + offsetMs : local - offsetMs;
}

/** The earlier instant if a clock set back shows a time twice; undefined if a clock set forward skips it. */
function fromZone(local: number, zone: string): number | undefined {
  if (zone === "UTC") return local;
  const candidates = [
    local - zoneOffsetMs(local - 86_400_000, zone),
    local - zoneOffsetMs(local + 86_400_000, zone),
  ];
  return candidates.sort((a, b) => a - b).find((ms) => ms + zoneOffsetMs(ms, zone) === local);
}

const formats = new Map<string, Intl.DateTimeFormat>();

/** How far a clock in this zone is ahead of UTC at this instant. */
function zoneOffsetMs(ms: number, zone: string): number {
  let format = formats.get(zone);
  if (!format) {
    format = new Intl.DateTimeFormat("en-US", {
      timeZone: zone,
      hourCycle: "h23",
      era: "short",
      year: "numeric",
      month: "numeric",
      day: "numeric",
      hour: "numeric",
      minute: "numeric",
      second: "numeric",
    });
    formats.set(zone, format);
  }
  const part = Object.fromEntries(format.formatToParts(ms).map(({ type, value }) => [type, value]));
  const year = part["era"] === "BC" ? 1 - Number(part["year"]) : Number(part["year"]);
  const shown = new Date(0);
  shown.setUTCFullYear(year, Number(part["month"]) - 1, Number(part["day"]));
  shown.setUTCHours(Number(part["hour"]), Number(part["minute"]), Number(part["second"]));
  return shown.getTime() - Math.floor(ms / 1000) * 1000;
}
