/** The history of a bucket: hours with folders in raw before all that is published or due. Packed only where they are named. */
import { commandText } from "../command-text.js";
import type { Components } from "../components.js";
import type { Dataset } from "../config/settings.js";
import { addHours, DAY_MS, firstOpenHour, type Hour, hoursBetween, startMs } from "../hour.js";
import { oldestPublishedHour } from "../tier1/published.js";
import { counted } from "../words.js";
import { RawFolders } from "./discovery.js";
import { hoursWithFolders } from "./folders.js";
import { owedHours } from "./owed.js";

interface OlderHours {
  from: Hour;
  /** At most up to the first that is published, or due by itself. */
  to: Hour;
  /** How many have a folder; absent where to count them would cost a listing for each of many days. */
  count?: number;
}

/** Counting costs a listing a day. */
const DAYS_COUNTED_MAX = 7;

/** A few listings of folders; undefined where there are none. */
export async function olderHours(
  components: Components,
  dataset: Dataset,
  signal: AbortSignal | undefined,
): Promise<OlderHours | undefined> {
  const raw = await components.raw(dataset);
  const there = await new RawFolders(raw, signal).range(dataset.raw);
  if (!there) return undefined;
  const { lookBackHours, settleMs } = components.settings.run;
  const due = addHours(firstOpenHour(components.nowMs(), settleMs), -lookBackHours);
  const tier1 = await components.tier1(dataset);
  const oldest = await oldestPublishedHour(tier1, dataset, signal);
  const { from } = there;
  // Not further than there is any: each hour that is named costs a look.
  const [to = due] = [there.to, due, oldest ?? due].sort();
  if (from >= to) return undefined;
  const { template } = dataset.raw;
  const isFolderAnHour = template.slice(0, template.lastIndexOf("/")).includes("{HH}");
  if (!isFolderAnHour || startMs(to) - startMs(from) > DAYS_COUNTED_MAX * DAY_MS) return { from, to };
  // One that failed before later ones were published is due again.
  const owed = new Set(await owedHours(components, dataset, signal));
  const unpacked = await hoursWithFolders(raw, dataset.raw, hoursBetween(from, to), signal);
  const hours = unpacked.filter((hour) => !owed.has(hour));
  const [first, last] = [hours[0], hours.at(-1)];
  return first && last && { from: first, to: addHours(last, 1), count: hours.length };
}

/** What is found, and the command that packs it. */
export function olderText(
  { from, to, count }: OlderHours,
  { settings }: Components,
  { name }: Dataset,
): { found: string; hint: string } {
  const isOne = count === 1;
  const which =
    count === undefined ? `older hours from ${from} on` : `${counted(count, "older hour")} from ${from}`;
  const found = `${which} ${isOne ? "is" : "are"} not packed and will not become due by ${isOne ? "itself" : "themselves"}`;
  const command = commandText("run", settings, { dataset: name, hours: { from, to } });
  return { found, hint: `${command} packs ${isOne ? "it" : "them"}` };
}

/** Both in a sentence; undefined where there are none, or nobody could find out: it is a remark beside the work. */
export async function olderNotice(
  components: Components,
  dataset: Dataset,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  const older = await olderHours(components, dataset, signal).catch(() => undefined);
  if (!older) return undefined;
  const { found, hint } = olderText(older, components, dataset);
  return `${found}: ${hint}`;
}
