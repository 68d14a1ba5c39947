/** The way of one hour. */
import { ulid } from "ulid";
import { withClaim } from "./claim.js";
import type { Components } from "./components.js";
import type { Engine } from "./engine/engine.js";
import { besideName, HourpackError, isHourpackError } from "./errors.js";
import { manifestKey, partKey, quarantineKey } from "./layout.js";
import { cutLimitsOf } from "./limits.js";
import { type Listing, PAGE_OBJECTS } from "./listing.js";
import { planOf } from "./look.js";
import type { Plan } from "./plan.js";
import { Shape } from "./record/inference.js";
import { readsAlike } from "./record/restore.js";
import { Sifter } from "./record/sift.js";
import { derivedSince } from "./schema/evolution.js";
import { digestOfColumns } from "./schema/pinned.js";
import type { Schema } from "./schema/types.js";
import type { Batch } from "./spool/batch.js";
import { inSpool, Spool } from "./spool/spool.js";
import {
  type Assembled,
  type Assembly,
  assemble,
  type Base,
  beginMerge,
  checkQuarantine,
  makeManifest,
  tellMisfit,
} from "./stages/assemble.js";
import { type ConvertedHour, convertAgain, convertBatches } from "./stages/convert.js";
import { beginListing, missingRawDirectory } from "./stages/list.js";
import { growSchema, pinSchema } from "./stages/pin.js";
import { type PublishOutcome, publish } from "./stages/publish.js";
import { type SpoolOptions, spoolObjects } from "./stages/spool.js";
import { verifyPart } from "./stages/verify.js";
import { Stopwatch } from "./stopwatch.js";
import type { HourResult, HourTask } from "./task.js";
import { readManifest } from "./tier1/download.js";
import type { PartFacts, Published } from "./tier1/manifest.js";
import { publishedPart } from "./tier1/published.js";
import { schemaOf } from "./tier1/schema-file.js";
import { count, counted } from "./words.js";

/** If another worker wins the race the hour needs a second plan; if objects change while they are read, more. */
const PLANS_MAX = 5;

/**
 * Packs one hour, or finds nothing to do. Returns undefined if another worker is at it. Throws `conflict` if the hour is
 * still changing after several plans, and whatever a stage throws. Nothing is ever half published.
 */
export async function compactHour(task: HourTask): Promise<HourResult | undefined> {
  const watch = new Stopwatch();
  let { request } = task;
  let lost = "";
  for (let round = 1; round <= PLANS_MAX; round++) {
    try {
      const packed = await planAndPack({ ...task, request }, watch);
      if (!packed || !("lost" in packed)) return packed;
      lost = packed.lost;
      if (packed.noMerge) request = { ...request, noMerge: true };
    } catch (error) {
      if (!isHourpackError(error, "conflict")) throw error;
      lost = besideName(`${task.dataset.name} ${task.hour}`, error.message);
    }
    task.observe({
      type: "hour-replanned",
      dataset: task.dataset.name,
      hour: task.hour,
      text: `planning again: ${lost}`,
    });
  }
  throw new HourpackError(
    "conflict",
    `pack ${task.dataset.name} ${task.hour}: still changing after ${PLANS_MAX} plans (${lost})`,
    {
      stage: "publish",
      hint: "Its objects or its part change while they are read; run the hour again later.",
    },
  );
}

async function planAndPack(task: HourTask, watch: Stopwatch): Promise<HourResult | Lost | undefined> {
  const { plan, listing } = await listAndPlan(task, watch);
  try {
    if (plan.action !== "scratch" && plan.action !== "merge") return resultOf(task, plan, listing, watch);
    prepare(task);
    const attempt = ulid(task.components.nowMs());
    const packed = await withClaim(task, attempt, () => pack(task, attempt, plan, listing, watch));
    if (!packed || "lost" in packed) return packed;
    tellGivenUp(task, plan, packed);
    return { ...resultOf(task, plan, listing, watch), ...packed };
  } finally {
    listing.stop();
  }
}

