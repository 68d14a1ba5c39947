/** Durations, sizes and time zones as people write them. */
import { HourpackError } from "../errors.js";

export const DURATION = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/;
export const SIZE = /^(\d+(?:\.\d+)?)(B|[KMGT]B|[KMGT]iB)$/;

/** `host:port`, `[::1]:port`, `:port`, `port` or `off`. */
export const LISTEN = /^(?:off|(?:(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]*)):)?(\d{1,5}))$/;

const MS_BY_UNIT: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `5m` in milliseconds. Throws `invalid` for anything but a number and one of ms, s, m, h, d. */
export function parseDurationMs(text: string): number {
  const [, number, unit = ""] = DURATION.exec(text) ?? [];
  if (number === undefined) {
    throw new HourpackError("invalid", `"${text}" is not a duration`, { hint: DURATION_HINT });
  }
  return Math.round(Number(number) * (MS_BY_UNIT[unit] ?? 0));
}

/** `256MB` in bytes; MB is a million, MiB is 2^20. Throws `invalid` for anything else. */
export function parseSizeBytes(text: string): number {
  const [, number, unit = ""] = SIZE.exec(text) ?? [];
  if (number === undefined) {
    throw new HourpackError("invalid", `"${text}" is not a size`, { hint: SIZE_HINT });
  }
  const power = "BKMGT".indexOf(unit.charAt(0));
  return Math.round(Number(number) * (unit.endsWith("iB") ? 1024 : 1000) ** power);
}

/** Where to listen; undefined for `off`. `9464` and `:9464` listen on the loopback only. Throws `invalid`. */
export function parseListen(text: string): { host: string; port: number } | undefined {
  const [, ipv6, name, port] = LISTEN.exec(text) ?? [];
  if (text === "off") return undefined;
  if (port === undefined || Number(port) > 65_535) {
    throw new HourpackError("invalid", `"${text}" is no address to listen on`, { hint: LISTEN_HINT });
  }
  return { host: ipv6 ?? (name || "127.0.0.1"), port: Number(port) };
}

export const LISTEN_HINT = "Write it like 127.0.0.1:9464, 0.0.0.0:9464 for every interface, or off.";
export const DURATION_HINT = "Write a number and a unit, like 30s, 5m, 1h or 2d.";
export const SIZE_HINT = "Write a number and a unit, like 512KB, 16MB or 1GiB.";

/** A zone of the IANA database, such as Asia/Tokyo. Throws `invalid`. */
export function zoneName(zone: string): string {
  // The usual zone, without Intl, which takes 10 ms to start.
  if (zone === "UTC") return zone;
  try {
    return new Intl.DateTimeFormat("en", { timeZone: zone }) && zone;
  } catch {
    throw new HourpackError("invalid", `"${zone}" is no time zone`, {
      hint: "Write UTC or a name such as Asia/Tokyo.",
    });
  }
}
