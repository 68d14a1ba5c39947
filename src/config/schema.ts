/**
 * The shape of hourpack.yaml, defined once. It validates the file, names the flags and environment variables
 * (flags.ts), and becomes docs/hourpack.schema.json for editors. resolve.ts checks what a single field cannot
 * know (two datasets with one prefix, a column type that Athena lacks).
 */
import * as v from "valibot";
import {
  accountId,
  address,
  amount,
  byName,
  databaseName,
  duckdbFile,
  duration,
  endpoint,
  integer,
  map,
  noList,
  oneOf,
  size,
  text,
  url,
  yesOrNo,
} from "./kinds.js";
import { LOOK_BACK_HOURS } from "./settings.js";

const writeSchema = map("What a bucket requires of every write", {
  serverSideEncryption: v.optional(
    oneOf("Encryption to ask for with every write: SSE-S3 or SSE-KMS", ["AES256", "aws:kms"]),
  ),
  kmsKeyId: v.optional(text("SSE-KMS key; the bucket's own key if not set")),
  storageClass: v.optional(text("Storage class of every object that hourpack writes, such as STANDARD_IA")),
  tags: v.optional(byName("Tags of every object that hourpack writes", v.string(), v.string())),
});

const s3Schema = map("How to reach S3. Credentials come from the AWS chain only", {
  endpoint: v.optional(
    endpoint(
      "An S3 service other than AWS, such as http://127.0.0.1:9000; AWS_ENDPOINT_URL_S3 and AWS_ENDPOINT_URL count, too",
    ),
  ),
  region: v.optional(text("AWS region; from the SDK's chain if not set")),
  forcePathStyle: v.optional(yesOrNo("Use http://host/bucket/key, not http://bucket.host/key")),
  concurrency: v.optional(
    v.pipe(
      integer(1, 1024),
      v.description(
        "Most GETs in flight, over all hours; if not set, 32 at first, and more while the store serves more",
      ),
    ),
  ),
  timeout: v.optional(duration("How long a request may go without a byte before it is given up"), "30s"),
  retryBudget: v.optional(duration("How long one call may be retried; nine tries at most"), "5m"),
  write: v.optional(writeSchema, {}),
  expectedBucketOwner: v.optional(accountId("Account that must own the buckets")),
});

const HIVE_TYPE = "Hive type, such as bigint or struct<a:string,b:array<int>>";
const ZONE = "Time zone of timestamps that name none";

const FINER = "are not read as times. Leave epoch out and write type: bigint: the numbers stay as they are.";
/** One letter away from `s`, and off by a million or a thousand million. */
const OTHER_EPOCHS = {
  ...Object.fromEntries(
    ["us", "µs", "micros", "microseconds"].map((unit) => [unit, `Microseconds ${FINER}`]),
  ),
  ...Object.fromEntries(["ns", "nanos", "nanoseconds"].map((unit) => [unit, `Nanoseconds ${FINER}`])),
  seconds: 'Did you mean "s"?',
  millis: 'Did you mean "ms"?',
  milliseconds: 'Did you mean "ms"?',
};

const columnSchema = v.union([
  text(HIVE_TYPE),
  noList(
    v.strictObject({
      type: text(HIVE_TYPE),
      from: v.optional(text("Path of the value in the record, such as event_value.comic_id")),
      json: v.optional(oneOf("The member is a string whose text is JSON", ["string"])),
      epoch: v.optional(oneOf("Numbers are seconds or milliseconds since 1970", ["s", "ms"], OTHER_EPOCHS)),
      zone: v.optional(text(ZONE)),
    }),
  ),
]);

const name = v.pipe(v.string(), v.minLength(1));

