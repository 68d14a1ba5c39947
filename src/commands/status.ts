/** hourpack status: a strip of the last hours per dataset, from the stores alone. */
import { commandText } from "../command-text.js";
import { lookOver } from "../compact.js";
import type { Components } from "../components.js";
import type { Dataset, Settings } from "../config/settings.js";
import { besideName, EXIT } from "../errors.js";
import { addHours, endMs, firstOpenHour, HOUR_MS, type Hour, hoursBetween, hoursText } from "../hour.js";
import { Limiter } from "../limiter.js";
import type { Plan } from "../plan.js";
import { datasetsOf } from "../run.js";
import type { HourContext, Observer, RunEvent } from "../task.js";
import { newestPublishedHour, tracesOf } from "../tier1/published.js";
import { agreeing, counted } from "../words.js";
import type { Command } from "./command.js";
import { duration, quarantinedWords, rescuedWords, size } from "./figures.js";
import type { Output } from "./output.js";
import { looksOf } from "./progress.js";
import { durationMsOf, hourOptions, hoursOf } from "./request.js";
import { datasetNames, settingsOf, settingsOptions, withComponents } from "./settings.js";
import { tellTraces } from "./unpublished.js";

type State =
  | "packed"
  | "quarantined"
  | "late"
  | "overwritten"
  | "missing"
  | "leftBehind"
  | "empty"
  | "refused";

interface HourStatus {
  hour: Hour;
  state: State;
  reason: string;
  /** What can be done, if somebody has to decide. */
  hint?: string;
  /** Objects that are listed now. */
  objects: number;
  rawBytes: number;
  /** Objects that the part was made of; more than are listed if raw is gone. */
  partObjects: number;
  rows: number;
  /** Rows with rescued data. */
  rescued: number;
  quarantined: number;
  quarantinedBytes: number;
  partBytes: number;
}

const MARKS: Record<State, string> = {
  packed: "█",
  quarantined: "▓",
  late: "▲",
  overwritten: "△",
  missing: "○",
  leftBehind: "✗",
  empty: "·",
  refused: "!",
};

export const command: Command = {
  options: {
    ...hourOptions,
    last: {
      type: "string",
      default: "2d",
      describe: "How far back from the newest closed hour",
    },
    ...settingsOptions,
  },
  examples: [
    ["$0 status", "the last two days"],
    ["$0 status --last 7d --dataset mmp/android", "a week of one dataset"],
  ],
  async handler(args, { output, signal }) {
    const range = hoursOf(args);
    const lastHours = Math.max(1, Math.ceil(durationMsOf(args, "last") / HOUR_MS));
    return withComponents(await settingsOf(args), async (components) => {
      const end = firstOpenHour(components.nowMs(), components.settings.run.settleMs);
      const span = range ?? { from: addHours(end, -lastHours), to: end };
      const datasets = [];
      for (const dataset of datasetsOf(components.settings, datasetNames(args))) {
        const hours = await statusOf(components, dataset, hoursBetween(span.from, span.to), output, signal);
        const nowMs = components.nowMs();
        const { newest } = await newestPublishedHour(await components.tier1(dataset), dataset, nowMs, signal);
        const ageSeconds = newest && Math.round((nowMs - endMs(newest)) / 1000);
        for (const hour of hours) output.record({ type: "hour", dataset: dataset.name, ...hour });
        const summary = { dataset: dataset.name, newest, ageSeconds, ...totalsOf(hours) };
        datasets.push(summary);
        tell(summary, hours, components.settings, output);
        await tellLost(components, dataset, hours, output, signal);
      }
      for (const line of legend(
        datasets.map(({ states }) => states),
        output.stdout.columns,
      ))
        output.line(output.colors.dim(line));
      output.result({ ...span, datasets });
      return EXIT.done;
    });
  },
};

const WORDS: Record<State, string> = {
  packed: "packed",
  quarantined: "packed, with quarantine",
  late: "late objects",
  overwritten: "overwritten objects",
  missing: "not packed",
  leftBehind: "left behind: failed, or came late",
  empty: "no objects",
  refused: "needs a decision",
};

