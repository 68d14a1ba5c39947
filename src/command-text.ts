/** The commands that messages tell somebody to type. Pure. */
import { CONFIG_NAME, type GivenFlag } from "./config/settings.js";
import { addHours, type Hour } from "./hour.js";
import { shellWord } from "./words.js";

interface CommandOf {
  /** Those that it is to be about; all where absent. Named only where others are configured: without, it would do the same to all of them. */
  dataset?: string | string[];
  /** One, or all up to and without `to`. */
  hours?: Hour | { from: Hour; to: Hour };
  /** As they are typed. */
  flags?: string;
}

/** Of the settings, what a command has to say again. */
export interface CommandSettings {
  file?: string;
  flags?: readonly GivenFlag[];
  datasets: readonly { name: string }[];
}

/**
 * As it stands in a sentence, backticks and all: `hourpack run --dataset mmp/android --hour 2022-07-26T00 --rebuild`. It does
 * what is said of it where it is pasted into a POSIX shell: what flags said in place of a file is said again.
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
    // Without, it would be about another file's datasets, which may well have the same names.
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

/** A flag of one dataset says nothing of the others, and is refused where several are meant. */
function isOfAll({ dataset }: GivenFlag, names: string[]): boolean {
  return dataset === undefined || names.every((name) => name === dataset || name.startsWith(`${dataset}/`));
}

/** That of the command goes before the one that was given: both would be refused. */
function isIn({ text }: GivenFlag, flags = ""): boolean {
  const [name = ""] = text.split(/[ =]/, 1);
  return flags.split(" ").includes(name);
}

/** As `HourContext` has it. */
interface OneHour {
  dataset: { name: string };
  hour: Hour;
  components: { settings: CommandSettings };
}

/** The run of one hour, which is what messages mostly tell to do. */
export function runText({ dataset, hour, components }: OneHour, flags?: string): string {
  return commandText("run", components.settings, { dataset: dataset.name, hours: hour, flags });
}

/** Of a damaged part. `inPlace` is where it lies, where it does not say that it is one: no run takes the place of such a file. */
export function remedyText(
  { dataset, hour, settings }: { dataset: string; hour: Hour; settings: CommandSettings },
  inPlace?: string,
): string {
  const run = (flags?: string) => commandText("run", settings, { dataset, hours: hour, flags });
  const move = inPlace?.startsWith("s3://") ? "aws s3 mv" : "mv";
  const anew =
    inPlace === undefined
      ? `${run("--rebuild")} makes the part anew`
      : `\`${move} ${shellWord(inPlace)} .\` moves it away, and ${run()} then makes the part anew,`;
  return `${anew} while its raw objects are there; where they are not, bring back an older version of it.`;
}

/** What looks at the layout and the columns of a raw prefix, and writes nothing. It reads what is said of S3, and no dataset. */
export function initText(raw: string, { flags = [] }: CommandSettings): string {
  const s3 = flags.filter(({ text }) => text.startsWith("--s3-"));
  return commandText("init", { flags: s3, datasets: [] }, { flags: `${shellWord(raw)} --dry-run` });
}

/** `--config lake.yaml`; nothing for the file that is found by itself. */
function configFlag(file: string): string {
  // One that was a pipe is there no more.
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
