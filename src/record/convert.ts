/**
 * The exact way: turns a record into its row. Whatever no column gives back goes to `_rescued_data`, so a
 * record is always its columns, overridden by `_rescued_data`.
 */
import { fold } from "../schema/names.js";
import { type Column, ENVELOPE_KEY, type Schema, type Value } from "../schema/types.js";
import { type Cast, cast } from "./cast.js";
import { asObject, JsonDamage, type JsonObject, type JsonValue, parseJson } from "./json.js";
import { valueJson } from "./restore.js";
import { writeJson } from "./write.js";

type Row =
  | {
      /** In the order of the schema's columns. */
      values: Value[];
      /** The text of `_rescued_data`. */
      rescued: string | null;
      /**
       * The members in that text. True if the column lacks only the member's spelling: a `json: string`
       * column whose fields took every value.
       */
      members: Map<string, boolean>;
    }
  | {
      /** Why the record cannot be a row. It goes to quarantine. */
      reason: string;
    };

export interface CompiledSchema {
  convert(record: JsonObject, envelope?: JsonObject): Row;
}

/** `zone` is for timestamps that carry none. */
export function compileSchema(schema: Schema, zone: string): CompiledSchema {
  const plain = new Map<string, number>();
  const derived: Derived[] = [];
  schema.columns.forEach((column, index) => {
    if (column.derived) derived.push({ column, index });
    else if (!plain.has(fold(column.path[0] ?? ""))) plain.set(fold(column.path[0] ?? ""), index);
  });
  return {
    convert(record, envelope) {
      try {
        return new Conversion(schema.columns, plain, derived, zone).row(record, envelope);
      } catch (error) {
        if (error instanceof JsonDamage) return { reason: error.message };
        throw error;
      }
    },
  };
}

interface Derived {
  column: Column;
  index: number;
}

class Conversion {
  private readonly columns: Column[];
  private readonly plain: Map<string, number>;
  private readonly derived: Derived[];
  private readonly zone: string;
  private readonly values: Value[];
  private readonly rescued: string[] = [];
  private readonly rescuedMembers = new Map<string, boolean>();

  constructor(columns: Column[], plain: Map<string, number>, derived: Derived[], zone: string) {
    this.columns = columns;
    this.plain = plain;
    this.derived = derived;
    this.zone = zone;
    this.values = new Array(columns.length).fill(null);
  }

  row(record: JsonObject, envelope: JsonObject | undefined): Row {
    for (const { column, index } of this.derived) {
      const source = column.envelope ? envelope : record;
      if (source) this.values[index] = this.derive(source, column);
    }
    this.members(record, envelope !== undefined);
    if (envelope) this.envelope(record, envelope);
    const rescued = this.rescued.length > 0 ? `{${this.rescued.join(",")}}` : null;
    return { values: this.values, rescued, members: this.rescuedMembers };
  }

  /** `hasEnvelope`: `_envelope` then names the envelope, and a member of that name is never left to a column. */
  private members(record: JsonObject, hasEnvelope: boolean): void {
    const { keys, values } = record;
    const times = countFolded(record);
    for (let i = 0; i < keys.length; i++) {
      const key = keys[i] as string;
      const value = values[i] as JsonValue;
      if (value === null) continue;
      const index = this.plain.get(key) ?? this.plain.get(fold(key));
      let isTextAlone = false;
      const isAlone =
        (times === undefined || times.get(fold(key)) === 1) && !(hasEnvelope && fold(key) === ENVELOPE_KEY);
      if (index !== undefined) {
        const shown = castMember(value, this.columns[index] as Column, this.zone);
        this.values[index] = shown.value;
        if (shown.held && isAlone) continue;
        isTextAlone = isAlone && shown.isTextAlone === true;
      } else if (isAlone && this.isCovered(value, this.derivedFrom(key, false), 1)) {
        continue;
      }
      this.rescue(key, value, isTextAlone);
    }
  }

  /** Members outside the record path. They have a key of their own, which always comes last. */
  private envelope(record: JsonObject, envelope: JsonObject): void {
    const outside: string[] = [];
    const times = countFolded(envelope);
    envelope.keys.forEach((key, i) => {
      const value = envelope.values[i] as JsonValue;
      const isAlone = times === undefined || times.get(fold(key)) === 1;
      if (value === null || (isAlone && this.isCovered(value, this.derivedFrom(key, true), 1))) return;
      outside.push(`${JSON.stringify(key)}:${writeJson(value)}`);
    });
    // A record's own `_envelope` must not be taken for the envelope, so that is then written even if empty.
    const isClaimed = record.keys.some((key) => fold(key) === ENVELOPE_KEY);
    if (outside.length === 0 && !isClaimed) return;
    this.rescued.push(`"${ENVELOPE_KEY}":{${outside.join(",")}}`);
    this.rescuedMembers.set(ENVELOPE_KEY, false);
  }