/** Explains the marks that occur, in as many lines as the terminal needs. */
function legend(datasets: Record<State, number>[], columns = Number.POSITIVE_INFINITY): string[] {
  const shown = (Object.keys(MARKS) as State[]).filter((state) =>
    datasets.some((states) => states[state] > 0),
  );
  const lines: string[] = [];
  for (const state of shown) {
    const words = `${MARKS[state]} ${WORDS[state]}`;
    const longer = `${lines.at(-1)}   ${words}`;
    if (lines.length === 0 || longer.length > columns) lines.push(words);
    else lines[lines.length - 1] = longer;
  }
  return lines;
}

const HOURS_AT_A_TIME = 8;

async function statusOf(
  components: Components,
  dataset: Dataset,
  hours: Hour[],
  output: Output,
  signal: AbortSignal,
): Promise<HourStatus[]> {
  const limiter = new Limiter(HOURS_AT_A_TIME);
  const tellLooks = looksOf(output);
  const notices = new Set<string>();
  const observe = (event: RunEvent) => {
    if (event.type === "notice") notices.add(event.text);
  };
  let looked = 0;
  const look = async (hour: Hour) => {
    const status = await statusOfHour({ components, dataset, hour, signal }, observe);
    tellLooks(++looked, hours.length);
    return status;
  };
  const statuses = await Promise.all(hours.map((hour) => limiter.run(() => look(hour))));
  for (const text of notices) output.notice(`${dataset.name}: ${text}`, { dataset: dataset.name });
  return withLeftBehind(statuses);
}

/**
 * An hour whose part was deleted looks like one that never had a part. If it was also expired, it needs a
 * decision.
 */
async function tellLost(
  components: Components,
  dataset: Dataset,
  hours: HourStatus[],
  output: Output,
  signal: AbortSignal,
): Promise<void> {
  const partless = hours.filter(({ state, partBytes }) => partBytes === 0 && state !== "refused");
  const asked = partless.map(({ hour }) => hour);
  const tier1 = await components.tier1(dataset);
  const traces = await tracesOf(tier1, dataset, asked, { nowMs: components.nowMs(), signal });
  tellTraces(dataset, traces, components.settings, output);
}

/**
 * Hours are packed oldest first. An unpacked hour between two packed ones failed when its turn came, or had
 * no objects yet. The stores know no more about a failure, because it leaves nothing behind.
 */
function withLeftBehind(hours: HourStatus[]): HourStatus[] {
  const hasPart = ({ partBytes }: HourStatus) => partBytes > 0;
  const first = hours.findIndex(hasPart);
  const last = hours.findLastIndex(hasPart);
  return hours.map((hour, i) =>
    hour.state === "missing" && i > first && i < last ? { ...hour, state: "leftBehind" } : hour,
  );
}

async function statusOfHour(of: HourContext, observe: Observer): Promise<HourStatus> {
  const { dataset, hour } = of;
  const looked = await lookOver({ ...of, request: {}, isAsked: true, observe });
  const { listing, published: part } = looked;
  return {
    hour,
    ...("plan" in looked
      ? { state: stateOf(looked.plan), reason: looked.plan.reason }
      : {
          state: "refused",
          reason: besideName(`${dataset.name} ${hour}`, looked.refusal.message),
          hint: looked.refusal.hint,
        }),
    objects: listing?.count ?? 0,
    rawBytes: listing?.sizeBytes ?? 0,
    partObjects: part?.objects ?? 0,
    rows: part?.rows ?? 0,
    rescued: part?.rescued ?? 0,
    quarantined: part?.quarantined ?? 0,
    quarantinedBytes: part?.quarantinedBytes ?? 0,
    partBytes: part?.sizeBytes ?? 0,
  };
}

function stateOf(plan: Plan): State {
  if (plan.action === "empty") return "empty";
  if (!plan.published) return "missing";
  if (plan.action === "upToDate") return plan.published.quarantined > 0 ? "quarantined" : "packed";
  return plan.changes.overwritten > 0 ? "overwritten" : "late";
}

