/**
 * The shape of hourpack.yaml, once: it validates the file, names the flags and environment variables (flags.ts), and
 * becomes docs/hourpack.schema.json for editors. What a single field cannot know (two datasets with one prefix, a
 * column type that Athena lacks) is checked in resolve.ts.
 */
import { z } from "zod";
import { DURATION, DURATION_HINT, LISTEN, LISTEN_HINT, SIZE, SIZE_HINT } from "./units.js";

/** Fields that are derived from the machine where absent (capacity.ts). */
export const DERIVED = z.registry<{ from: string }>();

const duration = () => z.string().regex(DURATION, { error: `is not a duration\n${DURATION_HINT}` });
const size = () => z.string().regex(SIZE, { error: `is not a size\n${SIZE_HINT}` });
const accountId = () =>
  z.string().regex(/^\d{12}$/, { error: "is not an AWS account\nWrite its 12 digits, in quotes." });
const databaseName = () =>
  z.string().regex(/^[a-z0-9_]{1,255}$/, {
    error: "is no database name\nUse lower-case letters, digits and underscores, at most 255.",
  });

const writeSchema = z
  .strictObject({
    serverSideEncryption: z
      .enum(["AES256", "aws:kms"])
      .optional()
      .describe("Encryption asked for with every write: SSE-S3 or SSE-KMS"),
    kmsKeyId: z.string().min(1).optional().describe("Key of SSE-KMS; the bucket's own where absent"),
    storageClass: z
      .string()
      .min(1)
      .optional()
      .describe("Storage class of every object written, such as STANDARD_IA"),
    tags: z.record(z.string(), z.string()).optional().describe("Tags of every object written"),
  })
  .prefault({})
  .describe("What a bucket demands of every write");

const s3Schema = z
  .strictObject({
    endpoint: z
      .url({ protocol: /^https?$/, error: "is no URL\nWrite it like http://127.0.0.1:9000." })
      .optional()
      .describe(
        "An S3 service that is not AWS, such as http://127.0.0.1:9000; AWS_ENDPOINT_URL_S3 and AWS_ENDPOINT_URL count too",
      ),
    region: z.string().min(1).optional().describe("AWS region; the SDK's chain decides where absent"),
    forcePathStyle: z.boolean().optional().describe("http://host/bucket/key and not http://bucket.host/key"),
    concurrency: z
      .int()
      .min(1)
      .max(1024)
      .optional()
      .describe(
        "GETs in flight at most, over all hours; from 32 on as many as the store serves faster where absent",
      ),
    timeout: duration().default("30s").describe("Limit of one request"),
    retryBudget: duration().default("5m").describe("How long one call may go on being retried"),
    write: writeSchema,
    expectedBucketOwner: accountId().optional().describe("Account that must own the buckets"),
  })
  .prefault({})
  .describe("How to reach S3. Credentials come from the AWS chain only");

const columnSchema = z.union([
  z.string().min(1).describe("Hive type, such as bigint or struct<a:string,b:array<int>>"),
  z.strictObject({
    type: z.string().min(1).describe("Hive type, such as bigint or struct<a:string,b:array<int>>"),
    from: z
      .string()
      .min(1)
      .optional()
      .describe("Where in the record the value is, such as event_value.comic_id"),
    json: z.literal("string").optional().describe("The member is a string whose text is JSON"),
    epoch: z.enum(["s", "ms"]).optional().describe("Numbers are seconds or milliseconds since 1970"),
    zone: z.string().min(1).optional().describe("Zone of timestamps without one"),
  }),
]);

const datasetSchema = z
  .strictObject({
    for: z
      .record(
        z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/),
        z.array(z.union([z.string().min(1), z.number()])).min(1),
      )
      .optional()
      .describe("Variables: one dataset for each value, {name} is filled in below"),
    raw: z
      .string()
      .min(1)
      .describe("Raw prefix of an hour, with {yyyy} {MM} {dd} {HH}: an s3:// URI or a directory"),
    tier1: z.string().min(1).describe("Prefix that the Parquet goes under: an s3:// URI or a directory"),
    table: z.string().min(1).describe("Table of the Parquet files, and the beginning of their names"),
    rawTable: z.string().min(1).optional().describe("Table of the raw objects; <table>_raw where absent"),
    records: z
      .string()
      .min(1)
      .default("$")
      .describe("Where the records are in a JSON value: $ or Records[*]"),
    unknown: z
      .enum(["rescue", "add"])
      .default("rescue")
      .describe("Members without a column: kept in _rescued_data, or made a new column"),
    zone: z.string().min(1).default("UTC").describe("Zone of timestamps without one"),
    sortBy: z
      .array(z.string().min(1))
      .default([])
      .describe(
        "Columns that a part's rows are sorted by, ascending, such as [user_id]: smaller files, and fewer bytes read where one value is asked for; in no order where empty. Packed hours are sorted by --rebuild",
      ),
    columns: z
      .record(z.string().min(1), columnSchema)
      .optional()
      .describe("Columns by name; the first hour's are inferred and pinned where absent"),
  })
  .describe("A raw prefix, a tier-1 prefix and two tables");

const aws = {
  region: z.string().min(1).optional().describe("AWS region of the catalog; that of S3 where absent"),
  endpoint: z
    .url({ protocol: /^https?$/ })
    .optional()
    .describe("A Glue or Athena service that is not AWS"),
  timeout: duration().default("5m").describe("Limit of one call or statement, retries and all"),
};
const database = databaseName().describe("Database of the tables");

