/** What should be done about an hour: the listing compared with the manifest, as two sorted streams. Pure. */
import { hash } from "node:crypto";
import { HourpackError } from "./errors.js";
import type { Hour } from "./hour.js";
import { compareUtf8, Listing } from "./listing.js";
import type { ManifestEntry, Published } from "./manifest.js";
import type { ObjectInfo } from "./store/store.js";
import { counted } from "./words.js";

export interface PlanRequest {
  rebuild?: boolean;
  /** Keep the rows of objects that are gone or were overwritten; take only what is new. */
  keepOld?: boolean;
  /** Make the part anew from what is still listed; rows of objects that are gone are given up. */
  fromRemainder?: boolean;
  /** Set where a merge has turned out to change what published rows say: they are made anew, or it is refused. */
  noMerge?: boolean;
}

export interface Changes {
  added: number;
  overwritten: number;
  gone: number;
}

export type Plan =
  | { action: "empty"; reason: string }
  | { action: "up to date"; reason: string; published: Published; changes: Changes }
  | { action: "wait"; reason: string; published: Published; changes: Changes }
  | {
      /** `scratch`: all rows from `fetch`. `merge`: the published part's rows and those of `fetch`. */
      action: "scratch" | "merge";
      reason: string;
      published: Published | undefined;
      changes: Changes;
      /** The objects to read. */
      fetch: Listing;
    };

export interface PlanInput {
  hour: Hour;
  listing: Listing;
  published: Published | undefined;
  /** The published part's manifest entries; read only where digests differ. */
  entries: () => AsyncIterable<ManifestEntry>;
  /** Whether `expire` deleted raw objects of this hour; asked only where there is no part, or its rows would be given up. */
  expired: () => Promise<boolean>;
  recipe: string;
  request: PlanRequest;
  /** Where set, a late recompaction before this instant waits. */
  notBeforeMs?: number;
  nowMs: number;
}

const NO_CHANGES: Changes = { added: 0, overwritten: 0, gone: 0 };

export async function planHour(input: PlanInput): Promise<Plan> {
  const { listing, published, request } = input;
  if (!published) {
    if (!request.fromRemainder && (await input.expired())) throw partLost(input);
    if (listing.count === 0) return { action: "empty", reason: "no objects" };
    return {
      action: "scratch",
      reason: "new hour",
      published,
      changes: { ...NO_CHANGES, added: listing.count },
      fetch: listing,
    };
  }
  if (request.rebuild && request.fromRemainder) {
    // Said twice: not even what the part was made of matters, so its manifest need not be there.
    const reason = "rebuild from the remainder asked for";
    return { action: "scratch", reason, published, changes: NO_CHANGES, fetch: listing };
  }
  if (published.inputs === listing.digest() && !request.rebuild) {
    return { action: "up to date", reason: "inputs unchanged", published, changes: NO_CHANGES };
  }
  const added = new Listing();
  const changes = await compare(input.entries(), listing, added);
  return decide(input, published, changes, added);
}

