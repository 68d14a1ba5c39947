/**
 * `hourpack verify --deep`: reads an hour's raw objects and its part again, and compares them as multisets of
 * canonical records. The raw side shares no code with the converter. hyparquet reads the part, not the engine
 * that wrote it.
 */
import { HourpackError } from "../errors.js";
import { GZIP_LIMITS } from "../limits.js";
import type { Listing } from "../listing.js";
import { note } from "../named.js";
import type { Schema } from "../schema/types.js";
import type { Store } from "../store/store.js";
import { download } from "../tier1/download.js";
import type { ManifestEntry } from "../tier1/manifest.js";
import { type Difference, DifferenceFinder } from "./differences.js";
import { collectGarbage } from "./garbage.js";
import type { Obj } from "./json.js";
import { type Likeness, Likenesses } from "./likeness.js";
import { Balance } from "./multiset.js";
import { type ReadObject, readAhead, readFrom, type Sighting, sight, storedIn } from "./objects.js";
import { openPart, type Part } from "./part.js";
import { QuarantineCheck, type Quarantined, readQuarantine } from "./quarantine.js";
import { RawReader, type RawRecord } from "./raw.js";
import { type DeepResult, type Findings, goneOf, nothingYet } from "./result.js";
import { Restorer } from "./row.js";
import { opened, type Source, type Stored } from "./source.js";

export interface DeepVerification {
  raw: Store;
  tier1: Store;
  /** The hour's prefix in the raw store. */
  rawPrefix: string;
  partKey: string;
  /** The version of the part that the manifest belongs to. */
  partEtag: string;
  /** A local file that the part is copied to; the caller removes it. */
  partPath: string;
  /** The manifest's entries in UTF-8 order of the key; read again for a second pass. */
  entries(): AsyncIterable<ManifestEntry>;
  /** In the tier-1 store; absent if nothing was quarantined. */
  quarantineKey?: string;
  /** The version that the part names. */
  schema: Schema;
  /** How many of its columns every row was made with, those of the first version; all of them unless given. */
  firstColumns?: number;
  /** Only the keys to the array of records matter here. */
  records: { keys: string[] };
  zone: string;
  signal?: AbortSignal;
  /** Whether `expire` deleted an object that is gone; asked in key order. If absent, it deleted none. */
  isExpired?(entry: ManifestEntry): Promise<boolean>;
  /** Takes the objects that were read. If no difference is found, they are proved to be in tier 1. */
  proved?: Listing;
  /** How to get an object's stored bytes; `raw.get` under If-Match by default. */
  readObject?: ReadObject;
  /** What a record may have; `RECORD_BYTES` unless given. */
  maxRecordBytes?: number;
  /** How many differences are named; 20 unless given. */
  maxDifferences?: number;
  /** How many texts a second pass remembers at a time; 500,000 by default. */
  maxTexts?: number;
}

const SECOND_PASS_TEXTS = 500_000;
const RECORD_CHARS = 500;
/** After a record that leaves twenty times this much behind, the garbage is collected before the next. */
const GARBAGE_BYTES = 4 * 2 ** 20;

/**
 * Throws `conflict` if the part changes meanwhile, `data` if a file is damaged, `interrupted` on the signal.
 */
export async function verifyDeep(options: DeepVerification): Promise<DeepResult> {
  const partSha256 = await copyPart(options);
  const part = await openPart(options.partPath, options.schema, options.tier1.uri + options.partKey);
  try {
    return { ...(await new Verification(options, part).run()), partSha256 };
  } finally {
    await part.close();
  }
}

async function copyPart({ tier1, partKey, partEtag, partPath, signal }: DeepVerification): Promise<string> {
  const head = await tier1.head(partKey, { signal });
  if (!head) {
    throw new HourpackError("conflict", `verify ${tier1.uri}${partKey}: there is no such part`, {
      stage: "verify",
      location: tier1.uri + partKey,
      hint: "Run the hour first.",
    });
  }
  return download(tier1, { ...head, etag: partEtag }, partPath, signal);
}

class Verification {
  private readonly options: DeepVerification;
  private readonly part: Part;
  private readonly likenesses: Likenesses;
  private readonly restorer: Restorer;
  private readonly result: Findings;
  private readonly maxDifferences: number;
  private readonly goneKeys = new Set<string>();
  /** What the quarantine file has of objects that have not been read yet. */
  private quarantine = new Map<string, Quarantined[]>();
  /** Rows that match no record. There may be as many of them as gone objects had rows. */
  private readonly extra: Difference[] = [];
  private extraCount = 0;
  /** By derived column: how many rows leave it NULL. */
  private readonly unfilled = new Map<string, number>();

  constructor(options: DeepVerification, part: Part) {
    this.options = options;
    this.part = part;
    this.maxDifferences = options.maxDifferences ?? 20;
    const { schema, zone, records, firstColumns = schema.columns.length } = options;
    this.likenesses = new Likenesses(schema, { zone, path: records.keys });
    this.restorer = new Restorer(schema, { zone, hasEnvelopes: records.keys.length > 0, firstColumns });
    this.result = nothingYet();
  }