const datasetSchema = map("A raw prefix, a tier-1 prefix and two tables", {
  for: v.optional(
    byName(
      "Variables: one dataset for each value; {name} in the other fields becomes the value",
      v.pipe(v.string(), v.regex(/^[A-Za-z_][A-Za-z0-9_]*$/)),
      v.pipe(v.array(v.union([name, v.pipe(v.number(), v.finite())])), v.minLength(1)),
    ),
  ),
  raw: text("Raw prefix of an hour, with {yyyy} {MM} {dd} {HH}: an s3:// URI or a directory"),
  tier1: text("Prefix to write the Parquet under: an s3:// URI or a directory"),
  table: text("Table of the Parquet files, and how their names begin"),
  rawTable: v.optional(text("Table of the raw objects; <table>_raw if not set")),
  records: v.optional(text("Path of the records in a JSON value: $ or Records[*]"), "$"),
  unknown: v.optional(
    oneOf("Members without a column: rescue keeps them in _rescued_data, add makes new columns", [
      "rescue",
      "add",
    ]),
    "rescue",
  ),
  zone: v.optional(text(ZONE), "UTC"),
  sortBy: v.optional(
    v.pipe(
      v.array(name),
      v.description(
        "Columns to sort a part's rows by, ascending, such as [user_id]: files are smaller, and queries for one value read fewer bytes; no order if empty. Use --rebuild to sort hours that are already packed",
      ),
    ),
    [],
  ),
  columns: v.optional(
    byName(
      "Columns by name, such as `id: bigint`; if not set, they are inferred from the first hour and pinned",
      name,
      columnSchema,
    ),
  ),
});

const aws = {
  region: v.optional(text("AWS region of the catalog; that of S3 if not set")),
  endpoint: v.optional(endpoint("A Glue or Athena service other than AWS")),
  timeout: v.optional(duration("Time limit of one call or statement, including retries"), "5m"),
};
const database = databaseName("Database of the tables; required for Glue and Athena");

const catalogSchema = v.pipe(
  noList(
    v.variant("type", [
      map("No catalog", { type: v.literal("none") }),
      map("A DuckDB file with views", {
        type: v.literal("local"),
        database: v.optional(database, "hourpack"),
        path: v.optional(duckdbFile("DuckDB file for the views"), "catalog.duckdb"),
      }),
      map("AWS Glue", {
        type: v.literal("glue"),
        database,
        catalogId: v.optional(accountId("Another account's catalog")),
        ...aws,
      }),
      map("DDL through Athena", {
        type: v.literal("athena"),
        database,
        workgroup: v.optional(text("Athena workgroup"), "primary"),
        output: v.optional(text("s3:// URI for query results; the workgroup's if not set")),
        catalogName: v.optional(text("Athena's data catalog"), "AwsDataCatalog"),
        ...aws,
      }),
    ]),
  ),
  v.description("Catalog to register partitions in"),
  v.metadata({ instead: { duckdb: 'Did you mean "local"? It is a DuckDB file.' } }),
);

const runSchema = map("How hours are worked on", {
  lookBack: v.optional(
    duration("How far back to look for late objects in published hours"),
    `${LOOK_BACK_HOURS}h`,
  ),
  settle: v.optional(duration("How long after its end an hour counts as closed"), "5m"),
  lateSettle: v.optional(
    duration("How long late objects wait before a run packs them, unless the run names the hour"),
    "1h",
  ),
  ahead: v.optional(yesOrNo("Also register the hour before and the hour after"), true),
  projection: v.optional(yesOrNo("Use partition projection on the tables, instead of registration"), false),
  hoursInFlight: v.optional(
    v.pipe(
      integer(1, 64),
      v.description("Hours to work on at a time: 4, or 1 with less than 512 MiB of memory"),
      v.metadata({ derivedFrom: "memory" }),
    ),
  ),
  spoolDir: v.optional(
    text(
      "Folder for batches, and for parts that are read back, while they are worked on; the system's temporary folder if not set",
    ),
  ),
  batch: v.optional(
    v.pipe(
      size("Size of a batch: 16MB, or less in proportion if the memory is below 512 MiB"),
      v.metadata({ derivedFrom: "memory" }),
    ),
  ),
  engineMemory: v.optional(
    v.pipe(
      size(
        "DuckDB's memory_limit: 256MB, or less in proportion if the memory is below 512 MiB; hourpack adds to it for wide tables and long records",
      ),
      v.metadata({ derivedFrom: "memory" }),
    ),
  ),
  spoolMax: v.optional(size("Most raw bytes that all hours in flight may have on the spool's disk"), "10GB"),
  claimTtl: v.optional(
    duration("How long a worker's claim to an hour lasts if it is not renewed; 0s for no claims"),
    "60s",
  ),
  maxQuarantine: v.optional(
    amount(
      "Stop an hour with more in quarantine: a count, or a share of the records if below 1 (0.05 for 5 %)",
    ),
  ),
  maxRecord: v.optional(size("Quarantine larger records"), "64MiB"),
  singleWriter: v.optional(yesOrNo("You guarantee that only one worker ever writes tier 1"), false),
});

