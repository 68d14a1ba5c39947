/** How a schema grows: columns are only ever appended, and no column's type ever changes. Pure. */
import { HourpackError } from "../errors.js";
import { fold } from "../record/grammar.js";
import { hiveType } from "./hive.js";
import type { Shape } from "./inference.js";
import { TAKEN_NAMES } from "./names.js";
import { type Column, ENVELOPE_KEY, type Schema } from "./types.js";

/** The same schema where there is nothing to append. */
export function appendColumns(schema: Schema, additions: Column[]): Schema {
  const names = new Set(schema.columns.map((column) => column.name));
  const fresh = additions.filter((column) => !names.has(column.name));
  if (fresh.length === 0) return schema;
  return { version: schema.version + 1, columns: [...schema.columns, ...fresh] };
}

/** Configured columns merged in: a new one is appended, one that vanished stays, a changed one is `invalid`. */
export function mergeConfigured(schema: Schema, configured: Column[]): Schema {
  for (const column of configured) {
    const pinned = schema.columns.find((other) => other.name === column.name);
    if (!pinned || meaningOf(pinned) === meaningOf(column)) continue;
    throw new HourpackError(
      "invalid",
      `the column ${column.name} is pinned as ${describe(pinned)}, and configured as ${describe(column)}`,
      {
        hint: "A column's type never changes: configure the new one under another name, with `from:` its member.",
      },
    );
  }
  return appendColumns(schema, configured);
}

/**
 * Columns for members that no column knows, named so that they collide with none. Nested fields are never added. What
 * was unknown when the hour was converted may be known by now: hours that are worked on at a time bring the same member.
 */
export function newColumns(unknown: Shape, schema: Schema): Column[] {
  const taken = [...TAKEN_NAMES, ...schema.columns.map((column) => column.name)];
  return unknown.columns(taken, knownMembers(schema), schema.columns);
}

/** The folded keys of the top-level members that columns are made of. */
export function knownMembers(schema: Schema): Set<string> {
  return new Set([ENVELOPE_KEY, ...schema.columns.map((column) => fold(column.path[0] ?? ""))]);
}

/** Derived columns that rows of the older version lack: there they are NULL, whatever the record has. */
export function derivedSince(older: Schema, newer: Schema): Column[] {
  const names = new Set(older.columns.map((column) => column.name));
  return newer.columns.filter((column) => column.derived && !names.has(column.name));
}

function describe(column: Column): string {
  const from = column.derived ? ` from ${column.path.join(".")}` : "";
  const { type } = column;
  const reading =
    type.kind === "timestamp"
      ? [type.epoch && `epoch: ${type.epoch}`, type.zone && `zone: ${type.zone}`]
      : [];
  const details = [column.jsonString && "json: string", ...reading].filter(Boolean);
  return `${hiveType(type)}${details.length > 0 ? ` (${details.join(", ")})` : ""}${from}`;
}

function meaningOf({ type, path, derived, jsonString, envelope }: Column): string {
  return JSON.stringify([type, path, derived, jsonString ?? false, envelope ?? false]);
}
