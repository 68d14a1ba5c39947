/**
 * Every configuration field as a flag and an environment variable, by one rule. The flag is the field's path
 * in kebab case (`s3.endpoint` is `--s3-endpoint`), without `run.`, `worker.` and a dataset's name;
 * `catalog.type` is `--catalog`. The variable is the flag in capitals after `HOURPACK_`
 * (`HOURPACK_S3_ENDPOINT`). `hooks.url` is a secret, and a command line would show it to everyone on the
 * machine: it has only a variable (`HOURPACK_HOOK_URL`).
 */
import { getMetadata } from "valibot";
import { HourpackError } from "../errors.js";
import { shellWord } from "../words.js";
import { PROTO_HINT } from "./file.js";
import {
  catalogSchema,
  datasetSchema,
  hooksSchema,
  metricsSchema,
  runSchema,
  s3Schema,
  workerSchema,
} from "./schema.js";
import { bareOf, choicesOf, descriptionOf, type Schema } from "./walk.js";

export interface FieldFlag {
  /** Without the dashes: `s3-endpoint`. */
  flag: string;
  /** `HOURPACK_S3_ENDPOINT`. */
  variable: string;
  /** Where it belongs in the file. A dataset field's path is relative to the dataset. */
  path: string[];
  group: "dataset" | "s3" | "catalog" | "run";
  kind: "text" | "texts" | "number" | "numbers" | "boolean" | "map" | "variables" | "columns";
  choices?: string[];
  description: string;
  default?: string;
}

/** How a flag or a variable writes a list or a map. */
export const FORMS: Partial<Record<FieldFlag["kind"], string>> = {
  texts: "a,b",
  numbers: "5,35",
  map: "team=data,env=prod",
  variables: "'platform=android,ios;region=eu'",
  columns: "id:bigint,ts:timestamp",
};

/** Sections that a flag leaves out. */
const UNNAMED = new Set(["run", "worker"]);

/** In the order of the file's groups. */
export const FIELD_FLAGS: readonly FieldFlag[] = [
  ...fieldsOf(datasetSchema, "dataset", []),
  ...catalogFields(),
  ...fieldsOf(s3Schema, "s3", ["s3"]),
  ...fieldsOf(runSchema, "run", ["run"]),
  ...fieldsOf(workerSchema, "run", ["worker"]),
  ...fieldsOf(metricsSchema, "run", ["metrics"]),
  ...fieldsOf(hooksSchema, "run", ["hooks"]).filter(({ path }) => path.join() !== "hooks,url"),
];

function fieldsOf({ entries = {} }: Schema, group: FieldFlag["group"], path: string[]): FieldFlag[] {
  return Object.entries(entries).flatMap(([name, field]) => {
    const bare = bareOf(field);
    return bare.entries ? fieldsOf(bare, group, [...path, name]) : fieldFlag(group, [...path, name], field);
  });
}

/** The fields of all kinds of catalog. The schema decides which of them a kind has. */
function catalogFields(): FieldFlag[] {
  const type = fieldFlag("catalog", ["catalog", "type"], catalogSchema);
  const fields = new Map<string, FieldFlag>();
  for (const field of catalogSchema.options.flatMap((kind) => fieldsOf(kind, "catalog", ["catalog"]))) {
    if (field.path[1] !== "type") fields.set(field.flag, { ...fields.get(field.flag), ...field });
  }
  return [{ ...type, default: "none" }, ...fields.values()];
}

function fieldFlag(group: FieldFlag["group"], path: string[], field: Schema): FieldFlag {
  const bare = bareOf(field);
  const choices = choicesOf(bare);
  const { derivedFrom } = getMetadata(bare);
  const flag = kebab(path.filter((segment, i) => !(i === 0 && UNNAMED.has(segment))).join("-")).replace(
    /-type$/,
    "",
  );
  return {
    flag,
    variable: `HOURPACK_${flag.replaceAll("-", "_").toUpperCase()}`,
    path,
    group,
    kind: kindOf(bare, path.at(-1) ?? ""),
    ...(choices.length > 0 ? { choices } : {}),
    ...(field.default === undefined ? {} : { default: String(field.default) }),
    ...(derivedFrom ? { default: `derived from the ${derivedFrom}` } : {}),
    description: descriptionOf(field) ?? "",
  };
}

