/** Makes live parts from settings: the only file that picks implementations. Closes them in reverse order. */

import { BATCHES_SHARED } from "./capacity.js";
import type { Catalog } from "./catalog/catalog.js";
import type { Dataset, Settings } from "./config/settings.js";
import type { Engine } from "./engine/engine.js";
import { HourpackError } from "./errors.js";
import { type Location, parseLocation, uriOf } from "./layout.js";
import { Limiter } from "./limiter.js";
import { BatchMemory } from "./spool/batch.js";
import type { Store } from "./store/store.js";

export interface Components {
  readonly settings: Settings;
  raw(dataset: Dataset): Promise<Store>;
  tier1(dataset: Dataset): Promise<Store>;
  /** Started on first use: an hour that is up to date needs none. */
  engine(): Promise<Engine>;
  /** Only if one is configured. */
  catalog(): Promise<Catalog>;
  /** Bytes that are being fetched, over all hours. */
  readonly getBytes: Limiter;
  /** Bytes of objects that are being gunzipped, over all hours. */
  readonly plainBytes: Limiter;
  /** Raw bytes that the hours in flight may spool together. */
  readonly spoolBytes: Limiter;
  /** For the batches of all hours in flight. */
  readonly batchMemory: BatchMemory;
  nowMs(): number;
  /** Throws `invalid` if tier 1 ignores conditional writes and nobody vouched for a single writer. */
  requireConditions(dataset: Dataset): Promise<void>;
  close(): Promise<void>;
}

export interface ComponentOptions {
  /** The clock; the system's if absent. */
  nowMs?: () => number;
}

export function openComponents(settings: Settings, options: ComponentOptions = {}): Components {
  const releasers: (() => Promise<void>)[] = [];
  /** Makes a part once, on first use, and has it closed at the end. */
  const once = <T extends { close(): Promise<void> }>(make: () => Promise<T>): (() => Promise<T>) => {
    let made: Promise<T> | undefined;
    return () => {
      if (made) return made;
      const making = make().catch((error) => {
        // The next call tries again.
        made = undefined;
        throw error;
      });
      // Also closes a part that is still being made when the others are closed.
      releasers.push(async () => (await making.catch(() => undefined))?.close());
      made = making;
      return making;
    };
  };
  const stores = new Map<string, () => Promise<Store>>();
  const storeOf = (location: Location): Promise<Store> => {
    const id = `${location.scheme}:${location.root}`;
    let store = stores.get(id);
    if (!store) {
      store = once(async () => (await import("./store/open.js")).openStore(location, settings.s3));
      stores.set(id, store);
    }
    return store();
  };
  const components: Components = {
    settings,
    raw: (dataset) => storeOf(dataset.raw.location),
    tier1: (dataset) => storeOf(dataset.tier1),
    engine: once(async () => {
      const { openDuckdb } = await import("./engine/duckdb/duckdb.js");
      const { engineMemoryBytes, conversions, spoolDir } = settings.run;
      return openDuckdb({ memoryBytes: engineMemoryBytes, concurrency: conversions, tempDir: spoolDir });
    }),
    catalog: once(async () =>
      (await import("./catalog/open.js")).openCatalog(settings.catalog, async (uri) => {
        const location = parseLocation(uri);
        return { store: await storeOf(location), prefix: location.prefix };
      }),
    ),
    getBytes: new Limiter(settings.run.getBytes),
    plainBytes: new Limiter(settings.run.plainBytes),
    batchMemory: new BatchMemory(settings.run.batchBytes, BATCHES_SHARED),
    spoolBytes: new Limiter(settings.run.spoolBytesMax),
    nowMs: options.nowMs ?? Date.now,
    requireConditions: async (dataset) => {
      if (settings.run.singleWriter) return;
      const store = await components.tier1(dataset);
      if (await store.honoursConditions(dataset.tier1.prefix)) return;
      throw new HourpackError(
        "invalid",
        `publish to ${uriOf(dataset.tier1)}: the store ignores conditional writes`,
        {
          stage: "publish",
          location: uriOf(dataset.tier1),
          hint: "Two workers could overwrite each other there. Use a store that honours If-Match, or say --single-writer if only one worker ever writes.",
        },
      );
    },
    close: async () => {
      for (const release of releasers.reverse()) await release();
    },
  };
  return components;
}
