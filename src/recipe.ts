import { createHash } from "node:crypto";
import type { Dataset } from "./config/settings.js";

/** Goes up when the same raw bytes under the same configuration would become other rows. */
const CONVERTER_VERSION = 1;

/**
 * Digest of what shapes the rows besides the data. Published with each part; a changed recipe alone never makes an
 * hour due, `run --rebuild` does (invariant 8).
 */
export function recipeOf(dataset: Dataset): string {
  const { records, unknown, columns, zone } = dataset;
  const recipe = JSON.stringify([CONVERTER_VERSION, records.text, unknown, columns ?? null, zone]);
  return createHash("sha256").update(recipe).digest("hex").slice(0, 16);
}
