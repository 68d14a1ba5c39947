/** hourpack init: looks at a raw prefix and writes a commented hourpack.yaml. */
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { dirname, relative, resolve } from "node:path";
import { commandText } from "../command-text.js";
import { draftConfig, draftDataset } from "../config/draft.js";
import { readConfigFile } from "../config/file.js";
import { loadSettings } from "../config/load.js";
import { sharing } from "../config/overlap.js";
import { CONFIG_NAME, type Dataset, type Settings } from "../config/settings.js";
import { EXIT, HourpackError, isHourpackError, kindOfSystemError, reasonOf } from "../errors.js";
import { addHours, firstOpenHour } from "../hour.js";
import { generalise, RawFolders, type RawLayout } from "../hours/discovery.js";
import {
  HOUR_PARTS,
  type HourPart,
  hourOfRawPrefix,
  type Location,
  parseLocation,
  parseRawTemplate,
  rawBasePrefix,
} from "../layout.js";
import { uniqueNames } from "../schema/names.js";
import { parseRecordPath } from "../schema/path.js";
import type { Store } from "../store/store.js";
import { count, counted, listed } from "../words.js";
import type { Args, Command } from "./command.js";
import type { Output } from "./output.js";
import { type Sample, sampleHours } from "./sample.js";
import { settingsOf, settingsOptions, withComponents } from "./settings.js";

const S3_OPTIONS = Object.fromEntries(
  Object.entries(settingsOptions).filter(([name]) => name.startsWith("s3-")),
);

export const command: Command = {
  options: {
    tier1: {
      type: "string",
      describe: "Where the Parquet goes; <raw>-parquet/ where absent",
    },
    table: {
      type: "string",
      describe: "Name of the table; that of the raw folder where absent",
    },
    records: { type: "string", describe: "Where the records are; found out where absent" },
    out: { type: "string", default: CONFIG_NAME, describe: "File to write" },
    force: { type: "boolean", describe: "Write over a file that is there" },
    "dry-run": { type: "boolean", describe: "Print it and write nothing; --json does, too" },
    ...S3_OPTIONS,
  },
  examples: [
    ["$0 init s3://lake-raw/events/", "find out the layout"],
    ["$0 init './events/{yyyy}/{MM}/{dd}/{HH}/' --dry-run", "with a known layout"],
  ],
  async handler(args, { output, signal }) {
    const out = String(args["out"]);
    const isDry = args["dry-run"] === true || output.json;
    const others = !isDry && existsSync(out) && !args["force"] ? await othersIn(out) : undefined;
    if (!isDry && !existsSync(dirname(out))) {
      throw new HourpackError("invalid", `write ${out}: there is no folder ${dirname(out)}`, {
        location: out,
        hint: "Make it first, or name a file in another folder with --out.",
      });
    }
    const raw = String(args["raw"]);
    const settings = await settingsHere(args, output);
    const location = raw.includes("{") ? parseRawTemplate(raw).location : parseLocation(raw);
    return withComponents(settings, async (components) => {
      const store = await components.raw({ raw: { location } } as Dataset);
      const layout = await layoutOf(store, raw, location, signal);
      const records = typeof args["records"] === "string" ? parseRecordPath(args["records"]) : undefined;
      const spread = await new RawFolders(store, signal).spread(layout, HOURS_LOOKED_AT);
      const hours = [...new Set([layout.newestPrefix, ...spread])].slice(0, HOURS_LOOKED_AT);
      const sample = await sampleHours(store, hours, records, signal);
      const seen = seenOf(sample, layout);
      const draft = {
        ...namesOf(layout, location, args, { out, taken: others?.names ?? [] }),
        variable: layout.variable,
        records: sample.records.text,
        columns: sample.columns,
        outliers: sample.outliers,
        doubts: sample.doubts,
        seen,
        s3: s3Of(location, settings),
        catalogPath: location.scheme === "file" ? "./catalog.duckdb" : undefined,
      };
      const text = draftConfig(draft);
      const { datasets } = await usableOf(text, out);
      if (others) output.line(draftDataset(draft, others.indent));
      else if (isDry) output.line(text.trimEnd());
      else await write(out, text);
      const found = `${counted(sample.columns.length, "column")} from ${seen}`;
      const odd = sample.damaged > 0 ? `; ${damageOf(sample.damaged)}, and would be quarantined` : "";
      const did = isDry ? `would write ${out}` : others ? `the dataset ${draft.dataset}` : `wrote ${out}`;
      output.note(`${did}: ${found}${odd}`);
      for (const text of leftOut(layout, store)) output.notice(text);
      if (others) {
        for (const text of sharedWith(sharing(datasets, others.datasets), out)) output.notice(text);
        throw isThere(out);
      }
      if (!isDry) output.note(nextSteps(layout, settings, out, components.nowMs()));
      const { columns, objects, recordCount, damaged } = sample;
      output.result({
        template: layout.template,
        records: sample.records.text,
        columns: columns.length,
        hours: sample.hours.length,
        objects,
        recordCount,
        damaged,
        text,
      });
      return EXIT.done;
    });
  },
};

