/** Checks whether a published hour is what its part says: a cheap look, and a deep one that reads everything again. */
import type { FileMetaData } from "hyparquet";
import { ulid } from "ulid";
import { commandText, runText } from "../command-text.js";
import { type Compared, compare, findMoved } from "../compare.js";
import type { Dataset } from "../config/settings.js";
import { besideName, type HourpackError, isHourpackError, reasonOf } from "../errors.js";
import type { Hour } from "../hour.js";
import { quarantineKey, rawPrefix } from "../layout.js";
import { Listing } from "../listing.js";
import { keysOf, type Named, noneNamed } from "../named.js";
import { type DeepResult, goneOf } from "../proof/result.js";
import { verifyDeep } from "../proof/verify.js";
import { differInColumnsAlone, otherSettings, recipeOf, rowSettingsOf } from "../recipe.js";
import { movedObjects, olderPart } from "../refusals.js";
import type { Schema } from "../schema/types.js";
import { inSpool, Spool } from "../spool/spool.js";
import { listHour, missingRawDirectory } from "../stages/list.js";
import type { HourContext } from "../task.js";
import { otherBytes, readManifest, readQuarantine, remedyOf } from "../tier1/download.js";
import { factsIn, readFooter } from "../tier1/footer.js";
import { type Journals, readJournals } from "../tier1/journal.js";
import type { Manifest, ManifestHeader, Published } from "../tier1/manifest.js";
import { publishedPart } from "../tier1/published.js";
import { readPinned, schemaOf } from "../tier1/schema-file.js";
import { agreeing, counted } from "../words.js";

export interface HourVerification {
  dataset: string;
  hour: Hour;
  /**
   * `unpublished`: the hour has no part. `sound`: nothing is wrong. `expired`: nothing is wrong, but `expire` deleted raw
   * objects, so a deep look has no records to compare their rows with.
   */
  state: "unpublished" | "sound" | "expired" | "wrong";
  rows: number;
  quarantined: number;
  quarantinedBytes: number;
  objects: number;
  /** What is wrong, one text for each problem. */
  problems: string[];
  /** ETag of the part that was checked. */
  etag?: string;
  /** The result of a deep look. */
  deep?: DeepResult;
  /** When `expire` last deleted objects of the hour. */
  expiredAt?: string;
}

/**
 * Checks that the part's footer, object metadata, manifest and quarantine agree on what the part holds. With `deep`, reads raw
 * and tier 1 again and compares them record by record. Fills `proved` with the objects that were read; they are proved if
 * nothing is wrong. With `proved`, it is no problem that other objects are gone. Damage is a problem, not an error. Throws
 * `unavailable` and `interrupted`, `conflict` if the hour changes meanwhile, and `invalid` if objects are missing because the
 * raw directory is: then nothing can be compared.
 */
export async function verifyHour(
  task: HourContext,
  options: { deep: boolean; proved?: Listing },
): Promise<HourVerification> {
  const { dataset, hour } = task;
  const found: HourVerification = {
    dataset: dataset.name,
    hour,
    state: "unpublished",
    rows: 0,
    quarantined: 0,
    quarantinedBytes: 0,
    objects: 0,
    problems: [],
  };
  try {
    const published = await publishedPart(task);
    if (!published) return found;
    found.etag = published.etag;
    found.rows = published.rows;
    found.quarantined = published.quarantined;
    found.quarantinedBytes = published.quarantinedBytes;
    found.objects = published.objects;
    found.problems.push(...(await footerProblems(task, published)));
    const manifest = await readManifest(task, published);
    found.problems.push(...(await manifestProblems(task, published, manifest, options.deep)));
    const schema = await schemaOf(task, published, manifest.header.schemaDigest);
    const part = { published, manifest, schema };
    if (options.deep) await lookDeep(task, part, found, options.proved);
  } catch (error) {
    if (!isHourpackError(error, "data")) throw error;
    found.problems.push(asProblem(error, task));
  }
  if (found.problems.length > 0) found.state = "wrong";
  else found.state = found.expiredAt === undefined ? "sound" : "expired";
  return found;
}

