/**
 * The shape of hourpack.yaml, once: it validates the file, names the flags and environment variables (flags.ts), and
 * becomes docs/hourpack.schema.json for editors. What a single field cannot know (two datasets with one prefix, a
 * column type that Athena lacks) is checked in resolve.ts.
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

const writeSchema = map("What a bucket demands of every write", {
  serverSideEncryption: v.optional(
    oneOf("Encryption asked for with every write: SSE-S3 or SSE-KMS", ["AES256", "aws:kms"]),
  ),
  kmsKeyId: v.optional(text("Key of SSE-KMS; the bucket's own where absent")),
  storageClass: v.optional(text("Storage class of every object written, such as STANDARD_IA")),
  tags: v.optional(byName("Tags of every object written", v.string(), v.string())),
});

const s3Schema = map("How to reach S3. Credentials come from the AWS chain only", {
  endpoint: v.optional(
    endpoint(
      "An S3 service that is not AWS, such as http://127.0.0.1:9000; AWS_ENDPOINT_URL_S3 and AWS_ENDPOINT_URL count too",
    ),
  ),
  region: v.optional(text("AWS region; the SDK's chain decides where absent")),
  forcePathStyle: v.optional(yesOrNo("http://host/bucket/key and not http://bucket.host/key")),
  concurrency: v.optional(
    v.pipe(
      integer(1, 1024),
      v.description(
        "GETs in flight at most, over all hours; from 32 on as many as the store serves faster where absent",
      ),
    ),
  ),
  timeout: v.optional(duration("Limit of one request"), "30s"),
  retryBudget: v.optional(duration("How long one call may go on being retried"), "5m"),
  write: v.optional(writeSchema, {}),
  expectedBucketOwner: v.optional(accountId("Account that must own the buckets")),
});

const HIVE_TYPE = "Hive type, such as bigint or struct<a:string,b:array<int>>";
const ZONE = "Zone of timestamps without one";

const FINER = "are not read as times. Leave epoch out and write type: bigint: the numbers stay as they are.";
/** One letter from `s`, and a million or a thousand million from what is meant. */
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
      from: v.optional(text("Where in the record the value is, such as event_value.comic_id")),
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
      "Variables: one dataset for each value, {name} is filled in below",
      v.pipe(v.string(), v.regex(/^[A-Za-z_][A-Za-z0-9_]*$/)),
      v.pipe(v.array(v.union([name, v.pipe(v.number(), v.finite())])), v.minLength(1)),
    ),
  ),
  raw: text("Raw prefix of an hour, with {yyyy} {MM} {dd} {HH}: an s3:// URI or a directory"),
  tier1: text("Prefix that the Parquet goes under: an s3:// URI or a directory"),
  table: text("Table of the Parquet files, and the beginning of their names"),
  rawTable: v.optional(text("Table of the raw objects; <table>_raw where absent")),
  records: v.optional(text("Where the records are in a JSON value: $ or Records[*]"), "$"),
  unknown: v.optional(
    oneOf("Members without a column: kept in _rescued_data, or made a new column", ["rescue", "add"]),
    "rescue",
  ),
  zone: v.optional(text(ZONE), "UTC"),
  sortBy: v.optional(
    v.pipe(
      v.array(name),
      v.description(
        "Columns that a part's rows are sorted by, ascending, such as [user_id]: smaller files, and fewer bytes read where one value is asked for; in no order where empty. Packed hours are sorted by --rebuild",
      ),
    ),
    [],
  ),
  columns: v.optional(
    byName(
      "Columns by name, such as `id: bigint`; the first hour's are inferred and pinned where absent",
      name,
      columnSchema,
    ),
  ),
});

const aws = {
  region: v.optional(text("AWS region of the catalog; that of S3 where absent")),
  endpoint: v.optional(endpoint("A Glue or Athena service that is not AWS")),
  timeout: v.optional(duration("Limit of one call or statement, retries and all"), "5m"),
};
const database = databaseName("Database of the tables; that of Glue and Athena must be said");

