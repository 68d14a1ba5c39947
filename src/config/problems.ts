/** What is wrong with a configuration, in words, at the place where it was given. */
import type { BaseIssue } from "valibot";
import { HourpackError, isHourpackError } from "../errors.js";
import type { ConfigPath } from "./file.js";
import { nearest } from "./spelling.js";
import { bareOf, choicesOf, descriptionOf, formOf, mapOf, saidInstead, schemaAt, valueAt } from "./walk.js";

/** `hourpack.yaml:12`, `--tier1` or `HOURPACK_TIER1`. */
export type Locate = (path: ConfigPath) => string;

type Issue = BaseIssue<unknown>;

/** The first problem as `invalid`. Its hint counts the others. */
export function problemOf(issues: Issue[], value: unknown, locate: Locate): HourpackError {
  // A misspelt key comes before the missing key that it causes.
  const inOrder = issues.map(innermost).sort((a, b) => Number(isUnknownKey(b)) - Number(isUnknownKey(a)));
  const [first] = inOrder.map((issue) => describe(issue, value));
  if (!first) throw new HourpackError("internal", "the configuration was refused without a reason");
  // One value may have several problems.
  const others = new Set(inOrder.map((issue) => String(pathOf(issue)))).size - 1;
  const more = others > 0 ? ` (${others} more after this one.)` : "";
  return new HourpackError("invalid", first.message, {
    location: locate(first.path),
    hint: first.hint + more,
  });
}

/** An error about a value, moved to the place where the value was given. */
export function relocated(error: unknown, path: ConfigPath, locate: Locate): unknown {
  return isHourpackError(error) ? error.with({ location: locate(path) }) : error;
}

interface Problem {
  path: ConfigPath;
  message: string;
  hint: string;
}

function describe(issue: Issue, value: unknown): Problem {
  if (isUnknownKey(issue)) return unknownKey(issue, value);
  const path = pathOf(issue);
  const name = nameOf(path);
  const given = withoutSecret(path, valueAt(value, path));
  const advice = adviceFor(path, value);
  const mustBe = (what: string, hint = advice): Problem => {
    return { path, message: `${name} must be ${what}, not ${shown(given)}`, hint };
  };
  switch (issue.type) {
    case "picklist":
      return oneOf(path, path, value);
    case "union":
      return { path, message: `${name} must not be ${shown(given)}`, hint: advice };
    case "never":
      return {
        path,
        message: `the name "${String(path.at(-1))}" has characters that a name cannot have`,
        hint: "Use letters, digits, underscores and hyphens.",
      };
    case "min_value":
    case "min_length":
      return mustBe(`at least ${issue.requirement}`);
    case "max_value":
      return mustBe(`at most ${issue.requirement}`);
    case "regex":
    case "url":
    case "check": {
      const [message, hint] = issue.message.split("\n");
      return { path, message: `${name} ${shown(given)} ${message}`, hint: hint ?? advice };
    }
    case "variant":
      if (path.at(-1) === "type") return oneOf(path, path.slice(0, -1), value);
  }
  if (given === undefined) return { path, message: `${name} is missing`, hint: `Add ${advice}` };
  const isUnquoted = issue.type === "string" && typeof given === "number";
  const hint = isUnquoted
    ? (formOf(schemaAt(path, value)) ?? "Write it in quotes.")
    : [advice, fieldsText(path, value)].join(" ").trimEnd();
  return mustBe(KINDS[issue.type] ?? `a ${issue.type}`, hint);
}

/** Kinds that valibot names differently from people. */
const KINDS: Record<string, string> = {
  array: "a list",
  boolean: "true or false",
  finite: "a number",
  integer: "a whole number",
  strict_object: "a map",
  variant: "a map",
};

/** Hides a webhook's address, even if it is wrong or in the wrong place. Shows only an endpoint's host. */
function withoutSecret(path: ConfigPath, given: unknown): unknown {
  if (typeof given !== "string") return given;
  if (path[0] === "hooks") return "…";
  return path.at(-1) === "endpoint" ? given.replace(/^.*@/s, "…@").replace(/[?#].*$/s, "?…") : given;
}

/** `of`: where the schema with the choices is. For a `type`, it is the level around it. */
function oneOf(path: ConfigPath, of: ConfigPath, value: unknown): Problem {
  const name = nameOf(path);
  const given = valueAt(value, path);
  const schema = schemaAt(of, value);
  const values = schema ? choicesOf(schema) : [];
  const choices = values.length > 1 ? `${values.slice(0, -1).join(", ")} or ${values.at(-1)}` : values[0];
  if (given === undefined) return { path, message: `${name} is missing`, hint: `It is ${choices}.` };
  const message = `${name} must be ${choices}, not ${shown(given)}`;
  const said = schema && saidInstead(schema, String(given));
  if (said) return { path, message, hint: said };
  const meant = nearest(String(given), values);
  return { path, message, hint: meant ? `Did you mean "${meant}"?` : adviceFor(path, value) };
}

/** If a map belongs here: what goes into it. */
function fieldsText(path: ConfigPath, value: unknown): string {
  const schema = schemaAt(path, value);
  const map = schema && mapOf(schema, undefined);
  const names = Object.keys((map?.value ? bareOf(map.value) : map)?.entries ?? {});
  if (names.length === 0) return "";
  return `Below it, indented, stand ${map?.value ? "names, and below each " : ""}${names.join(", ")}.`;
}

function isUnknownKey({ type, expected }: Issue): boolean {
  return type === "strict_object" && expected === "never";
}

function unknownKey(issue: Issue, value: unknown): Problem {
  const path = pathOf(issue);
  const key = String(path.at(-1));
  const parent = path.slice(0, -1);
  const schema = schemaAt(parent, value);
  const known = Object.keys((schema && mapOf(schema, valueAt(value, parent)))?.entries ?? {});
  const meant = nearest(key, known);
  const hint = meant ? `Did you mean "${meant}"?` : `Known here: ${known.join(", ")}.`;
  return { path, message: `unknown key "${key}" in ${nameOf(parent)}`, hint };
}

/** For a union, the problem of the kind that was given: it lies further in. */
function innermost(issue: Issue): Issue {
  const inner = issue.type === "union" ? issue.issues?.find(({ path }) => path) : undefined;
  if (!inner?.path) return issue;
  const [first, ...others] = [...(issue.path ?? []), ...inner.path];
  return first ? { ...inner, path: [first, ...others] } : inner;
}

/** What the schema says about a field, or about the list that it is in. */
function adviceFor(path: ConfigPath, value: unknown): string {
  if (typeof path.at(-1) === "number") return adviceFor(path.slice(0, -1), value);
  const field = schemaAt(path, value);
  const about = (field && descriptionOf(field)) ?? "see the configuration reference";
  return `${String(path.at(-1) ?? "it")}: ${about}.`;
}

function pathOf({ path }: Issue): ConfigPath {
  return path?.map(({ key }) => key as string | number) ?? [];
}

function nameOf(path: ConfigPath): string {
  return path.length === 0 ? "the configuration" : path.join(".");
}

function shown(value: unknown): string {
  if (typeof value === "string") return `"${value}"`;
  if (value === null) return "nothing";
  return typeof value === "object" ? (Array.isArray(value) ? "a list" : "a map") : String(value);
}
