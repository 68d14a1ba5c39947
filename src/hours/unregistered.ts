/**
 * Hours that the catalog may not know. A run registers its hours at its end; a run that is interrupted or killed, or cannot
 * reach the catalog, does not. So a run writes them down before it publishes them, and the next run that reaches the catalog
 * registers them, whenever it comes.
 */
import { commandText } from "../command-text.js";
import { addHours, type Hour } from "../hour.js";
import { unregisteredKey } from "../layout.js";
import type { DatasetContext } from "../task.js";
import { publishedHours } from "../tier1/published.js";
import { hoursWithFolders } from "./folders.js";
import { HourList } from "./hour-list.js";

/** The unregistered hours of one dataset, as one run sees them. */
export class Unregistered {
  private readonly context: DatasetContext;
  /** Hours that this run has not finished. */
  private readonly unfinished: Set<Hour>;
  private noted: Promise<void> | undefined;
  /** Whether the list may name hours; true until it is read. */
  private mayHaveLeft = true;
  /** Hours that this run finished and that have no part. */
  private readonly partless = new Set<Hour>();
  /** Noted hours that this run has not finished and that have no part yet. */
  private unpublished: Hour[] = [];

  constructor(context: DatasetContext, hours: Hour[]) {
    this.context = context;
    this.unfinished = new Set(hours);
  }

  /** Writes this run's hours down. Await it before publishing an hour. */
  async note(): Promise<void> {
    if (!this.hasCatalog) return;
    // One write for all hours that this run may still publish, not one for each.
    this.noted ??= this.change((hours) => [...hours, ...this.unfinished], this.context.signal).catch(
      (error) => {
        this.noted = undefined;
        throw error;
      },
    );
    await this.noted;
  }

  /** This run has finished the hour. */
  finish(hour: Hour, hasPart: boolean): void {
    this.unfinished.delete(hour);
    if (!hasPart) this.partless.add(hour);
  }

  /**
   * The noted hours that have a part, besides those `published` by this run: they are to be registered too. Earlier runs left
   * them, other runs are at work on them, or this run failed at them and their part is an older one.
   */
  async left(published: Hour[]): Promise<Hour[]> {
    const { components, dataset, signal } = this.context;
    if (!this.hasCatalog || signal?.aborted) return [];
    const hours = await (await this.list()).read(signal);
    this.mayHaveLeft = hours.length > 0;
    const done = new Set([...published, ...this.partless]);
    const others = hours.filter((hour) => !done.has(hour));
    const tier1 = await components.tier1(dataset);
    const there = new Set<Hour>();
    for (const from of new Set(others.map((hour) => `${hour.slice(0, 10)}T00` as Hour))) {
      const day = { from, to: addHours(from, 24) };
      for (const hour of await publishedHours(tier1, dataset, day, signal)) there.add(hour);
    }
    this.unpublished = others.filter((hour) => !there.has(hour));
    return others.filter((hour) => there.has(hour));
  }

  /**
   * At the end of a run: removes these hours from the list, and those without a part that this run finished or that have no raw
   * folder. An unfinished hour with a raw folder stays, since somebody may be at work on it.
   */
  async registered(hours: Hour[]): Promise<void> {
    if (!this.hasCatalog || !(this.noted || this.mayHaveLeft)) return;
    const known = new Set([...hours, ...this.partless, ...(await this.empty())]);
    await this.change((noted) => noted.filter((hour) => !known.has(hour)));
  }

  private async empty(): Promise<Hour[]> {
    if (this.unpublished.length === 0) return [];
    const { components, dataset, signal } = this.context;
    const raw = await components.raw(dataset);
    const there = new Set(await hoursWithFolders(raw, dataset.raw, this.unpublished, signal));
    return this.unpublished.filter((hour) => !there.has(hour));
  }

  private get hasCatalog(): boolean {
    return this.context.components.settings.catalog.type !== "none";
  }

  private async change(change: (hours: Hour[]) => Hour[], signal?: AbortSignal): Promise<void> {
    await (await this.list()).change(change, signal);
  }

  private async list(): Promise<HourList> {
    const { components, dataset } = this.context;
    return new HourList(
      await components.tier1(dataset),
      unregisteredKey(dataset.tier1.prefix),
      `It names hours that the catalog may lack: delete it, and run ${commandText("register", components.settings, { dataset: dataset.name })}.`,
    );
  }
}
