/** One hour's work: what it is given, what becomes of it, and what is told meanwhile. */
import type { Changes } from "./compare.js";
import type { Components } from "./components.js";
import type { Dataset } from "./config/settings.js";
import type { HourpackError } from "./errors.js";
import type { Hour } from "./hour.js";
import type { PlanRequest } from "./plan.js";
import type { Column } from "./schema/types.js";

/** An hour, and where it is. */
export interface HourContext {
  dataset: Dataset;
  hour: Hour;
  components: Components;
  signal?: AbortSignal;
}

/** What a run does about an hour. */
export interface HourTask extends HourContext {
  request: PlanRequest;
  /** Named by a person: late objects do not wait for `lateSettle`. */
  isAsked: boolean;
  observe: Observer;
  /** Waited for before the hour is published. */
  beforePublish?: () => Promise<void>;
}

/** What became of an hour. */
export interface HourResult {
  dataset: string;
  hour: Hour;
  action: "packed" | "upToDate" | "empty" | "waiting" | "claimed";
  /** `new hour`, `3 late objects`, … */
  reason: string;
  /** In the listing. */
  objects: number;
  rawBytes: number;
  /** Passed over: their names say that they are no data. */
  skipped: number;
  changes?: Changes;
  /** Of the published part; absent for `empty`. */
  part?: { key: string; rows: number; quarantined: number; quarantinedBytes: number; sizeBytes: number };
  /** Of this run's conversion, where `part` is of the whole part that late objects joined; absent unless packed. */
  rows?: number;
  rescued?: number;
  quarantined?: number;
  /** Of those pieces: one may be a whole object. */
  quarantinedBytes?: number;
  seconds: number;
  /** Of these by stage; stages that overlap each count in full. */
  stageSeconds: Record<string, number>;
}

export interface HourFailure {
  dataset: string;
  /** Absent where the dataset as a whole could not be worked on, or its catalog not be told. */
  hour?: Hour;
  error: HourpackError;
}

/** Told while a run goes on. */
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
  /** Nothing was pinned before, nor configured: these are what the hour was inferred to have. `location` of the schema. */
  | { type: "pinned"; dataset: string; hour: Hour; location: string; columns: Column[] }
  /** Another worker is at it; it is looked at again when the others are done. */
  | { type: "hour-claimed"; dataset: string; hour: Hour }
  /** What was read of it is read again: it changed, or another worker published first. */
  | { type: "hour-replanned"; dataset: string; hour: Hour; text: string }
  | { type: "hour-finished"; result: HourResult }
  | { type: "hour-failed"; failure: HourFailure }
  | { type: "registered"; dataset: string; table: string; added: number; corrected: number }
  /** `alike`: what other hours of the dataset may have, too, so that a person need not read it hour by hour. */
  | { type: "notice"; dataset?: string; hour?: Hour; text: string; alike?: string };

export type Observer = (event: RunEvent) => void;