const minute = integer(0, 59);

const workerSchema = map("The long-running worker", {
  at: v.optional(
    v.pipe(
      v.union([minute, v.pipe(v.array(minute), v.minLength(1))]),
      v.description(
        "Worker: minutes of the hour (0 to 59, or a list) at which it looks for what is due; if `settle` is not over by then, it begins when it is",
      ),
    ),
    5,
  ),
  listen: v.optional(
    address("Worker: address that serves /metrics, /healthz and /readyz: host:port, or off"),
    "127.0.0.1:9464",
  ),
});

const metricsSchema = map("Numbers about runs and the worker", {
  file: v.optional(text("File to write metrics to at the end of a run, for Prometheus' textfile collector")),
});

const hooksSchema = map("Webhook", {
  url: v.optional(
    url(
      'Webhook to notify of failures and recoveries, with {"text": …}. It is a secret: HOURPACK_HOOK_URL is the better place',
      "Write the webhook's whole address, with https://.",
    ),
  ),
  quarantine: v.optional(
    amount(
      "Notify the webhook of an hour with more in quarantine: a count, or a share of the records if below 1 (0.05 for 5 %)",
    ),
  ),
});

/** The whole file. It is strict everywhere: an unknown key is an error. */
export const configSchema = map("hourpack.yaml", {
  s3: v.optional(s3Schema, {}),
  datasets: byName("Datasets by name", v.pipe(v.string(), v.regex(/^[A-Za-z0-9_.-]+$/)), datasetSchema),
  catalog: v.optional(catalogSchema, { type: "none" }),
  run: v.optional(runSchema, {}),
  worker: v.optional(workerSchema, {}),
  metrics: v.optional(metricsSchema, {}),
  hooks: v.optional(hooksSchema, {}),
});

export type Config = v.InferOutput<typeof configSchema>;
export type DatasetConfig = v.InferOutput<typeof datasetSchema>;
export type ColumnConfig = v.InferOutput<typeof columnSchema>;

/** The translator is a development dependency, so the caller passes it in. */
type ToJsonSchema = (
  schema: typeof configSchema,
  options: { target: "draft-2020-12"; typeMode: "input"; ignoreActions: string[] },
) => object;

/** For editors; written to docs/hourpack.schema.json by scripts/config-docs.mjs. */
export function configJsonSchema(toJsonSchema: ToJsonSchema): object {
  return {
    $id: "hourpack.schema.json",
    title: "hourpack.yaml",
    ...toJsonSchema(configSchema, {
      target: "draft-2020-12",
      typeMode: "input",
      // JSON Schema cannot express these, or need not know them.
      ignoreActions: ["trim", "check", "finite", "metadata"],
    }),
  };
}

export { catalogSchema, datasetSchema, hooksSchema, metricsSchema, runSchema, s3Schema, workerSchema };
