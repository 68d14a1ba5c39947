/**
 * Turns a file, flags and environment variables into Settings. A flag takes precedence over its variable, and
 * the variable over the file.
 */
import { existsSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { safeParse } from "valibot";
import { HourpackError } from "../errors.js";
import { hiveType, parseColumnList } from "../schema/hive.js";
import { type ConfigFile, type ConfigPath, parseConfig, readConfigFile } from "./file.js";
import { FIELD_FLAGS, type Override, readOverrides } from "./flags.js";
import { type Locate, problemOf, relocated } from "./problems.js";
import { resolveSettings } from "./resolve.js";
import { catalogSchema, configSchema } from "./schema.js";
import { CONFIG_NAME, type GivenFlag, type Settings } from "./settings.js";

export interface SettingsSource {
  /** Path of the configuration. If absent: `HOURPACK_CONFIG`, or else hourpack.yaml in `cwd` if it exists. */
  file?: string;
  /** What `file` says, or is going to say, in place of its contents. */
  text?: string;
  /** By flag name without dashes (`s3-endpoint`), as texts or as the values themselves. */
  flags?: Record<string, unknown>;
  /** Names of the chosen datasets. Flags about a dataset apply to this one. */
  datasets?: string[];
  /** If absent, `process.env`. */
  env?: NodeJS.ProcessEnv;
  /** Relative paths in flags are relative to this. Those in a file are relative to the file. */
  cwd?: string;
  /** Accepts a configuration without a dataset, for a command that only needs the catalog. */
  withoutDatasets?: boolean;
}

/** Throws `invalid` with the place (`hourpack.yaml:12`, `--tier1`), what is wrong there, and the remedy. */
export async function loadSettings(source: SettingsSource = {}): Promise<Settings> {
  const { env = process.env, cwd = process.cwd(), flags = {} } = source;
  const { text, file: named = env["HOURPACK_CONFIG"] || undefined } = source;
  const file = text === undefined ? await openFile(named, cwd) : parseConfig(text, named ?? CONFIG_NAME);
  const value: Record<string, unknown> = structuredClone(file?.value ?? {});
  const places = new Places(file);
  const overrides = readOverrides(flags, env);
  const others = withOneCatalog(
    value,
    overrides.filter(({ field }) => field.group !== "dataset"),
  );
  for (const override of others) {
    put(value, override.field.path, override.value);
    places.add(override.field.path, override.source);
  }
  const ofDataset = overrides.filter(({ field }) => field.group === "dataset");
  const name = ofDataset.length > 0 ? datasetFor(ofDataset, value, source) : undefined;
  if (name !== undefined) {
    for (const override of ofDataset) {
      const path = ["datasets", name, ...override.field.path];
      put(value, path, override.field.kind === "columns" ? columnsOf(override) : override.value);
      places.add(path, override.source);
    }
  }
  addAwsEndpoint(value, places, env);
  addHookUrl(value, places, env);
  addCatalogType(value);
  value["datasets"] ??= {};
  const parsed = safeParse(configSchema, value, { abortPipeEarly: true });
  if (!parsed.success) throw problemOf(parsed.issues, value, places.locate);
  // Misspelt keys come first: `dataset:` would be the reason.
  if (!source.withoutDatasets && isEmpty(parsed.output.datasets)) throw noDataset(file, ofDataset);
  return resolveSettings(parsed.output, {
    file: file?.path,
    flags: [...typedIn(ofDataset, name), ...typedIn(others)],
    locate: places.locate,
    baseOf: (path) => (file && !places.isOverridden(path) ? dirname(resolve(cwd, file.path)) : cwd),
  });
}

/** An hour's result does not depend on when a worker looks at it, nor on who is notified. */
function typedIn(overrides: Override[], dataset?: string): GivenFlag[] {
  return overrides.flatMap(({ field, typed }) =>
    typed === undefined || NOT_OF_HOURS.has(field.path[0] ?? "") ? [] : [{ text: typed, dataset }],
  );
}

const NOT_OF_HOURS = new Set(["worker", "metrics", "hooks"]);

async function openFile(named: string | undefined, cwd: string): Promise<ConfigFile | undefined> {
  if (named !== undefined) return readConfigFile(resolve(cwd, named), named);
  const path = join(cwd, CONFIG_NAME);
  return existsSync(path) ? readConfigFile(path, relative(cwd, path)) : undefined;
}

/** Where a value was set: a flag, a variable, or a line of the file. */
class Places {
  private readonly file: ConfigFile | undefined;
  private readonly sources = new Map<string, string>();

  constructor(file: ConfigFile | undefined) {
    this.file = file;
  }

  add(path: ConfigPath, source: string): void {
    this.sources.set(path.join("\n"), source);
  }

  isOverridden(path: ConfigPath): boolean {
    return this.sourceOf(path) !== undefined;
  }

  readonly locate: Locate = (path) => {
    const source = this.sourceOf(path);
    if (source !== undefined) return source;
    if (this.file) return `${this.file.path}:${this.file.lineOf(path)}`;
    const fieldPath = path[0] === "datasets" ? path.slice(2) : path;
    const field = FIELD_FLAGS.find((candidate) => candidate.path.join() === fieldPath.join());
    return field ? `--${field.flag}` : "the command line";
  };

  /** The source of the value, or of what contains it. */
  private sourceOf(path: ConfigPath): string | undefined {
    for (let length = path.length; length > 0; length--) {
      const source = this.sources.get(path.slice(0, length).join("\n"));
      if (source !== undefined) return source;
    }
    return undefined;
  }
}

function put(value: Record<string, unknown>, path: readonly string[], leaf: unknown): void {
  let inner = value;
  for (const key of path.slice(0, -1)) {
    if (typeof inner[key] !== "object" || inner[key] === null) inner[key] = {};
    inner = inner[key] as Record<string, unknown>;
  }
  inner[path.at(-1) as string] = leaf;
}

/**
 * The dataset that flags are about. `--raw`, `--tier1` and `--table` together make one of their own, in place
 * of the file's datasets. Otherwise it is the file's only one, or the chosen one.
 */
function datasetFor(
  overrides: Override[],
  value: Record<string, unknown>,
  source: SettingsSource,
): string | undefined {
  const given = new Map(overrides.map((override) => [override.field.flag, override.value]));
  if (ONE_OFF_FLAGS.every((flag) => given.has(flag))) {
    // Under the name __proto__ it would be lost, and nothing would report that this is not a table name.
    const name = String(given.get("table")).replace(/_?\{[^}]*\}|^__proto__$/g, "") || "dataset";
    value["datasets"] = { [name]: {} };
    return name;
  }
  const names = Object.keys((value["datasets"] as object | null | undefined) ?? {});
  const isChosen = (name: string) =>
    source.datasets?.some((wanted) => wanted === name || wanted.startsWith(`${name}/`)) ?? true;
  const chosen = names.filter(isChosen);
  if (chosen.length === 1 || names.length === 0) return chosen[0];
  const [first] = overrides;
  throw new HourpackError("invalid", `${first?.source} is about one dataset, and there are ${names.length}`, {
    location: first?.source,
    hint: `Choose one with --dataset: ${names.join(", ")}.`,
  });
}

