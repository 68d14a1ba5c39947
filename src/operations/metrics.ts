/** What a worker or a run did, as numbers for Prometheus. */
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { Stats } from "node:fs";
import { readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import type { Counter, Gauge, Registry } from "prom-client";
import type { Dataset } from "../config/settings.js";
import { HourpackError, reasonOf } from "../errors.js";
import { endMs, startMs } from "../hour.js";
import { rawBasePrefix, uriOf } from "../layout.js";
import { require } from "../require.js";
import type { HourResult, RunEvent } from "../task.js";
import { RETRY_CHANNEL } from "../waiting.js";
import type { DatasetRound, WorkerEvent } from "./worker.js";

const OUTCOMES = ["packed", "up_to_date", "empty", "waiting", "failed", "interrupted"] as const;
type Outcome = (typeof OUTCOMES)[number];
const STAGES = ["list", "convert", "merge", "verify", "publish"];

export interface MetricsOptions {
  nowMs?: () => number;
  /** Adds the process's own memory, CPU and event loop, which are useful if it lives long. */
  withProcess?: boolean;
}

export class Metrics {
  readonly contentType: string;
  private readonly registry: Registry;
  private readonly counters: Counters;
  private readonly lastSuccess: Gauge;
  /** When a dataset was last looked at, every hour of it up to but not including this instant was done. */
  private readonly doneUntilMs = new Map<string, number>();
  /** Objects and bytes of an hour that are already counted, because progress comes as a sum. */
  private readonly counted = new Map<string, { objectsRead: number; readBytes: number }>();
  private readonly places: { dataset: string; uri: string }[];
  /** Set by its `dataset-started` event. */
  private datasetAtWork: string | undefined;
  private readonly onRetry: (message: unknown) => void;

  /** Loads the library only if numbers are wanted. */
  static async open(datasets: Dataset[], options: MetricsOptions = {}): Promise<Metrics> {
    return new Metrics(require("prom-client") as typeof import("prom-client"), datasets, options);
  }

  private constructor(
    library: typeof import("prom-client"),
    datasets: Dataset[],
    { nowMs = Date.now, withProcess = false }: MetricsOptions,
  ) {
    this.registry = new library.Registry();
    this.contentType = this.registry.contentType;
    const registers = [this.registry];
    this.counters = countersIn(library, registers);
    const openedMs = nowMs();
    const { doneUntilMs } = this;
    new library.Gauge({
      name: "hourpack_lag_seconds",
      help: "Since the end of the last hour up to which all due hours are done; since the start while none is known.",
      labelNames: ["dataset"],
      registers,
      collect() {
        for (const { name } of datasets)
          this.set({ dataset: name }, (nowMs() - (doneUntilMs.get(name) ?? openedMs)) / 1000);
      },
    });
    this.lastSuccess = new library.Gauge({
      name: "hourpack_last_success_timestamp_seconds",
      help: "When all that was due was last done and registered.",
      labelNames: ["dataset"],
      registers,
    });
    if (withProcess) library.collectDefaultMetrics({ register: this.registry });
    for (const { name } of datasets) startAtZero(this.counters, name);
    this.places = datasets.flatMap((dataset) => [
      { dataset: dataset.name, uri: uriOf(dataset.tier1) },
      { dataset: dataset.name, uri: uriOf(dataset.raw.location) + rawBasePrefix(dataset.raw) },
    ]);
    this.onRetry = (message) => this.retried((message as { location?: string }).location);
    subscribe(RETRY_CHANNEL, this.onRetry);
  }

  readonly observe = (event: WorkerEvent): void => {
    switch (event.type) {
      case "dataset-started":
        this.datasetAtWork = event.dataset;
        break;
      case "hour-started":
        this.counted.delete(nameOf(event));
        break;
      case "progress":
        this.read(event);
        break;
      case "hour-replanned":
        // What it reads from now on is counted from zero.
        this.counted.delete(nameOf(event));
        this.counters.retries.inc({ dataset: event.dataset });
        break;
      case "hour-finished":
        this.finished(event.result);
        break;
      case "hour-failed": {
        const { dataset, hour, error } = event.failure;
        if (hour === undefined) {
          if (error.kind !== "interrupted") this.counters.failures.inc({ dataset });
          break;
        }
        this.counted.delete(nameOf({ dataset, hour }));
        this.ended(dataset, error.kind === "interrupted" ? "interrupted" : "failed");
        break;
      }
      case "dataset-finished":
        this.looked(event.result);
        break;
    }
  };

  /** Prometheus' text format. */
  text(): Promise<string> {
    return this.registry.metrics();
  }

  close(): void {
    unsubscribe(RETRY_CHANNEL, this.onRetry);
    this.registry.clear();
  }

  /**
   * Continues from an earlier process's text, because a counter that starts at zero in every run cannot rise.
   * `ageMs`: how long ago the text was written. Leaves out what is not ours.
   */
  resume(text: string, ageMs: number, nowMs: number): void {
    for (const { name, labels, value } of samplesOf(text)) {
      const dataset = labels["dataset"] ?? "";
      if (!Number.isFinite(value) || !this.places.some((place) => place.dataset === dataset)) continue;
      const counter = Object.values(this.counters).find((candidate) => nameOfMetric(candidate) === name);
      if (counter && value >= 0) counter.inc(labels, value);
      if (name === "hourpack_lag_seconds") this.doneUntilMs.set(dataset, nowMs - ageMs - value * 1000);
      if (name === "hourpack_last_success_timestamp_seconds") this.lastSuccess.set(labels, value);
    }
  }

  private read(event: Extract<RunEvent, { type: "progress" }>): void {
    const name = nameOf(event);
    const before = this.counted.get(name) ?? { objectsRead: 0, readBytes: 0 };
    const { dataset } = event;
    this.counters.objects.inc({ dataset }, Math.max(0, event.objectsRead - before.objectsRead));
    this.counters.bytes.inc({ dataset, direction: "in" }, Math.max(0, event.readBytes - before.readBytes));
    this.counted.set(name, { objectsRead: event.objectsRead, readBytes: event.readBytes });
  }

  private finished(result: HourResult): void {
    const { dataset, action, part, rows = 0, rescued = 0, quarantined = 0, stageSeconds } = result;
    this.counted.delete(nameOf(result));
    this.ended(dataset, action === "upToDate" ? "up_to_date" : action);
    for (const [stage, spent] of Object.entries(stageSeconds))
      this.counters.stageSeconds.inc({ dataset, stage }, spent);
    if (action !== "packed") return;
    this.counters.records.inc({ dataset }, rows + quarantined);
    this.counters.rescued.inc({ dataset }, rescued);
    this.counters.quarantined.inc({ dataset }, quarantined);
    this.counters.bytes.inc({ dataset, direction: "out" }, part?.sizeBytes ?? 0);
    if (isLate(result)) this.counters.lateRecompactions.inc({ dataset });
  }

  private ended(dataset: string, outcome: Outcome): void {
    this.counters.hours.inc({ dataset, outcome });
  }

  private looked({ dataset, hours, failures, finishedMs }: DatasetRound): void {
    const firstFailed = failures.flatMap(({ hour }) => hour ?? []).sort()[0];
    const done = hours.filter(({ hour }) => firstFailed === undefined || hour < firstFailed).at(-1);
    const untilMs = done ? endMs(done.hour) : firstFailed && startMs(firstFailed);
    if (untilMs) this.doneUntilMs.set(dataset, untilMs);
    if (failures.length === 0) this.lastSuccess.set({ dataset }, finishedMs / 1000);
  }

  /**
   * Counts a retry for the dataset with the longest prefix that the location begins with. A catalog's retry
   * counts for the dataset at work.
   */
  private retried(location: string | undefined): void {
    const within = this.places.filter(({ uri }) => location?.startsWith(uri));
    const [nearest] = within.sort((a, b) => b.uri.length - a.uri.length);
    const dataset = location === undefined ? this.datasetAtWork : nearest?.dataset;
    if (dataset !== undefined) this.counters.retries.inc({ dataset });
  }
}

type Counters = ReturnType<typeof countersIn>;

function countersIn({ Counter }: typeof import("prom-client"), registers: Registry[]) {
  const counter = (name: string, help: string, ...labels: string[]) =>
    new Counter({ name: `hourpack_${name}_total`, help, labelNames: ["dataset", ...labels], registers });
  return {
    failures: counter(
      "dataset_failures",
      "Rounds in which it could not be found out what is due, or the catalog could not be told.",
    ),
    hours: counter("hours", "Hours looked at, by what became of them.", "outcome"),
    objects: counter("objects", "Raw objects read."),
    bytes: counter("bytes", "Bytes of raw objects read, and of parts written.", "direction"),
    records: counter("records", "Records of the hours that were packed: rows and what was quarantined."),
    quarantined: counter("quarantined", "Records that became quarantine."),
    rescued: counter("rescued", "Rows that have rescued data."),
    retries: counter(
      "retries",
      "Requests to stores and catalogs that were tried again, and hours that were planned again.",
    ),
    lateRecompactions: counter(
      "late_recompactions",
      "Published hours that were packed again for late objects.",
    ),
    stageSeconds: counter("stage_seconds", "Seconds spent, by stage.", "stage"),
  };
}

/** A series that only appears with its first event has no increase to alert on. */
function startAtZero(counters: Counters, dataset: string): void {
  const { hours, bytes, stageSeconds, ...plain } = counters;
  for (const outcome of OUTCOMES) hours.inc({ dataset, outcome }, 0);
  for (const direction of ["in", "out"]) bytes.inc({ dataset, direction }, 0);
  for (const stage of STAGES) stageSeconds.inc({ dataset, stage }, 0);
  for (const counter of Object.values(plain)) counter.inc({ dataset }, 0);
}

/**
 * Whether an hour that had a part has new, overwritten or lost objects. Its first packing and a rebuild do
 * not count.
 */
function isLate({ changes, objects }: HourResult): boolean {
  if (!changes) return false;
  const { added, overwritten, gone } = changes;
  const isNew = added === objects && overwritten + gone === 0;
  return !isNew && added + overwritten + gone > 0;
}

function nameOf({ dataset, hour }: { dataset: string; hour: string }): string {
  return `${dataset} ${hour}`;
}

function nameOfMetric(counter: Counter): string {
  return (counter as unknown as { name: string }).name;
}

interface Sample {
  name: string;
  labels: Record<string, string>;
  value: number;
}

function* samplesOf(text: string): Generator<Sample> {
  for (const line of text.split("\n")) {
    const [, name, inner = "", value] = /^(hourpack_\w+)\{(.*)\} (\S+)$/.exec(line) ?? [];
    if (name === undefined) continue;
    const labels: Record<string, string> = {};
    for (const [, label = "", escaped = ""] of inner.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) {
      labels[label] = escaped.replace(/\\(.)/g, (_, char: string) => (char === "n" ? "\n" : char));
    }
    yield { name, labels, value: Number(value) };
  }
}

/** Continues from the file of an earlier run, if there is one. */
export async function resumeFromFile(metrics: Metrics, path: string, nowMs: number): Promise<void> {
  try {
    const { mtimeMs } = await statOfFile(path);
    metrics.resume(await readFile(path, "utf8"), Math.max(0, nowMs - mtimeMs), nowMs);
  } catch (error) {
    // If there can be no file, writing it will say so.
    if (!(codeOf(error) in NO_FILE)) throw fileError(error, "read", path);
  }
}

/**
 * Writes aside and renames: the collector reads a whole file, this one or the one before. The name aside does
 * not end in .prom.
 */
export async function writeMetricsFile(metrics: Metrics, path: string): Promise<void> {
  const aside = `${path}.${process.pid}.new`;
  try {
    await statOfFile(path).catch((error) => {
      if (codeOf(error) !== "ENOENT") throw error;
    });
    await writeFile(aside, await metrics.text(), { mode: 0o644 });
    await rename(aside, path);
  } catch (error) {
    await rm(aside, { force: true }).catch(() => {});
    throw fileError(error, "write", path);
  }
}

/** Throws one of NO_FILE. Reading a pipe would wait, and a file would take the pipe's place. */
async function statOfFile(path: string): Promise<Stats> {
  const found = await stat(path);
  if (found.isFile()) return found;
  throw Object.assign(new Error(), { code: found.isDirectory() ? "EISDIR" : "PIPE" });
}

const NO_FILE: Record<string, string> = {
  ENOENT: "its folder is not there",
  ENOTDIR: "what should be its folder is a file",
  EISDIR: "it is a folder",
  PIPE: "it is a pipe or a device",
};

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? "";
}

function fileError(error: unknown, doing: string, path: string): HourpackError {
  const reason = NO_FILE[codeOf(error)] ?? reasonOf(error);
  return new HourpackError("unavailable", `${doing} the metrics file ${path}: ${reason}`, {
    location: path,
    hint: "Name a file with --metrics-file or metrics.file, in a folder that is there and that this user may write. The hours are packed all the same.",
    cause: error,
  });
}
