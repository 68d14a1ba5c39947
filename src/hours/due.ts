/** Which hours are due (invariant 10). */
import { addHours, firstOpenHour, type Hour, hoursBetween } from "../hour.js";
import type { DatasetContext, Observer } from "../task.js";
import { newestPublishedHour } from "../tier1/published.js";
import { hoursWithFolders } from "./folders.js";
import { owedHours } from "./owed.js";

export interface Due {
  /** Oldest first. */
  hours: Hour[];
  /** Nothing is published yet. */
  isFirst: boolean;
  /** The newest published hour that has begun; absent if there is none, or if nobody looked for it. */
  newest?: Hour;
}

/**
 * The look-back hours, every closed hour after the newest published one, and the closed hours that runs left behind it. Closed hours
 * without a folder are left out: after a year without data, 8,760 empty hours would each cost a look.
 */
export async function dueHours(context: DatasetContext, observe: Observer = () => {}): Promise<Due> {
  const { components, dataset, signal } = context;
  const { lookBackHours, settleMs } = components.settings.run;
  const end = firstOpenHour(components.nowMs(), settleMs);
  const lookBackFrom = addHours(end, -lookBackHours);
  const lookBack = hoursBetween(lookBackFrom, end);
  const tier1 = await components.tier1(dataset);
  // One after the other, so that a store that does not answer gives one error, and always the same.
  const { newest: published, ahead } = await newestPublishedHour(tier1, dataset, components.nowMs(), signal);
  if (ahead) {
    const text = `${dataset.name} has a part of ${ahead}, which has not begun: it is not taken for the newest; is the clock of this machine right?`;
    observe({ type: "notice", dataset: dataset.name, text });
  }
  // A run of named hours may have noted some that are still open: they are due once they are closed.
  const owed = (await owedHours(context)).filter((hour) => hour < end);
  if (!published) return { hours: sorted([...owed, ...lookBack]), isFirst: true };
  const missed = hoursBetween(addHours(published, 1), lookBackFrom);
  const raw = await components.raw(dataset);
  const unpacked = await hoursWithFolders(raw, dataset.raw, missed, signal);
  return { hours: sorted([...owed, ...unpacked, ...lookBack]), isFirst: false, newest: published };
}

function sorted(hours: Hour[]): Hour[] {
  return [...new Set(hours)].sort();
}