  private rescue(key: string, value: JsonValue, isTextAlone: boolean): void {
    this.rescued.push(`${JSON.stringify(key)}:${writeJson(value)}`);
    this.rescuedMembers.set(key, isTextAlone);
  }

  private derivedFrom(key: string, isEnvelope: boolean): Column[] {
    if (this.derived.length === 0) return [];
    return this.derived
      .map(({ column }) => column)
      .filter(
        (column) => Boolean(column.envelope) === isEnvelope && fold(column.path[0] ?? "") === fold(key),
      );
  }

  /**
   * Whether derived columns together give back every leaf of a member that has no column of its own. A place
   * and everything below it belong to the first column that names it, so it is clear what is given back.
   */
  private isCovered(value: JsonValue, columns: Column[], depth: number): boolean {
    if (columns.length === 0) return false;
    const own = columns.find((column) => column.path.length === depth);
    if (own) return castMember(value, own, this.zone).held;
    const object = asObject(value);
    if (!object || countFolded(object) !== undefined) return false;
    const members = object.values.flatMap((member, i) =>
      member === null ? [] : [[object.keys[i] as string, member] as const],
    );
    return (
      members.length > 0 &&
      members.every(([key, member]) =>
        this.isCovered(
          member,
          columns.filter((column) => fold(column.path[depth] as string) === fold(key)),
          depth + 1,
        ),
      )
    );
  }

  /** The value at a path, also through members that are JSON inside a string; NULL if it does not fit. */
  private derive(record: JsonObject, column: Column): Value {
    let value: JsonValue | undefined = record;
    for (const key of column.path) {
      if (typeof value === "string") value = parseText(value);
      const object = asObject(value);
      value = object && lookUp(object, key);
      if (value === undefined || value === null) return null;
    }
    try {
      return castMember(value, column, this.zone).value;
    } catch (error) {
      // A derived column only shows. The member's own column or the rescued data keeps what it cannot show.
      if (error instanceof JsonDamage) return null;
      throw error;
    }
  }
}

/** The last member that is not null and whose key folds to this one. */
function lookUp(object: JsonObject, key: string): JsonValue | undefined {
  for (let i = object.keys.length - 1; i >= 0; i--) {
    if (fold(object.keys[i] as string) === fold(key) && object.values[i] !== null) return object.values[i];
  }
  return undefined;
}

/** `isTextAlone`: the column shows all that the text says, but would spell it differently. */
function castMember(value: JsonValue, column: Column, zone: string): Cast & { isTextAlone?: boolean } {
  if (!column.jsonString) return cast(value, column.type, zone);
  if (typeof value !== "string") return { ...cast(value, column.type, zone), held: false };
  const parsed = parseText(value);
  if (parsed === undefined) return { value: null, held: false };
  try {
    const shown = cast(parsed, column.type, zone);
    const isWhole = shown.held && shown.value !== null;
    const held = isWhole && valueJson(shown.value, column.type) === value;
    return { value: shown.value, held, isTextAlone: isWhole && !held };
  } catch (error) {
    if (error instanceof JsonDamage) return { value: null, held: false };
    throw error;
  }
}

/** The one JSON value that a text is, else undefined. NaN, Infinity and lone surrogates are not JSON here. */
function parseText(text: string): JsonValue | undefined {
  try {
    const parsed = parseJson(text);
    const isJson = parsed.isFinite && parsed.isWellFormed && /^[ \t\r\n]*$/.test(text.slice(parsed.end));
    return isJson ? parsed.value : undefined;
  } catch (error) {
    if (error instanceof JsonDamage) return undefined;
    throw error;
  }
}

/** How often each folded key occurs with a value; undefined if none occurs twice, which is nearly always so. */
function countFolded({ keys, values }: JsonObject): Map<string, number> | undefined {
  const times = new Map<string, number>();
  let collides = false;
  for (let i = 0; i < keys.length; i++) {
    if (values[i] === null) continue;
    const folded = fold(keys[i] as string);
    const count = (times.get(folded) ?? 0) + 1;
    if (count > 1) collides = true;
    times.set(folded, count);
  }
  return collides ? times : undefined;
}
