/**
 * The pages of `--help`. A command's page has its own flags first, then the configuration fields that matter
 * to it.
 */
import { valueName } from "./arguments.js";
import type { Command, Option, Options } from "./command.js";
import { ENTRIES, type Entry, GLOBAL_OPTIONS, usageOf } from "./entries.js";

const DATASET = ["raw", "tier1", "table", "records"];
const STORE = ["s3-endpoint", "s3-region", "s3-force-path-style"];
const CATALOG = ["catalog", "catalog-database", "catalog-path", "catalog-workgroup", "catalog-output"];
const OF_WORKER = ["at", "listen", "hooks-quarantine"];

/**
 * Fields by command. A field that a command names is shown, however rare elsewhere. A command that is not
 * here shows all fields but the rare.
 */
const FIELDS: Record<string, string[]> = {
  plan: [...DATASET, "columns", ...STORE, "look-back", "settle", "late-settle"],
  status: [...DATASET, ...STORE, "settle"],
  verify: [...DATASET, ...STORE, "zone", "max-record"],
  query: ["catalog-path", "catalog-database"],
  register: [...DATASET, ...STORE, ...CATALOG, "ahead", "projection"],
  ddl: [...DATASET, "columns", "raw-table", ...STORE, "ahead", "projection"],
  schema: [...DATASET, ...STORE],
  restore: [...DATASET, ...STORE],
  expire: [...DATASET, ...STORE],
  sweep: [...DATASET, ...STORE],
  init: STORE,
  doctor: [...DATASET, ...STORE, ...CATALOG, "spool-dir", "engine-memory", "batch", "hours-in-flight"],
};

const OF_EVERY_FILE = new Set(["config", "dataset"]);

const EXIT_CODES =
  "Exit codes: 0 done, 1 a bug, 2 bad arguments or configuration, 3 some hours failed, 10 store or catalog unavailable, 11 still changing, 12 data breaks the contract, 130 interrupted.";

const MORE_FLAGS =
  "--show-hidden lists the other settings, which work here, too; docs/configuration.md explains them.";

/** `width`: columns of the terminal. */
export function overview(width: number): string {
  const commands = ENTRIES.map((entry): Row => [`hourpack ${usageOf(entry)}`, entry.describe]);
  return pageOf([
    "hourpack <command>",
    paragraph("Turns each hour of small JSON objects into one Parquet file, and tells the catalog.", width),
    section("Commands:", commands, width),
    section("Options:", rowsOf(GLOBAL_OPTIONS), width),
    section("Examples:", EXAMPLES, width),
    paragraph(EXIT_CODES, width),
  ]);
}

const EXAMPLES: Row[] = [
  ["hourpack demo", "see it work, without a network"],
  ["hourpack init s3://lake-raw/events/", "write a hourpack.yaml"],
  ["hourpack run", "pack what is due"],
  ["hourpack run --hour 2022-07-26T00", "pack one hour"],
];

/** The page of one command. `showHidden`: with every flag that it takes. */
export async function commandHelp(
  entry: Entry,
  { options, examples = [] }: Command,
  { width, showHidden }: { width: number; showHidden: boolean },
): Promise<string> {
  const { FIELD_FLAGS } = await import("../config/flags.js");
  const fields = new Set(FIELD_FLAGS.map(({ flag }) => flag));
  const isField = (name: string) => fields.has(name) && options[name]?.group !== undefined;
  const shown = Object.entries(options).filter(
    ([name, option]) => showHidden || !isField(name) || matters(entry.name, name, option),
  );
  const groups = new Map<string, Options>();
  for (const [name, option] of shown) {
    const group = option.group ?? (OF_EVERY_FILE.has(name) ? "Configuration:" : "Flags:");
    groups.set(group, { ...groups.get(group), [name]: option });
  }
  return pageOf([
    `hourpack ${usageOf(entry)}`,
    paragraph(`${entry.describe}.`, width),
    ...[...groups].map(([group, members]) => section(group, rowsOf(members), width)),
    section("Options:", rowsOf(GLOBAL_OPTIONS), width),
    section(
      "Examples:",
      examples.map(([line, does]): Row => [line.replaceAll("$0", "hourpack"), does]),
      width,
    ),
    shown.length < Object.keys(options).length ? paragraph(MORE_FLAGS, width) : "",
  ]);
}

function matters(command: string, name: string, option: Option): boolean {
  const named = FIELDS[command];
  if (named) return named.includes(name);
  return !option.hidden && !(command === "run" && OF_WORKER.includes(name));
}

/** The left column, and the right one. */
type Row = [string, string];

function rowsOf(options: Options): Row[] {
  return Object.entries(options)
    .filter(([name, { hidden }]) => !hidden || !(name in GLOBAL_OPTIONS))
    .map(([name, option]) => {
      const value = option.type === "boolean" ? "" : ` <${valueName(option)}>`;
      const choices = option.choices ? ` (${option.choices.join(", ")})` : "";
      const byDefault = option.default === undefined ? "" : ` [default: ${option.default}]`;
      return [`--${option.isOn ? "[no-]" : ""}${name}${value}`, option.describe + choices + byDefault];
    });
}

/** The left column takes at most half of the width. A longer entry has a line of its own. */
function section(heading: string, rows: Row[], width: number): string {
  const half = Math.floor(width / 2);
  const left = Math.max(...rows.map(([name]) => (name.length > half ? 0 : name.length)));
  const lines = rows.flatMap(([name, text]) => {
    const [first = "", ...others] = wrap(text, Math.max(20, width - left - 4));
    const indented = (line: string) => `${" ".repeat(left + 4)}${line}`;
    const heads =
      name.length > left
        ? [...commandLines(name, width), indented(first)]
        : [`  ${name.padEnd(left)}  ${first}`];
    return [...heads, ...others.map(indented)];
  });
  return rows.length > 0 ? [paragraph(heading, width), ...lines].join("\n") : "";
}

/** A command of more than one line is broken as a shell reads it, so that it can be copied. */
function commandLines(command: string, width: number): string[] {
  const [first = "", ...others] = wrap(command, width - 8);
  const lines = [`  ${first}`, ...others.map((line) => `      ${line}`)];
  return lines.map((line, n) => (n < others.length ? `${line} \\` : line));
}

function paragraph(text: string, width: number): string {
  return wrap(text, width).join("\n");
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const line = lines.at(-1);
    if (line !== undefined && line.length + 1 + word.length <= width) lines.push(`${lines.pop()} ${word}`);
    else lines.push(word);
  }
  return lines;
}

function pageOf(parts: string[]): string {
  return parts.filter((part) => part !== "").join("\n\n");
}
