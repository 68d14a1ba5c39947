/** A run: finds the due hours, packs each, then updates the catalog. It knows datasets and hours, not how an hour is packed. */

import { setTimeout } from "node:timers/promises";
import { ulid } from "ulid";
import { compactHour, lookOver } from "./compact.js";
import type { Components } from "./components.js";
import type { Dataset, Settings } from "./config/settings.js";
import { asHourpackError, besideName, exitCodeOf, exitCodeOfAll, HourpackError, reasonOf } from "./errors.js";
import { type Hour, hoursBetween } from "./hour.js";
import { type Due, dueHours } from "./hours/due.js";
import { olderNotice } from "./hours/older.js";
import { Owing } from "./hours/owed.js";
import { Unregistered } from "./hours/unregistered.js";
import { uriOf } from "./layout.js";
import { Limiter } from "./limiter.js";
import type { Plan, PlanRequest } from "./plan.js";
import { type RegisteredTable, registerTables } from "./stages/register.js";
import { Stopwatch } from "./stopwatch.js";
import type { DatasetContext, HourContext, HourFailure, HourResult, HourTask, Observer } from "./task.js";
import { readPinned, requirePinnable } from "./tier1/schema-file.js";
import { sweep } from "./upkeep/sweep.js";

export interface RunRequest extends PlanRequest {
  /** Names of datasets (`mmp`, or `mmp/android`); all if absent. */
  datasets?: string[];
  /** `to` is excluded; the due hours if absent. */
  hours?: { from: Hour; to: Hour };
  signal?: AbortSignal;
  /** A ULID, if the caller has named the run already. */
  runId?: string;
}

export interface RunResult {
  runId: string;
  hours: HourResult[];
  failures: HourFailure[];
  registered: RegisteredTable[];
  seconds: number;
}

/** What a run would do about an hour. */
export interface PlannedHour {
  dataset: string;
  hour: Hour;
  /** `refused`: somebody has to decide; `error` says what. */
  action: Plan["action"] | "refused";
  reason: string;
  error?: HourpackError;
  objects: number;
  rawBytes: number;
  /** Objects whose names mark them as no data, such as `_SUCCESS`. */
  skipped: number;
  objectsToRead: number;
  toReadBytes: number;
}

/** Packs the hours that are named or due, dataset by dataset, and registers them. A failed hour does not stop the others. */
export async function run(
  components: Components,
  request: RunRequest,
  observe: Observer = () => {},
): Promise<RunResult> {
  const watch = new Stopwatch();
  const result: RunResult = {
    runId: request.runId ?? ulid(components.nowMs()),
    hours: [],
    failures: [],
    registered: [],
    seconds: 0,
  };
  for (const dataset of datasetsOf(components.settings, request.datasets)) {
    const { signal } = request;
    try {
      await runDataset({ components, dataset, signal }, request, result, observe);
    } catch (error) {
      const failure = { dataset: dataset.name, error: asHourpackError(error, `run ${dataset.name}`, signal) };
      result.failures.push(failure);
      observe({ type: "hour-failed", failure });
    }
  }
  result.seconds = watch.spent().seconds;
  return result;
}

async function runDataset(
  context: DatasetContext,
  request: RunRequest,
  result: RunResult,
  observe: Observer,
): Promise<void> {
  const { dataset, signal } = context;
  const { hours, isFirst, newest } = await hoursOf(context, request, observe);
  // Also if no hour would get as far as pinning: a run must not succeed where `plan` refuses.
  await requirePinnable(context, { ...request, newest });
  const owing = new Owing(context, hours);
  const unregistered = new Unregistered(context, hours);
  observe({ type: "dataset-started", dataset: dataset.name, hours: hours.length });
  const task = (hour: Hour): HourTask => ({
    ...context,
    hour,
    request,
    isAsked: request.hours !== undefined,
    observe,
    beforePublish: async () => {
      await Promise.all([owing.passing(hour), unregistered.note()]);
    },
  });
  const done = await packHours(hours.map(task), { owing, unregistered }, result);
  // A later run does this as well, so a failure is only a notice.
  const quietly = (task: Promise<void>, why: string) =>
    task.catch((error) =>
      observe({ type: "notice", dataset: dataset.name, text: `${why}: ${reasonOf(error)}` }),
    );
  // If this fails, the next run looks at these hours once more.
  await quietly(owing.settle(), "hours that are done stay noted as owed");
  const published = [...done, ...(await unregistered.left(done))];
  await registerDataset(context, published, result, observe);
  await quietly(unregistered.registered(published), "hours that are registered stay noted as not");
  // Once: the next run finds a published hour and no longer looks for older ones.
  const older = isFirst && done.length > 0 ? await olderNotice(context) : undefined;
  if (older) observe({ type: "notice", dataset: dataset.name, text: older });
  // Sweeping once a day is enough, and the first hour of a new day needs no state to remember the last time.
  const beginsDay = (hour: Hour) =>
    newest === undefined ? hour.endsWith("T00") : hour.slice(0, 10) > newest.slice(0, 10);
  const hasBegunDay = result.hours.some(
    ({ dataset: name, hour, action }) => name === dataset.name && action === "packed" && beginsDay(hour),
  );
  if (hasBegunDay && !signal?.aborted) await quietly(sweepTelling(context, observe), "nothing was swept");
}

