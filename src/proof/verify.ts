/**
 * `hourpack verify --deep`: reads an hour's raw objects and its part again and compares them as multisets of
 * canonical records. The raw side shares no code with the converter, and the part is read by hyparquet, not by the
 * engine that wrote it.
 */
import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HourpackError } from "../errors.js";
import type { ManifestEntry } from "../manifest.js";
import type { Schema } from "../schema/types.js";
import type { Store } from "../store/store.js";
import { Canon } from "./canon.js";
import { type Difference, DifferenceFinder } from "./differences.js";
import { collectGarbage } from "./garbage.js";
import type { Obj } from "./json.js";
import { Balance, fingerprint } from "./multiset.js";
import { type ReadObject, readAhead, readFrom, sight, storedIn } from "./objects.js";
import { openPart, type Part } from "./part.js";
import { QuarantineCheck, type Quarantined, readQuarantine } from "./quarantine.js";
import { RAW_LIMITS, type RawLimits, RawReader, type RawRecord } from "./raw.js";
import { Restorer } from "./row.js";
import { opened, type Source, type Stored } from "./source.js";

export interface DeepVerification {
  raw: Store;
  tier1: Store;
  /** The hour's prefix in the raw store. */
  rawPrefix: string;
  partKey: string;
  /** The part's version that the manifest belongs to. */
  partEtag: string;
  /** The manifest's entries in UTF-8 order of the key; read again for a second pass. */
  entries(): AsyncIterable<ManifestEntry>;
  /** In the tier-1 store; absent where nothing was quarantined. */
  quarantineKey?: string;
  /** The version that the part names. */
  schema: Schema;
  /** Only the keys to the array of records matter here. */
  records: { keys: string[] };
  zone: string;
  signal?: AbortSignal;
  /** Whether an object that is gone was deleted by `expire`; asked in key order. None was unless given. */
  isExpired?(entry: ManifestEntry): Promise<boolean>;
  /** How to get an object's stored bytes; `raw.get` under If-Match unless given. */
  readObject?: ReadObject;
  limits?: RawLimits;
  /** How many differences are named; 20 unless given. */
  maxDifferences?: number;
  /** Where the copy of the part lies while it is read; the system's temporary directory unless given. */
  workDirectory?: string;
}

/** A count, and the first of what was counted. */
export interface Named {
  count: number;
  keys: string[];
}

export interface DeepResult {
  /** Proved: every raw byte is accounted for and nothing else is in the part. Late objects do not count against it. */
  ok: boolean;
  objects: number;
  /** JSON values found in raw: those that must be rows, and those that must be in quarantine. */
  records: number;
  rows: number;
  quarantined: number;
  /** Listed now, and not in the manifest: the next run takes them. */
  late: Named;
  /** Listed objects that are no data by their names. */
  skipped: number;
  /** In the manifest, and not there any more or overwritten; what they held cannot be proved again. */
  gone: Named & { rows: number };
  /** Deleted by `expire`, after what they held had been found in the part. */
  expired: { count: number; rows: number };
  /** Derived columns that are NULL in so many rows whose records have a value for them. */
  unfilled: { column: string; rows: number }[];
  differences: Difference[];
  /** There are more differences than named. */
  hasMore: boolean;
}

/** Texts that a second pass looks at; at most about so many are held in memory. */
const SECOND_PASS_TEXTS = 500_000;
const RECORD_CHARS = 500;
const RANGE_BYTES = 16 * 2 ** 20;
/** A record that leaves twenty times so much behind is cleared away before the next. */
const GARBAGE_BYTES = 4 * 2 ** 20;

/** Throws `conflict` where the part changes meanwhile, `data` where a file is damaged, `interrupted` on the signal. */
export async function verifyDeep(options: DeepVerification): Promise<DeepResult> {
  const directory = await mkdtemp(join(options.workDirectory ?? tmpdir(), "hourpack-verify-"));
  let part: Part | undefined;
  try {
    const path = join(directory, "part.parquet");
    await copyPart(options, path);
    part = await openPart(path, options.schema, options.tier1.uri + options.partKey);
    return await new Verification(options, part).run();
  } finally {
    await part?.close();
    await rm(directory, { recursive: true, force: true });
  }
}

