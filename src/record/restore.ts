/** The way back: turns a row into its record, which is its columns, overridden by `_rescued_data`. */
import { fold } from "../schema/names.js";
import { type Column, ENVELOPE_KEY, type Schema, type Type, type Value } from "../schema/types.js";
import { asObject, JsonObject, type JsonValue, parseRescued } from "./json.js";
import { decimalText, valueText } from "./rows.js";
import { writeJson } from "./write.js";

/** The record's compact JSON text: members in the order of the columns, then the rescued ones in their own. */
export function restoreRecord(schema: Schema, values: readonly Value[], rescued: string | null): string {
  const overrides = rescued === null ? NOTHING : parseRescued(rescued);
  // The converter writes the envelope last. Columns may hold some of it: it is overridden member by member.
  const last = overrides.keys.at(-1) === ENVELOPE_KEY ? asObject(overrides.values.at(-1)) : undefined;
  const rest = last ?? NOTHING;
  const members = new Tree(overrides);
  const envelope = new Tree(rest);
  for (const [i, column] of holdersOf(schema)) {
    const value = values[i] ?? null;
    if (value !== null) (column.envelope ? envelope : members).set(column.path, memberJson(value, column));
  }
  const outside = envelope.texts();
  const texts = members.texts();
  overrides.keys.forEach((key, i) => {
    const value = overrides.values[i] as JsonValue;
    const isEnvelope = rest !== NOTHING && i === overrides.keys.length - 1 && outside.length > 0;
    texts.push(isEnvelope ? memberText(key, outside, rest) : `${JSON.stringify(key)}:${writeJson(value)}`);
  });
  if (rest === NOTHING && outside.length > 0) texts.push(memberText(ENVELOPE_KEY, outside, NOTHING));
  return `{${texts.join(",")}}`;
}

const NOTHING = new JsonObject([], []);

function memberText(key: string, texts: string[], rest: JsonObject): string {
  const more = rest.keys.map((name, i) => `${JSON.stringify(name)}:${writeJson(rest.values[i] ?? null)}`);
  return `${JSON.stringify(key)}:{${[...texts, ...more].join(",")}}`;
}

const holders = new WeakMap<Schema, [number, Column][]>();

/**
 * The columns that give something back: plain ones, and derived ones of members that no plain column has.
 * Among derived columns, the first that names a place gives it back, with everything below.
 */
function holdersOf(schema: Schema): [number, Column][] {
  let found = holders.get(schema);
  if (!found) {
    const columns = [...schema.columns.entries()];
    found = columns.filter(([i, column]) => {
      if (!column.derived) return true;
      return !columns.some(([j, other]) => {
        if (Boolean(other.envelope) !== Boolean(column.envelope)) return false;
        const isShorter = other.path.length < column.path.length;
        const isBefore = isShorter || (other.path.length === column.path.length && j < i);
        const leadsTo = other.path.every((key, depth) => fold(key) === fold(column.path[depth] ?? ""));
        return leadsTo && (other.derived ? isBefore : true);
      });
    });
    holders.set(schema, found);
  }
  return found;
}

/**
 * Whether rows of the older version read the same under the newer one. They do not if a column that was
 * appended since gives back a member that another column held: in older rows it is NULL.
 */
export function readsAlike(older: Schema, newer: Schema): boolean {
  const now = new Set(holdersOf(newer).map(([, { name }]) => name));
  return holdersOf(older).every(([, { name }]) => now.has(name));
}

function memberJson(value: Value, column: Column): string {
  const text = valueJson(value, column.type);
  return column.jsonString ? JSON.stringify(text) : text;
}

/** A column's value as JSON that reads back to it under its type. */
export function valueJson(value: Value, type: Type): string {
  if (value === null) return "null";
  switch (type.kind) {
    case "double":
      return Number.isFinite(value) ? valueText(value, type) : String(value);
    case "decimal":
      return decimalText(value as bigint, type.scale);
    case "timestamp":
      return timestampJson(value as number, type.epoch);
    case "array":
      return `[${(value as Value[]).map((element) => valueJson(element, type.element)).join(",")}]`;
    case "map":
      return objectJson((value as [string, Value][]).map(([key, entry]) => [key, entry, type.value]));
    case "struct":
      return objectJson(
        type.fields.map((field, i) => [field.key, (value as Value[])[i] ?? null, field.type]),
      );
    default:
      return valueText(value, type);
  }
}

function objectJson(members: [string, Value, Type][]): string {
  const present = members.filter(([, value]) => value !== null);
  return `{${present.map(([key, value, type]) => `${JSON.stringify(key)}:${valueJson(value, type)}`).join(",")}}`;
}

function timestampJson(ms: number, epoch: "s" | "ms" | undefined): string {
  if (epoch === "ms") return String(ms);
  if (epoch === "s") return ms % 1000 === 0 ? String(ms / 1000) : decimalText(BigInt(ms), 3);
  return `"${new Date(ms).toISOString()}"`;
}

/** Members by path, in the order in which they were first named. Keys that fold to the same text are one. */
class Tree {
  private readonly children = new Map<string, { key: string; child: string | Tree }>();
  private readonly overridden: Set<string>;

  /** Leaves out top-level members that are overridden. */
  constructor(overrides: JsonObject) {
    this.overridden = new Set(overrides.keys.map(fold));
  }

  set([key, ...rest]: readonly string[], text: string): void {
    const name = key as string;
    const folded = fold(name);
    if (this.overridden.has(folded)) return;
    if (rest.length === 0) {
      this.children.set(folded, { key: name, child: text });
      return;
    }
    let child = this.children.get(folded)?.child;
    if (!(child instanceof Tree)) {
      child = new Tree(NOTHING);
      this.children.set(folded, { key: name, child });
    }
    child.set(rest, text);
  }

  /** One `"key":value` each. */
  texts(): string[] {
    return [...this.children.values()].map(
      ({ key, child }) =>
        `${JSON.stringify(key)}:${typeof child === "string" ? child : `{${child.texts().join(",")}}`}`,
    );
  }
}