  async run(): Promise<Findings> {
    const { result } = this;
    const balance = new Balance();
    await this.readRecords(balance);
    await this.readRows(balance);
    // If no object is left, there are no records to find in the rows. Only their number can be compared.
    if (result.objects === 0) this.compareCounts();
    else await this.compareRecords(balance);
    result.unfilled = [...this.unfilled].map(([column, rows]) => ({ column, rows }));
    result.ok = result.differences.length === 0 && !result.hasMore && goneOf(result).count === 0;
    return result;
  }

  private async compareRecords(balance: Balance): Promise<void> {
    const { result, maxDifferences } = this;
    for (const buckets of balance.differing(this.options.maxTexts ?? SECOND_PASS_TEXTS)) {
      // The buckets that are no longer looked at differ, too.
      if (result.differences.length >= maxDifferences) result.hasMore = true;
      else await this.nameDifferences(buckets);
    }
    // Rows of gone objects match no record. They are a difference only if the manifest counts fewer.
    if (this.extraCount <= goneOf(result).rows + result.expired.rows) return;
    for (const difference of this.extra) this.report(difference);
    if (this.extraCount > this.extra.length) result.hasMore = true;
  }

  private compareCounts(): void {
    const { rows, expired } = this.result;
    const counted = goneOf(this.result).rows + expired.rows;
    if (rows === counted) return;
    this.report({ kind: "count", detail: `the part has ${rows} rows where the manifest counts ${counted}` });
  }

  /** First pass over raw: what is there, what each object holds, and whether quarantine has what is no record. */
  private async readRecords(balance: Balance): Promise<void> {
    const { result } = this;
    this.quarantine = await this.loadQuarantine();
    for await (const { entry, stored } of this.objects()) {
      let rows = 0;
      const entries = this.takeQuarantined(entry);
      const check = new QuarantineCheck(entries, entry.etag);
      await this.readItems(stored, check, ({ print }) => {
        balance.add(print, "record");
        rows++;
      });
      result.objects++;
      result.records += rows + entries.length;
      result.quarantined += entries.length;
      const fault = check.result();
      if (fault) this.report({ kind: "quarantine", object: entry.key, ...fault });
      this.compareObject(entry, rows, entries.length);
      this.options.proved?.add(entry);
    }
    for (const object of this.quarantine.keys()) {
      const detail = "quarantine names an object that the manifest does not";
      this.report({ kind: "quarantine", object, detail });
    }
  }

  private takeQuarantined({ key }: ManifestEntry): Quarantined[] {
    const entries = this.quarantine.get(key) ?? [];
    this.quarantine.delete(key);
    return entries;
  }

  private compareObject(entry: ManifestEntry, rows: number, quarantined: number): void {
    if (entry.quarantined === quarantined && rowsOf(entry) === rows) return;
    const counted = `${rowsOf(entry)} rows and ${entry.quarantined} quarantined`;
    const detail = `the manifest counts ${counted}, where there are ${rows} and ${quarantined}`;
    this.report({ kind: "count", object: entry.key, detail });
  }

  private async loadQuarantine(): Promise<Map<string, Quarantined[]>> {
    const { tier1, quarantineKey, signal } = this.options;
    const head = quarantineKey === undefined ? undefined : await tier1.head(quarantineKey, { signal });
    // If the file is missing, the check finds that its bytes are not in quarantine.
    if (!head) return new Map();
    return readQuarantine(await storedIn(tier1, head, signal), tier1.uri + head.key);
  }

  /** The manifest's objects that are still what they were. The others are counted. */
  private objects(): AsyncGenerator<{ entry: ManifestEntry; stored: Stored }> {
    const { raw, rawPrefix, signal, readObject = readFrom(raw), isExpired } = this.options;
    const { result } = this;
    const onSkipped = () => {
      result.skipped++;
    };
    const onGone = (entry: ManifestEntry) => this.noteGone(entry, "gone");
    const onMissing = async (missing: Extract<Sighting, { kind: "gone" | "overwritten" }>) => {
      const { kind, entry } = missing;
      const hasExpired = await isExpired?.(entry);
      this.noteGone(entry, hasExpired ? "expired" : kind);
      const isReplaced = kind === "overwritten" && missing.object.etag !== entry.passedOver?.etag;
      if (hasExpired && isReplaced) note(result.replaced, entry.key);
    };
    const entries = this.options.entries();
    async function* present(): AsyncGenerator<ManifestEntry> {
      for await (const sighting of sight(entries, raw.list(rawPrefix, { signal }), onSkipped)) {
        if (sighting.kind === "same") yield sighting.entry;
        else if (sighting.kind === "late") note(result.late, sighting.object.key);
        else await onMissing(sighting);
      }
    }
    // An object may go between the listing and now.
    return readAhead(present(), readObject, { signal, onGone });
  }