const catalogSchema = v.pipe(
  noList(
    v.variant("type", [
      map("No catalog", { type: v.literal("none") }),
      map("A DuckDB file with views", {
        type: v.literal("local"),
        database: v.optional(database, "hourpack"),
        path: v.optional(duckdbFile("The DuckDB file that has the views"), "catalog.duckdb"),
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
        output: v.optional(text("s3:// URI of query results; the workgroup's where absent")),
        catalogName: v.optional(text("Athena's data catalog"), "AwsDataCatalog"),
        ...aws,
      }),
    ]),
  ),
  v.description("What is told of the partitions"),
  v.metadata({ instead: { duckdb: 'Did you mean "local"? It is a DuckDB file.' } }),
);

const runSchema = map("How hours are worked on", {
  lookBack: v.optional(
    duration("How far back published hours are looked at again for late objects"),
    `${LOOK_BACK_HOURS}h`,
  ),
  settle: v.optional(duration("How long after its end an hour counts as closed"), "5m"),
  lateSettle: v.optional(duration("How long a late recompaction that nobody asked for waits"), "1h"),
  ahead: v.optional(yesOrNo("Register the hour before and the hour after, too"), true),
  projection: v.optional(yesOrNo("Partition projection on the tables, in place of registration"), false),
  hoursInFlight: v.optional(
    v.pipe(
      integer(1, 64),
      v.description("Hours worked on at a time: 4, or 1 with less than 512 MiB of memory"),
      v.metadata({ derivedFrom: "memory" }),
    ),
  ),
  spoolDir: v.optional(text("Where batches are kept meanwhile; the system's temporary folder where absent")),
  batch: v.optional(
    v.pipe(
      size("Size of a batch: 16MB, or as much less as the memory is below 512 MiB"),
      v.metadata({ derivedFrom: "memory" }),
    ),
  ),
  engineMemory: v.optional(
    v.pipe(
      size(
        "DuckDB's memory_limit: 256MB, or as much less as the memory is below 512 MiB; more for wide tables and long records",
      ),
      v.metadata({ derivedFrom: "memory" }),
    ),
  ),
  spoolMax: v.optional(size("Raw bytes that hours in flight may have on the spool's disk together"), "10GB"),
  claimTtl: v.optional(
    duration("How long a worker's claim to an hour stands when it is not renewed; 0s for no claims"),
    "60s",
  ),
  maxQuarantine: v.optional(
    amount("Stop an hour above this: a count, or a share of the records where below 1 (0.05 for 5 %)"),
  ),
  maxRecord: v.optional(size("Larger records are quarantined"), "64MiB"),
  singleWriter: v.optional(yesOrNo("You vouch that only one worker ever writes tier 1"), false),
});

const minute = integer(0, 59);

const workerSchema = map("The long-running worker", {
  at: v.optional(
    v.pipe(
      v.union([minute, v.pipe(v.array(minute), v.minLength(1))]),
      v.description(
        "Worker: minutes of the hour (one of 0 to 59, or a list) at which it looks for what is due; where `settle` is not over at one of them, it begins when it is",
      ),
    ),
    5,
  ),
  listen: v.optional(
    address("Worker: where /metrics, /healthz and /readyz are served: host:port, or off"),
    "127.0.0.1:9464",
  ),
});

const metricsSchema = map("What a run and a worker tell in numbers", {
  file: v.optional(text("Metrics as a file for Prometheus' textfile collector, written at the end of a run")),
});

const hooksSchema = map("Who is told", {
  url: v.optional(
    url(
      'Webhook that is told of failures and recoveries, as {"text": …}. A secret: HOURPACK_HOOK_URL is the better place',
      "Write the webhook's whole address, with https://.",
    ),
  ),
  quarantine: v.optional(
    amount(
      "The webhook is told of an hour with more in quarantine: a count, or a share of the records where below 1 (0.05 for 5 %)",
    ),
  ),
});

/** The whole file. Strict everywhere: an unknown key is an error. */
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

/** What translates it is for development alone, so whoever asks brings it. */
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
      // What JSON Schema has no word for, or need not know.
      ignoreActions: ["trim", "check", "finite", "metadata"],
    }),
  };
}

export { catalogSchema, datasetSchema, hooksSchema, metricsSchema, runSchema, s3Schema, workerSchema };
