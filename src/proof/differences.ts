/** Names what differs: matches the records and rows of the buckets that do not balance, one by one. */
import { holesIn, type Likeness } from "./likeness.js";
import { bucketOf, type Fingerprint } from "./multiset.js";

export interface Difference {
  /**
   * - `missing`: a record has no row.
   * - `extra`: a row has no record, or there is one row too many.
   * - `changed`: both, and the two are alike.
   * - `contradicted`: a row's columns and its rescued data disagree.
   * - `quarantine`: an object's bytes that are no record are not those in quarantine.
   * - `count`: the manifest counts differently.
   */
  kind: "missing" | "extra" | "changed" | "contradicted" | "quarantine" | "count";
  detail: string;
  /** Key of the raw object. */
  object?: string;
  /** Offset of the record in the object's decompressed bytes. */
  offset?: number;
  /** Number of the row in the part, counted from 0. */
  row?: number;
  /** The record as it stands, or its beginning. */
  record?: string;
  /** For `changed`, each member that differs; for `extra`, what the row gives back. Canonical texts. */
  members?: { record?: string; row?: string }[];
}

interface FoundRecord {
  count: number;
  matched: number;
  object: string;
  offset: number;
  record: Fingerprint;
  columns: string;
  text?: string;
  canonical?: string;
}

interface FoundRow {
  row: number;
  record: Fingerprint;
  columns: string;
  canonical?: string;
  twinOf?: FoundRecord;
}

/** What a record or row is remembered by. The texts are asked for only if they will be kept. */
interface Texts {
  canonical: string;
  text?: string;
}

/** Texts are kept up to this many chars. What comes after is counted, but not shown. */
const TEXT_BUDGET = 64 * 2 ** 20;
const LINE_CHARS = 300;

export class DifferenceFinder {
  private readonly buckets: Set<number>;
  private readonly records = new Map<Fingerprint, FoundRecord>();
  private readonly rows: FoundRow[] = [];
  private kept = 0;
  /** By a derived column's number: how many rows leave it NULL although their record has a value for it. */
  readonly unfilled = new Map<number, number>();

  constructor(buckets: Set<number>) {
    this.buckets = buckets;
  }

  isWanted(print: Fingerprint): boolean {
    return this.buckets.has(bucketOf(print));
  }

  /** All records must come before the first row. */
  addRecord(likeness: Likeness, object: string, offset: number, texts: () => Texts): void {
    const { print, recordPrint: record, columnPrints: columns } = likeness;
    const found = this.records.get(print);
    // If one of several equal records has no row, the last of them is named.
    if (found) Object.assign(found, { count: found.count + 1, object, offset });
    else {
      const kept = this.keep(texts);
      this.records.set(print, { count: 1, matched: 0, object, offset, record, columns, ...kept });
    }
  }

  addRow(likeness: Likeness, row: number, texts: () => Texts): void {
    const { print, recordPrint: record, columnPrints: columns } = likeness;
    const found = this.records.get(print);
    if (found && found.matched < found.count) found.matched++;
    else this.rows.push({ row, record, columns, twinOf: found, ...this.keep(texts) });
  }

  private keep(texts: () => Texts): Partial<Texts> {
    if (this.kept > TEXT_BUDGET) return {};
    const kept = texts();
    this.kept += kept.canonical.length + (kept.text?.length ?? 0);
    return kept;
  }

  /** `changed` first, then what is missing, then what is extra. */
  differences(): Difference[] {
    const rows = new Set(this.rows);
    const records = [...this.records.values()].filter((record) => record.matched < record.count);
    this.matchUnfilled(records, rows);
    const missing = records.filter((record) => record.matched < record.count);
    const changed: Difference[] = [];
    for (const record of missing.slice(0, 200)) {
      const row = mostAlike(record, rows);
      if (!row) continue;
      rows.delete(row);
      record.matched++;
      changed.push(describeChange(record, row));
    }
    const lost = missing.flatMap((record) => {
      const times = record.count - record.matched;
      const detail =
        record.matched === 0 ? "the record has no row" : "the record has a row less than it occurs";
      const one: Difference = { kind: "missing", detail, ...whereOf(record) };
      return new Array<Difference>(times).fill(one);
    });
    return [...changed, ...lost, ...[...rows].map(describeExtra)];
  }

