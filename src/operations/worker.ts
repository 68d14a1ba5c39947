/**
 * The long-running worker: at its minutes of every hour it does what is due, one dataset after another, and
 * never overlaps itself.
 */
import { setTimeout } from "node:timers/promises";
import { ulid } from "ulid";
import { type Components, openComponents } from "../components.js";
import type { Dataset, Settings } from "../config/settings.js";
import { HourpackError, reasonOf } from "../errors.js";
import { HOUR_MS } from "../hour.js";
import { datasetsOf, run } from "../run.js";
import type { HourFailure, HourResult, RunEvent } from "../task.js";

/** The time, and the one way to wait for it. */
export interface Clock {
  nowMs(): number;
  /** Resolves at this instant, at once if it has passed, and when the signal is aborted. */
  sleepUntil(ms: number, signal: AbortSignal): Promise<void>;
}

/** What became of one dataset in a round. */
export interface DatasetRound {
  dataset: string;
  /** In order. */
  hours: HourResult[];
  /**
   * A failure without an hour concerns the whole dataset: what is due could not be found out, or the catalog
   * could not be told.
   */
  failures: HourFailure[];
  finishedMs: number;
}

/** The events of a worker. A round is what it does at one of its minutes. */
export type WorkerEvent =
  | RunEvent
  | { type: "round-started"; round: string }
  | { type: "dataset-finished"; result: DatasetRound }
  | { type: "round-finished"; round: string; datasets: DatasetRound[]; seconds: number }
  | { type: "asleep"; untilMs: number; waitsFor: "at" | "settle" };

export interface WorkerOptions {
  settings: Settings;
  /** Names of datasets; all of them, if absent. */
  datasets?: string[];
  /** Stops the worker; work in progress is interrupted. */
  signal: AbortSignal;
  /** The system's clock, if absent. */
  clock?: Clock;
  /** Awaited for the worker's own events. Events of a run are passed on as they happen. If it rejects, the worker ends with that error. */
  observe?: WorkerObserver;
}

export type WorkerObserver = (event: WorkerEvent) => void | Promise<void>;

export interface WorkerEnd {
  rounds: number;
  /** The stop came during a round. The next start does what the round had not finished. */
  isInterrupted: boolean;
}

/**
 * Works until the signal is aborted: a round at once, then one at each of `worker.at`. If a dataset, an hour
 * or a round fails, that is reported and the worker goes on. Throws `invalid` for a dataset that is not
 * configured, before anything else.
 */
export async function work(options: WorkerOptions): Promise<WorkerEnd> {
  const { settings, signal, clock = SYSTEM_CLOCK, observe = () => {} } = options;
  const datasets = datasetsOf(settings, options.datasets);
  const { at } = settings.worker;
  for (let rounds = 1; ; rounds++) {
    if (signal.aborted) return { rounds: rounds - 1, isInterrupted: false };
    const startedMs = clock.nowMs();
    await workRound({ settings, datasets, signal, clock, observe });
    if (signal.aborted) return { rounds, isInterrupted: true };
    // Counted from the round's start: if the round ran past the next minute, the next round begins at once.
    const untilMs = nextRoundMs(startedMs, at, settings.run.settleMs);
    const isAt = at.some((minute) => untilMs % HOUR_MS === minute * 60_000);
    await observe({ type: "asleep", untilMs, waitsFor: isAt ? "at" : "settle" });
    await clock.sleepUntil(untilMs, signal);
  }
}

/** The next instant at which a round begins: a minute of `at`, or the instant at which an hour closes. */
export function nextRoundMs(nowMs: number, at: number[], settleMs: number): number {
  const hourMs = Math.floor(nowMs / HOUR_MS) * HOUR_MS;
  // An hour closes `settle` after its end. A round before that would find it open and leave it for an hour.
  const earliestMs = settleMs % HOUR_MS;
  const offsets = at.map((minute) => Math.max(minute * 60_000, earliestMs));
  const times = [hourMs, hourMs + HOUR_MS].flatMap((startMs) => offsets.map((offset) => startMs + offset));
  return Math.min(...times.filter((ms) => ms > nowMs));
}

interface Round {
  settings: Settings;
  datasets: Dataset[];
  signal: AbortSignal;
  clock: Clock;
  observe: WorkerObserver;
}

/**
 * Components live for one round: the engine's memory is free while the worker sleeps, and nothing that broke
 * stays.
 */
async function workRound(round: Round): Promise<void> {
  const { settings, datasets, signal, clock, observe } = round;
  const id = ulid(clock.nowMs());
  const startedMs = performance.now();
  await observe({ type: "round-started", round: id });
  const components = openComponents(settings, { nowMs: () => clock.nowMs() });
  const results: DatasetRound[] = [];
  try {
    for (const dataset of datasets) {
      if (signal.aborted) break;
      const result = await workDataset(components, dataset, id, round);
      results.push(result);
      await observe({ type: "dataset-finished", result });
    }
  } finally {
    await components
      .close()
      .catch((error) =>
        observe({ type: "notice", text: `close what the round had open: ${reasonOf(error)}` }),
      );
  }
  const seconds = Math.round(performance.now() - startedMs) / 1000;
  await observe({ type: "round-finished", round: id, datasets: results, seconds });
}

/**
 * Does what is due for one dataset. The result includes hours that were done before the dataset failed as a
 * whole.
 */
async function workDataset(
  components: Components,
  { name: dataset }: Dataset,
  runId: string,
  { signal, clock, observe }: Round,
): Promise<DatasetRound> {
  const hours: HourResult[] = [];
  const failures: HourFailure[] = [];
  let unobserved: { error: unknown } | undefined;
  await run(components, { datasets: [dataset], runId, signal }, (event) => {
    if (event.type === "hour-finished") hours.push(event.result);
    if (event.type === "hour-failed") failures.push(event.failure);
    Promise.resolve(observe(event)).catch((error) => {
      unobserved ??= { error };
    });
  });
  if (unobserved) throw unobserved.error;
  return datasetRound(dataset, hours, failures, { signal, finishedMs: clock.nowMs() });
}

/** What became of one dataset, taken from the hours and failures of all. */
export function datasetRound(
  dataset: string,
  hours: HourResult[],
  failures: HourFailure[],
  { signal, finishedMs }: { signal?: AbortSignal; finishedMs: number },
): DatasetRound {
  const inOrder = <T extends { dataset: string; hour?: string }>(all: T[]) =>
    all.filter((one) => one.dataset === dataset).sort((a, b) => ((a.hour ?? "") < (b.hour ?? "") ? -1 : 1));
  const result = { dataset, hours: inOrder(hours), failures: inOrder(failures), finishedMs };
  // Hours that were never begun leave no failure behind.
  if (signal?.aborted && !result.failures.some(({ error }) => error.kind === "interrupted")) {
    const error = new HourpackError("interrupted", `work on ${dataset}: interrupted`);
    result.failures.push({ dataset, error });
  }
  return result;
}

/** A long timer does not follow a clock that is set, or a machine that was asleep. */
const SLEEP_MAX_MS = 30_000;

const SYSTEM_CLOCK: Clock = {
  nowMs: Date.now,
  async sleepUntil(ms, signal) {
    // A timer may fire a millisecond early, before the hour is closed.
    for (let leftMs = ms - Date.now(); leftMs > 0 && !signal.aborted; leftMs = ms - Date.now()) {
      await setTimeout(Math.min(leftMs, SLEEP_MAX_MS), undefined, { signal }).catch(() => {});
    }
  },
};
