/** What a run reports while it goes on: bars on a terminal, plain lines elsewhere, JSON lines with --json. */
import { besideName } from "../errors.js";
import { errorFields, type Fields, type Log } from "../log.js";
import type { HourFailure, HourResult, Observer, RunEvent } from "../task.js";
import { count, counted } from "../words.js";
import { Alike } from "./alike.js";
import { hourName, openBars, stageWords } from "./bars.js";
import { described } from "./columns.js";
import { duration, quarantinedWords, rescuedWords, size, skippedWords } from "./figures.js";
import type { Output } from "./output.js";

export interface Progress {
  observe: Observer;
  /** Removes the bars. */
  stop(): void;
}

interface ProgressOptions {
  /** The caller shows failures in full at its end, so the failure of a single hour is left to it. */
  tellsFailures: boolean;
}

/** Loads the bars only for a terminal. Elsewhere, logs go where progress would go, and are enough. */
export async function openProgress(output: Output, log: Log, options: ProgressOptions): Promise<Progress> {
  const shown = output.json
    ? jsonProgress(output)
    : output.stderr.isTTY && process.env["TERM"] !== "dumb"
      ? await barProgress(output, options)
      : log.isSilent
        ? plainProgress(output, options)
        : { observe: () => {}, stop: () => {} };
  const logged = new Alike();
  const observe: Observer = (event) => {
    const [level, text, fields] = logLine(event);
    log[logged.isTold(event) ? LOWER[level] : level](text, fields);
    shown.observe(event);
  };
  const stop = () => {
    for (const { event, text, ...fields } of logged.rest()) log[logLine(event)[0]](text, fields);
    shown.stop();
  };
  return { stop, observe };
}

type Level = "debug" | "info" | "warn" | "error";

/** The levels for what an earlier hour had alike: a month of it would hide everything else worth a look. */
const LOWER = { error: "info", warn: "info", info: "debug", debug: "debug" } as const;

function logLine(event: RunEvent): [Level, string, Fields] {
  switch (event.type) {
    case "hour-finished":
      return ["info", `hour ${actionText(event.result)}`, { ...event.result }];
    case "hour-failed": {
      const { dataset, hour, error } = event.failure;
      return ["error", hour === undefined ? "dataset failed" : "hour failed", { dataset, hour, error }];
    }
    case "notice":
    case "hour-replanned":
      return ["warn", event.text, { dataset: event.dataset, hour: event.hour }];
    case "pinned":
      return ["info", event.type, { ...event, type: undefined, columns: event.columns.map(described) }];
    case "hour-claimed":
      return ["info", "another run is at the hour", { dataset: event.dataset, hour: event.hour }];
    case "progress":
    case "listed":
      return ["debug", event.type, { ...event, type: undefined }];
    default:
      return ["info", event.type.replace("-", " "), { ...event, type: undefined }];
  }
}

function jsonProgress(output: Output): Progress {
  const isDue = throttle(JSON_INTERVAL_MS);
  const observe: Observer = (event) => {
    if (event.type === "progress") {
      if (isDue(hourName(event))) output.record(event);
    } else if (event.type === "hour-finished") {
      output.record({ type: event.type, ...event.result });
    } else if (event.type === "hour-failed") {
      const { dataset, hour, error } = event.failure;
      output.record({ type: event.type, dataset, hour, error: errorFields(error) });
    } else if (event.type === "pinned") {
      output.record({ ...event, columns: event.columns.map(described) });
    } else output.record(event);
  };
  return { observe, stop: () => {} };
}

/** A line per hour, and one every few seconds while an hour takes long. */
function plainProgress(output: Output, options: ProgressOptions): Progress {
  const isDue = throttle(PLAIN_INTERVAL_MS);
  isDue();
  const lines = new Lines(options);
  const observe: Observer = (event) => {
    const line = lines.of(event);
    if (line !== undefined) output.note(line);
    else if (event.type === "progress" && isDue())
      output.note(`${hourName(event)}  ${stageWords(event).join(", ")}`);
  };
  const stop = () => {
    for (const line of lines.rest()) output.note(line);
  };
  return { observe, stop };
}

async function barProgress(output: Output, options: ProgressOptions): Promise<Progress> {
  const bars = await openBars(output);
  const lines = new Lines(options);
  const observe: Observer = (event) => {
    bars.observe(event);
    const line = lines.of(event);
    if (line !== undefined) output.note(line);
  };
  const stop = () => {
    bars.stop();
    for (const line of lines.rest()) output.note(line);
  };
  return { observe, stop };
}

