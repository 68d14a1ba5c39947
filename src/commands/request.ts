/** Which hours a command is about, and what a run is asked to do. */
import { parseDurationMs } from "../config/units.js";
import { HourpackError, isHourpackError } from "../errors.js";
import {
  addHours,
  type Hour,
  parseHour,
  parseHourOrDay,
  RANGE_MAX_MS,
  RANGE_YEARS_MAX,
  startMs,
} from "../hour.js";
import type { RunRequest } from "../run.js";
import type { Args, Options } from "./command.js";
import { datasetNames } from "./settings.js";

const GROUP = "Hours (UTC):";

export const hourOptions: Options = {
  hour: { type: "string", group: GROUP, describe: "One hour, like 2022-07-26T00" },
  from: { type: "string", group: GROUP, describe: "From this hour or day on" },
  to: { type: "string", group: GROUP, describe: "Up to and without this hour or day" },
};

/** Undefined if no hour is named. Throws `invalid`. */
export function hoursOf(args: Args): { from: Hour; to: Hour } | undefined {
  const read = (flag: string, parse: (text: string) => Hour): Hour | undefined => {
    const text = args[flag] as string | undefined;
    return text === undefined
      ? undefined
      : atFlag(flag, () => parse(text), flag === "hour" ? dayHint(text) : undefined);
  };
  const hour = read("hour", parseHour);
  const from = read("from", parseHourOrDay);
  const to = read("to", parseHourOrDay);
  if (hour !== undefined) {
    if (from !== undefined || to !== undefined) {
      throw new HourpackError("invalid", "--hour and --from or --to are given", {
        location: "--hour",
        hint: "Name one hour with --hour, or a range with --from and --to.",
      });
    }
    return { from: hour, to: addHours(hour, 1) };
  }
  if (from === undefined && to === undefined) return undefined;
  if (from === undefined || to === undefined) {
    const missing = from === undefined ? "--from" : "--to";
    throw new HourpackError("invalid", `a range needs --from and --to, and ${missing} is missing`, {
      location: missing,
      hint: "Write --from 2022-07-01 --to 2022-08-01; the end is not part of it.",
    });
  }
  if (from >= to) {
    throw new HourpackError("invalid", `--from ${from} is not before --to ${to}`, {
      location: "--from",
      hint: "The end is not part of the range: one day is --from 2022-07-26 --to 2022-07-27.",
    });
  }
  if (startMs(to) - startMs(from) > RANGE_MAX_MS) {
    throw new HourpackError("invalid", `--from ${from} --to ${to} is over ${RANGE_YEARS_MAX} years`, {
      location: "--from",
      hint: "Each hour of a range is looked at: is a year mistyped?",
    });
  }
  return { from, to };
}

/** The value of a flag like `--last 2d`, in milliseconds. Throws `invalid`. */
export function durationMsOf(args: Args, flag: string): number {
  return atFlag(flag, () => {
    const ms = parseDurationMs(String(args[flag]));
    if (ms <= RANGE_MAX_MS) return ms;
    throw new HourpackError("invalid", `${args[flag]} is over ${RANGE_YEARS_MAX} years`, {
      hint: "Is the unit mistyped?",
    });
  });
}

/** Names the flag in the error about its value. */
function atFlag<T>(flag: string, read: () => T, hint?: string): T {
  try {
    return read();
  } catch (error) {
    if (!isHourpackError(error)) throw error;
    const message = `--${flag}: ${error.message}`;
    throw error.with({ message, location: `--${flag}`, hint: hint ?? error.hint });
  }
}

/** Whoever writes `--hour 2022-07-26` means the day. */
function dayHint(text: string): string | undefined {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(text.trim())) return undefined;
  try {
    const day = parseHourOrDay(text);
    return `That day is --from ${day.slice(0, 10)} --to ${addHours(day, 24).slice(0, 10)}; its first hour is --hour ${day}.`;
  } catch {
    return undefined;
  }
}

/** Shared by `run` and `plan`. */
export const requestOptions: Options = {
  ...hourOptions,
  rebuild: { type: "boolean", describe: "Rebuild the parts, even if their objects are unchanged" },
  "keep-old": {
    type: "boolean",
    describe: "Keep published rows as they are, of objects that are gone or overwritten, too",
  },
  "from-remainder": { type: "boolean", describe: "Give up the rows of objects that are gone" },
};

/** Throws `invalid` if two flags want opposite things of the same rows. */
export function requestOf(args: Args, signal: AbortSignal): RunRequest {
  if (args["keep-old"] && args["from-remainder"]) {
    throw new HourpackError(
      "invalid",
      "--keep-old and --from-remainder are given, and want opposite things",
      {
        location: "--keep-old",
        hint: "Say one: --keep-old keeps the rows of objects that are gone or overwritten, --from-remainder packs what is still listed and gives those rows up.",
      },
    );
  }
  return {
    datasets: datasetNames(args),
    hours: hoursOf(args),
    rebuild: args["rebuild"] as boolean | undefined,
    keepOld: args["keep-old"] as boolean | undefined,
    fromRemainder: args["from-remainder"] as boolean | undefined,
    signal,
  };
}
