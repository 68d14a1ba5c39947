/** The document schema.json: every version of a dataset's columns, oldest first. Pure. */
import { createHash } from "node:crypto";
import { z } from "zod";
import { HourpackError, reasonOf } from "../errors.js";
import { hiveType } from "./hive.js";
import type { Column, Type } from "./types.js";

export interface PinnedSchema {
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
 * What is pinned after these columns are wanted: theirs, and what of ours is still missing, as a new version.
 * A name that is there already keeps its type; ours is then rescued.
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
  const next = { version: (newest?.version ?? 0) + 1, fingerprint: fingerprintOf(all), ...by, columns: all };
  return { ...theirs, versions: [...theirs.versions, next] };
}

/** sha256 of the columns, 16 hexadecimal digits. */
export function fingerprintOf(columns: Column[]): string {
  return createHash("sha256")
    .update(JSON.stringify(columns.map(toDocument)))
    .digest("hex")
    .slice(0, 16);
}

/** Each column with its type in Hive's words for people, and whole for the reader. */
export function serialisePinned(pinned: Pinned): Buffer {
  const versions = pinned.versions.map((version) => ({
    ...version,
    columns: version.columns.map(toDocument),
  }));
  return Buffer.from(`${JSON.stringify({ ...pinned, versions }, null, 1)}\n`);
}

/** Throws `data` where the document is damaged, `invalid` where a newer hourpack wrote it. */
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
    const document = documentSchema.parse(json);
    const versions = document.versions.map((version) => ({
      ...version,
      columns: version.columns.map(({ hive: _, ...column }) => column as Column),
    }));
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

const typeSchema: z.ZodType<Type> = z.lazy(() =>
  z.discriminatedUnion("kind", [
    z.object({ kind: z.literal("boolean") }),
    z.object({ kind: z.literal("int") }),
    z.object({ kind: z.literal("bigint") }),
    z.object({ kind: z.literal("double") }),
    z.object({
      kind: z.literal("decimal"),
      precision: z.int().min(1).max(38),
      scale: z.int().min(0).max(38),
    }),
    z.object({ kind: z.literal("string") }),
    z.object({
      kind: z.literal("timestamp"),
      epoch: z.enum(["s", "ms"]).optional(),
      zone: z.string().optional(),
    }),
    z.object({ kind: z.literal("date") }),
    z.object({ kind: z.literal("array"), element: typeSchema }),
    z.object({ kind: z.literal("map"), value: typeSchema }),
    z.object({
      kind: z.literal("struct"),
      fields: z.array(z.object({ name: z.string(), key: z.string(), type: typeSchema })),
    }),
  ]),
);

const documentSchema = z.object({
  format: z.literal(1),
  table: z.string(),
  versions: z.array(
    z.object({
      version: z.int().min(1),
      fingerprint: z.string(),
      createdAt: z.string(),
      attempt: z.string(),
      columns: z.array(
        z.object({
          name: z.string(),
          hive: z.string(),
          type: typeSchema,
          path: z.array(z.string()).min(1),
          derived: z.boolean(),
          jsonString: z.boolean().optional(),
          envelope: z.boolean().optional(),
        }),
      ),
    }),
  ),
});