/** Invariant 7. */
async function decide(
  input: PlanInput,
  published: Published,
  changes: Changes,
  added: Listing,
): Promise<Plan> {
  const { request, listing } = input;
  const reason = describe(changes);
  const scratch = async () => {
    if (changes.gone + changes.overwritten > 0 && (await input.expired())) throw expiredRows(input, changes);
    return { action: "scratch", reason, published, changes, fetch: listing } as const;
  };
  const merge = () => {
    if (request.noMerge) throw otherColumns(input, published);
    return { action: "merge", reason, published, changes, fetch: added } as const;
  };

  if (request.fromRemainder && changed(changes)) return scratch();
  if (request.keepOld) {
    return changes.added > 0 ? merge() : { action: "up to date", reason, published, changes };
  }
  if (changes.gone > 0) {
    if (changes.overwritten > 0 || request.rebuild) throw refusal(input, changes, published);
    if (changes.added === 0) {
      return {
        action: "up to date",
        reason: `${reason}: ${changes.gone === 1 ? "its" : "their"} rows stay`,
        published,
        changes,
      };
    }
    const moved = await countMoved(input.entries(), listing, added);
    if (moved > 0 && !(await input.expired())) throw movedObjects(input, moved);
    if (published.recipe !== input.recipe) throw refusal(input, changes, published);
  }
  if (request.rebuild) return { ...(await scratch()), reason: "rebuild asked for" };
  if (!changed(changes)) return { action: "up to date", reason: "inputs unchanged", published, changes };
  if (input.notBeforeMs !== undefined && input.nowMs < input.notBeforeMs) {
    const minuteMs = Math.ceil(input.notBeforeMs / 60_000) * 60_000;
    const until = `${new Date(minuteMs).toISOString().slice(0, 16)}Z`;
    const wait = `waits for lateSettle until ${until}; --hour ${input.hour} takes it now`;
    return { action: "wait", reason: `${reason}: ${wait}`, published, changes };
  }
  if (changes.gone > 0) return merge();
  const isUnchanged = changes.overwritten === 0 && published.recipe === input.recipe;
  return isUnchanged && !request.noMerge ? merge() : scratch();
}

/** Its objects were deleted since the part had their rows: what is listed now is not the hour. */
function partLost(input: PlanInput): HourpackError {
  return new HourpackError(
    "data",
    `plan ${input.hour}: its raw objects were expired after they had been packed, and the part is missing`,
    {
      stage: "plan",
      hint: "Bring the part back (from a backup or an older version in the bucket), or say --from-remainder to pack what is still listed.",
    },
  );
}

/** They were deleted because the part had their rows. What has come under the name of one since is another object. */
function expiredRows({ hour }: PlanInput, { gone, overwritten }: Changes): HourpackError {
  const which =
    overwritten > 0
      ? `${counted(overwritten, "object")} of it ${overwritten === 1 ? "has" : "have"} other content than when it was packed, raw objects of it expired since`
      : `${counted(gone, "object")} of it expired after having been packed`;
  const remedy =
    overwritten > 0
      ? "Copy what is new to a name that the hour has not had, where it is packed as a late object; --keep-old passes it over."
      : "Nothing is to be done about such an hour.";
  return new HourpackError("data", `plan ${hour}: ${which}, and the part has the only rows of them`, {
    stage: "plan",
    hint: `${remedy} To give these rows up all the same, say --rebuild --from-remainder.`,
  });
}

/** Taken for late ones, their rows would be there twice. */
function movedObjects({ hour }: PlanInput, moved: number): HourpackError {
  return new HourpackError(
    "data",
    `plan ${hour}: ${counted(moved, "late object")} of it ${moved === 1 ? "has" : "have"} the size and ETag of others that are gone, as if they had been moved, and their rows are in the part already`,
    {
      stage: "plan",
      hint: "Say what is meant: --from-remainder packs what is listed now, --keep-old keeps the published rows and adds these objects' rows to them.",
    },
  );
}

/** Its rows cannot be made anew without the objects that are gone, nor be read under the columns of today. */
function otherColumns({ hour }: PlanInput, { schemaVersion }: Published): HourpackError {
  return new HourpackError(
    "data",
    `plan ${hour}: its rows were written under version ${schemaVersion} of the columns, and a column of today would take the place of one that holds their values`,
    {
      stage: "plan",
      hint: "Keep the part as it is; `hourpack restore` gives its records back, to be put beside the new objects, and --rebuild --from-remainder packs what is listed then.",
    },
  );
}

