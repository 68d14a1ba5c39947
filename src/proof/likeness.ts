/**
 * What a record and its row have in common: the record's canonical text, and what the derived columns show,
 * one line each. A derived column holds nothing, and what a row gives back has lost the spelling that such a
 * column may show. So the column is compared with the raw record.
 */
import type { Schema } from "../schema/types.js";
import { Canon } from "./canon.js";
import type { Json, Obj } from "./json.js";
import { type Fingerprint, fingerprint } from "./multiset.js";
import { memberAt } from "./row.js";
import { type Shown, shownBy } from "./shown.js";

const PRINT_CHARS = 16;
const OF_NULL = "\0".repeat(PRINT_CHARS);

export class Likeness {
  private readonly record: string;
  /** One line per derived column; undefined if it is NULL. */
  private readonly columns: readonly (string | undefined)[];

  constructor(record: string, columns: readonly (string | undefined)[]) {
    this.record = record;
    this.columns = columns;
  }

  /** One line per member, and one per derived column that is not NULL. */
  get text(): string {
    if (this.columns.length === 0) return this.record;
    return [this.record, ...this.columns.filter((line) => line !== undefined)].join("\n");
  }

  /**
   * The fingerprint of the text. All fingerprints of one record begin alike, so that they are in one bucket.
   */
  get print(): Fingerprint {
    if (this.columns.length === 0) return fingerprint(this.record);
    return this.recordPrint.slice(0, 2) + fingerprint(this.text).slice(2);
  }

  get recordPrint(): Fingerprint {
    return fingerprint(this.record);
  }

  /** The fingerprint of each derived column's line, one after the other. */
  get columnPrints(): string {
    return this.columns.map((line) => (line === undefined ? OF_NULL : fingerprint(line))).join("");
  }
}

/** The columns that a row leaves NULL and a record would show; undefined if the two show different things. */
export function holesIn(row: string, record: string): number[] | undefined {
  const holes: number[] = [];
  for (let at = 0; at < record.length; at += PRINT_CHARS) {
    const [shown, wanted] = [row.slice(at, at + PRINT_CHARS), record.slice(at, at + PRINT_CHARS)];
    if (shown === wanted) continue;
    if (shown !== OF_NULL) return undefined;
    holes.push(at / PRINT_CHARS);
  }
  return holes;
}

export class Likenesses {
  /** The derived columns' names, in the order of a likeness' columns. */
  readonly names: string[];
  private readonly canon: Canon;
  private readonly derived: {
    index: number;
    path: string[];
    envelope: boolean;
    line: string;
    shown: Shown;
  }[];
  private readonly inRow: Shown[];

  /** `path`: the keys of the record path, none for `$`. `zone` is for timestamps that carry none. */
  constructor(schema: Schema, options: { zone: string; path: string[] }) {
    const { zone } = options;
    this.canon = new Canon(schema, options);
    const columns = [...schema.columns.entries()].filter(([, { derived }]) => derived);
    this.names = columns.map(([, { name }]) => name);
    this.derived = columns.map(([index, column]) => ({
      index,
      path: column.path,
      envelope: column.envelope ?? false,
      line: `@${JSON.stringify(column.name)}:`,
      shown: shownBy(column, { zone, isRow: false }),
    }));
    this.inRow = columns.map(([, column]) => shownBy(column, { zone, isRow: true }));
  }

  /** Undefined if NaN or Infinity is outside a double column: that is no record. */
  ofRecord(record: Obj, envelope?: Obj): Likeness | undefined {
    const text = this.canon.text(record, envelope);
    if (text === undefined) return undefined;
    const columns = this.derived.map(({ path, envelope: isOutside, line, shown }) => {
      const source = isOutside ? envelope : record;
      const member = source && memberAt(source, path);
      return member === undefined ? undefined : labelled(line, shown(member));
    });
    return new Likeness(text, columns);
  }

  /** `restored`: the record that the row gives back. */
  ofRow(restored: Obj, values: readonly Json[]): Likeness {
    const columns = this.derived.map(({ index, line }, i) =>
      labelled(line, this.inRow[i]?.(values[index] ?? null)),
    );
    return new Likeness(this.canon.text(restored) ?? "", columns);
  }
}

function labelled(line: string, text: string | undefined): string | undefined {
  return text === undefined ? undefined : line + text;
}