/** Starts what takes time to load while the hour is being claimed. `pack` reports the errors when it awaits these. */
function prepare({ components, dataset }: HourTask): void {
  components.engine().catch(() => {});
  components.requireConditions(dataset).catch(() => {});
  // Imported now: during verification the engine occupies the threads that would read its files.
  import("hyparquet").catch(() => {});
}

/** Stages 1 and 2. A new hour is planned from its first page, and its objects are read while the rest is listed. */
async function listAndPlan(task: HourTask, watch: Stopwatch): Promise<Listed & { plan: Plan }> {
  return watch.time("list", async () => {
    const listed = await headAndList(task, watch, false);
    const plan = await planListed(task, listed).catch((error) => {
      listed.listing.stop();
      throw error;
    });
    return { ...listed, plan };
  });
}

/** The state of an hour and what a run would do about it; if somebody has to decide, the reason and whatever could be read. */
type Looked = (Listed & { plan: Plan }) | (Partial<Listed> & { refusal: HourpackError });

/** For commands that look at an hour without packing it. */
export async function lookOver(task: HourTask): Promise<Looked> {
  let listed: Listed | undefined;
  try {
    listed = await headAndList(task, new Stopwatch(), true);
    return { ...listed, plan: await planListed(task, listed) };
  } catch (error) {
    if (!isHourpackError(error, "data")) throw error;
    return { ...listed, refusal: error };
  }
}

interface Listed {
  listing: Listing;
  published: Published | undefined;
}

/** The part's ETag is read before the listing, never after. `isWhole`: also the listing of a new hour is awaited to its end. */
async function headAndList(task: HourTask, watch: Stopwatch, isWhole: boolean): Promise<Listed> {
  const { dataset, hour } = task;
  const published = await publishedPart(task);
  const listing = await beginListing(task);
  const rest = listing.whole.then(() => {
    const { count: objects, sizeBytes: rawBytes } = listing;
    task.observe({ type: "listed", dataset: dataset.name, hour, objects, rawBytes });
  });
  if (isWhole || published || listing.count < PAGE_OBJECTS) await rest;
  else watch.time("list", () => rest).catch(() => {});
  const missing = listing.count === 0 ? missingRawDirectory(dataset, published) : undefined;
  if (missing && task.isAsked) task.observe({ type: "notice", dataset: dataset.name, hour, text: missing });
  return { listing, published };
}

function planListed(task: HourTask, { listing, published }: Listed): Promise<Plan> {
  const { lateSettleMs } = task.components.settings.run;
  const notBeforeMs = published && !task.isAsked ? published.lastModifiedMs + lateSettleMs : undefined;
  return planOf(task, listing, published, notBeforeMs);
}

type ToPack = Extract<Plan, { action: "scratch" | "merge" }>;
type Packed = Pick<
  HourResult,
  "action" | "part" | "rows" | "rescued" | "quarantined" | "quarantinedBytes" | "seconds" | "stageSeconds"
>;
/** Another plan is needed; `noMerge`: one that rebuilds the part. */
type Lost = { lost: string; noMerge?: true };

/** `--from-remainder` gives rows up because somebody asked for it; the run says how many. */
function tellGivenUp({ dataset, hour, request, observe }: HourTask, plan: ToPack, { part }: Packed): void {
  const rows = part?.rows ?? 0;
  const before = plan.published?.rows ?? 0;
  if (!request.fromRemainder || rows >= before) return;
  const text = `its part had ${counted(before, "row")}, and has ${count(rows)}: those of objects that are gone or were overwritten were given up (--from-remainder)`;
  observe({ type: "notice", dataset: dataset.name, hour, text });
}