function refusal(input: PlanInput, changes: Changes, published: Published): HourpackError {
  const why =
    changes.overwritten > 0
      ? "others were overwritten"
      : published.recipe !== input.recipe
        ? "the recipe changed"
        : "a rebuild was asked for";
  const isAll = changes.gone === published.objects && changes.added === 0;
  return new HourpackError(
    "data",
    `plan ${input.hour}: ${changes.gone} of its ${counted(published.objects, "object")} ${changes.gone === 1 ? "is" : "are"} gone and ${why}, so its rows can neither be kept nor made anew without loss`,
    {
      stage: "plan",
      hint: isAll
        ? "Keep the part as it is: it has the only rows there are, and --from-remainder would give all of them up."
        : "Say what is meant: --keep-old keeps the published rows and adds only new objects, --from-remainder packs what is still listed.",
    },
  );
}

function changed(changes: Changes): boolean {
  return changes.added + changes.overwritten + changes.gone > 0;
}

function describe(changes: Changes): string {
  const words: string[] = [];
  if (changes.added > 0) words.push(counted(changes.added, "late object"));
  if (changes.overwritten > 0) words.push(`${counted(changes.overwritten, "object")} overwritten`);
  if (changes.gone > 0) words.push(`${counted(changes.gone, "object")} gone`);
  return words.length > 0 ? words.join(", ") : "inputs unchanged";
}

type Sighting =
  | { kind: "same" | "overwritten" | "gone"; entry: ManifestEntry }
  | { kind: "added"; object: ObjectInfo };

/** Walks both streams in key order. */
async function* sight(
  entries: AsyncIterable<ManifestEntry>,
  listing: Iterable<ObjectInfo>,
): AsyncGenerator<Sighting> {
  const objects = listing[Symbol.iterator]();
  let next = objects.next();
  for await (const entry of entries) {
    for (; !next.done && compareUtf8(next.value.key, entry.key) < 0; next = objects.next()) {
      yield { kind: "added", object: next.value };
    }
    if (next.done || next.value.key !== entry.key) {
      yield { kind: "gone", entry };
      continue;
    }
    const isSame = contentOf(next.value) === contentOf(entry);
    yield { kind: isSame ? "same" : "overwritten", entry };
    next = objects.next();
  }
  for (; !next.done; next = objects.next()) yield { kind: "added", object: next.value };
}

/** What only the listing has goes to `added`. */
async function compare(
  entries: AsyncIterable<ManifestEntry>,
  listing: Iterable<ObjectInfo>,
  added: Listing,
): Promise<Changes> {
  const changes: Changes = { ...NO_CHANGES };
  for await (const sighting of sight(entries, listing)) {
    if (sighting.kind === "added") added.add(sighting.object);
    if (sighting.kind !== "same") changes[sighting.kind]++;
  }
  return changes;
}

/** How many of these late objects are, by size and ETag, what another name had that is gone. */
async function countMoved(
  entries: AsyncIterable<ManifestEntry>,
  listing: Iterable<ObjectInfo>,
  added: Listing,
): Promise<number> {
  // Eight bytes each, where the texts of a million would take a hundred megabytes.
  const prints = new BigUint64Array(added.count);
  let count = 0;
  for (const object of added) prints[count++] = printOf(object);
  prints.sort();
  const isTaken = new Uint8Array(count);
  let moved = 0;
  for await (const sighting of sight(entries, listing)) {
    if (sighting.kind !== "gone" || sighting.entry.records === 0) continue;
    const print = printOf(sighting.entry);
    let at = firstAt(prints, print);
    while (prints[at] === print && isTaken[at]) at++;
    if (prints[at] !== print) continue;
    isTaken[at] = 1;
    moved++;
  }
  return moved;
}

/** Where this number is, or would be, among sorted ones. */
function firstAt(sorted: BigUint64Array, number: bigint): number {
  let [from, to] = [0, sorted.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    if ((sorted[middle] as bigint) < number) from = middle + 1;
    else to = middle;
  }
  return from;
}

function printOf(object: Pick<ObjectInfo, "sizeBytes" | "etag">): bigint {
  return hash("sha256", contentOf(object), "buffer").readBigUInt64LE();
}

function contentOf({ sizeBytes, etag }: Pick<ObjectInfo, "sizeBytes" | "etag">): string {
  return `${sizeBytes} ${etag}`;
}
