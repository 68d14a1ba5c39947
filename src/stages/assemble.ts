/** Between convert and verify: the batches become one Parquet file, with its manifest and its quarantine file. */
import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { commandText, runText } from "../command-text.js";
import { sight } from "../compare.js";
import { digestOfAll, type RowsDigest } from "../engine/digest.js";
import type { Engine, Merge } from "../engine/engine.js";
import { HourpackError } from "../errors.js";
import type { Listing } from "../listing.js";
import { differInColumnsAlone, recipeOf, rowSettingsOf } from "../recipe.js";
import { sortable } from "../schema/order.js";
import { digestOfColumns } from "../schema/pinned.js";
import type { Column, Schema } from "../schema/types.js";
import { settled } from "../settled.js";
import type { Spool } from "../spool/spool.js";
import type { Body, ObjectInfo, Store } from "../store/store.js";
import type { HourTask } from "../task.js";
import { download, otherBytes, readQuarantine } from "../tier1/download.js";
import {
  type Manifest,
  type ManifestEntry,
  type ManifestHeader,
  type PartFacts,
  type Published,
  toMetadata,
  type Version,
  writeManifest,
} from "../tier1/manifest.js";
import { placeText } from "../tier1/quarantine.js";
import { count, counted } from "../words.js";
import type { Converted, ConvertedHour } from "./convert.js";

/** The published part that new objects are merged into. */
export interface Base {
  published: Published;
  manifest: Manifest;
  /** The schema that its rows were written under. */
  schema: Schema;
}

export interface Assembly {
  attempt: string;
  /** The objects that were read for this attempt, in the order of the listing. */
  fetched: Listing;
  /** All objects of the hour: the part will be in step with this listing. */
  listing: Listing;
  converted: ConvertedHour;
  base: Base | undefined;
  /** The journals whose rows were given up, `ManifestHeader.givenUp`. */
  givenUp: string[] | undefined;
  spool: Spool;
  engine: Engine;
  tier1: Store;
}

/** Everything that publication needs. */
export interface Assembled {
  /** The part as a file, and as the body to publish. */
  path: string;
  body: Body;
  sizeBytes: number;
  /** Digest of its bytes, if the engine computed it while writing. */
  sha256: string | undefined;
  columns: Column[];
  facts: PartFacts;
  /** Digest of the rows of the Parquet files that the part was made of. */
  made: RowsDigest;
  /** Absent if nothing was quarantined. */
  quarantine: Body | undefined;
}

/** Begins to merge the Parquet files of an hour's batches into the part's file. */
export function beginMerge(task: HourTask, columns: Column[], spool: Spool, engine: Engine): Merge {
  return engine.merge(columns, spool.path("part.parquet"), { sortBy: orderOf(task, columns) });
}

export async function assemble(task: HourTask, assembly: Assembly): Promise<Assembled> {
  const { attempt, listing, fetched, converted, base, engine } = assembly;
  const basePath = base && (await downloadBase(task, assembly, base));
  const columns = converted.schema.columns;
  const facts: PartFacts = {
    attempt,
    inputs: listing.digest(),
    objects: fetched.count + (base?.published.objects ?? 0),
    rows: converted.rows + (base?.published.rows ?? 0),
    quarantined: converted.quarantined + (base?.published.quarantined ?? 0),
    quarantinedBytes: converted.quarantinedBytes + (base?.published.quarantinedBytes ?? 0),
    rescued: converted.rescued + (base?.published.rescued ?? 0),
    schemaVersion: converted.schema.version,
    recipe: madeBy(task, assembly).recipe,
  };
  // The hour's conversions are over, so these three run side by side.
  const [part, made, quarantine] = await settled([
    merged(task, assembly, basePath).then((merge) => merge.finish(toMetadata(facts))),
    digestOf(converted.batches, basePath, columns, engine),
    writeQuarantine(task, assembly, facts.quarantined),
  ]);
  task.signal?.throwIfAborted();
  const { path, sha256 } = part;
  return { path, sha256, ...(await bodyOf(path)), columns, facts, made, quarantine };
}

