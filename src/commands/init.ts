/** hourpack init: looks at a raw prefix and writes a commented hourpack.yaml. */
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { dirname, relative, resolve } from "node:path";
import { draftConfig } from "../config/draft.js";
import { CONFIG_NAME } from "../config/load.js";
import type { Dataset, Settings } from "../config/settings.js";
import { findLayout, newestRawPrefix, type RawLayout, sampleHour } from "../discovery.js";
import { EXIT, HourpackError, reasonOf } from "../errors.js";
import { type Location, parseLocation, parseRawTemplate } from "../layout.js";
import { parseRecordPath } from "../record/path.js";
import { toColumnName } from "../schema/names.js";
import type { Store } from "../store/store.js";
import type { Args, Command } from "./command.js";
import { counted } from "./figures.js";
import { settingsOf, settingsOptions, withComponents } from "./settings.js";

const S3_OPTIONS = Object.fromEntries(
  Object.entries(settingsOptions).filter(([name]) => name.startsWith("s3-")),
);

export const command: Command = {
  options: {
    tier1: {
      type: "string",
      requiresArg: true,
      describe: "Where the Parquet goes; <raw>-parquet/ where absent",
    },
    table: {
      type: "string",
      requiresArg: true,
      describe: "Name of the table; that of the raw folder where absent",
    },
    records: { type: "string", requiresArg: true, describe: "Where the records are; found out where absent" },
    out: { type: "string", requiresArg: true, default: CONFIG_NAME, describe: "File to write" },
    force: { type: "boolean", describe: "Write over a file that is there" },
    "dry-run": { type: "boolean", describe: "Print it and write nothing" },
    ...S3_OPTIONS,
  },
  examples: [
    ["$0 init s3://lake-raw/events/", "find out the layout"],
    ["$0 init './events/{yyyy}/{MM}/{dd}/{HH}/' --dry-run", "with a known layout"],
  ],
  async handler(args, { output, signal }) {
    const out = String(args["out"]);
    const isDry = args["dry-run"] === true || output.json;
    if (!isDry && existsSync(out) && !args["force"]) {
      throw new HourpackError("invalid", `${out} is there already`, {
        location: out,
        hint: "Write another one with --out, over it with --force, or look first with --dry-run.",
      });
    }
    const raw = String(args["raw"]);
    const settings = await settingsOf(
      { ...args, config: undefined, raw: undefined, tier1: undefined, table: undefined, records: undefined },
      { withoutDatasets: true },
    );
    const location = raw.includes("{") ? parseRawTemplate(raw).location : parseLocation(raw);
    return withComponents(settings, async (components) => {
      const store = await components.raw({ raw: { location } } as Dataset);
      const layout = await layoutOf(store, raw, location, signal);
      const records = typeof args["records"] === "string" ? parseRecordPath(args["records"]) : undefined;
      const sample = await sampleHour(store, layout.newestPrefix, records, signal);
      const text = draftConfig({
        ...namesOf(layout, location, args, out),
        variable: layout.variable,
        records: sample.records.text,
        columns: sample.columns,
        seen: `${counted(sample.recordCount, "record")} of ${store.uri}${layout.newestPrefix}`,
        s3: s3Of(location, settings),
        catalogPath: location.scheme === "file" ? "./catalog.duckdb" : undefined,
      });
      if (isDry) output.line(text.trimEnd());
      else await write(out, text);
      const found = `${counted(sample.columns.length, "column")} from ${counted(sample.recordCount, "record")} in ${counted(sample.objects, "object")}`;
      output.note(
        `${isDry ? "would write" : "wrote"} ${out}: ${found}${sample.damaged > 0 ? `; ${counted(sample.damaged, "piece")} of bytes are no record` : ""}`,
      );
      if (!isDry) output.note("next: look at its columns, then `hourpack plan` and `hourpack run`");
      const { columns, objects, recordCount, damaged } = sample;
      output.result({
        file: isDry ? undefined : out,
        template: layout.template,
        records: sample.records.text,
        columns: columns.length,
        objects,
        recordCount,
        damaged,
        text,
      });
      return EXIT.done;
    });
  },
};

async function layoutOf(
  store: Store,
  raw: string,
  location: Location,
  signal: AbortSignal,
): Promise<RawLayout> {
  if (raw.includes("{")) {
    const template = parseRawTemplate(raw);
    const newestPrefix = await newestRawPrefix(store, template, signal);
    if (newestPrefix !== undefined) return { template: template.template, newestPrefix };
  } else {
    const layout = await findLayout(store, location.prefix, signal);
    if (layout) return layout;
  }
  throw new HourpackError("invalid", `look at ${raw}: there are no folders of hours`, {
    location: raw,
    hint: "Name the folder above the years, or the whole template: s3://bucket/events/year={yyyy}/month={MM}/day={dd}/hour={HH}/.",
  });
}

/** URIs, or paths relative to the file that is written; and names after the folder above the hours. */
function namesOf(layout: RawLayout, location: Location, args: Args, out: string) {
  const folderOf = (template: string) =>
    template.slice(0, template.lastIndexOf("/", template.indexOf("{")) + 1);
  const uriOf = (path: string) => {
    if (location.scheme === "s3") return `s3://${location.root}/${path}`;
    const text = relative(dirname(resolve(out)), resolve(location.root, path));
    const end = path.endsWith("/") || path === "" ? "/" : "";
    return (text.startsWith("..") ? text : `./${text}`).replace(/\/?$/, end);
  };
  const base = folderOf(layout.template);
  const folders = (location.scheme === "s3" ? base : `${location.root}/${base}`)
    .split("/")
    .filter((name) => name !== "");
  const dataset = toColumnName(folders.at(-1) ?? "events");
  const placeholder = layout.variable ? `{${layout.variable.name}}` : undefined;
  const beside =
    base === "" && location.scheme === "s3" ? "parquet/" : `${uriOf(base).replace(/\/$/, "")}-parquet/`;
  const tier1 = base === "" && location.scheme === "s3" ? uriOf("parquet/") : beside;
  return {
    dataset,
    raw: uriOf("") + layout.template,
    tier1: (args["tier1"] as string | undefined) ?? tier1 + (placeholder ? `${placeholder}/` : ""),
    table: (args["table"] as string | undefined) ?? dataset + (placeholder ? `_${placeholder}` : ""),
  };
}

function s3Of(location: Location, settings: Settings) {
  return location.scheme === "s3" ? settings.s3 : undefined;
}

async function write(out: string, text: string): Promise<void> {
  try {
    await writeFile(out, text);
  } catch (error) {
    throw new HourpackError("unavailable", `write ${out}: ${reasonOf(error)}`, {
      location: out,
      cause: error,
      hint: "Name a file that can be written with --out.",
    });
  }
}
