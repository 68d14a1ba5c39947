/**
 * What a single run tells besides its output: the metrics file and the webhook. Neither ever fails the run.
 */
import type { Settings } from "../config/settings.js";
import type { HourpackError } from "../errors.js";
import type { Log } from "../log.js";
import { datasetsOf, type RunRequest } from "../run.js";
import type { HourFailure, HourResult, RunEvent } from "../task.js";
import { Hook, News } from "./hooks.js";
import { Metrics, resumeFromFile, writeMetricsFile } from "./metrics.js";
import { datasetRound } from "./worker.js";

interface Telling {
  observe(event: RunEvent): void;
  /** Call this when the run is over. Returns what went wrong with telling. */
  finish(): Promise<HourpackError[]>;
}

/** Longer than all tries of the webhook take. */
const HOOK_FLUSH_MS = 20_000;

/**
 * Loads and listens to nothing if neither is asked for. A run of named hours says nothing about what is due,
 * so it leaves lag and last success as they are.
 */
export async function openTelling(settings: Settings, request: RunRequest, log: Log): Promise<Telling> {
  const { file } = settings.metrics;
  const { url } = settings.hooks;
  if (file === undefined && url === undefined) return { observe: () => {}, finish: async () => [] };
  const datasets = datasetsOf(settings, request.datasets);
  const problems: HourpackError[] = [];
  const quietly = async (task: Promise<void>) => {
    await task.catch((error: HourpackError) => {
      problems.push(error);
      log.warn(error.message, { error });
    });
  };
  const metrics = file === undefined ? undefined : await Metrics.open(datasets);
  if (metrics && file !== undefined) await quietly(resumeFromFile(metrics, file, Date.now()));
  const hours: HourResult[] = [];
  const failures: HourFailure[] = [];
  return {
    observe: (event) => {
      if (event.type === "hour-finished") hours.push(event.result);
      if (event.type === "hour-failed") failures.push(event.failure);
      metrics?.observe(event);
    },
    finish: async () => {
      const hook = url === undefined ? undefined : new Hook(url, log);
      const news = new News(settings);
      for (const { name } of datasets) {
        const ended = { signal: request.signal, finishedMs: Date.now() };
        const result = datasetRound(name, hours, failures, ended);
        if (request.hours === undefined) metrics?.observe({ type: "dataset-finished", result });
        for (const text of news.of(result)) hook?.send(text);
      }
      if (metrics && file !== undefined) await quietly(writeMetricsFile(metrics, file));
      metrics?.close();
      const undelivered = await hook?.flush(HOOK_FLUSH_MS);
      return undelivered ? [...problems, undelivered] : problems;
    },
  };
}