  /** All that can still be checked: whether quarantine has as many of its entries as the manifest says. */
  private noteGone(entry: ManifestEntry, kind: "gone" | "overwritten" | "expired"): void {
    if (kind === "expired") this.result.expired.count++;
    else note(this.result[kind], entry.key);
    this.result[kind].rows += rowsOf(entry);
    this.goneKeys.add(entry.key);
    this.compareObject(entry, rowsOf(entry), this.takeQuarantined(entry).length);
  }

  /** An object's records. All of its bytes are passed to the check. */
  private async readItems(
    stored: Stored,
    check: QuarantineCheck | undefined,
    onRecord: (likeness: Likeness, item: RawRecord, bytes: () => Buffer) => void,
  ): Promise<void> {
    const { records, maxRecordBytes } = this.options;
    const { source, damage } = await opened(stored, GZIP_LIMITS);
    if (damage !== undefined) return passDamaged(source, check);
    const isTaken = (value: Obj, envelope: Obj) => this.likenesses.ofRecord(value, envelope) !== undefined;
    const reader = new RawReader(source, { path: records.keys, maxRecordBytes, isTaken });
    for await (const items of reader.items()) {
      this.checkSignal();
      let isLarge = false;
      for (const item of items) {
        const bytes = () => reader.bytesOf(item);
        const found =
          item.kind === "record" ? this.likenesses.ofRecord(item.value, item.envelope) : undefined;
        if (item.kind === "record" && found) onRecord(found, item, bytes);
        check?.pass(item.offset, item.sizeBytes, item.kind === "gap" || found !== undefined, bytes);
        isLarge ||= item.kind === "record" && item.sizeBytes > GARBAGE_BYTES;
      }
      if (isLarge) collectGarbage();
    }
  }

  private async readRows(balance: Balance): Promise<void> {
    const { result } = this;
    const isComplete = goneOf(result).count + result.expired.count === 0;
    for await (const row of this.part.read()) {
      const { record, faults, derivedFaults } = this.restorer.restore(row);
      balance.add(this.likenesses.ofRow(record, row.values).print, "row");
      // If every row has its raw record, the comparison with it tells more.
      const told = isComplete ? faults : [...faults, ...derivedFaults];
      for (const detail of told) this.report({ kind: "contradicted", row: result.rows, detail });
      if (++result.rows % 10_000 === 0) this.checkSignal();
    }
  }

  /** Second pass, only over the buckets that differ. */
  private async nameDifferences(buckets: Set<number>): Promise<void> {
    const { options } = this;
    const finder = new DifferenceFinder(buckets);
    const entries = this.presentEntries();
    const read = options.readObject ?? readFrom(options.raw);
    for await (const { entry, stored } of readAhead(entries, read, options)) {
      await this.readItems(stored, undefined, (likeness, item, bytes) => {
        if (!finder.isWanted(likeness.print)) return;
        finder.addRecord(likeness, entry.key, item.offset, () => ({
          canonical: likeness.text,
          text: recordText(bytes()),
        }));
      });
    }
    let number = 0;
    for await (const row of this.part.read()) {
      const { record } = this.restorer.restore(row);
      const likeness = this.likenesses.ofRow(record, row.values);
      if (finder.isWanted(likeness.print))
        finder.addRow(likeness, number, () => ({ canonical: likeness.text }));
      number++;
    }
    this.take(finder);
  }

  private async *presentEntries(): AsyncGenerator<ManifestEntry> {
    for await (const entry of this.options.entries()) if (!this.goneKeys.has(entry.key)) yield entry;
  }

  private take(finder: DifferenceFinder): void {
    for (const difference of finder.differences()) {
      if (difference.kind !== "extra") this.report(difference);
      else if (++this.extraCount <= this.maxDifferences) this.extra.push(difference);
    }
    for (const [number, rows] of finder.unfilled) {
      const column = this.likenesses.names[number] ?? "";
      this.unfilled.set(column, (this.unfilled.get(column) ?? 0) + rows);
    }
  }

  private report(difference: Difference): void {
    if (this.result.differences.length < this.maxDifferences) this.result.differences.push(difference);
    else this.result.hasMore = true;
  }

  private checkSignal(): void {
    if (this.options.signal?.aborted) {
      throw new HourpackError("interrupted", `verify ${this.options.partKey}: interrupted`, {
        stage: "verify",
      });
    }
  }
}

function rowsOf({ records, quarantined }: ManifestEntry): number {
  return records - quarantined;
}

/** A damaged gzip is in quarantine as it is stored. */
async function passDamaged(source: Source, check: QuarantineCheck | undefined): Promise<void> {
  let offset = 0;
  if (!check) return;
  for await (const piece of source.pieces(0)) {
    check.pass(offset, piece.length, false, () => piece);
    offset += piece.length;
  }
}

function recordText(bytes: Buffer): string {
  const text = bytes.toString("utf8", 0, RECORD_CHARS);
  return bytes.length > RECORD_CHARS ? `${text}…` : text;
}
