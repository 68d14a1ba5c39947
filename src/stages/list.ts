/** Stage 1: head the published part, then list the hour's objects. In this order: the ETag of that HEAD is the condition of the publication (README.md). */
import { existsSync } from "node:fs";
import type { Dataset } from "../config/settings.js";
import { HourpackError } from "../errors.js";
import { factsIn, readFooter } from "../footer.js";
import type { Hour } from "../hour.js";
import { isSkippedKey, rawBasePrefix } from "../layout.js";
import { Listing } from "../listing.js";
import { fromMetadata, type PartFacts, type Published } from "../manifest.js";
import type { ObjectHead, Store } from "../store/store.js";

/**
 * What is published under a part's key, or undefined. A directory has no object metadata, so there the footer is
 * read. Throws `data` where what lies there does not say that it is a part.
 */
export async function headPart(
  store: Store,
  key: string,
  signal: AbortSignal | undefined,
): Promise<Published | undefined> {
  const head = await store.head(key, { signal });
  if (!head) return undefined;
  const facts = fromMetadata(head.metadata) ?? (await factsInFooter(store, head, signal));
  if (!facts) {
    throw new HourpackError(
      "data",
      `head ${store.uri}${key}: no part of hourpack's lies there, or one whose end is damaged`,
      {
        stage: "list",
        location: store.uri + key,
        hint: "Bring back an older version of it, or move it away: the hour is then packed from its raw objects. Where others write there, give the dataset another tier-1 prefix or table name.",
      },
    );
  }
  return {
    ...facts,
    key,
    etag: head.etag,
    sizeBytes: head.sizeBytes,
    lastModifiedMs: head.lastModifiedMs,
  };
}

/** Undefined where its end is damaged. */
async function factsInFooter(
  store: Store,
  head: ObjectHead,
  signal: AbortSignal | undefined,
): Promise<PartFacts | undefined> {
  try {
    return factsIn(await readFooter(store, head, signal));
  } catch (error) {
    if (error instanceof HourpackError) throw error;
    return undefined;
  }
}

/**
 * An hour without objects is nothing to do, but a directory that is not there is a mistake, as a bucket that is not
 * there is in S3. Throws `invalid`: another try ends alike, until somebody mends the name, mounts the disk or makes the
 * directory. A worker looks again in each of its rounds. Once something is published it may go, since its objects
 * expired: returns what is to be told of it to whoever asks for the hour by its name.
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

/** All pages of the hour's objects, without those that are no data by their names. */
export async function listHour(
  store: Store,
  prefix: string,
  hour: Hour,
  options: { signal?: AbortSignal },
): Promise<Listing> {
  const listing = await beginListing(store, prefix, hour, options);
  await listing.whole;
  return listing;
}

/**
 * The same, as soon as there is something in it: the rest comes while the first objects are fetched (`listing.whole`).
 * Whoever goes on without waiting for the rest stops the listing when it is needed no more.
 */
export async function beginListing(
  store: Store,
  prefix: string,
  hour: Hour,
  options: { signal?: AbortSignal },
): Promise<Listing> {
  const listing = new Listing();
  const stopped = new AbortController();
  listing.stop = () => stopped.abort();
  const signal = options.signal ? AbortSignal.any([options.signal, stopped.signal]) : stopped.signal;
  await new Promise<void>((begun) => {
    listing.whole = fill(listing, store, prefix, hour, signal, begun).finally(() => listing.grown(false));
    listing.whole.then(begun, begun);
  });
  return listing;
}

async function fill(
  listing: Listing,
  store: Store,
  prefix: string,
  hour: Hour,
  signal: AbortSignal,
  onPage: () => void,
): Promise<void> {
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

/** A limit on everything; ten times the largest hour that was measured. */
const OBJECTS_MAX = 10_000_000;