/** If no object was read, the rows are those of the base, made under its settings. */
function madeBy(
  { dataset }: HourTask,
  { base, fetched }: Assembly,
): Pick<ManifestHeader, "recipe" | "settings"> {
  if (base && fetched.count === 0) return base.manifest.header;
  return { recipe: recipeOf(dataset), settings: rowSettingsOf(dataset) };
}

async function downloadBase(task: HourTask, { spool, tier1 }: Assembly, base: Base): Promise<string> {
  const path = spool.path("base.parquet");
  const sha256 = await download(tier1, base.published, path, task.signal);
  // The new part's digest will vouch for these rows, so they must be the published ones.
  if (sha256 !== base.manifest.header.partSha256) throw otherBytes(task, tier1, base.published);
  return path;
}

/** Adds what was not merged during the conversion. */
async function merged(
  task: HourTask,
  { converted, spool, engine }: Assembly,
  basePath: string | undefined,
): Promise<Merge> {
  const { merge = beginMerge(task, converted.schema.columns, spool, engine), batches } = converted;
  const rest = converted.merge ? [] : batches.map(({ path }) => path);
  for (const path of [...rest, basePath]) {
    task.signal?.throwIfAborted();
    if (path !== undefined) await merge.add(path);
  }
  return merge;
}

/** Makes the manifest. It comes after the part, whose bytes it vouches for. */
export async function makeManifest(task: HourTask, assembly: Assembly, part: Assembled): Promise<Body> {
  const { facts } = part;
  const header = {
    ...facts,
    format: 1,
    dataset: task.dataset.name,
    hour: task.hour,
    createdAt: new Date(task.components.nowMs()).toISOString(),
    records: facts.rows + facts.quarantined,
    partSha256: part.sha256 ?? (await sha256Of(part.body)),
    givenUp: assembly.givenUp,
    isMixed: isMixed(assembly.base, facts) || undefined,
    quarantineSha256: part.quarantine && (await sha256Of(part.quarantine)),
    settings: madeBy(task, assembly).settings,
    schemaDigest: digestOfColumns(part.columns),
  } as const;
  const path = assembly.spool.path("manifest.ndjson.gz");
  const manifest = await writeManifest(path, header, manifestEntries(assembly));
  return manifest instanceof Uint8Array ? manifest : (await bodyOf(path)).body;
}

function isMixed(base: Base | undefined, { recipe }: PartFacts): boolean {
  if (!base || base.published.rows + base.published.quarantined === 0) return false;
  const { recipe: before } = base.published;
  const isAlike = before === recipe || differInColumnsAlone(before, recipe);
  return base.manifest.header.isMixed === true || !isAlike;
}

/** A small file is held in memory, also for the second reader: a stream costs more than the request, and cannot be sent again. */
async function bodyOf(path: string): Promise<{ body: Body; sizeBytes: number }> {
  const { size: sizeBytes } = await stat(path);
  return { body: sizeBytes <= AT_ONCE_BYTES ? await readFile(path) : { path }, sizeBytes };
}

const AT_ONCE_BYTES = 1 << 20;

async function sha256Of(body: Body): Promise<string> {
  const hash = createHash("sha256");
  if (body instanceof Uint8Array) hash.update(body);
  else await pipeline(createReadStream(body.path, { highWaterMark: 1 << 20 }), hash);
  return hash.digest("hex");
}

/** Reads only the rows whose digest is not known: those that others wrote, or that were written under fewer columns. */
async function digestOf(
  batches: Converted[],
  basePath: string | undefined,
  columns: Column[],
  engine: Engine,
): Promise<RowsDigest> {
  const known = batches.flatMap(({ digest }) => digest ?? []);
  const others = batches.flatMap(({ path, digest }) => (path && digest === undefined ? [path] : []));
  if (basePath !== undefined) others.push(basePath);
  return digestOfAll([...known, await engine.digest(others, columns)]);
}

