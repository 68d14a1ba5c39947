/**
 * The canonical text of a record under a schema. One function serves both sides: the raw record, and the
 * record that a row gives back. Two records are the same exactly if their texts are the same.
 *
 * A member that its column holds is written under the column's type, so that texts of one value (`1.50` and
 * `1.5`, two offsets of one instant) come out equal, with null members dropped at every depth. Any other member is
 * rescued: it is written as plain JSON, with its nulls and with each number's digits. Members are sorted; a record's
 * own null members are dropped.
 */
import { type Column, ENVELOPE_KEY, type Schema, type Type } from "../schema/types.js";
import { epochMs, parseDate, parseTimestamp } from "./instant.js";
import { Joined } from "./joined.js";
import { Day, elementsOf, fold, Instant, type Json, Num, Obj, objectOf } from "./json.js";
import { holdDecimal, holdDouble, holdInteger, numberText } from "./number.js";
import { parseJson, writeJson } from "./text.js";

/** The canonical text of a value if the type holds it, else undefined. */
export type Hold = (value: Json) => string | undefined;

/** Thrown internally if NaN or Infinity would have to be written as plain JSON. */
export class NonFinite {}

/** Derived columns as a tree of the keys that they read. */
interface Derived {
  own?: Hold;
  children: Map<string, Derived>;
}

interface Member {
  folded: string;
  key: string;
  value: Json;
}

export class Canon {
  private readonly plain = new Map<string, Hold>();
  private readonly derived: Derived = { children: new Map() };
  private readonly envelope: Derived = { children: new Map() };
  private readonly path: string[];

  /** `path`: the keys of the record path, none for `$`. `zone` is for timestamps that carry none. */
  constructor(schema: Schema, { zone, path }: { zone: string; path: string[] }) {
    this.path = path;
    for (const column of schema.columns) {
      const hold = holdOfColumn(column, zone);
      if (!column.derived) this.plain.set(fold(column.path[0] ?? column.name), hold);
      else plant(column.envelope ? this.envelope : this.derived, column.path, hold);
    }
  }

  /** One line per member. Undefined if NaN or Infinity is outside a double column: that is no record. */
  text(record: Obj, envelope?: Obj): string | undefined {
    try {
      const lines = new Joined("\n");
      const envelopes: Json[] = [];
      for (const run of runsOf(record)) {
        if (this.path.length > 0 && run[0]?.folded === ENVELOPE_KEY)
          envelopes.push(...run.map((m) => m.value));
        else this.writeRun(run, lines);
      }
      if (envelope && (envelope.keys.length > 0 || envelopes.length > 0)) envelopes.push(envelope);
      this.writeEnvelopes(envelopes, lines);
      return lines.text();
    } catch (error) {
      if (error instanceof NonFinite) return undefined;
      throw error;
    }
  }

  /**
   * Members whose keys fold to the same text. If there are several, they collide, and all stay as they are.
   */
  private writeRun(run: Member[], lines: Joined): void {
    const [first] = run;
    if (run.length > 1 || !first) {
      for (const { key, value } of run) lines.push(`${quoted(key)}:${plainText(value)}`);
      return;
    }
    const { folded, key, value } = first;
    const hold = this.plain.get(folded);
    const group = hold ? undefined : this.derived.children.get(folded);
    if (!hold && !group) lines.push(`${quoted(key)}:${plainText(value)}`);
    else {
      const held = hold ? hold(value) : group && holdDerived(value, group);
      lines.push(`${quoted(folded)}:${held ?? plainText(value)}`);
    }
  }

  /**
   * The last one is the envelope. It is compared member by member, because derived columns may hold some of
   * it. Those before it are the record's own members of that name, compared as plain JSON.
   */
  private writeEnvelopes(envelopes: Json[], lines: Joined): void {
    const last = envelopes.at(-1);
    const own = last instanceof Obj ? envelopes.slice(0, -1) : envelopes;
    for (const value of own) lines.push(`^${plainText(value)}`);
    for (const run of last instanceof Obj ? runsOf(last) : []) {
      const [first] = run;
      if (run.length > 1 || !first) {
        for (const { key, value } of run) lines.push(`^${quoted(key)}:${plainText(value)}`);
        continue;
      }
      // What is left of an object that the path led through may be empty.
      if (first.value instanceof Obj && first.value.keys.length === 0 && first.key === this.path[0]) continue;
      const group = this.envelope.children.get(first.folded);
      const held = group && holdDerived(first.value, group);
      lines.push(`^${quoted(held ? first.folded : first.key)}:${held ?? plainText(first.value)}`);
    }
  }
}

