/** The text of a commented hourpack.yaml. Pure. */
import type { Doubt } from "../record/doubts.js";
import type { Outlier } from "../record/outliers.js";
import { hiveType } from "../schema/hive.js";
import { fold, TAKEN_NAMES, uniqueNames } from "../schema/names.js";
import { fromPathText } from "../schema/path.js";
import type { Column, Type } from "../schema/types.js";
import type { S3Settings } from "./settings.js";

interface Draft {
  dataset: string;
  raw: string;
  tier1: string;
  table: string;
  variable?: { name: string; values: string[] };
  /** `$` or `Records[*]`. */
  records: string;
  columns: Column[];
  /** By column name: the columns that are text because a few values differ from most. */
  outliers?: ReadonlyMap<string, Outlier>;
  /** By column name: the columns whose type may not be the one that is meant. */
  doubts?: ReadonlyMap<string, Doubt>;
  /** What the columns were inferred from, in words. */
  seen: string;
  s3?: Pick<S3Settings, "endpoint" | "region" | "forcePathStyle">;
  /** A local catalog's file. If absent, the reader chooses the catalog. */
  catalogPath?: string;
}

export function draftConfig(draft: Draft): string {
  const dataset = ["datasets:", ...datasetLines(draft), ""];
  return [...s3Lines(draft), ...dataset, ...catalogLines(draft), ...RUN_LINES, ""].join("\n");
}

/** The dataset alone, as it goes below the `datasets:` of a file that indents its datasets by `indent`. */
export function draftDataset(draft: Draft, indent: number): string {
  return datasetLines(draft)
    .map((line) => " ".repeat(indent) + line.slice("  ".length))
    .join("\n");
}

function s3Lines({ s3 }: Draft): string[] {
  const { endpoint, region, forcePathStyle } = s3 ?? {};
  const fields = [
    endpoint && `  endpoint: ${quoted(endpoint)}`,
    region && `  region: ${quoted(region)}`,
    forcePathStyle !== undefined && `  forcePathStyle: ${forcePathStyle}`,
  ].filter((line) => typeof line === "string");
  if (fields.length === 0) return [];
  return [
    "# Credentials come from the AWS chain (environment, profile, role) and never stand here.",
    "s3:",
    ...fields,
    "",
  ];
}

function datasetLines(draft: Draft): string[] {
  const { dataset, raw, tier1, table, variable, records, columns, outliers, seen } = draft;
  return [
    `  ${keyText(dataset)}:`,
    ...(variable
      ? [
          "    # One dataset for each value; its name is filled in below.",
          `    for: { ${variable.name}: [${variable.values.map(quoted).join(", ")}] }`,
        ]
      : []),
    "    # Where an hour's objects lie (UTC), and where its Parquet file goes.",
    `    raw: ${quoted(raw)}`,
    `    tier1: ${quoted(tier1)}`,
    `    # The raw table is this one's name with _raw after it, unless rawTable is given.`,
    `    table: ${quoted(table)}`,
    "    # Where the records are in a JSON value: $ is the value itself, Records[*] the elements of an array.",
    `    records: ${quoted(records)}`,
    "    # Members without a column: rescue keeps them in _rescued_data, add makes columns of them.",
    "    unknown: rescue",
    `    # Inferred from ${seen}.`,
    "    # Members that none of these has go the way of unknown: add columns for those that matter.",
    "    # Types are Hive's. Without columns the first whole hour's are inferred and pinned.",
    ...(columns.some((column) => outlierText(column, outliers) !== "")
      ? ["    # After # is what most values are: with that type, the others go to _rescued_data."]
      : []),
    ...(columns.length === 0
      ? ["    # columns:"]
      : [
          "    columns:",
          ...columns.flatMap((column) => columnLines(column, draft)).map((line) => `      ${line}`),
        ]),
  ];
}

function catalogLines({ catalogPath }: Draft): string[] {
  if (catalogPath !== undefined) {
    return [
      "# A DuckDB file with views, for `hourpack query`. Also: glue, athena, none.",
      `catalog: { type: local, path: ${quoted(catalogPath)} }`,
      "",
    ];
  }
  return [
    "# What is told of the partitions; for example:",
    "# catalog: { type: glue, database: events }",
    "# catalog: { type: athena, database: events, output: s3://bucket/athena/ }",
    "catalog: { type: none }",
    "",
  ];
}

