/** Stage 1: lists the hour's objects, after the HEAD of its published part, whose ETag is the condition of the publication (README.md). */
import { existsSync } from "node:fs";
import type { Dataset } from "../config/settings.js";
import { HourpackError } from "../errors.js";
import { isSkippedKey, rawBasePrefix, rawPrefix } from "../layout.js";
import { Listing } from "../listing.js";
import type { HourContext } from "../task.js";
import type { Published } from "../tier1/manifest.js";

/**
 * An hour without objects needs no work, but a missing directory is a mistake, as a missing bucket is in S3. Throws
 * `invalid`: another try fails the same way until somebody corrects the name, mounts the disk or makes the directory. A
 * worker looks again in each round. Once something is published the directory may be gone, since its objects may have
 * expired: then returns a notice for whoever asks for the hour by name.
 */
export function missingRawDirectory(
  { name, raw }: Dataset,
  published: Published | undefined,
): string | undefined {
  if (raw.location.scheme === "s3") return undefined;
  const directory = `${raw.location.root}/${rawBasePrefix(raw)}`;
  if (existsSync(directory)) return undefined;
  if (published)
    return `there is no directory ${directory}: the part stays as it is, and nothing new was looked for`;
  throw new HourpackError("invalid", `list the raw objects of ${name}: there is no directory ${directory}`, {
    stage: "list",
    location: directory,
    hint: "Is raw mistyped, or a disk not mounted? If nothing has been written yet, make the directory.",
  });
}

/** Lists all of the hour's objects, without those whose names say that they are not data. */
export async function listHour(task: HourContext): Promise<Listing> {
  const listing = await beginListing(task);
  await listing.whole;
  return listing;
}

/**
 * The same, but returns as soon as the listing has an object: the rest comes while the first objects are fetched
 * (`listing.whole`). A caller that does not wait for the rest stops the listing when it no longer needs it.
 */
export async function beginListing(task: HourContext): Promise<Listing> {
  const listing = new Listing();
  const stopped = new AbortController();
  listing.stop = () => stopped.abort();
  const signal = task.signal ? AbortSignal.any([task.signal, stopped.signal]) : stopped.signal;
  await new Promise<void>((begun) => {
    listing.whole = fill(listing, { ...task, signal }, begun).finally(() => listing.grown(false));
    listing.whole.then(begun, begun);
  });
  return listing;
}

async function fill(
  listing: Listing,
  { dataset, hour, components, signal }: HourContext,
  onPage: () => void,
): Promise<void> {
  const store = await components.raw(dataset);
  const prefix = rawPrefix(dataset.raw, hour);
  for await (const page of store.list(prefix, { signal })) {
    for (const object of page) {
      if (isSkippedKey(object.key)) listing.skipped++;
      else listing.add(object);
    }
    if (listing.count > OBJECTS_MAX) {
      throw new HourpackError(
        "data",
        `list ${store.uri}${prefix}: more than ${OBJECTS_MAX} objects in ${hour}`,
        {
          stage: "list",
          location: store.uri + prefix,
          hint: "Check that the raw template names an hour's own prefix; an hour of more objects is not supported.",
        },
      );
    }
    listing.grown(true);
    if (listing.count > 0) onPage();
  }
}

/** Everything has a limit; this one is ten times the largest hour that was measured. */
const OBJECTS_MAX = 10_000_000;