const catalogSchema = z
  .discriminatedUnion("type", [
    z.strictObject({ type: z.literal("none") }).describe("No catalog"),
    z
      .strictObject({
        type: z.literal("local"),
        database: database.default("hourpack"),
        path: z.string().min(1).default("catalog.duckdb").describe("The DuckDB file that has the views"),
      })
      .describe("A DuckDB file with views"),
    z
      .strictObject({
        type: z.literal("glue"),
        database,
        catalogId: accountId().optional().describe("Another account's catalog"),
        ...aws,
      })
      .describe("AWS Glue"),
    z
      .strictObject({
        type: z.literal("athena"),
        database,
        workgroup: z.string().min(1).default("primary").describe("Athena workgroup"),
        output: z
          .string()
          .min(1)
          .optional()
          .describe("s3:// URI of query results; the workgroup's where absent"),
        catalogName: z.string().min(1).default("AwsDataCatalog").describe("Athena's data catalog"),
        ...aws,
      })
      .describe("DDL through Athena"),
  ])
  .describe("What is told of the partitions");

const runSchema = z
  .strictObject({
    lookBack: duration()
      .default("48h")
      .describe("How far back published hours are looked at again for late objects"),
    settle: duration().default("5m").describe("How long after its end an hour counts as closed"),
    lateSettle: duration().default("1h").describe("How long a late recompaction that nobody asked for waits"),
    ahead: z.boolean().default(true).describe("Register the hour before and the hour after, too"),
    projection: z
      .boolean()
      .default(false)
      .describe("Partition projection on the tables, in place of registration"),
    hoursInFlight: z
      .int()
      .min(1)
      .max(64)
      .optional()
      .describe("Hours worked on at a time: 4, or 1 with less than 512 MiB of memory")
      .register(DERIVED, { from: "memory" }),
    spoolDir: z
      .string()
      .min(1)
      .optional()
      .describe("Where batches are kept meanwhile; the system's temporary folder where absent"),
    batch: size()
      .optional()
      .describe("Size of a batch: 16MB, or as much less as the memory is below 512 MiB")
      .register(DERIVED, { from: "memory" }),
    engineMemory: size()
      .optional()
      .describe(
        "DuckDB's memory_limit: 256MB, or as much less as the memory is below 512 MiB; more for wide tables and long records",
      )
      .register(DERIVED, { from: "memory" }),
    spoolMax: size()
      .default("10GB")
      .describe("Raw bytes that hours in flight may have on the spool's disk together"),
    claimTtl: duration()
      .default("60s")
      .describe("How long a worker's claim to an hour stands when it is not renewed; 0s for no claims"),
    maxQuarantine: z
      .number()
      .min(0)
      .optional()
      .describe("Stop an hour above this: a count, or a share of the records where below 1 (0.05 for 5 %)"),
    maxRecord: size().default("64MiB").describe("Larger records are quarantined"),
    singleWriter: z.boolean().default(false).describe("You vouch that only one worker ever writes tier 1"),
  })
  .prefault({})
  .describe("How hours are worked on");

const minute = () => z.int().min(0).max(59);

const workerSchema = z
  .strictObject({
    at: z
      .union([minute(), z.array(minute()).min(1)])
      .default(5)
      .describe(
        "Worker: minutes of the hour at which it looks for what is due; at least `settle` after the hour's end",
      ),
    listen: z
      .string()
      .regex(LISTEN, { error: `is no address to listen on\n${LISTEN_HINT}` })
      .default("127.0.0.1:9464")
      .describe("Worker: where /metrics, /healthz and /readyz are served: host:port, or off"),
  })
  .prefault({})
  .describe("The long-running worker");

const metricsSchema = z
  .strictObject({
    file: z
      .string()
      .min(1)
      .optional()
      .describe("Metrics as a file for Prometheus' textfile collector, written at the end of a run"),
  })
  .prefault({})
  .describe("What a run and a worker tell in numbers");

const hooksSchema = z
  .strictObject({
    url: z
      .url({ protocol: /^https?$/, error: "is no URL\nWrite the webhook's whole address, with https://." })
      .optional()
      .describe(
        'Webhook that is told of failures and recoveries, as {"text": …}. A secret: HOURPACK_HOOK_URL is the better place',
      ),
    quarantine: z
      .number()
      .min(0)
      .optional()
      .describe(
        "The webhook is told of an hour with more in quarantine: a count, or a share of the records where below 1 (0.05 for 5 %)",
      ),
  })
  .prefault({})
  .describe("Who is told");

/** The whole file. Strict everywhere: an unknown key is an error. */
export const configSchema = z
  .strictObject({
    s3: s3Schema,
    datasets: z.record(z.string().regex(/^[A-Za-z0-9_.-]+$/), datasetSchema).describe("Datasets by name"),
    catalog: catalogSchema.prefault({ type: "none" }),
    run: runSchema,
    worker: workerSchema,
    metrics: metricsSchema,
    hooks: hooksSchema,
  })
  .describe("hourpack.yaml");

export type Config = z.output<typeof configSchema>;
export type DatasetConfig = z.output<typeof datasetSchema>;
export type ColumnConfig = z.output<typeof columnSchema>;

/** For editors; written to docs/hourpack.schema.json by scripts/config-docs.mjs. */
export function configJsonSchema(): object {
  return {
    $id: "hourpack.schema.json",
    title: "hourpack.yaml",
    ...z.toJSONSchema(configSchema, { io: "input" }),
  };
}

export { catalogSchema, datasetSchema, hooksSchema, metricsSchema, runSchema, s3Schema, workerSchema };
