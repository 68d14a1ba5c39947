/**
 * Hours that a run may leave behind the newest published one: where several are in flight a later one may be published
 * first, and an hour that fails is passed by. They are written down before that, and stay due until they are seen done.
 */
import { commandText } from "../command-text.js";
import type { Components } from "../components.js";
import type { Dataset } from "../config/settings.js";
import { addHours, type Hour, hourOfMs, hoursBetween } from "../hour.js";
import { owedKey } from "../layout.js";
import type { Store } from "../store/store.js";
import { newestPublishedHour } from "../tier1/published.js";
import { hoursWithFolders } from "./folders.js";
import { HourList } from "./hour-list.js";

/** One run's hours of one dataset, as far as they are not done. */
export class Owing {
  private readonly components: Components;
  private readonly dataset: Dataset;
  private readonly unfinished: Set<Hour>;
  private readonly done = new Set<Hour>();
  private readonly signal: AbortSignal | undefined;
  private newest: Promise<Hour | undefined> | undefined;
  /** Hours are looked at one after the other. */
  private turn: Promise<unknown> = Promise.resolve();
  private isNoted = false;

  constructor(components: Components, dataset: Dataset, hours: Hour[], signal: AbortSignal | undefined) {
    this.components = components;
    this.dataset = dataset;
    this.unfinished = new Set(hours);
    this.signal = signal;
  }

  /** To be waited for before an hour is published: what it may pass by is written down by then. */
  async passing(hour: Hour): Promise<void> {
    // As it was before this run published anything.
    this.newest ??= this.newestPublished().catch((error) => {
      // Nothing is published while it is not known: the next hour asks again.
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

  /** At the end, an interrupted one too: what was seen done is owed no more. */
  async settle(): Promise<void> {
    const { done } = this;
    if (done.size === 0) return;
    const owed = await owedIn(this.components, this.dataset);
    await owed.change((hours) => hours.filter((hour) => !done.has(hour)));
  }

  /** Nothing is written where the hour has none before it: then it is the only one that can be left behind, and is due. */
  private async note(newest: Hour | undefined, hour: Hour): Promise<void> {
    const ours = [...this.unfinished].filter((other) => newest === undefined || other > newest);
    const between = newest === undefined ? [] : await this.between(newest, hour);
    if (![...ours, ...between].some((other) => other < hour)) return;
    const owed = await owedIn(this.components, this.dataset);
    await owed.change((hours) => [...hours, ...ours, ...between], this.signal);
    this.isNoted = true;
  }

  /** Hours that were due until now, and that this run is not about: it was told which to pack. */
  private async between(newest: Hour, hour: Hour): Promise<Hour[]> {
    const { components, dataset, unfinished, done, signal } = this;
    // What has not begun is not due yet, however far ahead the hour is.
    const begun = addHours(hourOfMs(components.nowMs()), 1);
    const others = hoursBetween(addHours(newest, 1), hour < begun ? hour : begun).filter(
      (other) => !unfinished.has(other) && !done.has(other),
    );
    return hoursWithFolders(await components.raw(dataset), dataset.raw, others, signal);
  }

  private async newestPublished(): Promise<Hour | undefined> {
    const { components, dataset, signal } = this;
    return (await newestPublishedHour(await this.tier1(), dataset, components.nowMs(), signal)).newest;
  }

  private tier1(): Promise<Store> {
    return this.components.tier1(this.dataset);
  }
}

/** Oldest first. Throws `data` where the file is damaged. */
export async function owedHours(
  components: Components,
  dataset: Dataset,
  signal?: AbortSignal,
): Promise<Hour[]> {
  return (await owedIn(components, dataset)).read(signal);
}

async function owedIn(components: Components, dataset: Dataset): Promise<HourList> {
  const status = commandText("status", components.settings, { dataset: dataset.name });
  return new HourList(
    await components.tier1(dataset),
    owedKey(dataset.tier1.prefix),
    `It names hours that are still to be packed: bring it back from an older version, or delete it and run the hours that ${status} shows as passed over.`,
  );
}
