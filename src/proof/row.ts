/** What a row gives back: its columns, overridden by `_rescued_data`; and whether they show what they may. */
import { type Column, ENVELOPE_KEY, type Schema, type Type } from "../schema/types.js";
import { columnText } from "./column-text.js";
import { fold, type Json, MAX_DEPTH, Num, Obj, objectOf, UNREAD_CHARS } from "./json.js";
import type { Row } from "./part.js";
import { type Shown, shownBy } from "./shown.js";
import { parseJson } from "./text.js";

interface RestoredRow {
  record: Obj;
  /** What is wrong with the row by itself, such as a column that shows another value than its rescued member. */
  faults: string[];
  /** The same for derived columns, as far as it shows without the raw record. */
  derivedFaults: string[];
}

/** No tree is made of larger rescued data. */
const LARGE_CHARS = 2 ** 21;

export class Restorer {
  private readonly columns: {
    column: Column;
    root: string;
    isHolder: boolean;
    shown: Shown;
    inRow: Shown;
  }[];
  private readonly firstColumns: number;
  private readonly hasEnvelopes: boolean;

  /**
   * `hasEnvelopes`: there is a record path, so the last rescued `_envelope` is no member of the record. `firstColumns`:
   * every row was made with so many of the columns; the others may have come after it.
   */
  constructor(
    schema: Schema,
    { zone, hasEnvelopes, firstColumns }: { zone: string; hasEnvelopes: boolean; firstColumns: number },
  ) {
    this.firstColumns = firstColumns;
    this.hasEnvelopes = hasEnvelopes;
    const rootOf = (column: Column) => fold(column.path[0] ?? column.name);
    this.columns = schema.columns.map((column, i) => ({
      column,
      root: rootOf(column),
      isHolder: !column.derived || !schema.columns.some((other, j) => goesBefore(other, j, column, i)),
      shown: shownBy(column, { zone, isRow: false }),
      inRow: shownBy(column, { zone, isRow: true }),
    }));
  }

  restore(row: Row): RestoredRow {
    const [faults, derivedFaults]: [string[], string[]] = [[], []];
    const rescued = row.rescued === null ? new Obj() : parseRescued(row.rescued, this.hasEnvelopes);
    if (!rescued)
      return { record: new Obj(), faults: ["_rescued_data is no valid JSON object"], derivedFaults };
    const rescuedKeys = new Set(rescued.keys.map(fold));
    const record = new Obj();
    const envelope = new Obj();
    const rescuedEnvelope = envelopeOf(rescued);
    const envelopeKeys = new Set(rescuedEnvelope?.keys.map(fold));
    for (const [i, { column, root, isHolder }] of this.columns.entries()) {
      const value = row.values[i] ?? null;
      if (value === null || !isHolder || (column.envelope ? envelopeKeys : rescuedKeys).has(root)) continue;
      const typed = column.jsonString ? columnText(value, column.type) : value;
      if (!column.derived) record.set(column.path[0] ?? column.name, typed);
      else setPath(column.envelope ? envelope : record, column.path, typed);
    }
    for (const [i, key] of rescued.keys.entries()) record.set(key, rescued.values[i] ?? null);
    if (envelope.keys.length > 0) addEnvelope(record, rescuedEnvelope, envelope);
    for (const [i, { column, root }] of this.columns.entries()) {
      const isRescued = (column.envelope ? envelopeKeys : rescuedKeys).has(root);
      const fault = isRescued || column.derived ? this.faultOf(i, row, record, isRescued) : undefined;
      if (fault) (column.derived ? derivedFaults : faults).push(`the column ${column.name} ${fault}`);
    }
    return { record, faults, derivedFaults };
  }

