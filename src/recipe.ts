import { createHash } from "node:crypto";
import type { Dataset } from "./config/settings.js";

/** Goes up when the same raw bytes under the same configuration would become other rows. */
const CONVERTER_VERSION = 1;

/**
 * Digest of what decides which rows there are besides the data. Published with each part; a changed recipe alone never makes an
 * hour due, `run --rebuild` does (invariant 8).
 */
export function recipeOf(dataset: Dataset): string {
  const { raw, records, unknown, columns, zone } = dataset;
  // Under another template the same objects have other names, and would be taken for late ones.
  const recipe = [CONVERTER_VERSION, raw.template, records.text, unknown, columns ?? null, zone];
  return createHash("sha256").update(JSON.stringify(recipe)).digest("hex").slice(0, 16);
}