const RUN_LINES = [
  "# run:",
  "#   lookBack: 48h       # published hours that are looked at again for late objects",
  "#   settle: 5m          # how long after its end an hour counts as closed",
  "#   lateSettle: 1h      # how long a late recompaction that nobody asked for waits",
  "#   maxQuarantine: 0.01 # an hour with a larger share in quarantine fails; no limit where nothing is said",
];

function columnLines(column: Column, { columns, outliers, doubts }: Draft): string[] {
  const { name, type, path } = column;
  const [key = name] = path;
  const unsaid = unsaidMember(type, [key]);
  const hive = unsaid ? "string" : hiveType(type);
  const remark = outlierText(column, outliers) || doubtText(column, doubts?.get(name));
  const line = definition({ name, hive, path: [key] }) + remark;
  return unsaid ? [...unsaidLines(unsaid, columns), line] : [line];
}

/** `name: type`, with `from:` if the member has another name or lies deeper. */
function definition({ name, hive, path }: { name: string; hive: string; path: string[] }): string {
  const from = fromText(name, path);
  if (from === "") return `${keyText(path[0] ?? name)}: ${/^[a-z]+$/.test(hive) ? hive : quoted(hive)}`;
  return `${keyText(name)}: { type: ${quoted(hive)}${from} }`;
}

function fromText(name: string, path: string[]): string {
  if (path.length === 1 && fold(path[0] ?? name) === name) return "";
  return `, from: ${quoted(fromPathText(path))}`;
}

/**
 * A member that a struct no longer takes once its type is written down. No path leads into an array or a map.
 */
interface Unsaid {
  key: string;
  type: Type;
  path: string[] | undefined;
}

/**
 * Hive's notation has a place for the name of a struct's field, but none for its key. Read back,
 * `content_type` would no longer take `Content-Type`, and each such row would be rescued.
 */
function unsaidMember(type: Type, path: string[] | undefined): Unsaid | undefined {
  if (type.kind === "array") return unsaidMember(type.element, undefined);
  if (type.kind === "map") return unsaidMember(type.value, undefined);
  if (type.kind !== "struct") return undefined;
  for (const { name, key, type: inner } of type.fields) {
    const below = path && [...path, key];
    const unsaid = fold(key) === name ? unsaidMember(inner, below) : { key, type: inner, path: below };
    if (unsaid) return unsaid;
  }
  return undefined;
}

/** Why a column is text, and how the member that causes it would become a column of its own. */
function unsaidLines({ key, type, path }: Unsaid, columns: Column[]): string[] {
  const why = `# JSON text: a struct<…> names its members in a-z, 0-9 and _ alone, and would miss ${quoted(key)}.`;
  if (!path) return [why];
  const taken = [...TAKEN_NAMES, ...columns.map(({ name }) => name)];
  const [name = ""] = uniqueNames([path.join("_")], taken);
  const hive = unsaidMember(type, undefined) ? "string" : hiveType(type);
  return [`${why} As a column:`, `# ${definition({ name, hive, path })}`];
}

/** ` # bigint in 318 of 320 values; string in "events/2022/07/26/00/a.json"` */
function outlierText({ name }: Column, outliers: Draft["outliers"]): string {
  const outlier = outliers?.get(name);
  // A type that cannot be written down is not one to change to.
  if (!outlier || unsaidMember(outlier.usual, undefined)) return "";
  const { usual, count, of, kind, object } = outlier;
  return ` # ${hiveType(usual)} in ${count} of ${of} values; ${kind} in ${quoted(object)}`;
}

function doubtText({ name, path }: Column, doubt: Doubt | undefined): string {
  switch (doubt) {
    case undefined:
      return "";
    case "empty":
      return " # from empty arrays alone";
    case "single":
      return " # from a single value";
    case "large":
      return " # bigint but for a few larger values";
    default: {
      const unit = doubt === "s" ? "seconds" : "milliseconds";
      return ` # ${unit} since 1970? { type: timestamp, epoch: ${doubt}${fromText(name, path)} } shows them as times`;
    }
  }
}

function keyText(key: string): string {
  return /^[A-Za-z_][A-Za-z0-9_-]*$/.test(key) && !/^(true|false|null)$/i.test(key) ? key : quoted(key);
}

/** JSON strings are also YAML double-quoted strings. */
function quoted(text: string): string {
  return JSON.stringify(text);
}
