/** A configuration once it is read, validated and filled in: the types that the rest of the house uses. */
import type { Capacity } from "../capacity.js";
import type { Location, RawTemplate } from "../layout.js";
import type { RecordPath } from "../schema/path.js";
import type { Column } from "../schema/types.js";

/** AWS needs at most `region`. Credentials always come from the AWS chain. */
export interface S3Settings {
  endpoint?: string;
  region?: string;
  forcePathStyle?: boolean;
  /** GETs in flight at most, over all hours. If absent, it is found at run time. */
  concurrency?: number;
  /** Limit of one request, milliseconds. */
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

/** One dataset for one value of its `for:` variables. */
export interface Dataset {
  /** `mmp`, or `mmp/android` if `for:` made several. */
  name: string;
  /** The raw template as configured, variables filled in. */
  rawUri: string;
  raw: RawTemplate;
  tier1: Location;
  table: string;
  rawTable: string;
  records: RecordPath;
  unknown: "rescue" | "add";
  /** Configured columns, in order. If undefined, the first hour's are inferred. */
  columns?: Column[];
  /** Zone of timestamps without one. */
  zone: string;
  /** Columns by name. If empty, the rows of a part have no order. */
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

/** The configuration file that is found in the working directory without being named. */
export const CONFIG_NAME = "hourpack.yaml";

/** The default of `run.lookBack`. */
export const LOOK_BACK_HOURS = 48;

export interface RunSettings extends Capacity {
  /** How many hours before the newest closed one are looked at again. */
  lookBackHours: number;
  /** How long after its end an hour counts as closed, milliseconds. */
  settleMs: number;
  /** How long after a publication a late recompaction that nobody asked for waits, milliseconds. */
  lateSettleMs: number;
  /** Also register the hour before and the hour after. */
  ahead: boolean;
  projection: boolean;
  /** Where batches are kept while an hour is worked on. */
  spoolDir: string;
  /** Raw bytes that all hours in flight together may have on the spool's disk. */
  spoolBytesMax: number;
  /** How long a claim to an hour stands without renewal, milliseconds. With 0, no claims are made. */
  claimTtlMs: number;
  /**
   * The hour stops before publishing if more is quarantined: a count, or a share of the records in (0, 1).
   */
  maxQuarantine?: number;
  /** The user vouches that nothing else writes tier 1, for stores that ignore conditional writes. */
  singleWriter: boolean;
  /** A larger record is quarantined, bytes. */
  maxRecordBytes: number;
}

export interface WorkerSettings {
  /** Minutes of the hour, ascending. */
  at: number[];
  /** If undefined, nothing is served. */
  listen?: { host: string; port: number };
}

export interface HookSettings {
  /** A secret: never in a message, a log or a result. */
  url?: string;
  /**
   * The webhook is notified of an hour with more in quarantine: a count, or a share of the records in (0, 1).
   */
  quarantine?: number;
}

/** What the command line says in place of the file or in addition to it. */
export interface GivenFlag {
  /** As typed: `--raw './events/{yyyy}/{MM}/{dd}/{HH}/'`. */
  text: string;
  /** The dataset that it applies to, as the file names it. */
  dataset?: string | undefined;
}

export interface Settings {
  /** The file that the settings came from, for messages; undefined for a one-off run. */
  file?: string;
  /** Also for messages: without these flags, a command would work on other data, or in another way. */
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
