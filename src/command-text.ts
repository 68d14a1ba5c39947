/** The commands that messages tell somebody to type. Pure. */
import { CONFIG_NAME } from "./config/settings.js";
import { addHours, type Hour } from "./hour.js";
import type { HourContext } from "./task.js";

export interface CommandOf {
  /** Those that it is to be about. Named only where others are configured: without, it would do the same to all of them. */
  dataset: string | string[];
  /** One, or all up to and without `to`. */
  hours?: Hour | { from: Hour; to: Hour };
  /** As they are typed. */
  flags?: string;
}

/** As it stands in a sentence, backticks and all: `hourpack run --dataset mmp/android --hour 2022-07-26T00 --rebuild`. */
export function commandText(
  verb: string,
  settings: { file?: string; datasets: readonly unknown[] },
  { dataset, hours, flags }: CommandOf,
): string {
  // Without, it would be about another file's datasets, which may well have the same names.
  const file = settings.file === undefined ? "" : configFlag(settings.file);
  const names = settings.datasets.length > 1 ? [dataset].flat() : [];
  const words = [file, ...names.map((name) => `--dataset ${name}`), hours && hourFlags(hours), flags];
  return `\`${["hourpack", verb, ...words.filter(Boolean)].join(" ")}\``;
}

/** The run of one hour, which is what messages mostly tell to do. */
export function runText({ dataset, hour, components }: HourContext, flags?: string): string {
  return commandText("run", components.settings, { dataset: dataset.name, hours: hour, flags });
}

/** `--config lake.yaml`; nothing for the file that is found by itself. */
export function configFlag(file: string): string {
  // One that was a pipe is there no more.
  if (file === CONFIG_NAME || file.startsWith("/dev/")) return "";
  return `--config ${/^[\w./@%+:-]+$/.test(file) ? file : `'${file.replaceAll("'", `'\\''`)}'`}`;
}

/** `--hour 2022-07-26T00`, or `--from 2022-07-26 --to 2022-07-27T02`. */
function hourFlags(hours: Hour | { from: Hour; to: Hour }): string {
  if (typeof hours === "string") return `--hour ${hours}`;
  const { from, to } = hours;
  const dayOrHour = (hour: Hour) => hour.replace(/T00$/, "");
  return addHours(from, 1) === to ? `--hour ${from}` : `--from ${dayOrHour(from)} --to ${dayOrHour(to)}`;
}
