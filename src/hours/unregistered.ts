/**
 * Hours that the catalog may not know of. A run registers its hours at its end: one that is interrupted or killed, or meets
 * a catalog that is away, does not. So they are written down before they are published, and the next run that gets as far as
 * the catalog registers them, whenever it comes.
 */
import { commandText } from "../command-text.js";
import type { Components } from "../components.js";
import type { Dataset } from "../config/settings.js";
import { addHours, type Hour } from "../hour.js";
import { unregisteredKey } from "../layout.js";
import { publishedHours } from "../tier1/published.js";
import { hoursWithFolders } from "./folders.js";
import { HourList } from "./hour-list.js";

/** Of one run and one dataset. */
export class Unregistered {
  private readonly components: Components;
  private readonly dataset: Dataset;
  /** Not looked at to their end. */
  private readonly unfinished: Set<Hour>;
  private readonly signal: AbortSignal | undefined;
  private noted: Promise<void> | undefined;
  /** Until it is read, nobody knows. */
  private mayHaveLeft = true;
  /** Looked at by this run, and without a part. */
  private readonly partless = new Set<Hour>();
  /** What is noted, and was not looked at to its end by this run, and has no part yet. */
  private unpublished: Hour[] = [];

  constructor(components: Components, dataset: Dataset, hours: Hour[], signal: AbortSignal | undefined) {
    this.components = components;
    this.dataset = dataset;
    this.unfinished = new Set(hours);
    this.signal = signal;
  }

  /** To be waited for before an hour is published. */
  async note(): Promise<void> {
    if (!this.hasCatalog) return;
    // All that this run may still publish at once, and not each by a write of its own.
    this.noted ??= this.change((hours) => [...hours, ...this.unfinished], this.signal).catch((error) => {
      this.noted = undefined;
      throw error;
    });
    await this.noted;
  }

  /** An hour was looked at to its end. */
  finish(hour: Hour, hasPart: boolean): void {
    this.unfinished.delete(hour);
    if (!hasPart) this.partless.add(hour);
  }

  /**
   * Of the noted hours, beyond the `published` ones of this run, those that have a part: to be registered with them. Earlier
   * runs left them, others are at work on them, or this one failed at them, whose part is then that of before.
   */
  async left(published: Hour[]): Promise<Hour[]> {
    if (!this.hasCatalog || this.signal?.aborted) return [];
    const hours = await (await this.list()).read(this.signal);
    this.mayHaveLeft = hours.length > 0;
    const done = new Set([...published, ...this.partless]);
    const others = hours.filter((hour) => !done.has(hour));
    const tier1 = await this.components.tier1(this.dataset);
    const there = new Set<Hour>();
    for (const from of new Set(others.map((hour) => `${hour.slice(0, 10)}T00` as Hour))) {
      const day = { from, to: addHours(from, 24) };
      for (const hour of await publishedHours(tier1, this.dataset, day, this.signal)) there.add(hour);
    }
    this.unpublished = others.filter((hour) => !there.has(hour));
    return others.filter((hour) => there.has(hour));
  }

  /**
   * At the end: none of these is unregistered any more. Nor is one that has neither a part nor raw objects; of those that
   * have these somebody may be at work.
   */
  async registered(hours: Hour[]): Promise<void> {
    if (!this.hasCatalog || !(this.noted || this.mayHaveLeft)) return;
    const known = new Set([...hours, ...this.partless, ...(await this.empty())]);
    await this.change((noted) => noted.filter((hour) => !known.has(hour)));
  }

  private async empty(): Promise<Hour[]> {
    if (this.unpublished.length === 0) return [];
    const raw = await this.components.raw(this.dataset);
    const there = new Set(await hoursWithFolders(raw, this.dataset.raw, this.unpublished, this.signal));
    return this.unpublished.filter((hour) => !there.has(hour));
  }

  private get hasCatalog(): boolean {
    return this.components.settings.catalog.type !== "none";
  }

  private async change(change: (hours: Hour[]) => Hour[], signal?: AbortSignal): Promise<void> {
    await (await this.list()).change(change, signal);
  }

  private async list(): Promise<HourList> {
    return new HourList(
      await this.components.tier1(this.dataset),
      unregisteredKey(this.dataset.tier1.prefix),
      `It names hours that the catalog may lack: delete it, and run ${commandText("register", this.components.settings, { dataset: this.dataset.name })}.`,
    );
  }
}