  /** The equation would not see a column that shows something else than the member that overrides it. */
  private faultOf(index: number, row: Row, record: Obj, isRescued: boolean): string | undefined {
    const { column, root, shown, inRow } = this.columns[index] as (typeof this.columns)[number];
    const value = row.values[index] ?? null;
    const path = column.envelope ? [ENVELOPE_KEY, ...column.path] : column.path;
    const isNamesake = this.hasEnvelopes && !column.envelope && root === ENVELOPE_KEY;
    const own = isNamesake ? withoutEnvelope(record) : record;
    const original = memberAt(own, column.derived ? path : [root]);
    if (original === undefined) return value === null ? undefined : "shows a value that the record lacks";
    if (value === null) {
      const mayLack = column.derived || index >= this.firstColumns;
      return mayLack || shown(original) === undefined
        ? undefined
        : "is NULL, where its member has a value for it";
    }
    if (!isRescued && !isComparable(original, column.type)) return undefined;
    return inRow(value) === shown(original) ? undefined : "contradicts its member";
  }
}

/** Whether a derived column's place belongs to another: a plain one, one above it, or an earlier one of the same place. */
function goesBefore(other: Column, j: number, column: Column, i: number): boolean {
  const isNear = j < i || other.path.length < column.path.length || !other.derived;
  const leadsTo = other.path.every((key, depth) => fold(key) === fold(column.path[depth] ?? "\0"));
  return i !== j && isNear && leadsTo && Boolean(other.envelope) === Boolean(column.envelope);
}

/**
 * Strictly RFC 8259, as other readers read it. The envelope lies one level deeper here than in its object.
 */
function parseRescued(text: string, hasEnvelopes: boolean): Obj | undefined {
  const unreadChars = text.length > LARGE_CHARS && !hasEnvelopes ? UNREAD_CHARS : undefined;
  const value = parseJson(text, { maxDepth: MAX_DEPTH + 1, isStrict: true, unreadChars });
  return value instanceof Obj ? value : undefined;
}

function envelopeOf(rescued: Obj): Obj | undefined {
  const value = last(rescued, ENVELOPE_KEY);
  return value instanceof Obj ? value : undefined;
}

/** What envelope columns hold joins the rescued rest of the envelope. */
function addEnvelope(record: Obj, rescued: Obj | undefined, held: Obj): void {
  if (!rescued) record.set(ENVELOPE_KEY, held);
  else for (const [i, key] of held.keys.entries()) rescued.set(key, held.values[i] ?? null);
}

/** Puts a derived column's value where it came from. The first column to fill a place keeps it. */
function setPath(object: Obj, path: string[], value: Json): void {
  const [key = "", ...rest] = path;
  const found = last(object, fold(key));
  if (rest.length === 0) {
    if (found === undefined) object.set(key, value);
    return;
  }
  if (found === undefined) {
    const inner = new Obj();
    object.set(key, inner);
    setPath(inner, rest, value);
  } else if (found instanceof Obj) setPath(found, rest, value);
}

/** The last member that is not null under a folded key. */
function last(object: Obj, folded: string): Json | undefined {
  for (let i = object.keys.length - 1; i >= 0; i--) {
    const value = object.values[i] ?? null;
    if (value !== null && fold(object.keys[i] ?? "") === folded) return value;
  }
  return undefined;
}

/** The record's own members. Some may be named like the envelope, which comes last. */
function withoutEnvelope(record: Obj): Obj {
  const at = record.keys.lastIndexOf(ENVELOPE_KEY);
  const own = new Obj();
  for (const [i, key] of record.keys.entries()) if (i !== at) own.set(key, record.values[i] ?? null);
  return own;
}

/** What is at a path, also through members that are JSON inside a string. */
export function memberAt(record: Obj, path: string[]): Json | undefined {
  let value: Json | undefined = record;
  for (const key of path) {
    const inside = objectOf(innerOf(value ?? null));
    value = inside && last(inside, fold(key));
    if (value === undefined) return undefined;
  }
  return value;
}

/** The value inside a string that is JSON, else the value itself. */
function innerOf(value: Json): Json {
  return (typeof value === "string" ? parseJson(value) : undefined) ?? value;
}

/**
 * A value from another column has lost its spelling. If that decides what is shown, only the raw record
 * tells.
 */
function isComparable(value: Json, type: Type): boolean {
  if (value instanceof Num || typeof value === "boolean") return type.kind !== "string";
  return typeof value === "string" && !["array", "map", "struct"].includes(type.kind);
}
