/** Deletes raw objects whose records a deep verification has just found in the part. Nothing else ever deletes raw. */
import { createWriteStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { ulid } from "ulid";
import { runText } from "../command-text.js";
import { compare } from "../compare.js";
import { areNested, fullPath } from "../config/overlap.js";
import type { Dataset } from "../config/settings.js";
import { HourpackError, isHourpackError } from "../errors.js";
import { endMs, type Hour } from "../hour.js";
import { journalPrefix, type RawTemplate, rawPrefix, uriOf } from "../layout.js";
import { compareUtf8, Listing } from "../listing.js";
import { planOf } from "../look.js";
import { keysOf, type Named, noneNamed } from "../named.js";
import type { DeepResult } from "../proof/result.js";
import { settled } from "../settled.js";
import { inSpool, Spool } from "../spool/spool.js";
import { listHour, missingRawDirectory } from "../stages/list.js";
import type { ObjectInfo } from "../store/store.js";
import type { HourTask } from "../task.js";
import { readManifest } from "../tier1/download.js";
import { EXPIRE_AFTER_MIN_MS, journalLines, readJournals } from "../tier1/journal.js";
import type { Published } from "../tier1/manifest.js";
import { publishedPart } from "../tier1/published.js";
import { agreeing, counted } from "../words.js";
import { type FolderLinks, folderLinks, otherPathOf } from "./links.js";
import { asProblem, verifyHour } from "./verification.js";

interface ExpireOptions {
  dryRun: boolean;
  /** The user vouches that raw objects are never overwritten, for stores that ignore If-Match on a delete. */
  rawIsImmutable: boolean;
  /** The links of the configured datasets, found once for many hours; looked up here if absent. */
  links?: FolderLinks;
  /** For a dry run: the datasets already reported for this hour. Objects that they read are not reported again. */
  told?: Dataset[];
}

export interface ExpiredHour {
  dataset: string;
  hour: Hour;
  /** Deleted objects; with `dryRun`, those that would be deleted. */
  objects: number;
  rawBytes: number;
  /** Objects that are listed and not deleted. */
  kept: number;
  /** The datasets that have not packed the late objects among these. */
  unpackedBy?: string[];
  /** Objects that are in the part and gone, although no expiry deleted them. They cannot be proved again; the others can. */
  gone?: DeepResult["gone"];
  /** For a dry run: the store ignores If-Match on a delete, so nothing is deleted without `rawIsImmutable`. */
  needsRawIsImmutable?: true;
  /** Why nothing was deleted, if somebody has to look at the reason. */
  refused?: string;
  /** What a run must do first, if nothing was deleted for that reason. */
  notDue?: string;
}

/**
 * Expires one hour. Reads its objects again and compares them record by record with the part, and with the parts that other
 * datasets made of the same objects. Writes journals that name the objects found in all these parts, then deletes each of
 * those objects under its ETag. Throws `invalid` if the hour ended less than a day ago or the store would delete another
 * version, and `conflict` if an object or a part changes meanwhile.
 */
export async function expireHour(task: HourTask, options: ExpireOptions): Promise<ExpiredHour> {
  const { dataset, hour, components } = task;
  if (components.nowMs() < endMs(hour) + EXPIRE_AFTER_MIN_MS) {
    throw new HourpackError("invalid", `expire ${dataset.name} ${hour}: it ended less than a day ago`, {
      hint: "Raw objects stay for a day at least.",
    });
  }
  const result: ExpiredHour = { dataset: dataset.name, hour, objects: 0, rawBytes: 0, kept: 0 };
  // Before the listing, which must show a newer version that was put aside.
  if (!options.dryRun) await putBack(task);
  const whole = await listHour(task);
  const listing = untoldOf(whole, task, options.told ?? []);
  if (listing.count === 0) {
    if (whole.count === 0) await requireRaw(task);
    return result;
  }
  const alias = aliasOf(task);
  if (alias) {
    const why = `${alias.name} reads the same objects by another path: which of them it has packed cannot be told`;
    return { ...result, refused: `${why}; give both datasets one path to them` };
  }
  const links = options.links ?? folderLinks(components.settings.datasets);
  const otherPath = otherPathOf(dataset.raw, hour, links);
  if (otherPath !== undefined) {
    const why = `its folder is, by a link, that of other hours, too (${otherPath}): which of them have packed its objects cannot be told`;
    return { ...result, refused: `${why}; remove the link, or move the objects to one place` };
  }
  // Checked before anything is read: it would fail for every hour of the dataset.
  if (!options.dryRun && !options.rawIsImmutable) await requireConditionalDeletes(task);
  const whose = (reader: HourTask) =>
    reader.dataset === dataset ? "" : `${reader.dataset.name}, which reads the same objects: `;
  result.kept = listing.count;
  const proofs: Proof[] = [];
  for (const reader of readersOf(task, listing)) {
    const proof = await prove(reader, reader.dataset === dataset ? whole : await listHour(reader));
    if ("why" in proof) return { ...result, [proof.as]: whose(reader) + proof.why };
    proofs.push(proof);
  }
  const gone = proofs[0]?.gone;
  if (gone && gone.count > 0) result.gone = gone;
  const doomed = proofs.reduce(provedOf, listing);
  const behind = proofs.filter(({ late }) => late > 0);
  if (doomed.count === 0)
    return behind[0] ? { ...result, notDue: whose(behind[0].task) + lateText(behind[0]) } : result;
  result.objects = doomed.count;
  result.rawBytes = doomed.sizeBytes;
  result.kept -= doomed.count;
  if (behind.length > 0) result.unpackedBy = behind.map((proof) => proof.task.dataset.name);
  if (options.dryRun) {
    // If the store cannot be probed, `--yes` says why.
    const isSafe = options.rawIsImmutable || (await deletesAreConditional(task).catch(() => true));
    return isSafe ? result : { ...result, needsRawIsImmutable: true };
  }
  const deleted = await deleteProved(task, proofs, doomed);
  const spared = doomed.count - deleted.count;
  return {
    ...result,
    objects: deleted.count,
    rawBytes: deleted.sizeBytes,
    kept: result.kept + spared,
  };
}

/** Deletes the proved objects. Returns those that are gone: an object that was overwritten meanwhile is spared. */
async function deleteProved(task: HourTask, proofs: Proof[], doomed: Listing): Promise<Listing> {
  for (const proof of proofs) await requireSamePart(proof);
  const id = ulid(task.components.nowMs());
  for (const proof of proofs) await writeJournal(proof, id, doomed);
  const spared = await deleteAll(task, doomed);
  if (spared.length === 0) return doomed;
  // Without this, a spared object would be named like a deleted one from then on.
  const deleted = without(doomed, spared);
  for (const proof of proofs) await writeJournal(proof, id, deleted);
  return deleted;
}

/** Throws `conflict` if the part changed: the verification used a copy from before it read raw objects, which may take hours. */
async function requireSamePart({ task, published }: Proof): Promise<void> {
  const { dataset, components, signal } = task;
  const head = await (await components.tier1(dataset)).head(published.key, { signal });
  if (head?.etag !== published.etag) throw changedMeanwhile(task, "its part");
}

/** Throws `invalid` if the raw directory is missing, unless an expiry emptied it. */
async function requireRaw({ dataset, hour, components, signal }: HourTask): Promise<void> {
  try {
    missingRawDirectory(dataset, undefined);
  } catch (error) {
    const tier1 = await components.tier1(dataset);
    const journals = await readJournals(tier1, dataset.tier1.prefix, hour, signal);
    if (journals.isEmpty) throw error;
  }
}

/** A dataset's hour, and the objects that were read and found in its part. */
interface Proof {
  task: HourTask;
  published: Published;
  /** The prefix of the dataset's objects of this hour. */
  rawPrefix: string;
  proved: Listing;
  /** Number of objects that a run has still to merge into the part. */
  late: number;
  gone: DeepResult["gone"] | undefined;
}

/** Another dataset that reads the same objects under other keys, through links inside its directory. */
function aliasOf({ dataset, hour, components }: HourTask): Dataset | undefined {
  const folderOf = (raw: RawTemplate) => {
    const prefix = rawPrefix(raw, hour);
    return { ...raw.location, prefix: prefix.slice(0, prefix.lastIndexOf("/") + 1) };
  };
  const own = folderOf(dataset.raw);
  return components.settings.datasets.find(({ raw }) => {
    const other = folderOf(raw);
    const isNamedAlike =
      areNested(own.prefix, other.prefix) && fullPath(raw.location) === fullPath(dataset.raw.location);
    return !isNamedAlike && areNested(fullPath(own), fullPath(other));
  });
}

/** The dataset itself, then the others that are configured to read any of these objects. */
function readersOf(task: HourTask, listing: Listing): HourTask[] {
  const root = fullPath(task.dataset.raw.location);
  const own = rawPrefix(task.dataset.raw, task.hour);
  const reads = ({ raw }: Dataset) => {
    if (fullPath(raw.location) !== root) return false;
    const prefix = rawPrefix(raw, task.hour);
    // Mostly the prefixes decide, without a look at a million keys.
    if (!prefix.startsWith(own)) return own.startsWith(prefix);
    for (const { key } of listing) if (key.startsWith(prefix)) return true;
    return false;
  };
  const others = task.components.settings.datasets.filter(({ name }) => name !== task.dataset.name);
  return [task.dataset, ...others.filter(reads)].map((dataset) => ({ ...task, dataset }));
}

/** The listing without the objects that the `told` datasets read: a real run would have deleted them by now, or kept them for those. */
function untoldOf(listing: Listing, { dataset, hour }: HourTask, told: Dataset[]): Listing {
  const root = fullPath(dataset.raw.location);
  const prefixes = told
    .filter(({ raw }) => fullPath(raw.location) === root)
    .map(({ raw }) => rawPrefix(raw, hour));
  if (prefixes.length === 0) return listing;
  const rest = new Listing();
  for (const object of listing)
    if (!prefixes.some((prefix) => object.key.startsWith(prefix))) rest.add(object);
  return rest;
}

/** Puts back objects that a killed expiry had moved aside and not deleted yet. */
async function putBack({ dataset, hour, components }: HourTask): Promise<void> {
  await (await components.raw(dataset)).putBack?.(rawPrefix(dataset.raw, hour));
}

/** Why an hour's objects stay. */
interface Objection {
  as: "refused" | "notDue";
  why: string;
}

/**
 * Proves which objects of an hour are in its part, or says why they must stay. First asks what a run would do:
 * - A run that rebuilds the part, because an object was overwritten or the columns changed, needs all objects. Without them
 *   it could only ask what is meant, each time.
 * - Late objects are merged whatever is gone by then. They stay and the rest may go: otherwise a producer that sends one now
 *   and then would keep everything.
 *
 * Objects that an earlier expiry deleted are no objection. Throws `conflict` if an object or the part changes meanwhile.
 */
async function prove(task: HourTask, listing: Listing): Promise<Proof | Objection> {
  const { dataset, hour } = task;
  const published = await publishedPart(task);
  const looked = await planAndKept(task, listing, published).catch((error) => {
    if (!isHourpackError(error, "data")) throw error;
    return error;
  });
  if (looked instanceof HourpackError) return { as: "refused", why: asProblem(looked, task) };
  const { plan, kept } = looked;
  if (!published) return { as: "notDue", why: `it is not packed; ${runText(task)} does it` };
  if (plan.action === "scratch") return { as: "notDue", why: rebuildText(task, plan.reason) };
  if (kept.count > 0) return { as: "refused", why: keptText(kept) };
  const proved = new Listing();
  const { problems, etag, deep } = await verifyHour(task, { deep: true, proved });
  if (problems.length > 0)
    return { as: "refused", why: problems.map((problem) => problem.replace(/\.$/, "")).join("; ") };
  if (etag !== published.etag) throw changedMeanwhile(task, "its part");
  const late = plan.action === "merge" ? plan.changes.added : 0;
  const changed = listing.count - late - proved.count;
  if (changed > 0) throw changedMeanwhile(task, counted(changed, "object"));
  return { task, published, rawPrefix: rawPrefix(dataset.raw, hour), proved, late, gone: deep?.gone };
}

/** A run may be done with objects whose rows are those of another version, and need not look at the manifest for it. */
async function planAndKept(task: HourTask, listing: Listing, published: Published | undefined) {
  const plan = await planOf(task, listing, published);
  if (!published) return { plan, kept: noneNamed() };
  const manifest = await readManifest(task, published);
  return { plan, kept: (await compare(manifest.entries(), listing, new Listing())).kept };
}

/** These versions exist only in raw, so a person must decide to delete them. */
function keptText(kept: Named): string {
  const [were, their, them, name] =
    kept.count === 1 ? ["was", "its", "it", "a name"] : ["were", "their", "them", "names"];
  return `${counted(kept.count, "object")} of it ${were} overwritten and passed over, and ${their} records are in no part (${keysOf(kept)}): move ${them} to ${name} that the hour has not had, to be packed as late, or give ${them} up and delete ${them}; the hour expires after that`;
}

/** Nothing is deleted then: if objects were overwritten, a run needs the others. */
function changedMeanwhile({ dataset, hour }: HourTask, what: string): HourpackError {
  return new HourpackError(
    "conflict",
    `expire ${dataset.name} ${hour}: ${what} changed or went while the hour was verified`,
    { hint: "Nothing of it was deleted; run the same again later." },
  );
}

function rebuildText(task: HourTask, reason: string): string {
  return `a run needs all its objects (${reason}); ${runText(task)} comes first, and the hour expires after that`;
}

function lateText({ task, late }: Proof): string {
  return `${counted(late, "late object")}; ${runText(task)} packs ${agreeing(late, "it")}, and the hour expires after that`;
}

/** The objects without those that the proof's dataset reads but was not proved to have in this version. */
function provedOf(objects: Listing, { proved, rawPrefix }: Proof): Listing {
  const kept = new Listing();
  const sure = proved[Symbol.iterator]();
  let next = sure.next();
  for (const object of objects) {
    while (!next.done && compareUtf8(next.value.key, object.key) < 0) next = sure.next();
    const isProved = !next.done && next.value.key === object.key && next.value.etag === object.etag;
    if (isProved || !object.key.startsWith(rawPrefix)) kept.add(object);
  }
  return kept;
}

async function deletesAreConditional({ dataset, components }: HourTask): Promise<boolean> {
  const raw = await components.raw(dataset);
  const tier1 = await components.tier1(dataset);
  // Nothing is ever written to raw, so the probe runs under tier 1, if the same kind of store serves it.
  return (
    raw.kind === "local" ||
    (tier1.kind === raw.kind && (await tier1.honoursConditionalDeletes(dataset.tier1.prefix)))
  );
}

async function requireConditionalDeletes(task: HourTask): Promise<void> {
  if (await deletesAreConditional(task)) return;
  const { dataset } = task;
  throw new HourpackError(
    "invalid",
    `expire ${dataset.name}: the store deletes an object whatever its ETag, so one that is overwritten meanwhile would be lost`,
    {
      location: uriOf(dataset.raw.location),
      hint: "If raw objects are never overwritten, say so with --raw-is-immutable.",
    },
  );
}

/**
 * Writes a journal under `_hourpack/expired/`, which names every object of the part that is about to go. Written again, it
 * replaces itself, or is deleted if no object went. Its id belongs to this expiry alone: whatever has that key is its own, and
 * a retry after a lost answer writes the same file again. Throws `unavailable` if it may not have been stored.
 */
async function writeJournal({ task, published, rawPrefix }: Proof, id: string, gone: Listing): Promise<void> {
  const { dataset, hour, components, signal } = task;
  const tier1 = await components.tier1(dataset);
  const key = `${journalPrefix(dataset.tier1.prefix, hour)}${id}.ndjson.gz`;
  let objects = 0;
  for (const _ of under(rawPrefix, gone)) objects++;
  if (objects === 0) return tier1.delete(key, { signal });
  const spool = await Spool.open(components.settings.run.spoolDir, id);
  try {
    const path = spool.path("journal.ndjson.gz");
    const { attempt, etag, rows } = published;
    const at = new Date(components.nowMs()).toISOString();
    const part = { attempt, etag, rows };
    const header = { format: 1, dataset: dataset.name, hour, at, objects, part } as const;
    const lines = journalLines(header, under(rawPrefix, gone));
    await inSpool(spool, "write the journal", () => pipeline(lines, createGzip(), createWriteStream(path)));
    const put = await tier1.put(key, { path }, { contentType: "application/gzip", signal });
    if (put.outcome === "refused") throw unwritten(tier1.uri + key, put.reason);
  } finally {
    await spool.close();
  }
}

function unwritten(location: string, why: string): HourpackError {
  return new HourpackError("unavailable", `write the journal ${location}: ${why}`, {
    location,
    hint: "No raw object is deleted that no journal names; run the same again later.",
  });
}

function* under(prefix: string, objects: Listing): Generator<ObjectInfo> {
  for (const object of objects) if (object.key.startsWith(prefix)) yield object;
}

function without(objects: Listing, some: ObjectInfo[]): Listing {
  const keys = new Set(some.map(({ key }) => key));
  const rest = new Listing();
  for (const object of objects) if (!keys.has(object.key)) rest.add(object);
  return rest;
}

const DELETES_AT_A_TIME = 32;

/** Deletes the objects. Returns those that were overwritten since they were verified, and so still exist. */
async function deleteAll(task: HourTask, doomed: Listing): Promise<ObjectInfo[]> {
  const { dataset, components, signal } = task;
  const raw = await components.raw(dataset);
  const spared: ObjectInfo[] = [];
  // All workers take from one iterator, which the first failure closes. The rest is left to a later `expire`.
  const objects = doomed[Symbol.iterator]();
  const deleteSome = async () => {
    for (const object of objects) {
      await raw.delete(object.key, { etag: object.etag, signal }).catch(async (error) => {
        if (!isHourpackError(error, "conflict")) throw error;
        // A deletion whose answer was lost is sent again and then refused, although the object is gone.
        if (await raw.head(object.key, { signal })) spared.push(object);
      });
    }
  };
  await settled(Array.from({ length: DELETES_AT_A_TIME }, deleteSome));
  return spared;
}
