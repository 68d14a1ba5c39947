/** The text of a commented hourpack.yaml. Pure. */
import { hiveType } from "../schema/hive.js";
import type { Outlier } from "../schema/outliers.js";
import type { Column } from "../schema/types.js";
import type { S3Settings } from "./settings.js";

export interface Draft {
  dataset: string;
  raw: string;
  tier1: string;
  table: string;
  variable?: { name: string; values: string[] };
  /** `$` or `Records[*]`. */
  records: string;
  columns: Column[];
  /** By the names of columns that are text since a few values differ from most. */
  outliers?: ReadonlyMap<string, Outlier>;
  /** What they were inferred from, as words. */
  seen: string;
  s3?: Pick<S3Settings, "endpoint" | "region" | "forcePathStyle">;
  /** A local catalog's file; where absent the catalog is left for the reader to choose. */
  catalogPath?: string;
}

export function draftConfig(draft: Draft): string {
  return [...s3Lines(draft), ...datasetLines(draft), ...catalogLines(draft), ...RUN_LINES, ""].join("\n");
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
    "datasets:",
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
    ...(outliers?.size
      ? ["    # After # is what most values are: with that type, the others go to _rescued_data."]
      : []),
    ...(columns.length === 0
      ? ["    # columns:"]
      : [
          "    columns:",
          ...columns.map((column) => `      ${columnText(column)}${outlierText(column, outliers)}`),
        ]),
    "",
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
];

/** `name: type`, or with `from:` where the member has another name. */
function columnText({ name, type, path }: Column): string {
  const [key = name] = path;
  const hive = hiveType(type);
  if (key.toLowerCase() === name) return `${keyText(key)}: ${/^[a-z]+$/.test(hive) ? hive : quoted(hive)}`;
  const from = /^[^".[\]\s^]+$/.test(key) ? key : JSON.stringify(key);
  return `${keyText(name)}: { type: ${quoted(hive)}, from: ${quoted(from)} }`;
}

/** ` # bigint in 318 of 320 values; string in "events/2022/07/26/00/a.json"` */
function outlierText({ name }: Column, outliers: Draft["outliers"]): string {
  const outlier = outliers?.get(name);
  if (!outlier) return "";
  const { usual, count, of, kind, object } = outlier;
  return ` # ${hiveType(usual)} in ${count} of ${of} values; ${kind} in ${quoted(object)}`;
}

function keyText(key: string): string {
  return /^[A-Za-z_][A-Za-z0-9_-]*$/.test(key) && !/^(true|false|null)$/i.test(key) ? key : quoted(key);
}

/** JSON's strings are YAML's double-quoted ones. */
function quoted(text: string): string {
  return JSON.stringify(text);
}