/** Rows in another order are the same rows, so a name that cannot be sorted by is reported and stops no hour. */
function orderOf({ dataset, hour, observe }: HourTask, columns: Column[]): string[] {
  const order = sortable(dataset.sortBy, columns);
  const missing = dataset.sortBy.filter((name) => !order.includes(name));
  if (missing.length > 0) {
    const text = `not sorted by ${missing.join(", ")}: no such column yet, or one without an order`;
    observe({ type: "notice", dataset: dataset.name, hour, text });
  }
  return order;
}

/**
 * The base's entries and those of the fetched objects, which only the listing has, as one stream in key order. A merge
 * passes over overwritten objects, which the plan allows only if somebody decided so.
 */
async function* manifestEntries(assembly: Assembly): AsyncGenerator<ManifestEntry> {
  const { base, listing, fetched, converted } = assembly;
  const fresh = freshEntries(fetched, converted.batches);
  if (!base) return yield* fresh;
  for await (const sighting of sight(base.manifest.entries(), listing)) {
    if (sighting.kind === "added") yield fresh.next().value as ManifestEntry;
    else if (sighting.kind === "overwritten")
      yield { ...sighting.entry, passedOver: versionOf(sighting.object) };
    else yield sighting.entry;
  }
}

function versionOf({ etag, sizeBytes }: ObjectInfo): Version {
  return { etag, sizeBytes };
}

function* freshEntries(fetched: Listing, batches: Converted[]): Generator<ManifestEntry, void> {
  // Plain counts by position: a million objects take 8 MB.
  const rows = new Uint32Array(fetched.count);
  const quarantined = new Uint32Array(fetched.count);
  for (const { batch } of batches) {
    for (const count of batch.segments.counts()) {
      rows[count.index] = (rows[count.index] ?? 0) + count.rows;
      quarantined[count.index] = (quarantined[count.index] ?? 0) + count.quarantined;
    }
  }
  let index = 0;
  for (const { key, etag, sizeBytes } of fetched) {
    const out = quarantined[index] ?? 0;
    yield { key, etag, sizeBytes, records: (rows[index] ?? 0) + out, quarantined: out };
    index++;
  }
}

async function writeQuarantine(
  task: HourTask,
  assembly: Assembly,
  quarantined: number,
): Promise<Body | undefined> {
  if (quarantined === 0) return undefined;
  const { base, spool, converted } = assembly;
  const path = spool.path("quarantine.ndjson.gz");
  await pipeline(
    Readable.from(
      (async function* () {
        if (base && base.published.quarantined > 0) {
          yield* readQuarantine(task, base.published, base.manifest.header);
        }
        for (const batch of converted.batches) {
          if (batch.quarantinePath !== undefined) yield* createReadStream(batch.quarantinePath);
        }
      })(),
    ),
    createGzip(),
    createWriteStream(path),
  );
  return (await bodyOf(path)).body;
}

/** Reports an hour whose data do not fit the configuration: nothing is lost then, so nobody would notice. */
export function tellMisfit(task: HourTask, converted: ConvertedHour): void {
  const { dataset, hour, observe } = task;
  const { rows, rescued, quarantined, quarantinedBytes, places } = converted;
  const tell = (alike: string, text: string) =>
    observe({ type: "notice", dataset: dataset.name, hour, text, alike });
  if (rows === 0 && quarantined > 0) {
    const what = `all of it, ${counted(quarantined, "piece")} (${counted(quarantinedBytes, "byte")}), is in quarantine`;
    const which = quarantined > 1 ? "; the first: " : ": ";
    tell(
      "all in quarantine",
      what +
        places
          .slice(0, 1)
          .map((place) => which + placeText(place))
          .join(""),
    );
  } else if (rows > 0 && rescued === rows) {
    const text = `each of its ${counted(rows, "row")} has rescued data: ${membersText(converted)}. ${whyRescued(task, converted)}`;
    tell("rescued data in each row", text);
  }
}

