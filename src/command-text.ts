/** The commands that messages tell people to type. Pure. */
import { CONFIG_NAME, type GivenFlag } from "./config/settings.js";
import { addHours, type Hour } from "./hour.js";
import { shellWord } from "./words.js";

interface CommandOf {
  /** The datasets that the command is about; all if absent. Named only if others are configured, which it would include otherwise. */
  dataset?: string | string[];
  /** One hour, or all from `from` up to but not including `to`. */
  hours?: Hour | { from: Hour; to: Hour };
  /** As they are typed. */
  flags?: string;
}

/** The part of the settings that a command has to repeat. */
export interface CommandSettings {
  file?: string;
  flags?: readonly GivenFlag[];
  datasets: readonly { name: string }[];
  s3?: { endpoint?: string | undefined };
}

/**
 * The command as it stands in a sentence, with backticks: `hourpack run --dataset mmp/android --hour 2022-07-26T00 --rebuild`.
 * Pasted into a POSIX shell, it does what the sentence says: settings that came from flags and not from a file are repeated.
 */
export function commandText(
  verb: string,
  settings: CommandSettings,
  { dataset, hours, flags }: CommandOf = {},
): string {
  const { file, datasets } = settings;
  const named = datasets.length > 1 && dataset !== undefined ? [dataset].flat() : [];
  const about = named.length > 0 ? named : datasets.map(({ name }) => name);
  const words = [
    // Without it the command would be about the datasets of another file, which may well have the same names.
    file === undefined ? "" : configFlag(file),
    ...named.map((name) => `--dataset ${shellWord(name)}`),
    hours && hourFlags(hours),
    flags,
    ...(settings.flags ?? [])
      .filter((flag) => isOfAll(flag, about) && !isIn(flag, flags))
      .map(({ text }) => text),
  ];
  return `\`${["hourpack", verb, ...words.filter(Boolean)].join(" ")}\``;
}

/** A flag for one dataset says nothing about the others, and is refused if the command is about several. */
function isOfAll({ dataset }: GivenFlag, names: string[]): boolean {
  return dataset === undefined || names.every((name) => name === dataset || name.startsWith(`${dataset}/`));
}

/** The command's own flag wins over the one that was given: both together would be refused. */
function isIn({ text }: GivenFlag, flags = ""): boolean {
  const [name = ""] = text.split(/[ =]/, 1);
  return flags.split(" ").includes(name);
}

/** The members of `HourContext` that are needed here. */
interface OneHour {
  dataset: { name: string };
  hour: Hour;
  components: { settings: CommandSettings };
}

/** A run of one hour, the command that most messages need. */
export function runText({ dataset, hour, components }: OneHour, flags?: string): string {
  return commandText("run", components.settings, { dataset: dataset.name, hours: hour, flags });
}

/** The remedy for a damaged part. `inPlace` is the location of a file that does not say that it is a part: no run replaces such a file. */
export function remedyText(
  { dataset, hour, settings }: { dataset: string; hour: Hour; settings: CommandSettings },
  inPlace?: string,
): string {
  const run = (flags?: string) => commandText("run", settings, { dataset, hours: hour, flags });
  const endpoint = settings.s3?.endpoint ? ` --endpoint-url ${shellWord(settings.s3.endpoint)}` : "";
  const move = inPlace?.startsWith("s3://") ? `aws s3${endpoint} mv` : "mv";
  const rebuilds =
    inPlace === undefined
      ? `${run("--rebuild")} rebuilds the part`
      : `\`${move} ${shellWord(inPlace)} .\` moves it away, and ${run()} then rebuilds the part,`;
  return `${rebuilds} while its raw objects are there; where they are not, bring back an older version of it.`;
}

/** The command that looks at the layout and the columns of a raw prefix and writes nothing. It uses the S3 flags and no dataset. */
export function initText(raw: string, { flags = [] }: CommandSettings): string {
  const s3 = flags.filter(({ text }) => text.startsWith("--s3-"));
  return commandText("init", { flags: s3, datasets: [] }, { flags: `${shellWord(raw)} --dry-run` });
}

/** `--config lake.yaml`; empty for the file that is found without the flag. */
function configFlag(file: string): string {
  // A pipe cannot be read a second time.
  if (file === CONFIG_NAME || file.startsWith("/dev/")) return "";
  return `--config ${shellWord(file)}`;
}

/** `--hour 2022-07-26T00`, or `--from 2022-07-26 --to 2022-07-27T02`. */
function hourFlags(hours: Hour | { from: Hour; to: Hour }): string {
  if (typeof hours === "string") return `--hour ${hours}`;
  const { from, to } = hours;
  const dayOrHour = (hour: Hour) => hour.replace(/T00$/, "");
  return addHours(from, 1) === to ? `--hour ${from}` : `--from ${dayOrHour(from)} --to ${dayOrHour(to)}`;
}