const quotedKeys = new Map<string, string>();

/** A key as a JSON string. Keys come again and again, so the strings are cached. */
export function quoted(key: string): string {
  let text = quotedKeys.get(key);
  if (text === undefined) {
    text = JSON.stringify(key);
    // A string of its own: the key may be a slice of a window's text, and would keep all of that alive.
    if (quotedKeys.size < 10_000) quotedKeys.set(JSON.parse(text) as string, text);
  }
  return text;
}

/** The members that are not null, sorted by folded key. Colliding ones stay together, in their order. */
function* runsOf(object: Obj): Generator<Member[]> {
  const members: Member[] = [];
  for (let i = 0; i < object.keys.length; i++) {
    const value = object.values[i] ?? null;
    const key = object.keys[i] ?? "";
    if (value !== null) members.push({ folded: fold(key), key, value });
  }
  members.sort((a, b) => (a.folded < b.folded ? -1 : a.folded > b.folded ? 1 : 0));
  let run: Member[] = [];
  for (const member of members) {
    if (run.length > 0 && run[0]?.folded !== member.folded) {
      yield run;
      run = [];
    }
    run.push(member);
  }
  if (run.length > 0) yield run;
}

/** The members by folded key; undefined if two collide, or if the value is not an object. */
function foldedMembers(value: Json): Map<string, Json> | undefined {
  const object = objectOf(value);
  if (!object) return undefined;
  const members = new Map<string, Json>();
  for (const run of runsOf(object)) {
    if (run.length > 1 || !run[0]) return undefined;
    members.set(run[0].folded, run[0].value);
  }
  return members;
}

function plant(root: Derived, path: string[], hold: Hold): void {
  let node = root;
  for (const key of path.map(fold)) {
    let next = node.children.get(key);
    if (!next) {
      next = { children: new Map() };
      node.children.set(key, next);
    }
    node = next;
  }
  node.own ??= hold;
}

/**
 * A member without a column of its own is held if derived columns cover every leaf of it. A place and
 * everything below it belong to the first column that names it.
 */
function holdDerived(value: Json, node: Derived): string | undefined {
  if (node.own) return node.own(value);
  const members = foldedMembers(value);
  if (!members || members.size === 0) return undefined;
  const texts: string[] = [];
  for (const [key, member] of members) {
    const child = node.children.get(key);
    const held = child && holdDerived(member, child);
    if (held === undefined) return undefined;
    texts.push(`${quoted(key)}:${held}`);
  }
  return `{${texts.join(",")}}`;
}

export function holdOfColumn(column: Column, zone: string): Hold {
  const hold = holdOf(column.type, zone);
  if (!column.jsonString) return hold;
  // Its member is compared as it stands: a string is to come back as this very text.
  return column.derived ? (value) => holdInner(value, hold) : () => undefined;
}

/** A string that is JSON is held by its text. */
function holdInner(value: Json, hold: Hold): string | undefined {
  const inner = typeof value === "string" ? parseJson(value) : undefined;
  if (inner === undefined || inner === null || hold(inner) === undefined) return undefined;
  return plainText(value);
}

export function holdOf(type: Type, zone: string): Hold {
  switch (type.kind) {
    case "boolean":
      return (value) =>
        value === true || value === "true"
          ? "true"
          : value === false || value === "false"
            ? "false"
            : undefined;
    case "int":
      return (value) => ofNumber(value, (text) => holdInteger(text, 32));
    case "bigint":
      return (value) => ofNumber(value, (text) => holdInteger(text, 64));
    case "decimal":
      return (value) => ofNumber(value, (text) => holdDecimal(text, type.precision, type.scale));
    case "double":
      return (value) => (value instanceof Num && !value.isFinite ? value.text : ofNumber(value, holdDouble));
    case "string":
      return holdString;
    case "timestamp":
      return (value) => holdTimestamp(value, type.epoch, type.zone ?? zone);
    case "date":
      return (value) => {
        const days =
          value instanceof Day ? value.days : typeof value === "string" ? parseDate(value) : undefined;
        return days === undefined ? undefined : `D${days}`;
      };
    case "array":
      return holdArray(holdOf(type.element, zone));
    case "map":
      return holdMap(holdOf(type.value, zone));
    case "struct":
      return holdStruct(new Map(type.fields.map((f) => [fold(f.key), holdOf(f.type, zone)])));
  }
}

