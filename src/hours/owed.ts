/**
 * Hours that a run may leave behind the newest published one. With several hours in flight a later one may be published first,
 * and an hour that fails is passed by. A run writes these hours down first, and they stay due until a run has seen them done.
 */
import { commandText } from "../command-text.js";
import { addHours, type Hour, hourOfMs, hoursBetween } from "../hour.js";
import { owedKey } from "../layout.js";
import type { DatasetContext } from "../task.js";
import { newestPublishedHour } from "../tier1/published.js";
import { hoursWithFolders } from "./folders.js";
import { HourList } from "./hour-list.js";

/** One run's hours of one dataset that are not done yet. */
export class Owing {
  private readonly context: DatasetContext;
  private readonly unfinished: Set<Hour>;
  private readonly done = new Set<Hour>();
  private newest: Promise<Hour | undefined> | undefined;
  /** Makes hours wait for one another, so that the list is written once. */
  private turn: Promise<unknown> = Promise.resolve();
  private isNoted = false;

  constructor(context: DatasetContext, hours: Hour[]) {
    this.context = context;
    this.unfinished = new Set(hours);
  }

  /** Writes down the hours that `hour` may pass by. Await it before publishing the hour. */
  async passing(hour: Hour): Promise<void> {
    // The newest hour before this run published anything.
    this.newest ??= this.newestPublished().catch((error) => {
      // This hour is not published then; the next one asks again.
      this.newest = undefined;
      throw error;
    });
    const newest = await this.newest;
    if (newest !== undefined && hour <= newest) return;
    const noted = this.turn.then(() => (this.isNoted ? undefined : this.note(newest, hour)));
    this.turn = noted.catch(() => {});
    await noted;
  }

  finish(hour: Hour): void {
    this.unfinished.delete(hour);
    this.done.add(hour);
  }

  /** At the end of a run, also of an interrupted one: removes the hours that it has seen done. */
  async settle(): Promise<void> {
    const { done } = this;
    if (done.size === 0) return;
    const owed = await owedIn(this.context);
    await owed.change((hours) => hours.filter((hour) => !done.has(hour)));
  }

  /** Writes nothing if no hour to pack comes before this one: then only this hour could be left behind, and it is due anyway. */
  private async note(newest: Hour | undefined, hour: Hour): Promise<void> {
    const ours = [...this.unfinished].filter((other) => newest === undefined || other > newest);
    const between = newest === undefined ? [] : await this.between(newest, hour);
    if (![...ours, ...between].some((other) => other < hour)) return;
    const owed = await owedIn(this.context);
    await owed.change((hours) => [...hours, ...ours, ...between], this.context.signal);
    this.isNoted = true;
  }

  /** Hours between that were due so far and that this run does not pack, because it was told which hours to pack. */
  private async between(newest: Hour, hour: Hour): Promise<Hour[]> {
    const { unfinished, done } = this;
    const { components, dataset, signal } = this.context;
    // An hour that has not begun is not due yet, however far ahead the published hour is.
    const begun = addHours(hourOfMs(components.nowMs()), 1);
    const others = hoursBetween(addHours(newest, 1), hour < begun ? hour : begun).filter(
      (other) => !unfinished.has(other) && !done.has(other),
    );
    return hoursWithFolders(await components.raw(dataset), dataset.raw, others, signal);
  }

  private async newestPublished(): Promise<Hour | undefined> {
    const { components, dataset, signal } = this.context;
    const tier1 = await components.tier1(dataset);
    return (await newestPublishedHour(tier1, dataset, components.nowMs(), signal)).newest;
  }
}

/** The owed hours, oldest first. Throws `data` if the file is damaged. */
export async function owedHours(context: DatasetContext): Promise<Hour[]> {
  return (await owedIn(context)).read(context.signal);
}

async function owedIn({ components, dataset }: DatasetContext): Promise<HourList> {
  const status = commandText("status", components.settings, { dataset: dataset.name });
  return new HourList(
    await components.tier1(dataset),
    owedKey(dataset.tier1.prefix),
    `It names hours that are still to be packed: bring it back from an older version, or delete it and run the hours that ${status} shows as left behind.`,
  );
}