const DIFFERENCES_MAX = 20;
const EXAMPLES_MAX = 3;

/** The error and what to do, as sentences. Shown beside the dataset and the hour, so it does not name them. */
export function asProblem({ message, hint }: HourpackError, task: HourContext): string {
  return `${besideName(`${task.dataset.name} ${task.hour}`, message)}. ${hint ?? remedyOf(task)}`;
}

interface LookedAt {
  published: Published;
  manifest: Manifest;
  schema: Schema;
}

async function lookDeep(
  task: HourContext,
  part: LookedAt,
  found: HourVerification,
  proved: Listing | undefined,
): Promise<void> {
  const { published, manifest } = part;
  const { dataset, hour, components, signal } = task;
  const tier1 = await components.tier1(dataset);
  const all = await readJournals(tier1, dataset.tier1.prefix, hour, signal);
  const journals = all.binding(manifest.header);
  const deep = await deepVerification(task, part, journals, proved);
  found.deep = deep;
  const gone = await goneSince(task, journals);
  if (deep.expired.count > 0) found.expiredAt = gone.headers.at(-1)?.at;
  if (deep.partSha256 !== manifest.header.partSha256)
    found.problems.push(asProblem(otherBytes(task, tier1, published), task));
  found.problems.push(...deepProblems(deep, task));
  if (deep.differences.length > 0) found.problems.push(...settingsProblems(part, deep, task));
  const planned = { dataset: dataset.name, hour, settings: components.settings };
  const missing = await gone.missingIn(manifest);
  if (missing !== undefined) found.problems.push(asProblem(olderPart(planned, published, missing), task));
  // With `proved`, named objects that still exist are about to go: report a part that lacks their rows while a run can make them.
  const isRemadeByRun = gone.isEmpty && goneOf(deep).count === 0;
  if (proved || deep.expired.count > 0)
    found.problems.push(...rowProblems(task, published, proved ? journals : gone, isRemadeByRun));
  if (proved || goneOf(deep).count === 0) return;
  // Problems of tier 1 itself are reported whatever became of raw.
  if (found.problems.length === 0) missingRawDirectory(dataset, undefined);
  const { compared, moved } = await changesSince(task, manifest, gone);
  found.problems.push(
    moved.count > 0
      ? `${unprovable(deep)}. ${asProblem(movedObjects(planned, moved, deep.gone), task)}`
      : goneProblem(deep, compared, gone, task),
  );
}

/** Whether raw objects that `expire` named are gone. */
export async function hasExpired(task: HourContext): Promise<boolean> {
  const { dataset, hour, components, signal } = task;
  const journals = await readJournals(await components.tier1(dataset), dataset.tier1.prefix, hour, signal);
  return !(await goneSince(task, journals)).isEmpty;
}

/** The journals, reduced to gone objects. Lists after the objects were read: what is listed now did not disappear meanwhile. */
async function goneSince(task: HourContext, journals: Journals) {
  return journals.isEmpty ? journals : journals.goneFrom(await listHour(task));
}

/** The changes as a run sees them. A run refuses moved objects. */
async function changesSince(
  task: HourContext,
  { entries }: Manifest,
  gone: Journals,
): Promise<{ compared: Compared; moved: Named }> {
  const [listing, added] = [await listHour(task), new Listing()];
  const compared = await compare(entries(), listing, added);
  const moved = added.count > 0 ? await findMoved(entries(), listing, added, gone) : noneNamed();
  return { compared, moved };
}

/** Compares the rows that `expire` had proved with those of the published part. */
function rowProblems(
  task: HourContext,
  published: Published,
  journals: Journals,
  isRemadeByRun: boolean,
): string[] {
  const problems: string[] = [];
  const remedy = isRemadeByRun
    ? `All raw objects are there: ${runText(task, "--rebuild")} under the settings of then makes these rows again; where other settings make fewer of them, ${runText(task, "--rebuild --from-remainder")} says that these are all`
    : "Bring the part of then back (from a backup or an older version in the bucket)";
  for (const { part: then, at } of journals.headers) {
    // A later part has these rows, and those of objects that came since.
    const isOther = then.attempt !== published.attempt;
    if (then.rows === published.rows || (isOther && then.rows < published.rows)) continue;
    problems.push(
      `the part has ${counted(published.rows, "row")}; on ${at}, when \`expire\` named what it would delete, ${then.rows} had been proved. ${remedy}`,
    );
  }
  return problems;
}