async function sweepTelling(context: DatasetContext, observe: Observer): Promise<void> {
  const { attempts, unfinished, failures } = await sweep(context);
  const dataset = context.dataset.name;
  for (const { hour, error } of failures) {
    const text = `nothing was swept: ${error.message}`;
    observe({ type: "notice", dataset, hour, text, alike: "nothing was swept" });
  }
  if (attempts.length + unfinished === 0) return;
  const text = `cleared ${attempts.length} files of lost attempts and ${unfinished} unfinished writes`;
  observe({ type: "notice", dataset, text });
}

/** What `run` would do with the same request; writes nothing. `onHour` reports progress. */
export async function planRun(
  components: Components,
  request: RunRequest,
  onHour: (done: number, hours: number) => void = () => {},
): Promise<PlannedHour[]> {
  const planned: PlannedHour[] = [];
  for (const dataset of datasetsOf(components.settings, request.datasets)) {
    const context = { components, dataset, signal: request.signal };
    const { hours, newest } = await hoursOf(context, request);
    await requirePinnable(context, { ...request, newest });
    const inFlight = new Limiter(components.settings.run.hoursInFlight);
    const looks: PlannedHour[] = [];
    // The first failure ends the plan: hours that have not begun are skipped.
    let isOver = false;
    const look = async (hour: Hour) => {
      if (isOver) return;
      looks.push(await planOne({ ...context, hour }, request));
      onHour(looks.length, hours.length);
    };
    await Promise.all(hours.map((hour) => inFlight.run(() => look(hour)))).finally(() => {
      isOver = true;
    });
    planned.push(...looks.sort((a, b) => (a.hour < b.hour ? -1 : 1)));
  }
  return planned;
}

async function planOne(context: HourContext, request: RunRequest): Promise<PlannedHour> {
  const { dataset, hour } = context;
  const isAsked = request.hours !== undefined;
  const looked = await lookOver({ ...context, request, isAsked, observe: () => {} });
  const { listing } = looked;
  const fetch = "plan" in looked && "fetch" in looked.plan ? looked.plan.fetch : undefined;
  return {
    dataset: dataset.name,
    hour,
    ...("plan" in looked
      ? { action: looked.plan.action, reason: looked.plan.reason }
      : {
          action: "refused",
          reason: besideName(`${dataset.name} ${hour}`, looked.refusal.message),
          error: looked.refusal,
        }),
    objects: listing?.count ?? 0,
    rawBytes: listing?.sizeBytes ?? 0,
    skipped: listing?.skipped ?? 0,
    objectsToRead: fetch?.count ?? 0,
    toReadBytes: fetch?.sizeBytes ?? 0,
  };
}

/** The named datasets, each once, or all. Throws `invalid` for a name that is not configured. */
export function datasetsOf(settings: Settings, names: string[] | undefined): Dataset[] {
  if (!names) return settings.datasets;
  const named = names.flatMap((name) => {
    const found = settings.datasets.filter(
      (dataset) => dataset.name === name || dataset.name.startsWith(`${name}/`),
    );
    if (found.length > 0) return found;
    const known = settings.datasets.map((dataset) => dataset.name).join(", ");
    throw new HourpackError("invalid", `there is no dataset "${name}"`, {
      hint: known === "" ? "None is configured." : `Datasets are: ${known}.`,
    });
  });
  return [...new Set(named)];
}