/**
 * The S3 settings, from flags, variables and the file found here. If that file is broken, init can still
 * write over it, or write another one. If its variable names the file, the file is meant, and its error
 * counts.
 */
async function settingsHere(args: Args, output: Output): Promise<Settings> {
  const given = {
    ...args,
    config: undefined,
    raw: undefined,
    tier1: undefined,
    table: undefined,
    records: undefined,
  };
  try {
    return await settingsOf(given, { withoutDatasets: true });
  } catch (error) {
    const isOfFile = existsSync(CONFIG_NAME) && !process.env["HOURPACK_CONFIG"];
    if (!isOfFile || !isHourpackError(error, "invalid")) throw error;
    // Throws if the file was not at fault.
    const settings = await settingsOf(given, { withoutDatasets: true, text: "{}" });
    output.notice(`${error.location} is ignored, and what it says of S3: ${error.message}`);
    return settings;
  }
}

/**
 * The datasets of a file. What is to be pasted into it takes none of their names, and is indented as they
 * are.
 */
async function othersIn(out: string): Promise<{ names: string[]; indent: number; datasets: Dataset[] }> {
  const { value, indentOf, lineOf } = await readConfigFile(resolve(out), out);
  const names = Object.keys((value["datasets"] as object | null | undefined) ?? {});
  const first = ["datasets", ...names.slice(0, 1)];
  const isBelow = lineOf(first) > lineOf(["datasets"]);
  // If something is wrong with one of them, a run says so.
  const settings = await loadSettings({ file: out, env: {} }).catch(() => undefined);
  return { names, indent: isBelow ? indentOf(first) : 2, datasets: settings?.datasets ?? [] };
}

/** What a run would do twice, or refuse, once the dataset is pasted. */
function sharedWith({ raw, tier1 }: ReturnType<typeof sharing>, out: string): string[] {
  const texts: string[] = [];
  const named = (names: string[]) => `${listed(names, NAMES_MAX)} of ${out}`;
  if (raw.length > 0)
    texts.push(`the same raw is read already, by ${named(raw)}: pasted beside it, all is packed twice`);
  if (tier1.length > 0)
    texts.push(
      `its tier1 is in use, by ${named(tier1)}: a run refuses two datasets that write to one; name another with --tier1`,
    );
  return texts;
}

const NAMES_MAX = 3;

/** Somebody wrote what is in the file, and it stays as it is. */
function isThere(out: string): HourpackError {
  return new HourpackError("invalid", `${out} is there already, and nothing was written`, {
    location: out,
    hint: "Paste the dataset that is printed below its `datasets:`. Or write another file with --out, or over this one with --force.",
  });
}

