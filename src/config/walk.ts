/** Finds what the schema says about a field, by walking over valibot's objects. */
import { type GenericSchema, getDescription, getMetadata, type PicklistOptions } from "valibot";
import type { ConfigPath } from "./file.js";
import { configSchema } from "./schema.js";

/** A valibot schema of any kind, with the members that are read here. */
export interface Schema extends GenericSchema {
  /** Of an optional schema. */
  wrapped?: Schema;
  default?: unknown;
  /** Of a map of fields. */
  entries?: Record<string, Schema>;
  /** Of a map by names. */
  value?: Schema;
  /** Of a union or a variant, or the choices of a picklist. */
  options?: readonly Schema[] | PicklistOptions;
  literal?: unknown;
  /** Of a value with several steps. A pattern's message has a hint after its first line. */
  pipe?: readonly { type: string; message?: unknown }[];
}

/** The schema without "or nothing". */
export function bareOf(schema: Schema): Schema {
  return schema.wrapped ? bareOf(schema.wrapped) : schema;
}

export function descriptionOf(schema: Schema): string | undefined {
  return getDescription(bareOf(schema));
}

/** What the schema says about a word that is not a choice, if it knows the word. */
export function saidInstead(schema: Schema, word: string): string | undefined {
  const { instead = {} } = getMetadata(schema) as { instead?: Record<string, string> };
  return Object.hasOwn(instead, word) ? instead[word] : undefined;
}

/** How a text of a certain form is written. */
export function formOf(schema: Schema | undefined): string | undefined {
  for (const step of schema?.pipe ?? []) {
    const form = step.type === "regex" ? String(step.message).split("\n")[1] : formOf(step as Schema);
    if (form) return form;
  }
  return undefined;
}

/** The choices of a picklist, or of a variant's `type`; none for other schemas. */
export function choicesOf({ type, options = [] }: Schema): string[] {
  if (type === "picklist") return options.map(String);
  return type === "variant" ? (options as Schema[]).map((option) => String(literalOf(option))) : [];
}

/** The schema at a place in the whole value. */
export function schemaAt(path: ConfigPath, value: unknown): Schema | undefined {
  return path.reduce<Schema | undefined>((schema, segment, i) => {
    const map = schema && mapOf(schema, valueAt(value, path.slice(0, i)));
    const field = map?.entries?.[String(segment)] ?? map?.value;
    return field && bareOf(field);
  }, configSchema);
}

/** Of several schemas, the one for the value's `type`, or else the last one of a map. */
export function mapOf(schema: Schema, value: unknown): Schema | undefined {
  if (!schema.options) return schema;
  const type = (value as { type?: unknown } | undefined | null)?.type;
  const maps = (schema.options as Schema[]).filter(({ entries }) => entries);
  return maps.find((map) => literalOf(map) === type) ?? maps.at(-1);
}

/** The `type` that a variant's option is for. */
function literalOf({ entries }: Schema): unknown {
  return entries?.["type"]?.literal;
}

export function valueAt(value: unknown, path: ConfigPath): unknown {
  return path.reduce<unknown>(
    (inner, segment) => (inner as Record<string, unknown> | undefined | null)?.[segment],
    value,
  );
}
