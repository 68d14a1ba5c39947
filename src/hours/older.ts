/** The history of a bucket: hours with folders in raw that are older than all published or due hours. A run packs them only by name. */
import { commandText } from "../command-text.js";
import { addHours, DAY_MS, firstOpenHour, type Hour, hoursBetween, startMs } from "../hour.js";
import type { DatasetContext } from "../task.js";
import { oldestPublishedHour } from "../tier1/published.js";
import { counted } from "../words.js";
import { RawFolders } from "./discovery.js";
import { hoursWithFolders } from "./folders.js";
import { owedHours } from "./owed.js";

interface OlderHours {
  from: Hour;
  /** Exclusive; at most the first hour that is published, or due by itself. */
  to: Hour;
  /** How many have a folder; absent if counting them would cost a listing for each of many days. */
  count?: number;
}

/** Limits the cost of counting, a listing a day. */
const DAYS_COUNTED_MAX = 7;

/** The older hours; undefined if there are none. Costs a few listings of folders. */
export async function olderHours(context: DatasetContext): Promise<OlderHours | undefined> {
  const { components, dataset, signal } = context;
  const raw = await components.raw(dataset);
  const there = await new RawFolders(raw, signal).range(dataset.raw);
  if (!there) return undefined;
  const { lookBackHours, settleMs } = components.settings.run;
  const due = addHours(firstOpenHour(components.nowMs(), settleMs), -lookBackHours);
  const tier1 = await components.tier1(dataset);
  const oldest = await oldestPublishedHour(tier1, dataset, signal);
  const { from } = there;
  // Ends at the newest hour with a folder, since each hour that a command names costs a look.
  const [to = due] = [there.to, due, oldest ?? due].sort();
  if (from >= to) return undefined;
  const { template } = dataset.raw;
  const isFolderAnHour = template.slice(0, template.lastIndexOf("/")).includes("{HH}");
  if (!isFolderAnHour || startMs(to) - startMs(from) > DAYS_COUNTED_MAX * DAY_MS) return { from, to };
  // An hour that failed before later hours were published is due by itself.
  const owed = new Set(await owedHours(context));
  const unpacked = await hoursWithFolders(raw, dataset.raw, hoursBetween(from, to), signal);
  const hours = unpacked.filter((hour) => !owed.has(hour));
  const [first, last] = [hours[0], hours.at(-1)];
  return first && last && { from: first, to: addHours(last, 1), count: hours.length };
}

/** Which hours were found, and the command that packs them. */
export function olderText(
  { from, to, count }: OlderHours,
  { components, dataset }: DatasetContext,
): { found: string; hint: string } {
  const isOne = count === 1;
  const which =
    count === undefined ? `older hours from ${from} on` : `${counted(count, "older hour")} from ${from}`;
  const found = `${which} ${isOne ? "is" : "are"} not packed and will not become due by ${isOne ? "itself" : "themselves"}`;
  const command = commandText("run", components.settings, { dataset: dataset.name, hours: { from, to } });
  return { found, hint: `${command} packs ${isOne ? "it" : "them"}` };
}

/** Both in one sentence. Undefined if there are no older hours, or the look failed: it is only a remark beside the work. */
export async function olderNotice(context: DatasetContext): Promise<string | undefined> {
  const older = await olderHours(context).catch(() => undefined);
  if (!older) return undefined;
  const { found, hint } = olderText(older, context);
  return `${found}: ${hint}`;
}