function damageOf(pieces: number): string {
  return pieces === 1 ? "1 piece is no record" : `${count(pieces)} pieces are no records`;
}

/** Reports what was found but is in no dataset of the draft: otherwise nobody would pack it. */
function leftOut({ template, others = [], hourless = [] }: RawLayout, { uri }: Store): string[] {
  if (others.length + hourless.length === 0) return [];
  const why = [
    ["the hours there are laid out otherwise", others],
    ["there are no folders of hours", hourless],
  ] as const;
  const texts = why
    .filter(([, prefixes]) => prefixes.length > 0)
    .map(
      ([reason, prefixes]) =>
        `not in it, since ${reason}: ${prefixes.map((prefix) => uri + prefix).join(", ")}`,
    );
  const next = "`hourpack init <prefix>` looks at each, and prints what to paste below `datasets:`";
  return [`in it: ${uri}${template}`, ...texts.slice(0, -1), `${texts.at(-1)}; ${next}`];
}

/**
 * The settings that the text gives. Throws what `run` would throw for the file, but without its lines: they
 * are of no use, because the file is not written then.
 */
async function usableOf(text: string, file: string): Promise<Settings> {
  return loadSettings({ text, file, env: {} }).catch((error) => {
    throw isHourpackError(error) ? error.with({ location: undefined }) : error;
  });
}

async function layoutOf(
  store: Store,
  raw: string,
  location: Location,
  signal: AbortSignal,
): Promise<RawLayout> {
  if (raw.includes("{")) {
    const template = parseRawTemplate(raw);
    const newestPrefix = await new RawFolders(store, signal).newestPrefix(template);
    if (newestPrefix !== undefined) return { template: template.template, newestPrefix };
  } else {
    const layout = await new RawFolders(store, signal).layout(location.prefix);
    if (layout) return layout;
  }
  if (location.scheme === "file" && !existsSync(location.root)) {
    throw new HourpackError("invalid", `look at ${raw}: there is no such directory`, {
      location: raw,
      hint: "Name the folder above the years.",
    });
  }
  const found = raw.includes("{") ? "" : await foldersIn(store, location.prefix, signal);
  const but = found === "" ? "" : `, but ${found}`;
  const days = daysOf(found);
  throw new HourpackError("invalid", `look at ${raw}: there are no folders of hours${but}`, {
    location: raw,
    hint:
      days === undefined
        ? "Name the folder above the years (folders of Parquet are skipped; those of an hour have two digits for month, day and hour), or the whole template: s3://bucket/events/year={yyyy}/month={MM}/day={dd}/hour={HH}/."
        : `These are days. Is the hour in the names of the objects? Then the template goes on into them, and ends without a slash, such as ${raw.replace(/\/*$/, "/")}${days}events-{yyyy}{MM}{dd}T{HH} (docs/recipes/cloudtrail.md has one). Else a folder for each hour is needed.`,
  });
}

/** `2022/07/26/` as a template, if only the hour is missing. */
function daysOf(folders: string): string | undefined {
  let rest: readonly HourPart[] = HOUR_PARTS;
  let template = "";
  for (const folder of folders.split("/").slice(0, -1)) {
    const level = generalise(folder, rest);
    template += `${level?.text ?? folder}/`;
    rest = level?.rest ?? rest;
    if (rest.length === 1) return template;
  }
  return undefined;
}

/**
 * What is there instead: the last folder, the last one in it, and so on, as deep as an hour's folders are.
 */
async function foldersIn(store: Store, prefix: string, signal: AbortSignal): Promise<string> {
  let folder = prefix;
  for (let depth = 0; depth < 4; depth++)
    folder = (await store.listPrefixes(folder, { signal })).at(-1) ?? folder;
  return folder.slice(prefix.length);
}

