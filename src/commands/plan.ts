/** hourpack plan: what run would do. Reads, and writes nothing. */
import type { Components } from "../components.js";
import type { Settings } from "../config/settings.js";
import { EXIT, firstOfEach } from "../errors.js";
import { hoursText } from "../hour.js";
import { olderNotice } from "../hours/older.js";
import { datasetsOf, type PlannedHour, planRun, type RunRequest } from "../run.js";
import { count, counted } from "../words.js";
import type { Command, CommandContext } from "./command.js";
import { size, skippedWords } from "./figures.js";
import { HourLines } from "./hour-lines.js";
import { looksOf } from "./progress.js";
import { requestOf, requestOptions } from "./request.js";
import { settingsOf, settingsOptions, withComponents } from "./settings.js";
import { showTable } from "./table.js";

export const command: Command = {
  options: { ...requestOptions, ...settingsOptions },
  examples: [
    ["$0 plan", "what is due now"],
    ["$0 plan --from 2022-07-01 --to 2022-08-01", "what a month would cost"],
  ],
  async handler(args, context) {
    return showPlan(await settingsOf(args), requestOf(args, context.signal), context);
  },
};

export function showPlan(
  settings: Settings,
  request: RunRequest,
  { output }: CommandContext,
): Promise<number> {
  return withComponents(settings, async (components) => {
    const hours = await planRun(components, request, looksOf(output));
    const older = request.hours ? [] : await olderOf(components, request);
    for (const { error, ...hour } of hours) output.record({ type: "planned", ...hour, hint: error?.hint });
    const work = hours.filter(({ action }) => action === "scratch" || action === "merge");
    const objectsToRead = work.reduce((sum, hour) => sum + hour.objectsToRead, 0);
    const toReadBytes = work.reduce((sum, hour) => sum + hour.toReadBytes, 0);
    const skipped = hours.reduce((sum, hour) => sum + hour.skipped, 0);
    // For a range, hours with nothing to do are left to the last line.
    const shown = hours.length > 1 ? hours.filter(({ action }) => !IDLE.has(action)) : hours;
    if (shown.length > 0 && !output.json) {
      showTable(COLUMNS, rowsOf(shown), output);
    }
    const refusals = hours.flatMap(({ error }) => error ?? []);
    output.line(
      work.length === 0
        ? idleText(hours) + (refusals.length > 0 ? "" : ": nothing to do")
        : `${count(work.length)} of ${counted(hours.length, "hour")} to pack: ${counted(objectsToRead, "object")}, ${size(toReadBytes)} to read; \`hourpack run\` with the same arguments does it`,
    );
    if (skipped > 0) output.note(skippedWords(skipped));
    for (const { dataset, text } of older) output.notice(`${dataset}: ${text}`, { dataset });
    // The table shows which hours they are, and why for each.
    for (const error of firstOfEach(refusals)) output.error(error);
    output.result({
      hours: hours.length,
      toPack: work.length,
      refused: refusals.length,
      objectsToRead,
      toReadBytes,
      skipped,
    });
    return refusals.length > 0 ? EXIT.data : EXIT.done;
  });
}

/**
 * A row per hour. If there are many, consecutive hours with the same action for the same reason share a row.
 */
function rowsOf(hours: PlannedHour[]): string[][] {
  const rows: string[][] = [];
  const lines = new HourLines<PlannedHour>(hours.length, (alike) => {
    const [{ dataset, action, reason }] = alike as [PlannedHour];
    const sum = (pick: (hour: PlannedHour) => number) => alike.reduce((total, one) => total + pick(one), 0);
    rows.push([
      dataset,
      hoursText(alike.map(({ hour }) => hour)),
      ACTIONS[action],
      reason,
      count(sum((one) => one.objectsToRead)),
      size(sum((one) => one.toReadBytes)),
      count(sum((one) => one.objects)),
      size(sum((one) => one.rawBytes)),
    ]);
  });
  for (const hour of hours) lines.add(hour, `${hour.dataset} ${hour.action} ${hour.reason}`);
  lines.end();
  return rows;
}

/** Older hours: no run packs them by itself, and nobody would miss them in a list of what is due. */
async function olderOf(
  components: Components,
  { datasets, signal }: RunRequest,
): Promise<{ dataset: string; text: string }[]> {
  const found: { dataset: string; text: string }[] = [];
  for (const dataset of datasetsOf(components.settings, datasets)) {
    const text = await olderNotice({ components, dataset, signal });
    if (text !== undefined) found.push({ dataset: dataset.name, text });
  }
  return found;
}

/** `48 hours looked at, 2 up to date, 46 empty` */
function idleText(hours: PlannedHour[]): string {
  const number = (action: PlannedHour["action"]) => hours.filter((hour) => hour.action === action).length;
  const words = [
    [number("upToDate"), "up to date"],
    [number("empty"), "empty"],
    [number("waiting"), "waiting"],
    [number("refused"), "to be decided"],
  ] as const;
  const found = words.filter(([n]) => n > 0).map(([n, word]) => `, ${count(n)} ${word}`);
  return `${counted(hours.length, "hour")} looked at${found.join("")}`;
}

const IDLE: ReadonlySet<string> = new Set(["empty", "upToDate"]);

const ACTIONS = {
  empty: "nothing",
  upToDate: "nothing",
  waiting: "wait",
  scratch: "pack",
  merge: "merge",
  refused: "refuse",
} as const;

const COLUMNS = [
  { name: "dataset" },
  { name: "hour", isWrapped: true },
  { name: "would", isWhole: true },
  { name: "why", isWrapped: true },
  { name: "to read", isNumber: true, spare: 4 },
  { name: "size", isNumber: true, spare: 3 },
  { name: "objects in all", isNumber: true, spare: 2 },
  { name: "size in all", isNumber: true, spare: 1 },
];
