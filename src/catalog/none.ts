import type { Catalog } from "./catalog.js";

/** No catalog: everything is in step with nothing. */
export class NoCatalog implements Catalog {
  readonly kind = "none";

  async ensureTable(): Promise<boolean> {
    return false;
  }

  async syncPartitions(_table: unknown, hours: unknown[]) {
    return { added: 0, corrected: 0, unchanged: hours.length, notes: [] };
  }

  async lacking() {
    return [];
  }

  async close(): Promise<void> {}
}
