/**
 * hourpack as a library: packs the same hour from code.
 *
 * ```ts
 * const components = openComponents(await loadSettings({ file: "hourpack.yaml" }));
 * const result = await run(components, { hours: { from: parseHour("2022-07-26T00"), to: parseHour("2022-07-26T01") } });
 * await components.close();
 * ```
 */
export { compactHour } from "./compact.js";
export { type ComponentOptions, type Components, openComponents } from "./components.js";
export { loadSettings, type SettingsSource } from "./config/load.js";
export type { CatalogSettings, Dataset, RunSettings, S3Settings, Settings } from "./config/settings.js";
export { type ErrorKind, EXIT, exitCodeOf, HourpackError, isHourpackError } from "./errors.js";
export { addHours, type Hour, hoursBetween, parseHour } from "./hour.js";
export { Metrics, type MetricsOptions } from "./operations/metrics.js";
export {
  type Clock,
  type DatasetRound,
  type WorkerEnd,
  type WorkerEvent,
  type WorkerOptions,
  work,
} from "./operations/worker.js";
export type { Plan, PlanRequest } from "./plan.js";
export {
  exitCodeOfRun,
  type PlannedHour,
  planRun,
  type RunRequest,
  type RunResult,
  run,
} from "./run.js";
export type { Column, Field, Schema, Type } from "./schema/types.js";
export type { RegisteredTable } from "./stages/register.js";
export type { ObjectHead, ObjectInfo, PutCondition, PutOutcome, Store } from "./store/store.js";
export type { HourFailure, HourResult, HourTask, Observer, RunEvent } from "./task.js";
export type { Manifest, ManifestEntry, ManifestHeader, PartFacts, Published } from "./tier1/manifest.js";
export type { QuarantineEntry } from "./tier1/quarantine.js";
