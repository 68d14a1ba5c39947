/**
 * Turns a valid configuration into Settings: fills in defaults, substitutes variables, and makes the checks
 * that no single field can make.
 */
import { tmpdir, userInfo } from "node:os";
import { join, parse, resolve } from "node:path";
import { capacityOf, machineOf } from "../capacity.js";
import { HourpackError } from "../errors.js";
import { HOUR_MS, RANGE_MAX_MS, RANGE_YEARS_MAX } from "../hour.js";
import { parseLocation, parseRawTemplate } from "../layout.js";
import { isValidName } from "../schema/names.js";
import { requireSortable } from "../schema/order.js";
import { parseRecordPath } from "../schema/path.js";
import { resolveColumns } from "./columns.js";
import type { ConfigPath } from "./file.js";
import { requireApart } from "./overlap.js";
import { type Locate, relocated } from "./problems.js";
import type { Config, DatasetConfig } from "./schema.js";
import type {
  CatalogSettings,
  Dataset,
  RunSettings,
  S3Settings,
  Settings,
  WorkerSettings,
} from "./settings.js";
import { parseDurationMs, parseListen, parseSizeBytes, zoneName } from "./units.js";

interface ResolveContext {
  file: string | undefined;
  flags: Settings["flags"];
  locate: Locate;
  /** The folder that a relative path at this place is relative to. */
  baseOf: (path: ConfigPath) => string;
}

/** Throws `invalid` with the place of what is wrong. */
export function resolveSettings(config: Config, context: ResolveContext): Settings {
  const s3 = resolveS3(config.s3);
  const placed = Object.entries(config.datasets).flatMap(([name, dataset]) =>
    variantsOf(dataset).map((variables) => ({
      dataset: resolveDataset(name, dataset, variables, context),
      path: ["datasets", name],
    })),
  );
  requireApart(placed, context.locate);
  return {
    file: context.file,
    flags: context.flags,
    s3,
    datasets: placed.map(({ dataset }) => dataset),
    catalog: resolveCatalog(config, s3, context),
    run: resolveRun(config.run, context),
    worker: resolveWorker(config.worker, context),
    metrics: resolveMetrics(config.metrics, context),
    hooks: config.hooks,
  };
}

function resolveS3(s3: Config["s3"]): S3Settings {
  const { timeout, retryBudget, ...rest } = s3;
  return { ...rest, timeoutMs: parseDurationMs(timeout), retryBudgetMs: parseDurationMs(retryBudget) };
}

function resolveCatalog(config: Config, s3: S3Settings, context: ResolveContext): CatalogSettings {
  const { catalog } = config;
  switch (catalog.type) {
    case "none":
      return catalog;
    case "local": {
      const path = ["catalog", "path"];
      // DuckDB names an open file by its stem, and could not tell it from a schema of the same name.
      if (parse(catalog.path).name.toLowerCase() === catalog.database) {
        throw new HourpackError(
          "invalid",
          `catalog.path "${catalog.path}" has the name of the database in it, and DuckDB could not tell them apart`,
          {
            location: context.locate(path),
            hint: `Give the file another name, such as ${catalog.database}-catalog.duckdb.`,
          },
        );
      }
      return { ...catalog, path: resolve(context.baseOf(path), catalog.path) };
    }
    case "glue":
    case "athena": {
      const { timeout, ...rest } = catalog;
      return { ...rest, region: catalog.region ?? s3.region, timeoutMs: parseDurationMs(timeout) };
    }
  }
}

function resolveRun(run: Config["run"], context: ResolveContext): RunSettings {
  const lookBackMs = parseDurationMs(run.lookBack);
  if (lookBackMs < HOUR_MS || lookBackMs % HOUR_MS !== 0) {
    throw new HourpackError("invalid", `run.lookBack "${run.lookBack}" is no number of whole hours`, {
      location: context.locate(["run", "lookBack"]),
      hint: "Write it like 6h or 2d; it is at least 1h.",
    });
  }
  if (lookBackMs > RANGE_MAX_MS) {
    throw new HourpackError("invalid", `run.lookBack "${run.lookBack}" is over ${RANGE_YEARS_MAX} years`, {
      location: context.locate(["run", "lookBack"]),
      hint: "Each of its hours is looked at in each run: is the unit mistyped?",
    });
  }
  const { ahead, projection, hoursInFlight, batch, engineMemory, maxQuarantine, singleWriter } = run;
  return {
    ...capacityOf(machineOf(), {
      hoursInFlight,
      batchBytes: batch === undefined ? undefined : parseSizeBytes(batch),
      engineMemoryBytes: engineMemory === undefined ? undefined : parseSizeBytes(engineMemory),
    }),
    lookBackHours: lookBackMs / HOUR_MS,
    settleMs: parseDurationMs(run.settle),
    lateSettleMs: parseDurationMs(run.lateSettle),
    ahead,
    projection,
    spoolDir:
      run.spoolDir === undefined
        ? defaultSpoolDir()
        : resolve(context.baseOf(["run", "spoolDir"]), run.spoolDir),
    spoolBytesMax: parseSizeBytes(run.spoolMax),
    claimTtlMs: parseDurationMs(run.claimTtl),
    maxQuarantine,
    singleWriter,
    maxRecordBytes: parseSizeBytes(run.maxRecord),
  };
}