function totalsOf(hours: HourStatus[]) {
  const sum = (pick: (hour: HourStatus) => number) => hours.reduce((total, hour) => total + pick(hour), 0);
  const states = Object.fromEntries(
    (Object.keys(MARKS) as State[]).map((state) => [
      state,
      hours.filter((hour) => hour.state === state).length,
    ]),
  ) as Record<State, number>;
  return {
    states,
    objects: sum((hour) => hour.objects),
    rawBytes: sum((hour) => hour.rawBytes),
    partObjects: sum((hour) => hour.partObjects),
    rows: sum((hour) => hour.rows),
    rescued: sum((hour) => hour.rescued),
    quarantined: sum((hour) => hour.quarantined),
    quarantinedBytes: sum((hour) => hour.quarantinedBytes),
    partBytes: sum((hour) => hour.partBytes),
  };
}

/** An empty strip above older hours looks as if nothing was ever packed. */
function olderHint(dataset: string, newest: Hour, hours: HourStatus[]): string {
  const day = newest.slice(0, 10);
  const next = addHours(`${day}T00` as Hour, 24).slice(0, 10);
  const where = hours[0] && newest < hours[0].hour ? "older" : "elsewhere";
  return `${dataset}: nothing is packed in these hours; what is published is ${where}, the newest hour ${newest}: --from ${day} --to ${next} shows its day`;
}

/** Below 0 for an hour that was packed by its name before it was over. */
function ended(ageSeconds: number): string {
  return ageSeconds < 0 ? `ends in ${duration(-ageSeconds)}` : `ended ${duration(ageSeconds)} ago`;
}

/** If raw objects of parts are gone, what is listed is not what the rows were made of. */
function figuresOf(summary: Summary, hours: HourStatus[]): string {
  const listed = `${counted(summary.objects, "object")}, ${size(summary.rawBytes)}`;
  const isGone = hours.some(({ objects, partObjects }) => objects < partObjects);
  const made = [
    `${isGone ? counted(summary.partObjects, "object") : listed} → ${size(summary.partBytes)}`,
    counted(summary.rows, "row"),
    ...rescuedWords(summary.rescued),
    ...quarantinedWords(summary.quarantined, summary.quarantinedBytes),
  ].join(", ");
  return isGone ? `${made}; in raw now: ${listed}` : made;
}

type Summary = { dataset: string; newest?: Hour; ageSeconds?: number } & ReturnType<typeof totalsOf>;

function tell(summary: Summary, hours: HourStatus[], settings: Settings, output: Output): void {
  const { bold, dim, green, yellow, red, cyan } = output.colors;
  const paint: Record<State, (text: string) => string> = {
    packed: green,
    quarantined: yellow,
    late: yellow,
    overwritten: yellow,
    missing: yellow,
    leftBehind: red,
    empty: dim,
    refused: red,
  };
  const age = summary.newest
    ? `newest ${summary.newest}, ${ended(summary.ageSeconds ?? 0)}`
    : "nothing is packed yet";
  output.line(`${bold(summary.dataset)}  ${age}`);
  const stateAt = new Map<string, State>(hours.map(({ hour, state }) => [hour, state]));
  for (const day of new Set(hours.map(({ hour }) => hour.slice(0, 10)))) {
    const strip = Array.from({ length: 24 }, (_, i) => {
      const state = stateAt.get(`${day}T${String(i).padStart(2, "0")}`);
      return state ? paint[state](MARKS[state]) : " ";
    });
    output.line(`  ${day}  ${strip.join("")}`);
  }
  output.line(`  ${figuresOf(summary, hours)}`);
  const refused = hours.filter(({ state }) => state === "refused");
  const isShown = refused.length > 0 || hours.some(({ rows, partBytes }) => rows + partBytes > 0);
  if (summary.newest && !isShown) output.note(olderHint(summary.dataset, summary.newest, hours));
  for (const { hour, reason, hint } of refused) {
    output.line(red(`  ${hour}: ${reason}`));
    if (hint) output.line(`  ${cyan("→")} ${hint}`);
  }
  const left = hours.filter(({ state }) => state === "leftBehind").map(({ hour }) => hour);
  const [from, to = from] = [left[0], left.at(-1)];
  if (!from || !to) return;
  const { dataset } = summary;
  const command = commandText("run", settings, { dataset, hours: { from, to: addHours(to, 1) } });
  output.note(
    `${dataset}: ${hoursText(left)} left behind: ${command} packs ${agreeing(left.length, "it")}, or says why not`,
  );
}