/** Stages 3 to 7. */
async function pack(
  task: HourTask,
  attempt: string,
  plan: ToPack,
  listing: Listing,
  watch: Stopwatch,
): Promise<Packed | Lost> {
  const { dataset, components } = task;
  const [raw, tier1, engine] = await Promise.all([
    components.raw(dataset),
    components.tier1(dataset),
    components.engine(),
    components.requireConditions(dataset),
  ]);
  const giveSpoolBytes = await takeSpoolBytes(components, plan.fetch);
  const spool = await Spool.open(components.settings.run.spoolDir, attempt).catch((error) => {
    giveSpoolBytes();
    throw error;
  });
  const leave = components.batchMemory.enter();
  try {
    // Before the schema may grow: if it is not the one the part was written under, somebody has to restore that one first.
    const base = await baseOf(task, plan);
    const batches = spoolObjects(raw, plan.fetch, spool, spoolOptions(task, plan.fetch));
    const converted = await watch.time("convert", () =>
      convertHour(task, batches, plan.fetch, { attempt, base, spool, engine }),
    );
    // A large hour is done with its batch memory and needs it for the next stages; a small one leaves it to the next hour.
    if (converted.batches.length > 1) leave(false);
    const why = base && whyRebuilt(task, plan, base, converted.schema);
    if (why !== undefined) return { lost: why, noMerge: true };
    const fetched = plan.fetch;
    // Once given up, rows stay given up in every part that is made from this one.
    const { givenUp } = base?.manifest.header ?? plan;
    const assembly = { attempt, listing, fetched, converted, base, givenUp, spool, engine, tier1 };
    const part = await watch.time("merge", () =>
      inSpool(spool, "make the part", () => assemble(task, assembly)),
    );
    // Quarantine of the published part was allowed when that was packed; only new pieces count.
    if (converted.quarantined > 0) checkQuarantine(task, part.facts, converted);
    if (!base) tellMisfit(task, converted);
    const published = await verifyAndPublish(task, assembly, part, plan.published, watch);
    if (published.outcome === "lost") return { lost: published.reason };
    const { rows, rescued, quarantined, quarantinedBytes } = converted;
    return {
      action: "packed",
      part: published.part,
      rows,
      rescued,
      quarantined,
      quarantinedBytes,
      ...watch.spent(),
    };
  } finally {
    leave(true);
    await spool.close().finally(giveSpoolBytes);
  }
}

/** Stages 6 and 7 side by side: a large part uploads while it is verified, and nothing is public until it is. */
async function verifyAndPublish(
  task: HourTask,
  assembly: Assembly,
  part: Assembled,
  replaces: Published | undefined,
  watch: Stopwatch,
): Promise<PublishOutcome> {
  const { dataset, hour, components, signal } = task;
  const { engine, tier1, spool, attempt } = assembly;
  const { prefix } = dataset.tier1;
  const verified = watch.time("verify", () => verifyPart(engine, part));
  const verificationEnded = verified.catch(() => {});
  const before = async () => {
    await verified;
    await task.beforePublish?.();
  };
  const published = watch.time("publish", async () => {
    const publication = {
      ...part,
      partKey: partKey(prefix, dataset.table, hour),
      manifestKey: manifestKey(prefix, hour, attempt),
      manifest: await inSpool(spool, "make the manifest", () => makeManifest(task, assembly, part)),
      quarantineKey: quarantineKey(prefix, hour, attempt),
      replaces,
    };
    return publish(tier1, publication, { before, nowMs: components.nowMs, signal });
  });
  return published.finally(() => verificationEnded);
}

async function baseOf(task: HourTask, { action, published }: ToPack): Promise<Base | undefined> {
  if (action !== "merge" || !published) return undefined;
  const manifest = await readManifest(task, published);
  return { published, manifest, schema: await schemaOf(task, published, manifest.header.schemaDigest) };
}

/** Nobody knows the size of an hour that is still being listed, so it takes all spool bytes until the listing ends. */
async function takeSpoolBytes({ spoolBytes }: Components, fetched: Listing): Promise<() => void> {
  const give = await spoolBytes.take(fetched.isGrowing ? spoolBytes.capacity : fetched.sizeBytes);
  fetched.whole.then(() => give(fetched.sizeBytes)).catch(() => {});
  return () => give();
}