function ofNumber(value: Json, hold: (text: string) => string | undefined): string | undefined {
  const text = numberText(value);
  return text === undefined ? undefined : hold(text);
}

/**
 * A value that is not a string is held as its compact JSON text. Numbers keep the digits that they were
 * written with: `7` is not `7.0`.
 */
function holdString(value: Json): string | undefined {
  if (typeof value === "string") return literal(value);
  if (value === null) return undefined;
  // This throws if NaN or Infinity is in it: such a text gives no value back.
  plainText(value);
  return JSON.stringify(writeJson(value));
}

/** Like JSON.stringify, but most strings have nothing to escape. */
function literal(text: string): string {
  return /["\\\x00-\x1f\ud800-\udfff]/.test(text) ? JSON.stringify(text) : `"${text}"`;
}

/** A number counts since 1970 if the column says so. A string of digits is read like one. */
function holdTimestamp(value: Json, epoch: "s" | "ms" | undefined, zone: string): string | undefined {
  if (value instanceof Instant) return `T${value.ms}`;
  if (typeof value === "string") {
    const timestamp = parseTimestamp(value, zone);
    if (timestamp) return timestamp.exact ? `T${timestamp.ms}` : undefined;
  }
  const ms = epoch && epochMs(value, epoch);
  return ms?.exact ? `T${ms.ms}` : undefined;
}

function holdArray(hold: Hold): Hold {
  return (value) => {
    const elements = elementsOf(value);
    if (!elements) return undefined;
    const texts = new Joined(",");
    for (const item of elements) {
      const held = item === null ? "null" : hold(item);
      if (held === undefined) return undefined;
      texts.push(held);
    }
    return `[${texts.text()}]`;
  };
}

/** A map's keys are data: they are not folded, and no map holds a repeated one. */
function holdMap(hold: Hold): Hold {
  return (value) => {
    const object = objectOf(value);
    if (!object) return undefined;
    const texts = new Map<string, string>();
    for (const [key, member] of sortedMembers(object)) {
      if (member === null) continue;
      const held = hold(member);
      if (held === undefined || texts.has(key)) return undefined;
      texts.set(key, `${quoted(key)}:${held}`);
    }
    return `{${[...texts.values()].join(",")}}`;
  };
}

function holdStruct(fields: Map<string, Hold>): Hold {
  return (value) => {
    const members = foldedMembers(value);
    if (!members) return undefined;
    const texts: string[] = [];
    for (const [key, member] of members) {
      const held = fields.get(key)?.(member);
      if (held === undefined) return undefined;
      texts.push(`${quoted(key)}:${held}`);
    }
    return `{${texts.join(",")}}`;
  };
}

/** Plain JSON: keys sorted, repeated keys in their order, numbers as they are written. */
function plainText(value: Json): string {
  if (value === null || typeof value === "boolean") return String(value);
  if (typeof value === "string") return literal(value);
  if (value instanceof Num) {
    if (!value.isFinite) throw new NonFinite();
    return value.text;
  }
  const elements = elementsOf(value);
  if (elements) {
    const texts = new Joined(",");
    for (const element of elements) texts.push(plainText(element));
    return `[${texts.text()}]`;
  }
  const object = objectOf(value);
  if (object) {
    const members = new Joined(",");
    for (const [key, member] of sortedMembers(object)) members.push(`${quoted(key)}:${plainText(member)}`);
    return `{${members.text()}}`;
  }
  return value instanceof Instant ? `T${value.ms}` : `D${(value as Day).days}`;
}

function sortedMembers(object: Obj): [string, Json][] {
  const members = object.keys.map((key, i): [string, Json] => [key, object.values[i] ?? null]);
  return members.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
}
