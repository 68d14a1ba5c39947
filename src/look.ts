/** What a run would do about an hour, from its listing, its published part and today's settings. */

import { endMs } from "./hour.js";
import type { Listing } from "./listing.js";
import { type ColumnsSince, type Plan, planHour } from "./plan.js";
import { recipeOf, rowSettingsOf } from "./recipe.js";
import { readsAlike } from "./record/restore.js";
import { mergeConfigured } from "./schema/evolution.js";
import { currentSchema } from "./schema/pinned.js";
import type { HourTask } from "./task.js";
import { readManifest } from "./tier1/download.js";
import { EXPIRE_AFTER_MIN_MS, Journals, journalIds, readJournals } from "./tier1/journal.js";
import type { Manifest, Published } from "./tier1/manifest.js";
import { readPinned, schemaOf } from "./tier1/schema-file.js";

/** A late recompaction waits until `notBeforeMs`. Throws `data` if somebody has to decide. */
export function planOf(
  task: HourTask,
  listing: Listing,
  published: Published | undefined,
  notBeforeMs?: number,
): Promise<Plan> {
  return planHour({
    dataset: task.dataset.name,
    hour: task.hour,
    settings: task.components.settings,
    listing,
    published,
    manifest: () => readManifest(task, published as Published),
    journals: () => goneJournals(task, listing),
    journalIds: async () => {
      const { dataset, hour, components, signal } = task;
      return journalIds(await components.tier1(dataset), dataset.tier1.prefix, hour, signal);
    },
    recipe: recipeOf(task.dataset),
    rowSettings: rowSettingsOf(task.dataset),
    columnsSince: (manifest) => columnsSince(task, published as Published, manifest),
    request: task.request,
    notBeforeMs,
    nowMs: task.components.nowMs(),
  });
}

/** What `expire` deleted of this hour. It deletes nothing younger than a day, so new hours skip this listing. */
async function goneJournals(
  { dataset, hour, components, signal }: HourTask,
  listing: Listing,
): Promise<Journals> {
  if (components.nowMs() < endMs(hour) + EXPIRE_AFTER_MIN_MS) return new Journals([]);
  const journals = await readJournals(await components.tier1(dataset), dataset.tier1.prefix, hour, signal);
  return journals.goneFrom(listing);
}

async function columnsSince(
  task: HourTask,
  published: Published,
  { header }: Manifest,
): Promise<ColumnsSince> {
  const { dataset, components, signal } = task;
  const older = await schemaOf(task, published, header.schemaDigest);
  const pinned = await readPinned(await components.tier1(dataset), dataset.tier1.prefix, signal);
  const newer = mergeConfigured(pinned ? currentSchema(pinned) : older, dataset);
  // Columns that only schema.json has gained since are not asked for by the configuration.
  const lacking = mergeConfigured(older, dataset).columns.slice(older.columns.length);
  return { areReadAlike: readsAlike(older, newer), lacking: lacking.map(({ name }) => name) };
}