async function copyPart({ tier1, partKey, partEtag, signal }: DeepVerification, path: string): Promise<void> {
  const head = await tier1.head(partKey, { signal });
  if (!head) {
    throw new HourpackError("conflict", `verify ${tier1.uri}${partKey}: there is no such part`, {
      stage: "verify",
      location: tier1.uri + partKey,
      hint: "Run the hour first.",
    });
  }
  const file = await open(path, "w");
  try {
    for (let start = 0; start < head.sizeBytes; start += RANGE_BYTES) {
      const end = Math.min(start + RANGE_BYTES, head.sizeBytes);
      const bytes = await tier1.get(partKey, { etag: partEtag, range: { start, end }, signal });
      await file.write(bytes, 0, bytes.length, start);
    }
  } finally {
    await file.close();
  }
}

class Verification {
  private readonly options: DeepVerification;
  private readonly part: Part;
  private readonly canon: Canon;
  private readonly restorer: Restorer;
  private readonly result: DeepResult;
  private readonly maxDifferences: number;
  private readonly goneKeys = new Set<string>();
  /** What the quarantine file has of objects that were not met yet. */
  private quarantine = new Map<string, Quarantined[]>();

  constructor(options: DeepVerification, part: Part) {
    this.options = options;
    this.part = part;
    this.maxDifferences = options.maxDifferences ?? 20;
    this.canon = this.canonOf("exact");
    this.restorer = new Restorer(options.schema, options.zone, options.records.keys.length > 0);
    this.result = {
      ok: false,
      objects: 0,
      records: 0,
      rows: 0,
      quarantined: 0,
      late: { count: 0, keys: [] },
      skipped: 0,
      gone: { count: 0, keys: [], rows: 0 },
      expired: { count: 0, rows: 0 },
      unfilled: [],
      differences: [],
      hasMore: false,
    };
  }

  async run(): Promise<DeepResult> {
    const { result } = this;
    const balance = new Balance();
    await this.readRecords(balance);
    await this.readRows(balance);
    // Where no object is left there are no records to find in the rows; they are as many as they were, or not.
    if (result.objects === 0) this.compareCounts();
    else await this.compareRecords(balance);
    result.ok = result.differences.length === 0 && !result.hasMore && result.gone.count === 0;
    return result;
  }

  private async compareRecords(balance: Balance): Promise<void> {
    const { buckets, isAll } = balance.differing(SECOND_PASS_TEXTS);
    if (buckets.size === 0) return;
    await this.nameDifferences(buckets);
    if (!isAll) this.result.hasMore = true;
  }

  private compareCounts(): void {
    const { rows, gone, expired } = this.result;
    const counted = gone.rows + expired.rows;
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
      await this.readItems(stored, check, (text) => {
        balance.add(fingerprint(text), "record");
        rows++;
      });
      result.objects++;
      result.records += rows + entries.length;
      result.quarantined += entries.length;
      const fault = check.result();
      if (fault) this.report({ kind: "quarantine", object: entry.key, ...fault });
      this.compareObject(entry, rows, entries.length);
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
    // Where it is missing, what should be in it is found to be.
    if (!head) return new Map();
    return readQuarantine(await storedIn(tier1, head, signal), tier1.uri + head.key);
  }

  /** The manifest's objects that are still what they were; the others are counted. */
  private objects(): AsyncGenerator<{ entry: ManifestEntry; stored: Stored }> {
    const { raw, rawPrefix, signal, readObject = readFrom(raw), isExpired } = this.options;
    const { result } = this;
    const onSkipped = () => {
      result.skipped++;
    };
    const onGone = (entry: ManifestEntry) => this.noteGone(entry, false);
    const onMissing = async (entry: ManifestEntry) =>
      this.noteGone(entry, (await isExpired?.(entry)) ?? false);
    const entries = this.options.entries();
    async function* present(): AsyncGenerator<ManifestEntry> {
      for await (const sighting of sight(entries, raw.list(rawPrefix, { signal }), onSkipped)) {
        if (sighting.kind === "same") yield sighting.entry;
        else if (sighting.kind === "late") note(result.late, sighting.object.key);
        else await onMissing(sighting.entry);
      }
    }
    // One may go between the listing and now.
    return readAhead(present(), readObject, { signal, onGone });
  }

  /** Of what it held there is left to see whether as much of it is in quarantine as the manifest says. */
  private noteGone(entry: ManifestEntry, isExpired: boolean): void {
    const { gone, expired } = this.result;
    if (isExpired) expired.count++;
    else note(gone, entry.key);
    (isExpired ? expired : gone).rows += rowsOf(entry);
    this.goneKeys.add(entry.key);
    this.compareObject(entry, rowsOf(entry), this.takeQuarantined(entry).length);
  }