/** Named hours never count as a first run: whoever names them knows about older ones. */
async function hoursOf(context: DatasetContext, { hours }: RunRequest, observe?: Observer): Promise<Due> {
  if (!hours) return dueHours(context, observe);
  return { hours: hoursBetween(hours.from, hours.to), isFirst: false };
}

/** Packs hours one by one until a schema is pinned, then several at a time. Returns the hours that have a part. */
async function packHours(
  tasks: HourTask[],
  { owing, unregistered }: { owing: Owing; unregistered: Unregistered },
  result: RunResult,
): Promise<Hour[]> {
  const published: Hour[] = [];
  const [first] = tasks;
  if (!first) return published;
  /** False if another worker is at the hour. */
  const packOne = async (task: HourTask): Promise<boolean> => {
    const { dataset, hour, observe, signal } = task;
    if (signal?.aborted) return true;
    observe({ type: "hour-started", dataset: dataset.name, hour });
    try {
      const done = await compactHour(task);
      if (!done) {
        observe({ type: "hour-claimed", dataset: dataset.name, hour });
        return false;
      }
      result.hours.push(done);
      owing.finish(hour);
      unregistered.finish(hour, done.part !== undefined);
      if (done.part) published.push(hour);
      observe({ type: "hour-finished", result: done });
    } catch (error) {
      const doing = `pack ${dataset.name} ${hour}`;
      const failure = { dataset: dataset.name, hour, error: asHourpackError(error, doing, signal) };
      result.failures.push(failure);
      observe({ type: "hour-failed", failure });
    }
    return true;
  };
  const { components, dataset, signal } = first;
  const tier1 = await components.tier1(dataset);
  let rest = [...tasks];
  let waitMs = CLAIM_POLL_MIN_MS;
  const isPinned = async () => (await readPinned(tier1, dataset.tier1.prefix, signal)) !== undefined;
  while (rest.length > 0 && !signal?.aborted && !(await isPinned())) {
    if (await packOne(rest[0] as HourTask)) rest.shift();
    else {
      await pause(waitMs, signal);
      waitMs = Math.min(waitMs * 2, CLAIM_POLL_MAX_MS);
    }
    // Where a disk is not mounted, or a prefix is mistyped, this is the first that anybody sees of it.
    if (published.length > 0)
      first.observe({
        type: "notice",
        dataset: dataset.name,
        text: `had no parts in ${uriOf(dataset.tier1)} before this run`,
      });
  }
  const inFlight = new Limiter(components.settings.run.hoursInFlight);
  waitMs = CLAIM_POLL_MIN_MS;
  while (rest.length > 0) {
    const claimed: HourTask[] = [];
    await Promise.all(
      rest.map((task) =>
        inFlight.run(async () => {
          if (!(await packOne(task))) claimed.push(task);
        }),
      ),
    );
    // The other worker finishes the hour, or dies: then its claim expires soon and the hour is ours.
    if (claimed.length > 0) await pause(waitMs, signal);
    waitMs = claimed.length < rest.length ? CLAIM_POLL_MIN_MS : Math.min(waitMs * 2, CLAIM_POLL_MAX_MS);
    rest = claimed;
  }
  result.hours.sort((a, b) => (a.dataset + a.hour < b.dataset + b.hour ? -1 : 1));
  return published.sort();
}

const CLAIM_POLL_MIN_MS = 500;
const CLAIM_POLL_MAX_MS = 8_000;

/** Ends early, without an error, on the signal. */
async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  await setTimeout(ms, undefined, { signal }).catch(() => {});
}

async function registerDataset(
  context: DatasetContext,
  hours: Hour[],
  result: RunResult,
  observe: Observer,
): Promise<void> {
  const { components, dataset } = context;
  if (components.settings.catalog.type === "none" || hours.length === 0) return;
  // The locations of the other hours were compared when those were packed; `register` finds what changed since.
  const asTheyWere = new Set(
    result.hours
      .filter((done) => done.dataset === dataset.name && done.action !== "packed")
      .map(({ hour }) => hour),
  );
  const located = hours.filter((hour) => !asTheyWere.has(hour));
  for await (const registered of registerTables(context, hours, located)) {
    result.registered.push(registered);
    observe({ type: "registered", ...registered });
  }
}

/** The exit code that all failed hours share, else `someFailed`; 0 if none failed. */
export function exitCodeOfRun(result: RunResult): number {
  return exitCodeOfAll(result.failures.map((failure) => exitCodeOf(failure.error)));
}
