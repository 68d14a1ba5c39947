/** What to do about an hour, from its listing and its manifest. Pure. */
import { commandText } from "./command-text.js";
import { type Changes, type Compared, compare, findMoved } from "./compare.js";
import { Listing } from "./listing.js";
import { keysOf, type Named } from "./named.js";
import { differInColumnsAlone, otherSettings, type RowSettings } from "./recipe.js";
import {
  columnsLacking,
  expiredRows,
  movedObjects,
  type NamedHour,
  olderPart,
  otherColumns,
  otherRecipe,
  partLost,
  rowsLost,
} from "./refusals.js";
import type { Journals } from "./tier1/journal.js";
import type { Manifest, ManifestHeader, Published } from "./tier1/manifest.js";
import { agreeing, counted } from "./words.js";

export interface PlanRequest {
  rebuild?: boolean;
  /** Keep the rows of objects that are gone or were overwritten; take only new objects. */
  keepOld?: boolean;
  /** Rebuild the part from what is still listed, and give up the rows of objects that are gone. */
  fromRemainder?: boolean;
  /** Set after a merge turned out to change what published rows say: rebuild them, or refuse. */
  noMerge?: boolean;
}

export type Plan =
  | { action: "empty"; reason: string }
  | { action: "upToDate"; reason: string; published: Published; changes: Changes }
  | { action: "waiting"; reason: string; published: Published; changes: Changes }
  | {
      /** `scratch`: all rows from `fetch`. `merge`: the published part's rows and those of `fetch`. */
      action: "scratch" | "merge";
      reason: string;
      published: Published | undefined;
      changes: Changes;
      /** The objects to read. */
      fetch: Listing;
      /** Of a merge: published rows must not be rebuilt, because they cannot be or because somebody said so. */
      areRowsKept?: boolean;
      /** The journals whose rows are given up, or were by the published part. */
      givenUp?: ManifestHeader["givenUp"];
    };

/** How published rows relate to today's columns. */
export interface ColumnsSince {
  /** Whether the rows say the same under today's columns. */
  areReadAlike: boolean;
  /** Configured columns that the rows lack. */
  lacking: string[];
}

export interface PlanInput extends NamedHour {
  listing: Listing;
  published: Published | undefined;
  /** The published part's; read only if the digests differ. */
  manifest: () => Promise<Manifest>;
  /** What `expire` deleted of this hour; read only if there is no part, or its objects are not the listed ones. */
  journals: () => Promise<Journals>;
  /** The ids of all the hour's journals; asked only if rows are given up. */
  journalIds: () => Promise<string[]>;
  recipe: string;
  /** The recipe without its columns, for messages. */
  rowSettings: RowSettings;
  /** Asked only if late objects meet rows that cannot be rebuilt, and the configured columns have changed. */
  columnsSince: (manifest: Manifest) => Promise<ColumnsSince>;
  request: PlanRequest;
  /** A late recompaction waits until this instant. */
  notBeforeMs?: number;
  nowMs: number;
}

const NO_CHANGES: Changes = { added: 0, overwritten: 0, gone: 0 };

export async function planHour(input: PlanInput): Promise<Plan> {
  const { listing, published, request } = input;
  if (!published) {
    if (!request.fromRemainder && !(await input.journals()).isEmpty) throw partLost(input);
    if (listing.count === 0) return { action: "empty", reason: "no objects" };
    return {
      action: "scratch",
      reason: "new hour",
      published,
      changes: { ...NO_CHANGES, added: listing.count },
      fetch: listing,
      givenUp: await givenUpBy(input),
    };
  }
  if (request.rebuild && request.fromRemainder) {
    // With both flags the part's own objects do not matter, so its manifest may even be missing.
    const reason = "rebuild from the remainder asked for";
    const givenUp = await givenUpBy(input);
    return { action: "scratch", reason, published, changes: NO_CHANGES, fetch: listing, givenUp };
  }
  if (published.inputs === listing.digest() && !request.rebuild) {
    return { action: "upToDate", reason: "inputs unchanged", published, changes: NO_CHANGES };
  }
  const added = new Listing();
  const manifest = await input.manifest();
  const compared = await compare(manifest.entries(), listing, added);
  const journals = (await input.journals()).binding(manifest.header);
  const missing = changed(compared.changes) ? await journals.missingIn(manifest) : undefined;
  if (missing !== undefined) throw olderPart(input, published, missing);
  return decide(input, { published, manifest, journals, compared, added });
}

/** A part, and what has changed since it was made. */
interface Since {
  published: Published;
  manifest: Manifest;
  /** The journals that apply to this part. */
  journals: Journals;
  compared: Compared;
  added: Listing;
}

