/** How a schema grows: columns are only ever appended, and no column's type ever changes. Pure. */
import type { Dataset } from "../config/settings.js";
import { HourpackError } from "../errors.js";
import { schemaKey, uriOf } from "../layout.js";
import { hiveType } from "./hive.js";
import { fold } from "./names.js";
import { fromPathText } from "./path.js";
import { type Column, ENVELOPE_KEY, type Schema, type Type } from "./types.js";

/** Returns the same schema if there is nothing to append. */
export function appendColumns(schema: Schema, additions: Column[]): Schema {
  const names = new Set(schema.columns.map((column) => column.name));
  const fresh = additions.filter((column) => !names.has(column.name));
  if (fresh.length === 0) return schema;
  return { version: schema.version + 1, columns: [...schema.columns, ...fresh] };
}

/**
 * Merges configured columns in: a new one is appended, a missing one stays, a changed one throws `invalid`.
 */
export function mergeConfigured(schema: Schema, dataset: ConfiguredDataset): Schema {
  const { columns = [] } = dataset;
  for (const column of columns) {
    const pinned = schema.columns.find((other) => other.name === column.name);
    if (pinned && !saysTheSame(column, pinned)) throw changed(column, pinned, dataset);
  }
  return appendColumns(schema, columns);
}

type ConfiguredDataset = Pick<Dataset, "name" | "tier1" | "columns">;

/**
 * A key that is no valid name needs `from:` (`event_name` for `Event Name`). The column holds it as before.
 */
function saysTheSame(column: Column, pinned: Column): boolean {
  const isWhole = !pinned.derived && column.path.length === 1 && !column.envelope;
  return meaningOf(isWhole ? { ...column, derived: false } : column) === meaningOf(pinned);
}

function changed(column: Column, pinned: Column, { name, tier1 }: ConfiguredDataset): HourpackError {
  const { path, derived, envelope } = pinned;
  const isOfOtherMember = meaningOf({ ...column, path, derived, envelope }) === meaningOf(pinned);
  const from = JSON.stringify(fromPathText(path, envelope));
  return new HourpackError(
    "invalid",
    `merge the columns of ${name}: the column ${column.name} is pinned as ${describe(pinned)}, and configured as ${describe(column)}`,
    {
      location: uriOf(tier1) + schemaKey(""),
      hint: isOfOtherMember
        ? `Write \`from: ${from}\`, or leave it out: a pinned column stays as it is. Another member's column needs another name.`
        : "A pinned column stays as it is, also where `columns` leave it out: configure the new one under another name, with `from:` its member.",
    },
  );
}

/** The folded keys of the top-level members that columns are made of. */
export function knownMembers(schema: Schema): Set<string> {
  return new Set([ENVELOPE_KEY, ...schema.columns.map((column) => fold(column.path[0] ?? ""))]);
}

/** Derived columns that rows of the older version lack. There they are NULL, whatever the record has. */
export function derivedSince(older: Schema, newer: Schema): Column[] {
  const names = new Set(older.columns.map((column) => column.name));
  return newer.columns.filter((column) => column.derived && !names.has(column.name));
}

/**
 * Writes `string (json: string) from "Event Name"`. The keys of a struct's fields are not part of its type,
 * so they are named beside it.
 */
function describe(column: Column): string {
  const { name, type, path, derived, jsonString, envelope } = column;
  const reading =
    type.kind === "timestamp"
      ? [type.epoch && `epoch: ${type.epoch}`, type.zone && `zone: ${type.zone}`]
      : [];
  const keys = oddKeys(type).map((key) => `key ${JSON.stringify(key)}`);
  const details = [jsonString && "json: string", ...reading, ...keys].filter(Boolean);
  const isPlain = !derived && fold(path[0] ?? "") === name;
  return [
    hiveType(type),
    details.length > 0 && `(${details.join(", ")})`,
    !isPlain && `from ${fromPathText(path, envelope)}`,
  ]
    .filter(Boolean)
    .join(" ");
}

/** The keys of members whose fields have another name. */
function oddKeys(type: Type): string[] {
  switch (type.kind) {
    case "array":
      return oddKeys(type.element);
    case "map":
      return oddKeys(type.value);
    case "struct":
      return type.fields.flatMap(({ name, key, type: inner }) => [
        ...(fold(key) === name ? [] : [key]),
        ...oddKeys(inner),
      ]);
    default:
      return [];
  }
}

/** Keys match members without regard to ASCII case. */
function meaningOf({ type, path, derived, jsonString, envelope }: Column): string {
  return JSON.stringify(
    [type, path.map(fold), derived, jsonString ?? false, envelope ?? false],
    (name, value) => (name === "key" ? fold(value) : value),
  );
}