/** What the user may change about the named members, and what is as it should be. */
function whyRescued({ dataset, components }: HourTask, { members }: ConvertedHour): string {
  const { name, records, unknown } = dataset;
  const named = members.inOrder().slice(0, MEMBERS_NAMED);
  const texts = named.flatMap(({ member, rows, textAlone }) => (textAlone === rows ? [member] : []));
  const sentences: string[] = [];
  if (texts.length > 0)
    sentences.push(
      `The \`json: string\` column of ${texts.join(", ")} has all that the text says; the text itself is kept where it is not the compact JSON that the column gives back (Python's json.dumps writes blanks unless told otherwise), so nothing is to be done about it`,
    );
  if (texts.length < named.length) {
    const add =
      unknown === "add"
        ? ""
        : "; `unknown: add` makes columns of members that have none, of hours that are packed already with --rebuild";
    sentences.push(
      `Are records (${records.text}) and columns those of these objects? ${commandText("schema", components.settings, { dataset: name })} shows the columns${add}`,
    );
  }
  return sentences.join(". ");
}

const MEMBERS_NAMED = 3;

/** `userAgent in 120 rows, requestID in 118 and 4 more members` */
function membersText({ members }: ConvertedHour): string {
  const all = members.inOrder();
  const named = all
    .slice(0, MEMBERS_NAMED)
    .map(({ member, rows }) => `${member} in ${counted(rows, "row")}`)
    .join(", ");
  const more = all.length - MEMBERS_NAMED;
  return more > 0 ? `${named} and ${counted(more, "more member")}` : named;
}

/** Throws `data`, before anything is public, if more was quarantined than `maxQuarantine` allows (a count, or a share below 1). */
export function checkQuarantine(task: HourTask, facts: PartFacts, converted: ConvertedHour): void {
  const { dataset, hour, components } = task;
  const { maxQuarantine } = components.settings.run;
  if (maxQuarantine === undefined) return;
  const allowed = maxQuarantine < 1 ? maxQuarantine * (facts.rows + facts.quarantined) : maxQuarantine;
  if (facts.quarantined <= allowed) return;
  const records = counted(facts.rows + facts.quarantined, "record");
  const { rebuild, fromRemainder, keepOld } = task.request;
  const said = [rebuild && "--rebuild", fromRemainder && "--from-remainder", keepOld && "--keep-old"];
  const flags = [...said, `--max-quarantine ${facts.quarantined}`].filter(Boolean).join(" ");
  const command = runText(task, flags);
  throw new HourpackError(
    "data",
    `pack ${dataset.name} ${hour}: ${facts.quarantined} of ${records} would be quarantined, more than --max-quarantine ${maxQuarantine} allows${whereText(facts, converted)}`,
    {
      stage: "verify",
      hint: `Nothing was published. Look at these raw objects (${command} keeps such pieces in quarantine).`,
      evidence: converted.places,
    },
  );
}

const PLACES_NAMED = 3;

/** Names the first pieces, since no quarantine file exists yet to look at. Gives their bytes too, since one may be a whole object. */
function whereText(facts: PartFacts, { quarantined, quarantinedBytes, places }: ConvertedHour): string {
  if (quarantined === 0) return "";
  const named = places.slice(0, PLACES_NAMED);
  const more = quarantined - named.length;
  const words = [...named.map(placeText), ...(more > 0 ? [`and ${count(more)} more`] : [])];
  const before = facts.quarantined - quarantined;
  const published = before > 0 ? `, ${count(before)} of them in the published part` : "";
  return `${published} (${counted(quarantinedBytes, "byte")}: ${words.join("; ")})`;
}
