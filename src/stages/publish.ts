/** Stage 7: writes quarantine, then manifest, then the part. The part is one conditional write, the commit point. */
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

/** `lost`: the attempt did not publish, mostly because somebody else was first. Plan the hour again. */
export type PublishOutcome =
  | { outcome: "published"; part: NonNullable<HourResult["part"]> }
  | { outcome: "lost"; reason: string };

/** `before` is awaited before the part becomes visible, while the bytes of a large part are already being sent. */
export async function publish(
  store: Store,
  publication: Publication,
  options: { before: () => Promise<void>; nowMs: () => number; signal?: AbortSignal },
): Promise<PublishOutcome> {
  const { nowMs } = options;
  const { attempt } = publication.facts;
  const ageMs = () => nowMs() - decodeTime(attempt);
  if (ageMs() > PUBLISHES_WITHIN_MS) return TOO_LATE;
  const signal = withDeadline(options.signal, PUBLISHES_WITHIN_MS - ageMs());
  const own: [key: string, body: Body][] = [[publication.manifestKey, publication.manifest]];
  if (publication.quarantine) own.unshift([publication.quarantineKey, publication.quarantine]);
  // From these files the sweeper finds what an attempt that was killed during its upload has left.
  for (const [key, body] of own) await writeOwn(store, key, body, signal);

  const condition: PutCondition = publication.replaces
    ? { etag: publication.replaces.etag }
    : { absent: true };
  const published = async (sizeBytes: number): Promise<PublishOutcome> => {
    // If the machine slept for days meanwhile, the sweeper may have deleted the attempt's files.
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
    const isLate = ageMs() > PUBLISHES_WITHIN_MS && !options.signal?.aborted;
    if (isLate && isHourpackError(error, "interrupted")) return TOO_LATE;
    // The outcome is unknown (a lost answer), so the part that is there now decides.
    if (!isHourpackError(error, "unavailable")) throw error;
    reason = error.message;
    cause = error;
  }
  const part = await headPart(store, publication.partKey, signal);
  if (part?.attempt === attempt) return published(part.sizeBytes);
  if (cause !== undefined && part?.etag === publication.replaces?.etag) throw cause;
  // The attempt's own files may go only now, after a HEAD showed a part that names another attempt (invariant 1).
  if (part) for (const [key] of own) await store.delete(key, { signal });
  return { outcome: "lost", reason };
}

/** An attempt gives up after this time, because the sweeper deletes what no part names after seven days (upkeep/sweep.ts). */
const PUBLISHES_WITHIN_MS = DAY_MS;
const TOO_LATE: PublishOutcome = { outcome: "lost", reason: "the attempt took more than a day" };

function withDeadline(signal: AbortSignal | undefined, timeoutMs: number): AbortSignal {
  const deadline = AbortSignal.timeout(timeoutMs);
  return signal ? AbortSignal.any([signal, deadline]) : deadline;
}

/** Only this attempt writes this key. If an answer was lost and the file is there already, it is the same file. */
async function writeOwn(
  store: Store,
  key: string,
  body: Body,
  signal: AbortSignal | undefined,
): Promise<void> {
  await store.put(key, body, { contentType: "application/gzip", signal });
}
