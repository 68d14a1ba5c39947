/** What is wrong with a configuration, in words, at the place where it was said. */
import type { z } from "zod";
import { HourpackError } from "../errors.js";
import type { ConfigPath } from "./file.js";
import { configSchema } from "./schema.js";
import { nearest } from "./spelling.js";

/** `hourpack.yaml:12`, `--tier1` or `HOURPACK_TIER1`. */
export type Locate = (path: ConfigPath) => string;

/** The first problem as `invalid`; the others are counted in its hint. */
export function problemOf(issues: z.core.$ZodIssue[], value: unknown, locate: Locate): HourpackError {
  // A misspelt key comes before the one that is missing for it.
  const isTypo = ({ code }: z.core.$ZodIssue) => code === "unrecognized_keys";
  const inOrder = issues.map(innermost).sort((a, b) => Number(isTypo(b)) - Number(isTypo(a)));
  const [first] = inOrder.map((issue) => describe(issue, value));
  if (!first) throw new HourpackError("internal", "the configuration was refused without a reason");
  const more = issues.length > 1 ? ` (${issues.length - 1} more after this one.)` : "";
  return new HourpackError("invalid", first.message, {
    location: locate(first.path),
    hint: first.hint + more,
  });
}

/** An error about a value, moved to the place where the value was given. */
export function relocated(error: unknown, path: ConfigPath, locate: Locate): unknown {
  if (!(error instanceof HourpackError)) return error;
  const { kind, message, hint, cause } = error;
  return new HourpackError(kind, message, { location: locate(path), hint, cause });
}

interface Problem {
  path: ConfigPath;
  message: string;
  hint: string;
}

function describe(issue: z.core.$ZodIssue, value: unknown): Problem {
  const path = issue.path as ConfigPath;
  const name = nameOf(path);
  const given = withoutSecret(path, valueAt(value, path));
  switch (issue.code) {
    case "unrecognized_keys": {
      const [key = ""] = issue.keys;
      const known = keysAt(path, value);
      const meant = nearest(key, known);
      const hint = meant ? `Did you mean "${meant}"?` : `Known here: ${known.join(", ")}.`;
      return { path: [...path, key], message: `unknown key "${key}" in ${name}`, hint };
    }
    case "invalid_type":
      if (given === undefined) {
        return { path, message: `${name} is missing`, hint: `Add ${adviceFor(path)}` };
      }
      return {
        path,
        message: `${name} must be ${article(issue.expected)}, not ${shown(given)}`,
        hint: adviceFor(path, given, issue.expected),
      };
    case "invalid_value":
      return oneOf(path, issue.values.map(String), given);
    case "invalid_union": {
      const kinds = ["none", "local", "glue", "athena"];
      if (issue.path.at(-1) === "type") return oneOf(path, kinds, given);
      return { path, message: `${name} must not be ${shown(given)}`, hint: adviceFor(path) };
    }
    case "invalid_key":
      return {
        path,
        message: `the name "${String(path.at(-1))}" has characters that a name cannot have`,
        hint: "Use letters, digits, underscores and hyphens.",
      };
    case "too_small":
      return {
        path,
        message: `${name} must be at least ${issue.minimum}, not ${shown(given)}`,
        hint: adviceFor(path),
      };
    case "too_big":
      return {
        path,
        message: `${name} must be at most ${issue.maximum}, not ${shown(given)}`,
        hint: adviceFor(path),
      };
    default: {
      const [message = "", hint] = issue.message.split("\n");
      const verb = /^(is|must|has) /.test(message) ? message : `is refused: ${message}`;
      return { path, message: `${name} ${shown(given)} ${verb}`, hint: hint ?? adviceFor(path) };
    }
  }
}

/** A webhook's address is not told, even where it is wrong or in the wrong place. */
function withoutSecret(path: ConfigPath, given: unknown): unknown {
  return path[0] === "hooks" && typeof given === "string" ? "…" : given;
}

function oneOf(path: ConfigPath, values: string[], given: unknown): Problem {
  const name = nameOf(path);
  const choices =
    values.length > 1 ? `${values.slice(0, -1).join(", ")} or ${values.at(-1)}` : String(values[0]);
  if (given === undefined) return { path, message: `${name} is missing`, hint: `It is ${choices}.` };
  const meant = nearest(String(given), values);
  return {
    path,
    message: `${name} must be ${choices}, not ${shown(given)}`,
    hint: meant ? `Did you mean "${meant}"?` : adviceFor(path),
  };
}

/** Of a union's branches, the one whose kind of value was given. */
function innermost(issue: z.core.$ZodIssue): z.core.$ZodIssue {
  if (issue.code !== "invalid_union") return issue;
  const branch = issue.errors.find(
    (issues) =>
      issues.length > 0 && !issues.some((one) => one.code === "invalid_type" && one.path.length === 0),
  );
  const [inner] = branch ?? [];
  return inner ? innermost({ ...inner, path: [...issue.path, ...inner.path] }) : issue;
}

/** The keys that the schema knows at this place. */
function keysAt(path: ConfigPath, value: unknown): string[] {
  const shape = shapeAt(path, value);
  return shape ? Object.keys(shape) : [];
}

/** What the schema says about a field. */
function adviceFor(path: ConfigPath, given?: unknown, expected?: string): string {
  if (expected === "string" && typeof given === "number") return "Write it in quotes.";
  if (typeof path.at(-1) === "number") return adviceFor(path.slice(0, -1));
  const field = shapeAt(path.slice(0, -1))?.[String(path.at(-1))];
  const text = field?.description ?? "see the configuration reference";
  return `${String(path.at(-1) ?? "it")}: ${text}.`;
}

type Shape = Record<string, { description?: string }>;

/** Walks the schema; a union is taken by its discriminator's value, or else by its first object. */
function shapeAt(path: ConfigPath, value?: unknown): Shape | undefined {
  let schema: unknown = configSchema;
  path.forEach((segment, i) => {
    const bare = objectOf(schema, valueAt(value, path.slice(0, i)));
    schema = bare?.shape?.[String(segment)] ?? bare?.valueType;
  });
  return objectOf(schema, valueAt(value, path))?.shape;
}

interface Structure {
  shape?: Shape;
  valueType?: unknown;
  options?: Structure[];
  unwrap?: () => unknown;
}

function objectOf(schema: unknown, value: unknown): Structure | undefined {
  let bare = schema as Structure | undefined;
  while (bare && !bare.shape && !bare.valueType && !bare.options && bare.unwrap)
    bare = bare.unwrap() as Structure;
  if (!bare?.options) return bare;
  const type = (value as { type?: unknown } | undefined)?.type;
  const options = bare.options.filter((option) => option.shape);
  return (
    options.find((option) => (option.shape?.["type"] as { value?: unknown } | undefined)?.value === type) ??
    options.at(-1)
  );
}

function nameOf(path: ConfigPath): string {
  return path.length === 0 ? "the configuration" : path.join(".");
}

export function valueAt(value: unknown, path: ConfigPath): unknown {
  return path.reduce<unknown>(
    (inner, segment) => (inner as Record<string, unknown> | undefined | null)?.[segment],
    value,
  );
}

function shown(value: unknown): string {
  if (typeof value === "string") return `"${value}"`;
  if (value === null) return "nothing";
  return typeof value === "object" ? (Array.isArray(value) ? "a list" : "a map") : String(value);
}

function article(expected: string): string {
  const words: Record<string, string> = {
    object: "a map",
    record: "a map",
    array: "a list",
    int: "a whole number",
  };
  return words[expected] ?? `a ${expected}`;
}
