/** What a configuration comes to once it is read, validated and filled in: the types the rest of the house uses. */
import type { Capacity } from "../capacity.js";
import type { Location, RawTemplate } from "../layout.js";
import type { RecordPath } from "../schema/path.js";
import type { Column } from "../schema/types.js";

/** Against AWS only `region` is needed, if that; credentials always come from the AWS chain. */
export interface S3Settings {
  endpoint?: string;
  region?: string;
  forcePathStyle?: boolean;
  /** GETs in flight at most, over all hours. Found out where absent. */
  concurrency?: number;
  /** One request's limit, milliseconds. */
  timeoutMs: number;
  /** How long one call may go on being retried, milliseconds. */
  retryBudgetMs: number;
  /** What a bucket demands of every write. */
  write: {
    serverSideEncryption?: "AES256" | "aws:kms";
    kmsKeyId?: string;
    storageClass?: string;
    tags?: Record<string, string>;
  };
  /** The account that owns the buckets; sent as x-amz-expected-bucket-owner. */
  expectedBucketOwner?: string;
}

/** One dataset of one value of its `for:` variables. */
export interface Dataset {
  /** `mmp`, or `mmp/android` where `for:` made several. */
  name: string;
  /** The raw template as configured, variables filled in. */
  rawUri: string;
  raw: RawTemplate;
  tier1: Location;
  table: string;
  rawTable: string;
  records: RecordPath;
  unknown: "rescue" | "add";
  /** Configured columns, in order; undefined where the first hour's are inferred. */
  columns?: Column[];
  /** Zone of timestamps without one. */
  zone: string;
  /** Columns by name; the rows of a part stand in no order where there are none. */
  sortBy: string[];
}

export type CatalogSettings =
  | { type: "none" }
  | { type: "local"; database: string; path: string }
  | {
      type: "glue";
      database: string;
      catalogId?: string;
      region?: string;
      endpoint?: string;
      /** How long one call may take, retries and all, milliseconds. */
      timeoutMs: number;
    }
  | {
      type: "athena";
      database: string;
      workgroup: string;
      output?: string;
      catalogName: string;
      region?: string;
      endpoint?: string;
      /** How long one statement may take, retries and all, milliseconds. */
      timeoutMs: number;
    };

/** The configuration file that is found by itself, in the working directory. */
export const CONFIG_NAME = "hourpack.yaml";

/** `run.lookBack` where nobody says it. */
export const LOOK_BACK_HOURS = 48;

export interface RunSettings extends Capacity {
  /** Hours before the newest closed one that are looked at again. */
  lookBackHours: number;
  /** How long after its end an hour counts as closed, milliseconds. */
  settleMs: number;
  /** How long after a publication a late recompaction that nobody asked for waits, milliseconds. */
  lateSettleMs: number;
  /** Register the hour before and the hour after, too. */
  ahead: boolean;
  projection: boolean;
  /** Where batches are kept while an hour is worked on. */
  spoolDir: string;
  /** Raw bytes that the hours in flight may have on the spool's disk together. */
  spoolBytesMax: number;
  /** How long a claim to an hour stands when it is not renewed, milliseconds; 0: no claims are made. */
  claimTtlMs: number;
  /** Above this the hour stops before publishing: a count, or a share of the records in (0, 1). */
  maxQuarantine?: number;
  /** The user vouches that nothing else writes tier 1, for stores that ignore conditional writes. */
  singleWriter: boolean;
  /** Records above this many bytes are quarantined. */
  maxRecordBytes: number;
}

export interface WorkerSettings {
  /** Minutes of the hour, ascending. */
  at: number[];
  /** Undefined: nothing is served. */
  listen?: { host: string; port: number };
}

export interface HookSettings {
  /** A secret: never in a message, a log or a result. */
  url?: string;
  /** An hour with more in quarantine is told: a count, or a share of the records in (0, 1). */
  quarantine?: number;
}

/** What the command line says in place of the file or beside it. */
export interface GivenFlag {
  /** As it is typed: `--raw './events/{yyyy}/{MM}/{dd}/{HH}/'`. */
  text: string;
  /** The dataset that it is about, as the file names it. */
  dataset?: string | undefined;
}

export interface Settings {
  /** The file it came from, for messages; undefined for a one-off run. */
  file?: string;
  /** For messages, too: a command without them would be about other data, or do it in another way. */
  flags: GivenFlag[];
  s3: S3Settings;
  datasets: Dataset[];
  catalog: CatalogSettings;
  run: RunSettings;
  worker: WorkerSettings;
  metrics: {
    /** For the textfile collector. */
    file?: string;
  };
  hooks: HookSettings;
}