/** URIs, or paths relative to the file that is written, and names after the folder above the hours. */
function namesOf(
  layout: RawLayout,
  location: Location,
  args: Args,
  { out, taken }: { out: string; taken: string[] },
) {
  const base = rawBasePrefix(layout);
  const folders = (location.scheme === "s3" ? base : `${location.root}/${base}`)
    .split("/")
    .filter((name) => name !== "");
  const [dataset = ""] = uniqueNames([folders.at(-1) ?? "events"], taken);
  const placeholder = layout.variable ? `{${layout.variable.name}}` : undefined;
  const tier1 =
    location.scheme === "s3"
      ? placeOf(location, base === "" ? "parquet/" : `${base.slice(0, -1)}-parquet/`, out)
      : placeOf(location, `${resolve(location.root, base)}-parquet/`, out);
  return {
    dataset,
    raw: placeOf(location, "", out) + layout.template,
    tier1: (args["tier1"] as string | undefined) ?? tier1 + (placeholder ? `${placeholder}/` : ""),
    table: (args["table"] as string | undefined) ?? dataset + (placeholder ? `_${placeholder}` : ""),
  };
}

/** Enough to see what only some hours have, and quick to look at if there are thousands. */
const HOURS_LOOKED_AT = 8;

/** `320 records in 64 objects of 8 hours from 2022-07-01T05 to 2022-07-26T00` */
function seenOf({ recordCount, objects, hours }: Sample, { template }: RawLayout): string {
  const names = [
    ...new Set(hours.map((prefix) => hourOfRawPrefix(template, prefix) ?? (prefix || "./"))),
  ].sort();
  const kind = kindOfFolder(template);
  const which =
    names.length === 1
      ? `the ${kind} ${names[0]}`
      : `${counted(names.length, kind)} from ${names[0]} to ${names.at(-1)}`;
  return `${counted(recordCount, "record")} in ${counted(objects, "object")} of ${which}`;
}

/** What a folder of the template stands for: if the hour is in the objects' names, a day or more. */
function kindOfFolder(template: string): string {
  const folders = template.slice(0, template.lastIndexOf("/") + 1);
  const finest = HOUR_PARTS.findLast((part) => folders.includes(`{${part}}`));
  return finest === undefined ? "folder" : { yyyy: "year", MM: "month", dd: "day", HH: "hour" }[finest];
}

/** An older hour is not due by itself, so `run` alone would find nothing to do. */
function nextSteps(layout: RawLayout, { run }: Settings, out: string, nowMs: number): string {
  const hour = hourOfRawPrefix(layout.template, layout.newestPrefix);
  const isDue =
    hour === undefined || hour >= addHours(firstOpenHour(nowMs, run.settleMs), -run.lookBackHours);
  // Only the file of the working directory is found by itself.
  const file = resolve(out) === resolve(CONFIG_NAME) ? CONFIG_NAME : out;
  const [plan, pack] = ["plan", "run"].map((verb) =>
    commandText(verb, { file, datasets: [] }, { hours: isDue ? undefined : hour }),
  );
  return `next: look at its columns, its tier1 and its catalog, then ${plan} and ${pack}`;
}

/**
 * A URI, or a path relative to the file that is written, so that the file can be moved together with what it
 * names.
 */
function placeOf(location: Location, path: string, out: string): string {
  if (location.scheme === "s3") return `s3://${location.root}/${path}`;
  const text = relative(dirname(resolve(out)), resolve(location.root, path));
  const end = path.endsWith("/") || path === "" ? "/" : "";
  return (text.startsWith("..") ? text : `./${text}`).replace(/\/?$/, end);
}

function s3Of(location: Location, settings: Settings) {
  return location.scheme === "s3" ? settings.s3 : undefined;
}

async function write(out: string, text: string): Promise<void> {
  try {
    await writeFile(out, text);
  } catch (error) {
    throw new HourpackError(kindOfSystemError(error), `write ${out}: ${reasonOf(error)}`, {
      location: out,
      cause: error,
      hint: "Name a file that can be written with --out.",
    });
  }
}
