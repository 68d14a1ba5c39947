/** hourpack run: packs what is due or named, and tells the catalog. */
import { capacityFigures, capacityText, machineOf } from "../capacity.js";
import { commandText } from "../command-text.js";
import type { Components } from "../components.js";
import type { Dataset, Settings } from "../config/settings.js";
import { EXIT, firstOfEach, isHourpackError } from "../errors.js";
import { endMs, hoursBetween, hoursText, startMs } from "../hour.js";
import { RawFolders } from "../hours/discovery.js";
import { olderNotice } from "../hours/older.js";
import { hourOfRawPrefix } from "../layout.js";
import { errorFields } from "../log.js";
import { openTelling } from "../operations/once.js";
import { exitCodeOfRun, type RunRequest, type RunResult, run } from "../run.js";
import type { HourResult, Observer, RunEvent } from "../task.js";
import { EXPIRE_AFTER_MIN_MS } from "../tier1/journal.js";
import { agreeing, count, counted } from "../words.js";
import type { Command, CommandContext } from "./command.js";
import { duration, quarantinedWords, rescuedWords, size, skippedWords } from "./figures.js";
import type { Output } from "./output.js";
import { showPlan } from "./plan.js";
import { openProgress } from "./progress.js";
import { requestOf, requestOptions } from "./request.js";
import { settingsOf, settingsOptions, tellCapacity, withComponents } from "./settings.js";
import { AFTER_INTERRUPT } from "./signals.js";

export const command: Command = {
  options: {
    ...requestOptions,
    profile: { type: "boolean", describe: "Show where the time of each packed hour went" },
    "dry-run": { type: "boolean", describe: "Only show what would be done, as plan does" },
    ...settingsOptions,
  },
  examples: [
    ["$0 run", "what is due now, with hourpack.yaml"],
    ["$0 run --hour 2022-07-26T00", "one hour"],
    ["$0 run --dataset mmp --from 2022-07-01 --to 2022-08-01", "a month of one dataset"],
    [
      "$0 run --raw './events/{yyyy}/{MM}/{dd}/{HH}/' --tier1 ./lake/events/ --table events --hour 2022-07-26T00",
      "without a file",
    ],
  ],
  async handler(args, context) {
    const request = requestOf(args, context.signal);
    const settings = await settingsOf(args);
    if (args["dry-run"]) return showPlan(settings, request, context);
    tellCapacity(settings, context);
    return withComponents(settings, async (components) => {
      const progress = await openProgress(context.output, context.log, { tellsFailures: true });
      const telling = await openTelling(settings, request, context.log);
      const pinned: Pinned[] = [];
      const observe: Observer = (event) => {
        if (event.type === "pinned") pinned.push(event);
        progress.observe(event);
        telling.observe(event);
      };
      tellOpenHours(request.hours, components.nowMs(), observe);
      let result: RunResult;
      try {
        result = await run(components, { ...request, runId: context.runId }, observe);
      } finally {
        progress.stop();
        for (const problem of await telling.finish()) context.output.warning(problem);
      }
      await showPinned(pinned, settings, context.output);
      if (args["profile"]) await showProfile(result, settings, context.output);
      const code = tell(result, context);
      // If hours were named, some may well be empty, but not all.
      if (request.hours === undefined || result.hours.every(({ action }) => action === "empty"))
        await pointAtOthers(result, request.hours !== undefined, components, context);
      context.output.result(fieldsOf(result));
      return code;
    });
  },
};

/** Named hours are packed as they are. What is due waits for the end of its hour. */
function tellOpenHours(range: RunRequest["hours"], nowMs: number, observe: Observer): void {
  if (range === undefined) return;
  const open = hoursBetween(range.from, range.to).filter((hour) => endMs(hour) > nowMs);
  if (open.length === 0) return;
  const text = `${hoursText(open)} ${agreeing(open.length, "is")} not over: objects that come later are merged by the next run`;
  observe({ type: "notice", text });
}

function tell(result: RunResult, { output, signal }: CommandContext): number {
  const code = signal.aborted ? EXIT.interrupted : exitCodeOfRun(result);
  for (const { table, created, added, corrected, notes } of result.registered) {
    const done = [
      ...(created ? ["table created"] : []),
      ...(added + corrected > 0
        ? [`${counted(added, "partition")} added, ${count(corrected)} corrected`]
        : []),
    ];
    if (done.length > 0) output.line(`${table}: ${done.join(", ")}`);
    for (const note of notes) output.line(`${table}: ${note}`);
  }
  const errors = result.failures.map(({ error }) => error);
  for (const error of firstOfEach(errors)) {
    if (!(signal.aborted && isHourpackError(error, "interrupted"))) output.error(error);
  }
  const { green, yellow } = output.colors;
  output.line((code === EXIT.done ? green : yellow)(summaryOf(result, signal.aborted)));
  if (signal.aborted) output.note(`  ${output.errorColors.cyan("→")} ${AFTER_INTERRUPT}`);
  return code;
}

