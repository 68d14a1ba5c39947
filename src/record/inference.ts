/**
 * Infers columns from records. It looks at every record of an hour, and the result does not depend on their
 * order. It keeps only counts and sums.
 */
import { knownMembers } from "../schema/evolution.js";
import { fold, TAKEN_NAMES, uniqueNames } from "../schema/names.js";
import {
  type Column,
  type Field,
  leavesOf,
  leavesOfAll,
  NESTING_MAX,
  type Schema,
  type Type,
} from "../schema/types.js";
import { asArray, asObject, JsonNumber, type JsonObject, type JsonValue } from "./json.js";
import { parseDecimal, toDouble, toInteger } from "./number.js";
import { parseDate, parseTimestamp } from "./timestamp.js";

/** An object becomes a struct only with at most this many keys, each in at least this share of its values. */
const STRUCT_KEYS_MAX = 64;
const STRUCT_KEY_SHARE_MIN = 0.01;
/** Columns at most. Members beyond are rescued. */
const COLUMNS_MAX = 2000;
/** Leaves at most, of all column types together: a writer needs memory for each. Members beyond are text. */
const LEAVES_MAX = 5000;
/** Distinct members that are counted at most. */
const MEMBERS_MAX = 20_000;

/** What was seen of an hour's records. */
export class Shape {
  private readonly members = new Members(MEMBERS_MAX, 0);

  observe(record: JsonObject): void {
    this.members.observe(record);
  }

  /**
   * The columns, in the members' average order in the records. With a `schema`, only columns for members that
   * none of its columns knows, under names that collide with none of its own. Nested fields are never added.
   * A member that was unknown when the hour was converted may be known by now, because hours that are worked
   * on at the same time bring the same member.
   */
  columns(schema?: Schema): Column[] {
    const pinned = schema?.columns ?? [];
    const taken = [...TAKEN_NAMES, ...pinned.map(({ name }) => name)];
    const known = schema ? knownMembers(schema) : new Set<string>();
    const found: { key: string; type: Type }[] = [];
    let leaves = leavesOfAll(pinned);
    for (const member of this.members.inOrder()) {
      if (known.has(member.folded)) continue;
      const type = member.values.type();
      if (!type || pinned.length + found.length >= COLUMNS_MAX) continue;
      const ofType = leavesOf(type);
      const isText = leaves + ofType > LEAVES_MAX;
      found.push({ key: member.key(), type: isText ? { kind: "string" } : type });
      leaves += isText ? 1 : ofType;
    }
    const names = uniqueNames(
      found.map(({ key }) => key),
      taken,
    );
    return found.map(({ key, type }, i) => ({ name: names[i] as string, type, path: [key], derived: false }));
  }
}

/** The members of the objects in one place. Keys that differ only in ASCII case are one member. */
class Members {
  isOverfull = false;
  private readonly byKey = new Map<string, { member: Member; count: number }>();
  private readonly byFolded = new Map<string, Member>();
  private readonly keysMax: number;
  private readonly depth: number;

  /** `depth`: how many arrays and objects enclose their values, not counting the record. */
  constructor(keysMax: number, depth: number) {
    this.keysMax = keysMax;
    this.depth = depth;
  }

  observe({ keys, values }: JsonObject): void {
    for (let i = 0; i < keys.length; i++) {
      const value = values[i] as JsonValue;
      if (value === null) continue;
      const key = keys[i] as string;
      const spelling = this.byKey.get(key) ?? this.add(key);
      if (!spelling) continue;
      spelling.count++;
      spelling.member.count++;
      spelling.member.positions += i;
      spelling.member.values.observe(value);
    }
  }

  inOrder(): Member[] {
    const place = (member: Member) => member.positions / member.count;
    return [...this.byFolded.values()].sort((a, b) => place(a) - place(b) || (a.folded < b.folded ? -1 : 1));
  }

  private add(key: string): { member: Member; count: number } | undefined {
    const folded = fold(key);
    let member = this.byFolded.get(folded);
    if (!member) {
      if (this.byFolded.size >= this.keysMax) {
        this.isOverfull = true;
        return undefined;
      }
      member = new Member(folded, this.byKey, new Values(this.depth));
      this.byFolded.set(folded, member);
    }
    const spelling = { member, count: 0 };
    this.byKey.set(key, spelling);
    return spelling;
  }
}

class Member {
  count = 0;
  /** Sum of its positions in the objects. */
  positions = 0;
  readonly values: Values;
  readonly folded: string;
  private readonly spellings: Map<string, { member: Member; count: number }>;

  constructor(folded: string, spellings: Map<string, { member: Member; count: number }>, values: Values) {
    this.folded = folded;
    this.spellings = spellings;
    this.values = values;
  }

  /** The most common spelling. */
  key(): string {
    let best = { key: this.folded, count: -1 };
    for (const [key, { member, count }] of this.spellings) {
      if (member !== this) continue;
      if (count > best.count || (count === best.count && key < best.key)) best = { key, count };
    }
    return best.key;
  }
}