  /**
   * A row that leaves derived columns NULL has lost nothing: it belongs to its record, and is counted. Rows
   * that leave the fewest choose first. The others leave those columns NULL as well, because columns are only
   * ever appended.
   */
  private matchUnfilled(records: FoundRecord[], rows: Set<FoundRow>): void {
    const byRecord = new Map<Fingerprint, FoundRecord[]>();
    for (const record of records) {
      const list = byRecord.get(record.record);
      if (list) list.push(record);
      else byRecord.set(record.record, [record]);
    }
    const found: { row: FoundRow; record: FoundRecord; holes: number[] }[] = [];
    for (const row of rows) {
      for (const record of byRecord.get(row.record) ?? []) {
        const holes = holesIn(row.columns, record.columns);
        if (holes) found.push({ row, record, holes });
      }
    }
    found.sort((a, b) => a.holes.length - b.holes.length);
    for (const { row, record, holes } of found) {
      if (record.matched === record.count || !rows.delete(row)) continue;
      record.matched++;
      for (const hole of holes) this.unfilled.set(hole, (this.unfilled.get(hole) ?? 0) + 1);
    }
  }
}

/**
 * The row of the same record that shows it falsely, or else the row that shares most members with it, and at
 * least half of them.
 */
function mostAlike(record: FoundRecord, rows: Set<FoundRow>): FoundRow | undefined {
  if (record.canonical === undefined) return undefined;
  const members = new Set(membersOf(record.canonical));
  let best: FoundRow | undefined;
  let bestShared = 0;
  let looked = 0;
  for (const row of rows) {
    if (row.canonical === undefined) continue;
    if (row.record === record.record && row.columns !== record.columns) return row;
    if (row.twinOf) continue;
    if (++looked > 2_000) break;
    const lines = membersOf(row.canonical);
    const shared = lines.filter((line) => members.has(line)).length;
    if (2 * shared >= Math.max(members.size, lines.length) && shared > bestShared) {
      best = row;
      bestShared = shared;
    }
  }
  // A record of one member shares none with a row that changed it.
  return best ?? (members.size === 1 ? aloneWithKey(record.canonical, rows) : undefined);
}

function aloneWithKey(canonical: string, rows: Set<FoundRow>): FoundRow | undefined {
  for (const row of rows) {
    const [first, ...others] = membersOf(row.canonical ?? "");
    if (first && !row.twinOf && others.length === 0 && keyOf(first) === keyOf(canonical)) return row;
  }
  return undefined;
}

/** Leaves out the lines of derived columns, which repeat what is in a member. */
function membersOf(canonical: string): string[] {
  return canonical.split("\n").filter((line) => !line.startsWith("@"));
}

function describeChange(record: FoundRecord, row: FoundRow): Difference {
  const wanted = (record.canonical ?? "").split("\n");
  const found = (row.canonical ?? "").split("\n");
  const members: { record?: string; row?: string }[] = [];
  for (const line of wanted.filter((text) => !found.includes(text))) {
    const other = found.find((text) => keyOf(text) === keyOf(line) && !wanted.includes(text));
    members.push({ record: cut(line), row: other && cut(other) });
  }
  for (const line of found.filter((text) => !wanted.includes(text))) {
    if (!wanted.some((text) => keyOf(text) === keyOf(line))) members.push({ row: cut(line) });
  }
  const names = members.map((member) => nameOf(member.record ?? member.row ?? "")).join(", ");
  const detail = `the row differs in ${names}`;
  return { kind: "changed", detail, ...whereOf(record), row: row.row, members: members.slice(0, 20) };
}

function describeExtra(row: FoundRow): Difference {
  if (row.twinOf) {
    return {
      kind: "extra",
      detail: "the record has a row more than it occurs",
      row: row.row,
      ...whereOf(row.twinOf),
    };
  }
  const members = row.canonical
    ?.split("\n")
    .slice(0, 20)
    .map((line) => ({ row: cut(line) }));
  return { kind: "extra", detail: "the row is no record's", row: row.row, members };
}

function whereOf(record: FoundRecord): Pick<Difference, "object" | "offset" | "record"> {
  return { object: record.object, offset: record.offset, record: record.text };
}

/** `"key":` of a canonical line. */
function keyOf(line: string): string {
  return /^[\^@]?"(?:[^"\\]|\\.)*"/.exec(line)?.[0] ?? line;
}

/** For messages: a member's key, or a derived column's name. */
function nameOf(line: string): string {
  const key = keyOf(line);
  return key.startsWith("@") ? `the column ${JSON.parse(key.slice(1))}` : key;
}

function cut(text: string): string {
  return text.length > LINE_CHARS ? `${text.slice(0, LINE_CHARS)}…` : text;
}