const PLAIN_INTERVAL_MS = 5_000;
const JSON_INTERVAL_MS = 1_000;

/** The lines that stay, terminal or not. */
class Lines {
  private readonly options: ProgressOptions;
  /** Hours of the dataset at work. */
  private hours = 1;
  private readonly alike = new Alike();

  constructor(options: ProgressOptions) {
    this.options = options;
  }

  /** For a range, hours with nothing to do are left to the summary. */
  of(event: RunEvent): string | undefined {
    if (this.alike.isTold(event)) return undefined;
    switch (event.type) {
      case "dataset-started":
        this.hours = event.hours;
        return undefined;
      case "hour-finished": {
        const isIdle = event.result.action === "upToDate" || event.result.action === "empty";
        return isIdle && this.hours > 1 ? undefined : resultLine(event.result);
      }
      case "hour-failed":
        return this.failed(event.failure);
      case "pinned": {
        const columns = counted(event.columns.length, "column");
        return `${event.dataset} ${event.hour}  ${columns} inferred, and pinned in ${event.location}`;
      }
      case "hour-claimed":
        return this.claimed(event);
      case "notice":
      case "hour-replanned":
        return [event.dataset, event.hour, event.text].filter(Boolean).join(" ");
      default:
        return undefined;
    }
  }

  /**
   * Names the other hours that were like one already reported. Otherwise a store that is away would be
   * reported hour by hour.
   */
  rest(): string[] {
    return this.alike.rest().map(({ dataset, text }) => `${dataset}  ${text}`);
  }

  private failed(failure: HourFailure): string | undefined {
    const isTold = this.options.tellsFailures;
    return isTold && this.hours === 1 ? undefined : failureLine(failure, !isTold);
  }

  /** Says that a run waits for another, so that it does not seem to be stuck. */
  private claimed(event: Extract<RunEvent, { type: "hour-claimed" }>): string {
    const meanwhile = this.hours > 1 ? "goes on with other hours, then waits" : "waits";
    return `${hourName(event)}  another run is at it: this one ${meanwhile} until that is done`;
  }
}

/** `mmp/android 2022-07-26T00  packed: new hour, 36,000 objects (345 MB) → 576,000 rows (41 MB), 2 rescued, 18 s` */
function resultLine(result: HourResult): string {
  const { reason, objects, rawBytes, skipped, part, rescued = 0, seconds } = result;
  const words = [`${counted(objects, "object")} (${size(rawBytes)})`];
  if (part) words[0] += ` → ${counted(part.rows, "row")} (${size(part.sizeBytes)})`;
  words.push(...rescuedWords(rescued));
  // For the whole part, as its rows are: late objects leave what was in quarantine where it is.
  if (part) words.push(...quarantinedWords(part.quarantined, part.quarantinedBytes));
  if (skipped > 0) words.push(skippedWords(skipped));
  return `${hourName(result)}  ${actionText(result)}: ${reason}, ${words.join(", ")}, ${duration(seconds)}`;
}

function actionText({ action }: HourResult): string {
  return action === "upToDate" ? "up to date" : action;
}

function failureLine({ dataset, hour, error }: HourFailure, withHint: boolean): string {
  const hint = withHint && error.hint ? `\n  → ${error.hint}` : "";
  const name = hourName({ dataset, hour });
  const word = error.kind === "interrupted" ? "interrupted" : `failed: ${besideName(name, error.message)}`;
  return `${name}  ${word}${hint}`;
}

/** `looked at 1,234 of 8,736 hours`, every few seconds. */
export function looksOf(output: Output): (done: number, all: number) => void {
  const isDue = throttle(PLAIN_INTERVAL_MS);
  isDue();
  return (done, all) => {
    if (done < all && isDue()) output.note(`looked at ${count(done)} of ${counted(all, "hour")}`);
  };
}

/** True at most once per `intervalMs` for each name. */
function throttle(intervalMs: number): (name?: string) => boolean {
  const last = new Map<string, number>();
  return (name = "") => {
    const now = performance.now();
    if (now - (last.get(name) ?? Number.NEGATIVE_INFINITY) < intervalMs) return false;
    last.set(name, now);
    return true;
  };
}