function kindOf({ type }: Schema, name: string): FieldFlag["kind"] {
  if (type === "boolean" || type === "number") return type;
  if (type === "union") return "numbers";
  if (type === "array") return "texts";
  if (type !== "record") return "text";
  if (name === "columns") return "columns";
  return name === "for" ? "variables" : "map";
}

function kebab(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** A value given in place of the file's. */
export interface Override {
  field: FieldFlag;
  value: unknown;
  /** `--s3-endpoint` or `HOURPACK_S3_ENDPOINT`, for messages. */
  source: string;
  /**
   * `--s3-endpoint http://127.0.0.1:9000`. Undefined for a variable, which also holds for the next command.
   */
  typed?: string | undefined;
}

/**
 * What flags and variables say. A flag overrides its variable. Throws `invalid` for a value of another kind.
 */
export function readOverrides(flags: Record<string, unknown>, env: NodeJS.ProcessEnv): Override[] {
  return FIELD_FLAGS.flatMap((field) => {
    const given = flags[field.flag];
    if (given !== undefined) {
      const source = `--${field.flag}`;
      return [{ field, source, value: readValue(field, given, source), typed: typedText(field.flag, given) }];
    }
    const set = env[field.variable];
    return set ? [{ field, source: field.variable, value: readValue(field, set, field.variable) }] : [];
  });
}

/** Undefined for a map given as an object by a JavaScript caller. */
function typedText(flag: string, given: unknown): string | undefined {
  if (typeof given === "boolean") return given ? `--${flag}` : `--no-${flag}`;
  if (typeof given === "object") return undefined;
  const text = String(given);
  // A value that begins with dashes would be read as the next flag.
  return `--${flag}${text.startsWith("-") ? "=" : " "}${shellWord(text)}`;
}

function readValue(field: FieldFlag, given: unknown, source: string): unknown {
  if (Array.isArray(given)) throw wrong(source, "is given more than once", "Give it once.");
  if (typeof given !== "string") return given;
  switch (field.kind) {
    case "text":
    case "columns":
      return given;
    case "texts":
      return given.split(",").map((text) => text.trim());
    case "number":
      return numberOf(field, given, source);
    case "numbers":
      return given.split(",").map((number) => numberOf(field, number, source));
    case "boolean": {
      if (!/^(true|false|1|0)$/.test(given))
        throw wrong(source, `must be true or false, not "${given}"`, field.description);
      return given === "true" || given === "1";
    }
    case "map":
      return Object.fromEntries(pairsOf(given, ",", source));
    case "variables":
      return Object.fromEntries(
        pairsOf(given, ";", source).map(([name, values]) => [name, values.split(",")]),
      );
  }
}

function numberOf(field: FieldFlag, given: string, source: string): number {
  if (given.trim() === "" || !Number.isFinite(Number(given))) {
    throw wrong(source, `must be a number, not "${given}"`, field.description);
  }
  return Number(given);
}

function pairsOf(text: string, separator: string, source: string): [string, string][] {
  return text.split(separator).map((pair) => {
    const cut = pair.indexOf("=");
    if (cut < 1)
      throw wrong(
        source,
        `has "${pair}", which is no name=value`,
        `Write it like name=value${separator}other=value.`,
      );
    const name = pair.slice(0, cut).trim();
    if (name === "__proto__")
      throw wrong(source, "has the name __proto__, which nothing can have", PROTO_HINT);
    return [name, pair.slice(cut + 1).trim()];
  });
}

function wrong(source: string, why: string, hint: string): HourpackError {
  return new HourpackError("invalid", `${source} ${why}`, { location: source, hint });
}
