/** Stage 7: quarantine, then manifest, then the part: one conditional write, the commit point. */
import { decodeTime } from "ulid";
import { isHourpackError } from "../errors.js";
import { DAY_MS } from "../hour.js";
import type { Body, PutCondition, Store } from "../store/store.js";
import type { HourResult } from "../task.js";
import { type Published, toMetadata } from "../tier1/manifest.js";
import { headPart } from "../tier1/published.js";
import type { Assembled } from "./assemble.js";

interface Publication extends Pick<Assembled, "body" | "sizeBytes" | "facts" | "quarantine"> {
  partKey: string;
  manifestKey: string;
  manifest: Body;
  quarantineKey: string;
  /** The part that the plan was made against. */
  replaces: Published | undefined;
}

/** `lost`: somebody else published first; the attempt's own files are gone and the hour is to be planned again. */
export type PublishOutcome =
  | { outcome: "published"; part: NonNullable<HourResult["part"]> }
  | { outcome: "lost"; reason: string };

/** `before`: awaited before the part can be seen, while the bytes of a large one are on their way. */
export async function publish(
  store: Store,
  publication: Publication,
  options: { before: () => Promise<void>; nowMs: () => number; signal?: AbortSignal },
): Promise<PublishOutcome> {
  const { nowMs } = options;
  const { attempt } = publication.facts;
  const ageMs = () => nowMs() - decodeTime(attempt);
  if (ageMs() > PUBLISHES_WITHIN_MS) return { outcome: "lost", reason: "the attempt took more than a day" };
  const signal = withDeadline(options.signal, PUBLISHES_WITHIN_MS - ageMs());
  const own: [key: string, body: Body][] = [[publication.manifestKey, publication.manifest]];
  if (publication.quarantine) own.unshift([publication.quarantineKey, publication.quarantine]);
  // By these the sweeper finds what an attempt that was killed in the middle of its upload has left.
  for (const [key, body] of own) await writeOwn(store, key, body, signal);

  const condition: PutCondition = publication.replaces
    ? { etag: publication.replaces.etag }
    : { absent: true };
  const published = async (sizeBytes: number): Promise<PublishOutcome> => {
    // A machine that slept for days in the middle of this: the sweeper may have been there.
    if (ageMs() > PUBLISHES_WITHIN_MS)
      for (const [key, body] of own) await writeOwn(store, key, body, options.signal);
    const { rows, quarantined, quarantinedBytes } = publication.facts;
    const part = { key: publication.partKey, rows, quarantined, quarantinedBytes, sizeBytes };
    return { outcome: "published", part };
  };
  let reason: string;
  let cause: unknown;
  try {
    const put = await store.put(publication.partKey, publication.body, {
      condition,
      metadata: toMetadata(publication.facts),
      contentType: "application/vnd.apache.parquet",
      before: options.before,
      signal,
    });
    if (put.outcome === "written") return published(publication.sizeBytes);
    reason = put.reason;
  } catch (error) {
    // The outcome is unknown (a lost answer): what is there now decides.
    if (!isHourpackError(error, "unavailable")) throw error;
    reason = error.message;
    cause = error;
  }
  const part = await headPart(store, publication.partKey, signal);
  if (part?.attempt === attempt) return published(part.sizeBytes);
  if (cause !== undefined && part?.etag === publication.replaces?.etag) throw cause;
  // Only now, after a HEAD showed a part that names another attempt, may this attempt's own files go (invariant 1).
  if (part) for (const [key] of own) await store.delete(key, { signal });
  return { outcome: "lost", reason };
}

/** An attempt that has not published by then gives up: the sweeper takes what no part names after seven days (upkeep/sweep.ts). */
const PUBLISHES_WITHIN_MS = DAY_MS;

function withDeadline(signal: AbortSignal | undefined, timeoutMs: number): AbortSignal {
  const deadline = AbortSignal.timeout(timeoutMs);
  return signal ? AbortSignal.any([signal, deadline]) : deadline;
}

/** Written once by this attempt alone; where an answer was lost and it is there already, that is the same file. */
async function writeOwn(
  store: Store,
  key: string,
  body: Body,
  signal: AbortSignal | undefined,
): Promise<void> {
  await store.put(key, body, { contentType: "application/gzip", signal });
}