/** The values in one place. */
export class Values {
  private booleans = 0;
  private numbers = 0;
  private strings = 0;
  private arrays = 0;
  private objects = 0;
  /**
   * Whether all numbers so far: fit a bigint; are integers of at most 38 digits; are given back by a double.
   */
  private areBigints = true;
  private areIntegers = true;
  private areDoubles = true;
  /** Whether any is written with a fraction or an exponent; whether doubles hold all of them, digits included. */
  private hasFraction = false;
  private areHeldByDoubles = true;
  /** Whether all strings so far are: dates; times without a zone; times with one. */
  private areDates = true;
  private areLocalTimes = true;
  private areInstants = true;
  private elements: Values | undefined;
  private members: Members | undefined;
  private readonly depth: number;

  constructor(depth: number) {
    this.depth = depth;
  }

  observe(value: JsonValue): void {
    if (value === null) return;
    if (typeof value === "string") this.string(value);
    else if (value instanceof JsonNumber) this.number(value);
    else if (typeof value === "boolean") this.booleans++;
    else this.nested(value);
  }

  private nested(value: JsonValue): void {
    const elements = asArray(value);
    // A column takes deeper values as text.
    if (this.depth === NESTING_MAX) this.string("");
    else if (elements) {
      this.arrays++;
      this.elements ??= new Values(this.depth + 1);
      for (const element of elements) this.elements.observe(element);
    } else {
      this.objects++;
      this.members ??= new Members(STRUCT_KEYS_MAX, this.depth + 1);
      if (!this.members.isOverfull) this.members.observe(asObject(value) as JsonObject);
    }
  }

  /** The narrowest type that takes all values; undefined if all are null. */
  type(): Type | undefined {
    const kinds = [this.booleans, this.numbers, this.strings, this.arrays, this.objects].filter(
      (count) => count > 0,
    );
    if (kinds.length === 0) return undefined;
    if (kinds.length > 1) return { kind: "string" };
    if (this.booleans > 0) return { kind: "boolean" };
    if (this.numbers > 0) return this.numberType();
    if (this.strings > 0) return this.stringType();
    if (this.arrays > 0) return { kind: "array", element: this.elements?.type() ?? { kind: "string" } };
    return this.objectType();
  }

  private string(text: string): void {
    this.strings++;
    if (!(this.areDates || this.areLocalTimes || this.areInstants)) return;
    const isDated = text.length >= 10 && text.charCodeAt(4) === 0x2d;
    if (this.areDates && !(isDated && parseDate(text) !== undefined)) this.areDates = false;
    if (!(this.areLocalTimes || this.areInstants)) return;
    const instant = isDated ? parseTimestamp(text, "UTC") : undefined;
    const isWhole = instant?.isExact ?? false;
    const hasZone = isWhole && /(?:Z|[+-]\d\d:?\d\d)$/.test(text);
    if (!isWhole || hasZone) this.areLocalTimes = false;
    if (!isWhole || !hasZone) this.areInstants = false;
  }

  private number(number: JsonNumber): void {
    const { text } = number;
    this.numbers++;
    if (text.length < 16 && /^-?[0-9]+$/.test(text)) return;
    if (!/^-?[0-9]+$/.test(text)) this.hasFraction = true;
    const exact = number.isFinite ? parseDecimal(text) : undefined;
    const integer = exact && toInteger(exact, 38);
    if (integer === undefined) this.areIntegers = false;
    if (integer === undefined || BigInt.asIntN(64, integer) !== integer) this.areBigints = false;
    const nearest = number.isFinite ? toDouble(text) : undefined;
    if (number.isFinite && nearest === undefined) this.areDoubles = false;
    if (number.isFinite && !nearest?.isHeld) this.areHeldByDoubles = false;
  }

  private numberType(): Type {
    // 12.00 stands where 12.50 will.
    if (this.hasFraction && this.areHeldByDoubles) return { kind: "double" };
    if (this.areBigints) return { kind: "bigint" };
    if (this.areIntegers) return { kind: "decimal", precision: 38, scale: 0 };
    return { kind: this.areDoubles ? "double" : "string" };
  }

  private stringType(): Type {
    if (this.areDates) return { kind: "date" };
    return { kind: this.areLocalTimes || this.areInstants ? "timestamp" : "string" };
  }

  private objectType(): Type {
    const members = this.members as Members;
    if (members.isOverfull) return { kind: "string" };
    const fields: Omit<Field, "name">[] = [];
    for (const member of members.inOrder()) {
      if (member.count < this.objects * STRUCT_KEY_SHARE_MIN) return { kind: "string" };
      const type = member.values.type();
      if (type) fields.push({ key: member.key(), type });
    }
    if (fields.length === 0) return { kind: "string" };
    const names = uniqueNames(
      fields.map(({ key }) => key),
      [],
    );
    return { kind: "struct", fields: fields.map((field, i) => ({ name: names[i] as string, ...field })) };
  }
}