function fieldsOf(result: RunResult): Record<string, unknown> {
  const failures = result.failures.map(({ dataset, hour, error }) => ({
    dataset,
    hour,
    error: errorFields(error),
  }));
  const { runId, hours, registered } = result;
  return { runId, ...totalsOf(result), hours, failures, registered };
}

/** Otherwise somebody who tries old data, or mistypes raw, would learn only that there is nothing to do. */
async function pointAtOthers(
  { hours, failures }: RunResult,
  areNamed: boolean,
  components: Components,
  { output, signal }: CommandContext,
): Promise<void> {
  for (const dataset of components.settings.datasets) {
    const looked = hours.filter((hour) => hour.dataset === dataset.name);
    if (looked.length === 0 || looked.some(({ objects }) => objects > 0)) continue;
    // An hour that failed has objects, for all that is known.
    if (failures.some((failed) => failed.dataset === dataset.name && failed.hour !== undefined)) continue;
    const published = looked.filter(({ part }) => part !== undefined);
    if (published.length > 0 && !published.some((hour) => isMissed(hour, components.nowMs()))) continue;
    const raw = await components.raw(dataset);
    const newest = await new RawFolders(raw, signal).newestPrefix(dataset.raw).catch(() => null);
    if (newest === null) continue;
    const where = newest === undefined ? "nowhere else, either" : `the newest are in ${raw.uri}${newest}`;
    const last = areNamed ? "" : "the last ";
    const though =
      published.length > 0
        ? `, though ${count(published.length)} of them ${agreeing(published.length, "is")} published`
        : "";
    const text = `${dataset.name}: no objects in ${last}${counted(looked.length, "hour")}${though}; ${where}`;
    const hint =
      newest === undefined
        ? "Is raw right? Nothing lies under it."
        : published.length > 0
          ? "Is raw right? What was packed is no more where it lay; its parts stay as they are."
          : await othersHint(dataset, newest, areNamed, components, signal);
    output.warning({ message: text, hint }, { dataset: dataset.name });
  }
}

/**
 * Its objects are gone, and no expiry deleted them: expiry takes nothing of an hour within a day of its end.
 * For older hours, a listing cannot tell whether raw is mistyped or was emptied, as it may be.
 */
function isMissed({ hour, changes }: HourResult, nowMs: number): boolean {
  return (changes?.gone ?? 0) > 0 && nowMs < endMs(hour) + EXPIRE_AFTER_MIN_MS;
}

/** Where objects are, in hours that this run did not cover. */
async function othersHint(
  dataset: Dataset,
  newest: string,
  areNamed: boolean,
  components: Components,
  signal: AbortSignal,
): Promise<string> {
  const older = areNamed ? undefined : await olderNotice({ components, dataset, signal });
  const others = older ?? `Name ${areNamed ? "those" : "older"} hours with --from and --to`;
  const isLater = isToCome(dataset, newest, components);
  return `${others}.${isLater ? " The newest is still to come: are folders in local time? They are read as UTC." : ""}`;
}

function isToCome({ raw }: Dataset, prefix: string, { nowMs }: Components): boolean {
  const hour = hourOfRawPrefix(raw.template, prefix);
  return hour !== undefined && startMs(hour) > nowMs();
}

type Pinned = Extract<RunEvent, { type: "pinned" }>;

/** The columns of a first run never change their types again: now is the time to look at them. */
async function showPinned(pinned: Pinned[], settings: Settings, output: Output): Promise<void> {
  for (const { dataset, columns } of output.json ? [] : pinned) {
    const { showColumns } = await import("./columns.js");
    output.line(`columns of ${dataset}, from now on:`);
    showColumns(columns.slice(0, COLUMNS_SHOWN), output);
    const rest = columns.length - COLUMNS_SHOWN;
    if (rest > 0)
      output.line(`and ${count(rest)} more: ${commandText("schema", settings, { dataset })} shows all`);
  }
}

const COLUMNS_SHOWN = 20;

const STAGES = ["list", "convert", "merge", "verify", "publish"] as const;

