/** Fills in the parameters of a CloudFormation template. Knows only the functions that ours uses. */
import { parse } from "yaml";

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

export interface Stack {
  /** The properties of each resource, by logical name. */
  resources: Record<string, Record<string, Json>>;
}

const FUNCTIONS = ["Ref", "Sub", "GetAtt", "If", "Not", "Equals"];
/** In YAML a function is a tag. It is kept as `{ "!Sub": … }` until the parameters are known. */
const CUSTOM_TAGS = FUNCTIONS.flatMap((name) =>
  (["scalar", "map", "seq"] as const).map((kind) => ({
    tag: `!${name}`,
    ...(kind === "scalar" ? {} : { collection: kind }),
    resolve: (value: unknown) => ({ [`!${name}`]: kind === "scalar" ? value : toJson(value) }),
  })),
);

function toJson(value: unknown): Json {
  return (value as { toJSON(): Json }).toJSON();
}

/** Resolves the template. Pseudo parameters such as `AWS::Region` are given like the others. */
export function stackOf(text: string, given: Record<string, string>): Stack {
  const template = parse(text, { customTags: CUSTOM_TAGS as never }) as {
    Parameters: Record<string, { Default?: string | number }>;
    Conditions: Record<string, Json>;
    Resources: Record<string, { Properties?: Json; Condition?: string }>;
  };
  const parameters: Record<string, Json> = { ...given };
  for (const [name, { Default }] of Object.entries(template.Parameters)) {
    parameters[name] ??= Default ?? null;
    if (parameters[name] === null) throw new Error(`the template's parameter ${name} has no value`);
  }
  const resolve = (value: Json): Json => {
    if (Array.isArray(value)) return value.map(resolve).filter((item) => item !== NO_VALUE);
    if (typeof value !== "object" || value === null) return value;
    const [[name, argument] = []] = Object.entries(value);
    if (name?.startsWith("!") && argument !== undefined) return call(name.slice(1), argument);
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, resolve(item)]));
  };
  const call = (name: string, argument: Json): Json => {
    const [first, second, third] = Array.isArray(argument) ? argument : [argument];
    switch (name) {
      case "Ref":
        return argument === "AWS::NoValue" ? NO_VALUE : (parameters[String(argument)] ?? `ref:${argument}`);
      case "Sub":
        return String(argument).replace(/\$\{([^}]+)\}/g, (_, key: string) => String(parameters[key] ?? key));
      case "GetAtt":
        return `arn:${argument}`;
      case "If":
        return resolve((resolve(template.Conditions[String(first)] ?? null) ? second : third) ?? null);
      case "Not":
        return !resolve(first ?? null);
      case "Equals":
        return resolve(first ?? null) === resolve(second ?? null);
    }
    throw new Error(`no way to call !${name}`);
  };
  const resources = Object.entries(template.Resources)
    .filter(([, { Condition }]) => !Condition || resolve(template.Conditions[Condition] ?? null))
    .map(([name, { Properties = {} }]) => [name, resolve(Properties) as Record<string, Json>]);
  return { resources: Object.fromEntries(resources) };
}

const NO_VALUE = "AWS::NoValue";