async function footerProblems(task: HourContext, published: Published): Promise<string[]> {
  const { dataset, components, signal } = task;
  const tier1 = await components.tier1(dataset);
  let footer: FileMetaData;
  try {
    footer = await readFooter(tier1, published, signal);
  } catch (error) {
    if (isHourpackError(error)) throw error;
    return [
      `the part ${tier1.uri}${published.key} is no whole Parquet file: ${reasonOf(error)}. ${remedyOf(task)}`,
    ];
  }
  const problems: string[] = [];
  if (factsIn(footer)?.attempt !== published.attempt)
    problems.push("the part's footer names another attempt than its metadata");
  if (Number(footer.num_rows) !== published.rows) {
    problems.push(
      `the part has ${counted(Number(footer.num_rows), "row")} where its metadata say ${published.rows}`,
    );
  }
  return problems;
}

async function manifestProblems(
  task: HourContext,
  published: Published,
  manifest: Manifest,
  isDeep: boolean,
): Promise<string[]> {
  const tier1 = await task.components.tier1(task.dataset);
  const problems: string[] = [];
  let records = 0;
  let quarantined = 0;
  for await (const entry of manifest.entries()) {
    records += entry.records;
    quarantined += entry.quarantined;
  }
  if (records - quarantined !== published.rows || quarantined !== published.quarantined) {
    problems.push(
      `the manifest counts ${counted(records - quarantined, "row")} and ${quarantined} quarantined, the part ${published.rows} and ${published.quarantined}`,
    );
  }
  if (published.quarantined > 0) {
    const key = quarantineKey(task.dataset.tier1.prefix, task.hour, published.attempt);
    if (!(await tier1.head(key, { signal: task.signal })))
      problems.push(`the quarantine file ${tier1.uri}${key} is missing`);
    else if (isDeep) problems.push(...(await quarantineProblems(task, published, manifest)));
  }
  return problems;
}

/** Reads the quarantine file to its end. The proof compares its content only with raw objects that still exist. */
async function quarantineProblems(
  task: HourContext,
  published: Published,
  { header }: Manifest,
): Promise<string[]> {
  try {
    for await (const _ of readQuarantine(task, published, header));
    return [];
  } catch (error) {
    if (!isHourpackError(error, "data")) throw error;
    return [asProblem(error, task)];
  }
}

async function deepVerification(
  task: HourContext,
  { published, manifest, schema }: LookedAt,
  journals: Journals,
  proved: Listing | undefined,
): Promise<DeepResult> {
  const { dataset, hour, components, signal } = task;
  const tier1 = await components.tier1(dataset);
  const pinned = await readPinned(tier1, dataset.tier1.prefix, signal);
  const spool = await Spool.open(components.settings.run.spoolDir, ulid(components.nowMs()));
  const verified = async () =>
    verifyDeep({
      raw: await components.raw(dataset),
      tier1,
      rawPrefix: rawPrefix(dataset.raw, hour),
      partKey: published.key,
      partEtag: published.etag,
      partPath: spool.path("part.parquet"),
      entries: () => manifest.entries(),
      quarantineKey:
        published.quarantined > 0 ? quarantineKey(dataset.tier1.prefix, hour, published.attempt) : undefined,
      schema,
      firstColumns: pinned?.versions[0]?.columns.length,
      records: dataset.records,
      zone: dataset.zone,
      isExpired: (entry) => journals.names(entry),
      // Where all rows may differ for their settings, a few show how.
      maxDifferences: othersThan(manifest.header, dataset) === undefined ? DIFFERENCES_MAX : EXAMPLES_MAX,
      proved,
      maxRecordBytes: components.settings.run.maxRecordBytes,
      signal,
    });
  return inSpool(spool, "copy and read a part", verified).finally(() => spool.close());
}