function resolveWorker({ at, listen }: Config["worker"], context: ResolveContext): WorkerSettings {
  const minutes = [...new Set([at].flat())].sort((a, b) => a - b);
  try {
    return { at: minutes, listen: parseListen(listen) };
  } catch (error) {
    throw relocated(error, ["worker", "listen"], context.locate);
  }
}

function resolveMetrics({ file }: Config["metrics"], context: ResolveContext): Settings["metrics"] {
  return file === undefined ? {} : { file: resolve(context.baseOf(["metrics", "file"]), file) };
}

/** A folder of the user's own, because another user's could not be swept. */
function defaultSpoolDir(): string {
  return join(tmpdir(), `hourpack-${userInfo().uid}`);
}

type Variables = Record<string, string>;

/** Every combination of the values under `for:`, in the order written. */
function variantsOf(dataset: DatasetConfig): Variables[] {
  return Object.entries(dataset.for ?? {}).reduce<Variables[]>(
    (variants, [name, values]) =>
      variants.flatMap((variant) => values.map((value) => ({ ...variant, [name]: String(value) }))),
    [{}],
  );
}

function resolveDataset(
  name: string,
  config: DatasetConfig,
  variables: Variables,
  context: ResolveContext,
): Dataset {
  const path = ["datasets", name];
  /** Runs a reader of one field. Its error gets the field's place. */
  const at = <T>(field: string, read: () => T): T => {
    try {
      return read();
    } catch (error) {
      throw relocated(error, [...path, field], context.locate);
    }
  };
  const filled = (field: "raw" | "tier1" | "table" | "rawTable") => fill(config[field] ?? "", variables);
  at("raw", () => requireScheme("raw", filled("raw"), "tier1", filled("tier1")));
  at("tier1", () => requireScheme("tier1", filled("tier1"), "raw", filled("raw")));
  const placed = (field: "raw" | "tier1") => absolute(filled(field), context.baseOf([...path, field]));

  const rawUri = placed("raw");
  const table = at("table", () => tableName(filled("table")));
  const columns = config.columns && resolveColumns(config.columns, [...path, "columns"], context.locate);
  const sortBy = config.sortBy.map((column) => column.toLowerCase());
  if (columns) at("sortBy", () => requireSortable(sortBy, columns));
  return {
    name: [name, ...Object.values(variables)].join("/"),
    rawUri,
    raw: at("raw", () => parseRawTemplate(rawUri)),
    tier1: at("tier1", () => parseLocation(withoutPlaceholder(placed("tier1"), "tier1"))),
    table,
    rawTable: at("rawTable", () =>
      tableName(config.rawTable === undefined ? `${table}_raw` : filled("rawTable")),
    ),
    records: at("records", () => parseRecordPath(config.records)),
    unknown: config.unknown,
    columns,
    zone: at("zone", () => zoneName(config.zone)),
    sortBy,
  };
}

/** Replaces `{platform}` by its value. Leaves the hour's own placeholders and unknown ones. */
function fill(text: string, variables: Variables): string {
  return text.replace(/\{([^}]*)\}/g, (whole, name: string) =>
    Object.hasOwn(variables, name) ? String(variables[name]) : whole,
  );
}

/** Beside a prefix in a bucket, `lake/events/` probably lacks its `s3://`. A container loses a directory. */
function requireScheme(field: string, text: string, other: string, otherText: string): void {
  if (!/^s3[an]?:\/\//.test(otherText) || SCHEME.test(text) || /^\.{0,2}(\/|$)/.test(text)) return;
  throw new HourpackError("invalid", `${field} "${text}" is a directory, and ${other} is in S3`, {
    hint: `Write s3://${text} where it is a bucket and a prefix, or ./${text} where it is a directory.`,
  });
}

const SCHEME = /^[a-z][a-z0-9+.-]*:\/\//i;

function absolute(uri: string, base: string): string {
  if (SCHEME.test(uri)) return uri;
  return resolve(base, uri) + (uri.endsWith("/") ? "/" : "");
}

function withoutPlaceholder(text: string, field: string): string {
  const [unknown] = /\{[^}]*\}/.exec(text) ?? [];
  if (unknown === undefined) return text;
  throw new HourpackError("invalid", `${field} "${text}" has an unknown placeholder ${unknown}`, {
    hint: "Only names given under `for:` can stand here; the hour's folders are added by hourpack.",
  });
}

function tableName(text: string): string {
  const name = withoutPlaceholder(text, "the table name");
  if (isValidName(name)) return name;
  throw new HourpackError("invalid", `"${name}" is no table name`, {
    hint: "Use lower-case letters, digits and underscores, at most 255: Athena takes no others.",
  });
}
