/** The kinds of values in the configuration (schema.ts). Each takes the field's description. */
import * as v from "valibot";
import { DURATION, DURATION_HINT, LISTEN, LISTEN_HINT, SIZE, SIZE_HINT } from "./units.js";

/** The message continues after the field's name and value. Its second line is the hint. */
const matching = (pattern: RegExp, message: string, about: string) =>
  v.pipe(v.string(), v.regex(pattern, message), v.description(about));

export const duration = (about: string) => matching(DURATION, `is not a duration\n${DURATION_HINT}`, about);

export const size = (about: string) => matching(SIZE, `is not a size\n${SIZE_HINT}`, about);

export const address = (about: string) =>
  matching(LISTEN, `is no address to listen on\n${LISTEN_HINT}`, about);

export const accountId = (about: string) =>
  matching(/^\d{12}$/, "is not an AWS account\nWrite its 12 digits, in quotes.", about);

export const databaseName = (about: string) =>
  matching(
    /^[a-z0-9_]{1,255}$/,
    "is no database name\nUse lower-case letters, digits and underscores, at most 255.",
    about,
  );

const isHttp = (text: string) => /^https?:\/\//i.test(text);

export const url = (about: string, hint: string) =>
  v.pipe(
    v.string(),
    v.trim(),
    v.url(`is no URL\n${hint}`),
    v.check(isHttp, `is no URL\n${hint}`),
    v.description(about),
  );

const ENDPOINT_HINT = "Write it like http://127.0.0.1:9000";

/** Requests would ignore credentials or a query in it, and messages would show them. */
export const endpoint = (about: string) =>
  v.pipe(
    v.string(),
    v.trim(),
    v.check(
      (text) => !/[@?#]/.test(text),
      `has credentials or a query in it\n${ENDPOINT_HINT}: credentials come from the AWS chain (AWS_ACCESS_KEY_ID, a profile, a role).`,
    ),
    v.url(`is no URL\n${ENDPOINT_HINT}.`),
    v.check(isHttp, `is no URL\n${ENDPOINT_HINT}.`),
    v.description(about),
  );

export const text = (about: string) => v.pipe(v.string(), v.minLength(1), v.description(about));

/** DuckDB reads what follows a question mark as parameters, and puts its log elsewhere. */
export const duckdbFile = (about: string) =>
  v.pipe(
    v.string(),
    v.minLength(1),
    v.check((path) => !path.includes("?"), "has a ?, which DuckDB does not take\nName a path without one."),
    v.description(about),
  );

/** `instead`: for words that somebody may well write by mistake, what to say about each. */
export const oneOf = <const Choices extends readonly string[]>(
  about: string,
  choices: Choices,
  instead: Record<string, string> = {},
) => v.pipe(v.picklist(choices), v.description(about), v.metadata({ instead }));

export const yesOrNo = (about: string) => v.pipe(v.boolean(), v.description(about));

export const integer = (min: number, max: number) =>
  v.pipe(v.number(), v.integer(), v.minValue(min), v.maxValue(max));

/** A count, or a share if below 1. */
export const amount = (about: string) =>
  v.pipe(
    v.number(),
    v.finite(),
    v.minValue(0),
    v.check(
      (value) => value < 1 || Number.isInteger(value),
      "is neither a count nor a share\nWrite a whole number, or a share below 1: 0.05 for 5 %.",
    ),
    v.description(about),
  );

/** Fields by name; any other key is an error. */
export const map = <const Fields extends v.ObjectEntries>(about: string, fields: Fields) =>
  v.pipe(noList(v.strictObject(fields)), v.description(about));

/**
 * Values by names that the user chooses. valibot drops a key named `constructor` or `prototype`, so such a
 * map is checked as a map of fields: the ones that it has.
 */
export function byName<Value extends v.GenericSchema>(
  about: string,
  name: v.GenericSchema<string>,
  value: Value,
) {
  const record = v.record(name, value);
  const checked: typeof record = {
    ...record,
    "~run": (dataset, config) => {
      const names = Object.keys(dataset.value ?? {});
      const fields = names.map((key) => [key, v.is(name, key) ? value : v.never()]);
      return v.strictObject(Object.fromEntries(fields))["~run"](dataset, config) as never;
    },
  };
  return v.pipe(noList(checked), v.description(about));
}

/** valibot accepts a list as a map. Here it is refused, like everything else that is not a map. */
export function noList<Schema extends v.GenericSchema>(schema: Schema): Schema {
  return {
    ...schema,
    "~run": (dataset, config) =>
      schema["~run"](Array.isArray(dataset.value) ? { value: undefined } : dataset, config),
  };
}
