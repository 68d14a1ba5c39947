import { createHash } from "node:crypto";
import type { Dataset } from "./config/settings.js";

/** Goes up when the same raw bytes under the same configuration would give other rows. */
const CONVERTER_VERSION = 1;

/** The settings that decide the rows, besides the data and the columns, as the user wrote them. */
export interface RowSettings {
  /** Under another template the same objects have other names and would look like late ones. */
  raw: string;
  records: string;
  unknown: string;
  zone: string;
}

const ROW_SETTINGS = ["raw", "records", "unknown", "zone"] as const;

export function areRowSettings(value: unknown): value is RowSettings {
  const settings = (value ?? {}) as Partial<RowSettings>;
  return ROW_SETTINGS.every((name) => typeof settings[name] === "string");
}

export function rowSettingsOf({ raw, records, unknown, zone }: Dataset): RowSettings {
  return { raw: raw.template, records: records.text, unknown, zone };
}

/**
 * Two digests of what decides the rows besides the data: one of the settings, one of the columns. Published with each part.
 * A changed recipe alone never makes an hour due; `run --rebuild` does (invariant 8).
 */
export function recipeOf(dataset: Dataset): string {
  const { raw, records, unknown, zone } = rowSettingsOf(dataset);
  return `${digestOf([CONVERTER_VERSION, raw, records, unknown, zone])}-${digestOf(dataset.columns ?? null)}`;
}

export function isRecipe(value: unknown): value is string {
  return typeof value === "string" && /^[0-9a-f]{16}-[0-9a-f]{16}$/.test(value);
}

/** Whether two recipes differ at most in their columns. */
export function differInColumnsAlone(one: string, other: string): boolean {
  return one.split("-")[0] === other.split("-")[0];
}

/** What rows are made by. The digests show that something differs; the settings, from a manifest, show what. */
export interface Made {
  recipe: string;
  settings: RowSettings;
}

/** `records was $ and is Records[*], columns`: what differs now; undefined if nothing does. */
export function otherSettings(then: Made, now: Made): string | undefined {
  if (then.recipe === now.recipe) return undefined;
  if (differInColumnsAlone(then.recipe, now.recipe)) return "columns";
  const [, columns] = then.recipe.split("-");
  const areColumnsOthers = columns !== now.recipe.split("-")[1];
  return [...otherRowSettings(then.settings, now.settings), ...(areColumnsOthers ? ["columns"] : [])].join(
    ", ",
  );
}

function otherRowSettings(then: RowSettings, now: RowSettings): string[] {
  const others = ROW_SETTINGS.filter((name) => then[name] !== now[name]);
  if (others.length === 0) return ["the version of hourpack"];
  return others.map((name) => `${name} was ${then[name]} and is ${now[name]}`);
}

function digestOf(value: unknown): string {
  return createHash("sha256").update(JSON.stringify(value)).digest("hex").slice(0, 16);
}