/**
 * Seconds by stage, and the figures that the run had. Reading overlaps with converting, so `convert` has
 * both.
 */
async function showProfile(result: RunResult, { run }: Settings, output: Output): Promise<void> {
  const { showTable } = await import("./table.js");
  const packed = result.hours.filter(({ action }) => action === "packed");
  const seconds = (value: number | undefined) => (value ?? 0).toFixed(3);
  const rows = packed.map(({ dataset, hour, objects, seconds: spent, stageSeconds }) => [
    `${dataset} ${hour}`,
    count(objects),
    seconds(spent),
    ...STAGES.map((stage) => seconds(stageSeconds[stage])),
  ]);
  const heads = ["objects", "in all", ...STAGES].map((name) => ({ name, isNumber: true }));
  if (rows.length > 0) showTable([{ name: "hour", isWhole: true }, ...heads], rows, output, { goesOn: true });
  const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage();
  const cpuSeconds = (userCPUTime + systemCPUTime) / 1e6;
  output.line(`CPU ${duration(cpuSeconds)}, peak memory ${size(maxRSS * 1024)}`);
  const machine = machineOf();
  output.line(capacityText(machine, run));
  const capacity = capacityFigures(machine, run);
  output.record({ type: "profile", cpuSeconds, maxRssBytes: maxRSS * 1024, capacity });
}

export function totalsOf(result: RunResult) {
  const packed = result.hours.filter(({ action }) => action === "packed");
  const sum = (pick: (hour: (typeof packed)[number]) => number | undefined) =>
    packed.reduce((total, hour) => total + (pick(hour) ?? 0), 0);
  const failed = result.failures.filter(({ error }) => !isHourpackError(error, "interrupted"));
  return {
    packed: packed.length,
    upToDate: result.hours.filter(({ action }) => action === "upToDate").length,
    empty: result.hours.filter(({ action }) => action === "empty").length,
    waiting: result.hours.filter(({ action }) => action === "waiting").length,
    failed: failed.filter(({ hour }) => hour !== undefined).length,
    datasetsFailed: failed.filter(({ hour }) => hour === undefined).length,
    objects: sum((hour) => hour.objects),
    // Over all hours: an hour whose objects are all skipped is empty.
    skipped: result.hours.reduce((total, hour) => total + hour.skipped, 0),
    rawBytes: sum((hour) => hour.rawBytes),
    files: packed.filter(({ part }) => part).length,
    partBytes: sum((hour) => hour.part?.sizeBytes),
    rows: sum((hour) => hour.part?.rows),
    rescued: sum((hour) => hour.rescued),
    quarantined: sum((hour) => hour.part?.quarantined),
    quarantinedBytes: sum((hour) => hour.part?.quarantinedBytes),
    seconds: result.seconds,
  };
}

/** `2 hours packed, 1 up to date: 7,200 objects → 2 files, 69 MB → 8.2 MB, 115,200 rows, 3 quarantined (402 B), 4.1 s` */
export function summaryOf(result: RunResult, isInterrupted = false): string {
  const totals = totalsOf(result);
  const hours = [
    [totals.packed, "packed"],
    [totals.upToDate, "up to date"],
    [totals.empty, "empty"],
    [totals.waiting, "waiting"],
    [totals.failed, "failed"],
  ] as const;
  const [first, ...others] = hours.filter(([number]) => number > 0);
  const words = first ? [`${counted(first[0], "hour")} ${first[1]}`] : [];
  words.push(...others.map(([number, word]) => `${count(number)} ${word}`));
  if (totals.datasetsFailed > 0) words.push(`${counted(totals.datasetsFailed, "dataset")} failed`);
  // Hours that were not begun then have no failure.
  if (isInterrupted || result.failures.some(({ error }) => isHourpackError(error, "interrupted")))
    words.push("interrupted");
  if (words.length === 0) return "no hours are due";
  if (totals.skipped > 0) words.push(skippedWords(totals.skipped));
  const named = words.join(", ");
  if (totals.packed === 0) return `${named}, ${duration(totals.seconds)}`;
  const figures = [
    `${counted(totals.objects, "object")} → ${counted(totals.files, "file")}`,
    `${size(totals.rawBytes)} → ${size(totals.partBytes)}`,
    counted(totals.rows, "row"),
    ...rescuedWords(totals.rescued),
    ...quarantinedWords(totals.quarantined, totals.quarantinedBytes),
    duration(totals.seconds),
  ];
  return `${named}: ${figures.join(", ")}`;
}