  /** Canonical texts of an object's records; all of its bytes are passed to the check. */
  private async readItems(
    stored: Stored,
    check: QuarantineCheck | undefined,
    onRecord: (text: string, item: RawRecord, bytes: () => Buffer) => void,
  ): Promise<void> {
    const { records, limits = RAW_LIMITS } = this.options;
    const { source, damage } = await opened(stored, limits);
    if (damage !== undefined) return passDamaged(source, check);
    const isTaken = (value: Obj, envelope: Obj) => this.canon.text(value, envelope) !== undefined;
    const reader = new RawReader(source, { path: records.keys, limits, isTaken });
    for await (const items of reader.items()) {
      this.checkSignal();
      let isLarge = false;
      for (const item of items) {
        const bytes = () => reader.bytesOf(item);
        const text = item.kind === "record" ? this.canon.text(item.value, item.envelope) : undefined;
        if (item.kind === "record" && text !== undefined) onRecord(text, item, bytes);
        check?.pass(item.offset, item.sizeBytes, item.kind === "gap" || text !== undefined, bytes);
        isLarge ||= item.kind === "record" && item.sizeBytes > GARBAGE_BYTES;
      }
      if (isLarge) collectGarbage();
    }
  }

  private async readRows(balance: Balance): Promise<void> {
    const unfilled = new Map<string, number>();
    for await (const row of this.part.read()) {
      const { record, faults, empty } = this.restorer.restore(row);
      for (const column of empty) unfilled.set(column, (unfilled.get(column) ?? 0) + 1);
      balance.add(fingerprint(this.canon.text(record) ?? ""), "row");
      for (const detail of faults) this.report({ kind: "contradicted", row: this.result.rows, detail });
      if (++this.result.rows % 10_000 === 0) this.checkSignal();
    }
    this.result.unfilled = [...unfilled].map(([column, rows]) => ({ column, rows }));
  }

  /** Second pass, over the buckets that differ only. */
  private async nameDifferences(buckets: Set<number>): Promise<void> {
    const { options } = this;
    const finder = new DifferenceFinder(buckets);
    const [marked, loose] = [this.canonOf("marked"), this.canonOf("loose")];
    const entries = this.presentEntries();
    const read = options.readObject ?? readFrom(options.raw);
    for await (const { entry, stored } of readAhead(entries, read, options)) {
      await this.readItems(stored, undefined, (canonical, item, bytes) => {
        const print = fingerprint(canonical);
        if (!finder.isWanted(print)) return;
        finder.addRecord(print, entry.key, item.offset, () => {
          const markedText = marked.text(item.value, item.envelope) ?? "";
          return {
            canonical,
            loose: fingerprint(loose.text(item.value, item.envelope) ?? ""),
            marked: markedText.includes("\x01") ? markedText : undefined,
            text: recordText(bytes()),
          };
        });
      });
    }
    let number = 0;
    for await (const row of this.part.read()) {
      const { record } = this.restorer.restore(row);
      const canonical = this.canon.text(record) ?? "";
      const print = fingerprint(canonical);
      const texts = () => ({ canonical, loose: fingerprint(loose.text(record) ?? "") });
      if (finder.isWanted(print)) finder.addRow(print, number, texts);
      number++;
    }
    this.reportFound(finder.differences());
  }

  private async *presentEntries(): AsyncGenerator<ManifestEntry> {
    for await (const entry of this.options.entries()) if (!this.goneKeys.has(entry.key)) yield entry;
  }

  /** Rows of objects that are gone are nobody's now; only more of them than the manifest counts are a difference. */
  private reportFound(differences: Difference[]): void {
    const { gone, expired } = this.result;
    const extra = differences.filter((difference) => difference.kind === "extra").length;
    for (const difference of differences) {
      if (difference.kind !== "extra" || extra > gone.rows + expired.rows) this.report(difference);
    }
  }

  private report(difference: Difference): void {
    if (this.result.differences.length < this.maxDifferences) this.result.differences.push(difference);
    else this.result.hasMore = true;
  }

  private canonOf(spelling: "exact" | "marked" | "loose"): Canon {
    const { schema, zone, records } = this.options;
    return new Canon(schema, { zone, path: records.keys, spelling });
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

const NAMED_KEYS = 20;

function note(named: Named, key: string): void {
  named.count++;
  if (named.keys.length < NAMED_KEYS) named.keys.push(key);
}

/** A damaged gzip is in quarantine as it lies. */
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