function deepProblems(deep: DeepResult, task: HourContext): string[] {
  const problems: string[] = [];
  if (deep.differences.length > 0) {
    const found = deep.hasMore
      ? `${deep.differences.length} or more differences`
      : counted(deep.differences.length, "difference");
    problems.push(`${found} between the raw records and the rows`);
  }
  // If raw is incomplete, `--rebuild` cannot fill the column; nothing is lost.
  if (goneOf(deep).count + deep.expired.count > 0) return problems;
  for (const { column, rows } of deep.unfilled) {
    problems.push(
      `the column ${column} is NULL in ${counted(rows, "row")} whose record has a value for it. Nothing is lost: ${runText(task, "--rebuild")} fills it`,
    );
  }
  return problems;
}

/** Why records and rows may differ although nothing is damaged, and what to do. */
function settingsProblems(
  { manifest }: LookedAt,
  { gone, expired }: DeepResult,
  task: HourContext,
): string[] {
  const others = othersThan(manifest.header, task.dataset);
  if (others === undefined) return [];
  if (manifest.header.isMixed) {
    const rebuilds =
      gone.count + expired.count === 0
        ? `${runText(task, "--rebuild")} rebuilds all`
        : "they cannot be rebuilt: keep the part";
    return [
      `rows that other settings (${others}) had made were kept with --keep-old: they differ for that, and nothing of them is lost. Verify with those settings, too: only what differs under both is damaged; ${rebuilds}`,
    ];
  }
  return [
    `it was packed under other settings (${others}): verify it with those, or pack it again with ${runText(task, "--rebuild")}`,
  ];
}

/** The settings that made rows of the part and have changed since. Not its columns: the part is read under its own. */
function othersThan(header: ManifestHeader, dataset: Dataset): string | undefined {
  if (header.isMixed) return "raw, records, unknown or zone";
  const recipe = recipeOf(dataset);
  if (differInColumnsAlone(header.recipe, recipe)) return undefined;
  return otherSettings(header, { recipe, settings: rowSettingsOf(dataset) });
}

/** `2 of its objects are gone (a, b), so 7 rows cannot be proved again. …` */
function goneProblem(
  deep: DeepResult,
  { changes, kept }: Compared,
  expired: Journals,
  task: HourContext,
): string {
  const { gone, overwritten, late } = deep;
  if (overwritten.count + late.count === 0)
    return `${unprovable(deep)}. The part has the only rows of what is gone: keep it, as a run does`;
  if (kept.count > 0 && changes.overwritten + changes.added === 0) {
    const mayRebuild = changes.gone === 0 && expired.isEmpty;
    const instead = `; ${runText(task, "--rebuild")} takes it instead, and gives up the rows of before`;
    return `${unprovable(deep)}. What lies in place of those overwritten was passed over with --keep-old: nothing is to be done, and a run keeps the part${mayRebuild ? instead : ""}`;
  }
  const copied = late.count > 0 ? ", unless late objects have the same records under other names" : "";
  const keep = gone.count > 0 ? `The part has the only rows of what is gone: keep it${copied}. ` : "";
  const { dataset, hour, components } = task;
  const command = commandText("plan", components.settings, { dataset: dataset.name, hours: hour });
  return `${unprovable(deep)}. ${keep}${command} says what a run would do about it`;
}

function unprovable(deep: DeepResult): string {
  const { gone, overwritten } = deep;
  const { count, rows } = goneOf(deep);
  const which = Object.entries({ gone, overwritten }).filter(([, { count: some }]) => some > 0);
  const what = which.map(([word]) => word).join(" or ");
  const keys = which.map(([word, named]) => (which.length > 1 ? `${word}: ` : "") + keysOf(named));
  return `${count} of its objects ${agreeing(count, "is")} ${what} (${keys.join("; ")}), so ${counted(rows, "row")} cannot be proved again`;
}