/** Invariant 7. */
async function decide(input: PlanInput, since: Since): Promise<Plan> {
  const { request, listing } = input;
  const { published, manifest, journals, compared, added } = since;
  const { changes, kept } = compared;
  const reason = describe(changes);
  // The listed objects do not have these rows. `--rebuild` replaces rows that were kept by the versions that were passed over.
  const areKept = changes.gone > 0 || (kept.count > 0 && !request.rebuild);
  const scratch = async (why = reason) => {
    if (changes.gone + changes.overwritten + kept.count > 0 && !journals.isEmpty)
      throw expiredRows(input, compared);
    const givenUp = (await givenUpBy(input)) ?? manifest.header.givenUp;
    return { action: "scratch", reason: why, published, changes, fetch: listing, givenUp } as const;
  };
  const merge = () => {
    if (request.noMerge) throw otherColumns(input, published);
    const areRowsKept = areKept || request.keepOld === true;
    return { action: "merge", reason, published, changes, fetch: added, areRowsKept } as const;
  };

  if (request.fromRemainder && changed(changes)) return scratch();
  if (request.keepOld) {
    if (changes.added + changes.overwritten === 0) return { action: "upToDate", reason, published, changes };
    if (changes.added > 0) await requireAlike(input, published, manifest, compared);
    return changes.overwritten > 0 ? { ...merge(), reason: `${reason}: published rows stay` } : merge();
  }
  if (areKept) {
    await requireKeepable(input, since);
    if (changes.added === 0) {
      const stay = changes.gone > 0 ? `: ${agreeing(changes.gone, "its")} rows stay` : "";
      return { action: "upToDate", reason: reason + stay, published, changes };
    }
  }
  if (request.rebuild) return scratch(`rebuild asked for${givenUpText(kept)}`);
  if (!changed(changes)) return { action: "upToDate", reason: "inputs unchanged", published, changes };
  if (input.notBeforeMs !== undefined && input.nowMs < input.notBeforeMs)
    return {
      action: "waiting",
      reason: `${reason}: ${waitText(input, input.notBeforeMs)}`,
      published,
      changes,
    };
  if (areKept) return merge();
  const others = othersSince(input, manifest);
  if (others !== undefined)
    return scratch(`${reason}: rebuilt, as it was packed under other settings (${others})`);
  return changes.overwritten === 0 && !request.noMerge ? merge() : scratch();
}

/** Once given up, rows stay given up in every part that is made from this one. Undefined if nobody gives up any. */
async function givenUpBy({ request, journalIds }: PlanInput): Promise<string[] | undefined> {
  const ids = request.fromRemainder ? await journalIds() : [];
  return ids.length > 0 ? ids : undefined;
}

/** Throws if late objects cannot simply join the rows that only the part has. */
async function requireKeepable(
  input: PlanInput,
  { published, manifest, journals, compared, added }: Since,
): Promise<void> {
  const { changes, kept, gone } = compared;
  if (changes.overwritten > 0) {
    if (!journals.isEmpty) throw expiredRows(input, compared);
    const why = kept.count > 0 ? "objects were overwritten since" : "others were overwritten";
    throw rowsLost(input, published, compared, why);
  }
  if (input.request.rebuild) throw rowsLost(input, published, compared);
  if (changes.added === 0) return;
  const moved = await findMoved(manifest.entries(), input.listing, added, journals);
  if (moved.count > 0) throw movedObjects(input, moved, gone);
  await requireAlike(input, published, manifest, compared);
}

/** A rebuild drops rows that somebody decided to keep: the reason says so. */
function givenUpText(kept: Named): string {
  if (kept.count === 0) return "";
  const objects = kept.count === 1 ? "an object" : counted(kept.count, "object");
  return `: what is listed of ${objects} (${keysOf(kept)}) takes the place of rows that were kept`;
}

/** Which settings have changed since the part was packed. */
function othersSince({ recipe, rowSettings }: PlanInput, { header }: Manifest): string | undefined {
  return otherSettings(header, { recipe, settings: rowSettings });
}

function waitText({ settings, dataset, hour }: NamedHour, notBeforeMs: number): string {
  const minuteMs = Math.ceil(notBeforeMs / 60_000) * 60_000;
  const until = `${new Date(minuteMs).toISOString().slice(0, 16)}Z`;
  return `waits for lateSettle until ${until}; ${commandText("run", settings, { dataset, hours: hour })} takes it now`;
}

/**
 * Throws if rows of late objects would differ in kind from the published rows beside them, which cannot be rebuilt. Asked before
 * columns are pinned. Reordering, writing down or removing columns changes no row. A new column that published rows lack is for
 * somebody to decide (invariant 7).
 */
async function requireAlike(
  input: PlanInput,
  published: Published,
  manifest: Manifest,
  compared: Compared,
): Promise<void> {
  const { recipe, columnsSince, request } = input;
  const { keepOld } = request;
  const others = othersSince(input, manifest);
  if (others === undefined) return;
  if (!keepOld && !differInColumnsAlone(manifest.header.recipe, recipe))
    throw otherRecipe(input, published, compared, others);
  if (published.rows === 0) return;
  const { areReadAlike, lacking } = await columnsSince(manifest);
  if (!areReadAlike) throw otherColumns(input, published);
  if (!keepOld && lacking.length > 0) throw columnsLacking(input, published, compared, lacking);
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