/** Why new objects cannot be merged into the published part: its rows say something else, or less, under this schema. */
function whyRebuilt(
  { dataset, hour }: HourTask,
  { areRowsKept }: ToPack,
  { schema: older }: Base,
  schema: Schema,
): string | undefined {
  // Versions only ever append columns. If these do not, schema.json was rolled back or edited since the part's version was read.
  const kept = schema.columns.slice(0, older.columns.length);
  if (digestOfColumns(kept) !== digestOfColumns(older.columns))
    throw new HourpackError(
      "conflict",
      `pack ${dataset.name} ${hour}: its schema.json was replaced meanwhile`,
    );
  if (older.version === schema.version) return undefined;
  if (!readsAlike(older, schema)) return "published rows would say something else under today's columns";
  if (areRowsKept || derivedSince(older, schema).length === 0) return undefined;
  return "published rows lack a derived column of today";
}

/**
 * Stage 4, against the version that is pinned when it starts. With `unknown: add` the schema then grows by the members that
 * were met, and the batches are joined only after that.
 */
async function convertHour(
  task: HourTask,
  batches: AsyncIterable<Batch>,
  fetched: Listing,
  { attempt, base, spool, engine }: { attempt: string; base: Base | undefined; spool: Spool; engine: Engine },
): Promise<ConvertedHour> {
  const { dataset, components, signal } = task;
  const unknown = dataset.unknown === "add" ? new Shape() : undefined;
  const limits = { maxRecordBytes: components.settings.run.maxRecordBytes };
  const conversion = (schema: Schema, census?: Shape) => ({
    schema,
    fetched,
    signal,
    sifter: new Sifter(schema, dataset.records, dataset.zone, limits, census),
  });
  // Nothing new to read: the published rows keep their columns, and none are pinned.
  if (base && fetched.count === 0)
    return convertBatches(batches, conversion(base.schema), engine, { keepBatches: false });
  const pinned = await pinSchema(task, batches, attempt);
  const converted = await convertBatches(pinned.batches, conversion(pinned.schema, unknown), engine, {
    keepBatches: unknown !== undefined,
    merge: unknown ? undefined : beginMerge(task, pinned.schema.columns, spool, engine),
  });
  if (!unknown || converted.rescued === 0) return converted;
  const grown = await growSchema(task, unknown, attempt);
  return grown.version > pinned.schema.version
    ? convertAgain(converted, conversion(grown), engine)
    : converted;
}

function spoolOptions(task: HourTask, fetched: Listing): SpoolOptions {
  const { components, dataset, hour, observe, signal } = task;
  const progress = { objectsRead: 0, readBytes: 0 };
  return {
    getBytes: components.getBytes,
    plainBytes: components.plainBytes,
    memory: components.batchMemory,
    cut: cutLimitsOf(components.settings.run, dataset.records.keys.length > 0),
    signal,
    onObject: (object) => {
      progress.objectsRead++;
      progress.readBytes += object.sizeBytes;
      const all = { objectsToRead: fetched.count, toReadBytes: fetched.sizeBytes };
      observe({ type: "progress", dataset: dataset.name, hour, stage: "spool", ...progress, ...all });
    },
  };
}

function resultOf(task: HourTask, plan: Plan, listing: Listing, watch: Stopwatch): HourResult {
  const published: (PartFacts & Published) | undefined = "published" in plan ? plan.published : undefined;
  const changes = "changes" in plan ? plan.changes : undefined;
  return {
    dataset: task.dataset.name,
    hour: task.hour,
    action: plan.action === "scratch" || plan.action === "merge" ? "packed" : plan.action,
    reason: plan.reason,
    objects: listing.count,
    rawBytes: listing.sizeBytes,
    skipped: listing.skipped,
    // A new hour was planned from its first page; by now the listing is complete.
    changes: changes && !published ? { ...changes, added: listing.count } : changes,
    part: published && {
      key: published.key,
      rows: published.rows,
      quarantined: published.quarantined,
      quarantinedBytes: published.quarantinedBytes,
      sizeBytes: published.sizeBytes,
    },
    ...watch.spent(),
  };
}