const ONE_OFF_FLAGS = ["raw", "tier1", "table"];

function noDataset(file: ConfigFile | undefined, overrides: Override[]): HourpackError {
  if (overrides.length > 0) {
    const missing = ONE_OFF_FLAGS.filter((flag) => !overrides.some(({ field }) => field.flag === flag));
    return new HourpackError("invalid", `--${missing[0]} is missing`, {
      location: `--${missing[0]}`,
      hint: "A run without a file needs --raw, --tier1 and --table.",
    });
  }
  return new HourpackError("invalid", "no dataset is configured", {
    location: file ? `${file.path}:${file.lineOf(["datasets"])}` : undefined,
    hint: file
      ? "Add one under `datasets:` with raw, tier1 and table."
      : "Write a hourpack.yaml (`hourpack init` helps), or give --raw, --tier1 and --table.",
  });
}

function columnsOf({ value, source }: Override): unknown {
  if (typeof value !== "string") return value;
  try {
    return Object.fromEntries(parseColumnList(value).map(({ name, type }) => [name, hiveType(type)]));
  } catch (error) {
    throw relocated(error, [], () => source);
  }
}

/** The SDK's own variables for an endpoint. Its other clients honour them too. */
function addAwsEndpoint(value: Record<string, unknown>, places: Places, env: NodeJS.ProcessEnv): void {
  const s3 = value["s3"] as { endpoint?: unknown } | undefined;
  const variable = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"].find((name) => env[name]);
  if (s3?.endpoint !== undefined || variable === undefined) return;
  put(value, ["s3", "endpoint"], env[variable]);
  places.add(["s3", "endpoint"], variable);
}

/** The only field that has a variable but no flag. */
function addHookUrl(value: Record<string, unknown>, places: Places, env: NodeJS.ProcessEnv): void {
  if (!env["HOURPACK_HOOK_URL"]) return;
  put(value, ["hooks", "url"], env["HOURPACK_HOOK_URL"]);
  places.add(["hooks", "url"], "HOURPACK_HOOK_URL");
}

/**
 * If a flag or a variable names another kind of catalog than the file's, fields that only the file's kind has
 * are dropped. A flag's kind likewise drops the variables' fields that it lacks. A path alone means the local
 * kind. Returns the overrides that stay.
 */
function withOneCatalog(value: Record<string, unknown>, overrides: Override[]): Override[] {
  const of = (key: string) => overrides.find(({ field }) => field.path.join(".") === `catalog.${key}`);
  const [asked, type] = of("type") ? [of("type"), of("type")?.value] : [of("path"), "local"];
  const kind = catalogSchema.options.find(({ entries }) => entries.type.literal === type);
  if (asked === undefined || kind === undefined) return overrides;
  const inFile = (value["catalog"] ?? {}) as Record<string, unknown>;
  if (inFile["type"] !== type) {
    const kept = Object.entries(inFile).filter(([key]) => key in kind.entries);
    value["catalog"] = { ...Object.fromEntries(kept), type };
  }
  const isFlag = ({ source }: Override) => source.startsWith("--");
  return overrides.filter((override) => {
    const [section, key = ""] = override.field.path;
    return section !== "catalog" || key in kind.entries || !isFlag(asked) || isFlag(override);
  });
}

/** A path alone means the local catalog. */
function addCatalogType(value: Record<string, unknown>): void {
  const catalog = value["catalog"] as { type?: unknown; path?: unknown } | undefined;
  if (catalog?.path !== undefined && catalog.type === undefined) catalog.type = "local";
}

function isEmpty(value: unknown): boolean {
  return typeof value === "object" && value !== null && Object.keys(value).length === 0;
}
