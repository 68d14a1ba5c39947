/** The document schema.json: every version of a dataset's columns, oldest first. Pure. */
import { createHash } from "node:crypto";
import * as v from "valibot";
import { HourpackError, reasonOf } from "../errors.js";
import { hiveType } from "./hive.js";
import type { Column, Schema, Type } from "./types.js";

interface PinnedSchema {
  version: number;
  /** Digest of the columns. */
  fingerprint: string;
  createdAt: string;
  /** The attempt that pinned it. */
  attempt: string;
  columns: Column[];
}

export interface Pinned {
  format: 1;
  table: string;
  versions: PinnedSchema[];
}

export function emptyPinned(table: string): Pinned {
  return { format: 1, table, versions: [] };
}

/**
 * What is pinned once these columns are wanted: theirs, and what of ours is missing, as a new version. A name
 * that exists already keeps its type; ours is then rescued.
 */
export function reconcile(
  ours: Column[],
  theirs: Pinned,
  by: { createdAt: string; attempt: string },
): Pinned {
  const newest = theirs.versions.at(-1);
  const columns = newest?.columns ?? [];
  const names = new Set(columns.map((column) => column.name));
  const missing = ours.filter((column) => !names.has(column.name));
  if (newest && missing.length === 0) return theirs;
  const all = [...columns, ...missing];
  const next = {
    version: (newest?.version ?? 0) + 1,
    fingerprint: digestOfColumns(all),
    ...by,
    columns: all,
  };
  return { ...theirs, versions: [...theirs.versions, next] };
}

/**
 * SHA-256 of the columns, 16 hexadecimal digits. It does not depend on who made them: it leaves out the Hive
 * text of their types, which adds nothing, and the order of members. Manifests have it, because what is new
 * in a column may only count if it is there.
 */
export function digestOfColumns(columns: readonly Column[]): string {
  const documents = columns.map((column) => ({ ...toDocument(column), hive: undefined }));
  const isObject = (value: unknown) => typeof value === "object" && value !== null && !Array.isArray(value);
  const inOrder = (_: string, value: unknown) =>
    isObject(value) ? Object.fromEntries(Object.entries(value as object).sort(byName)) : value;
  return createHash("sha256").update(JSON.stringify(documents, inOrder)).digest("hex").slice(0, 16);
}

function byName([a]: [string, unknown], [b]: [string, unknown]): number {
  return a < b ? -1 : 1;
}

/** Each column has its type twice: in Hive's words for people, and in full for the reader. */
export function serialisePinned(pinned: Pinned): Buffer {
  const versions = pinned.versions.map((version) => ({
    ...version,
    columns: version.columns.map(toDocument),
  }));
  return Buffer.from(`${JSON.stringify({ ...pinned, versions }, null, 1)}\n`);
}

/** Throws `data` if the document is damaged, `invalid` if a newer hourpack wrote it. */
export function parsePinned(bytes: Buffer, location: string): Pinned {
  try {
    const json: unknown = JSON.parse(bytes.toString("utf8"));
    const format = (json as { format?: unknown }).format;
    if (typeof format === "number" && format > 1) {
      throw new HourpackError(
        "invalid",
        `read ${location}: its format ${format} is newer than this hourpack`,
        {
          location,
          hint: "Update hourpack.",
        },
      );
    }
    const { success, output: document, issues } = v.safeParse(documentSchema, json);
    if (!success) throw new Error(`${v.getDotPath(issues[0]) ?? "all of it"}: ${issues[0].message}`);
    const versions = document.versions.map((version) => ({
      ...version,
      columns: version.columns.map(({ hive: _, ...column }) => column as Column),
    }));
    requireGrown(versions);
    return { ...document, versions };
  } catch (error) {
    if (error instanceof HourpackError) throw error;
    throw new HourpackError("data", `read ${location}: it is damaged (${reasonOf(error)})`, {
      location,
      cause: error,
      hint: "Restore it from an older version of the object; the parts of tier 1 carry their columns too.",
    });
  }
}

/**
 * Columns are only ever appended, and no type changes. A version that does anything else was edited by hand.
 */
function requireGrown(versions: PinnedSchema[]): void {
  for (const [index, older] of versions.slice(0, -1).entries()) {
    const newer = versions[index + 1] as PinnedSchema;
    const kept = newer.columns.slice(0, older.columns.length);
    if (digestOfColumns(kept) !== digestOfColumns(older.columns))
      throw new Error(`version ${newer.version} does not begin with the columns of version ${older.version}`);
  }
}

function toDocument(column: Column) {
  const { name, type, path, derived, jsonString, envelope } = column;
  return {
    name,
    hive: hiveType(type),
    type,
    path,
    derived,
    ...(jsonString ? { jsonString } : {}),
    ...(envelope ? { envelope } : {}),
  };
}

const wholeNumber = (min: number, max: number) =>
  v.pipe(v.number(), v.integer(), v.minValue(min), v.maxValue(max));

const typeSchema: v.GenericSchema<Type> = v.variant("kind", [
  v.object({ kind: v.literal("boolean") }),
  v.object({ kind: v.literal("int") }),
  v.object({ kind: v.literal("bigint") }),
  v.object({ kind: v.literal("double") }),
  v.object({ kind: v.literal("decimal"), precision: wholeNumber(1, 38), scale: wholeNumber(0, 38) }),
  v.object({ kind: v.literal("string") }),
  v.object({
    kind: v.literal("timestamp"),
    epoch: v.optional(v.picklist(["s", "ms"])),
    zone: v.optional(v.string()),
  }),
  v.object({ kind: v.literal("date") }),
  v.object({ kind: v.literal("array"), element: v.lazy(() => typeSchema) }),
  v.object({ kind: v.literal("map"), value: v.lazy(() => typeSchema) }),
  v.object({
    kind: v.literal("struct"),
    fields: v.array(v.object({ name: v.string(), key: v.string(), type: v.lazy(() => typeSchema) })),
  }),
]);

const documentSchema = v.object({
  format: v.literal(1),
  table: v.string(),
  versions: v.array(
    v.object({
      version: wholeNumber(1, Number.MAX_SAFE_INTEGER),
      fingerprint: v.string(),
      createdAt: v.string(),
      attempt: v.string(),
      columns: v.array(
        v.object({
          name: v.string(),
          hive: v.string(),
          type: typeSchema,
          path: v.pipe(v.array(v.string()), v.minLength(1)),
          derived: v.boolean(),
          jsonString: v.optional(v.boolean()),
          envelope: v.optional(v.boolean()),
        }),
      ),
    }),
  ),
});

/** The newest version. */
export function currentSchema(pinned: Pinned): Schema {
  const newest = pinned.versions.at(-1);
  return { version: newest?.version ?? 0, columns: newest?.columns ?? [] };
}
