import { createHash } from "node:crypto";
import type { Dataset } from "./config/settings.js";

/** Goes up when the same raw bytes under the same configuration would become other rows. */
const CONVERTER_VERSION = 1;

/**
 * Digests of what decides which rows there are besides the data: of all but the columns, and of these. Published with each part;
 * a changed recipe alone never makes an hour due, `run --rebuild` does (invariant 8).
 */
export function recipeOf(dataset: Dataset): string {
  const { raw, records, unknown, columns, zone } = dataset;
  // Under another template the same objects have other names, and would be taken for late ones.
  const others = [CONVERTER_VERSION, raw.template, records.text, unknown, zone];
  return `${digestOf(others)}-${digestOf(columns ?? null)}`;
}

/** Whether two recipes have all but their columns in common. */
export function differInColumnsAlone(one: string, other: string): boolean {
  const [others, columns] = one.split("-");
  return columns !== undefined && others === other.split("-")[0];
}

function digestOf(value: unknown): string {
  return createHash("sha256").update(JSON.stringify(value)).digest("hex").slice(0, 16);
}
