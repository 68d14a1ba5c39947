/** One hour's work: its input, its result, and the events on the way. */
import type { Changes } from "./compare.js";
import type { Components } from "./components.js";
import type { Dataset } from "./config/settings.js";
import type { HourpackError } from "./errors.js";
import type { Hour } from "./hour.js";
import type { PlanRequest } from "./plan.js";
import type { Column } from "./schema/types.js";

/** A dataset, and the components to reach it. */
export interface DatasetContext {
  dataset: Dataset;
  components: Components;
  signal?: AbortSignal;
}

export interface HourContext extends DatasetContext {
  hour: Hour;
}

/** What a run does about an hour. */
export interface HourTask extends HourContext {
  request: PlanRequest;
  /** Somebody named this hour: late objects do not wait for `lateSettle`. */
  isAsked: boolean;
  observe: Observer;
  /** Awaited before the hour is published. */
  beforePublish?: () => Promise<void>;
}

/** The result of one hour. */
export interface HourResult {
  dataset: string;
  hour: Hour;
  action: "packed" | "upToDate" | "empty" | "waiting";
  /** `new hour`, `3 late objects`, … */
  reason: string;
  /** Listed now. */
  objects: number;
  rawBytes: number;
  /** Objects whose names mark them as no data, such as `_SUCCESS`. */
  skipped: number;
  changes?: Changes;
  /** Of the published part; absent for `empty`. */
  part?: { key: string; rows: number; quarantined: number; quarantinedBytes: number; sizeBytes: number };
  /** Rows that this run converted; `part.rows` counts the whole part, which late objects may have joined. Absent unless packed. */
  rows?: number;
  rescued?: number;
  quarantined?: number;
  /** Bytes of those pieces; a piece may be a whole object. */
  quarantinedBytes?: number;
  seconds: number;
  /** By stage; stages that overlap each count in full. */
  stageSeconds: Record<string, number>;
}

export interface HourFailure {
  dataset: string;
  /** Absent if the dataset as a whole, or its catalog, failed. */
  hour?: Hour;
  error: HourpackError;
}

/** Reported while a run goes on. */
export type RunEvent =
  | { type: "dataset-started"; dataset: string; hours: number }
  | { type: "hour-started"; dataset: string; hour: Hour }
  | { type: "listed"; dataset: string; hour: Hour; objects: number; rawBytes: number }
  | {
      type: "progress";
      dataset: string;
      hour: Hour;
      stage: "spool";
      objectsRead: number;
      objectsToRead: number;
      readBytes: number;
      toReadBytes: number;
    }
  /** Columns were inferred and pinned: none were configured or pinned before. `location` is the schema file's. */
  | { type: "pinned"; dataset: string; hour: Hour; location: string; columns: Column[] }
  /** Another worker is at this hour; the run returns to it after the others. */
  | { type: "hour-claimed"; dataset: string; hour: Hour }
  /** The hour changed, or another worker published first: it is planned and read again. */
  | { type: "hour-replanned"; dataset: string; hour: Hour; text: string }
  | { type: "hour-finished"; result: HourResult }
  | { type: "hour-failed"; failure: HourFailure }
  | { type: "registered"; dataset: string; table: string; added: number; corrected: number }
  /** `alike`: the part of the text that other hours may share, so that the CLI can report it once. */
  | { type: "notice"; dataset?: string; hour?: Hour; text: string; alike?: string };

export type Observer = (event: RunEvent) => void;
