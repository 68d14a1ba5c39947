/**
 * Random datasets for the property tests: columns, and JSON values that fit them, nearly fit them or do not fit at
 * all. Values are kept as they will be written, so that a number keeps its text and an object its repeated keys.
 */
import fc, { type Arbitrary } from "fast-check";
import { hiveType } from "../../src/schema/hive.js";
import type { Field, Type } from "../../src/schema/types.js";

/** A JSON value to write: the text of a leaf, an array, or an object's members with the texts of their keys. */
export type Sample = Leaf | { items: Sample[] } | { members: [key: string, value: Sample][] };

interface Leaf {
  text: string;
  /** Holds a lone surrogate, or bytes that are not UTF-8, which no record can have. */
  isDamaged?: boolean;
}

export type RecordSample = { members: [key: string, value: Sample][] };

/** A dataset's options as in hourpack.yaml, and the generators of its records. */
export interface RandomDataset {
  options: {
    columns?: Record<string, ColumnOption>;
    records: string;
    unknown: "rescue" | "add";
    zone: string;
  };
  record: Arbitrary<RecordSample>;
}

interface ColumnOption {
  type: string;
  json?: "string";
  from?: string;
  epoch?: "s" | "ms";
  zone?: string;
}

/** Stands in texts for a byte that is not UTF-8. */
export const BAD_BYTE = "\ue000";

const leaf = (text: string): Sample => ({ text });

/** One of the choices; the first of each pair is its weight. */
const mix = <T>(...choices: [weight: number, choice: Arbitrary<T>][]): Arbitrary<T> =>
  fc.oneof(...choices.map(([weight, arbitrary]) => ({ weight, arbitrary })));

// ---- Numbers, strings, instants: what fits, and what almost does.

const NUMBERS = (
  "0 -0 0.0 -0.0 1 -1 12 12.0 1.5 1.50 1e3 1E5 1.10 0.1 1e2 100e-2 2147483647 2147483648 -2147483648 -2147483649 " +
  "9223372036854775807 9223372036854775808 -9223372036854775808 -9223372036854775809 99999999999999999999 " +
  "123456789.123456789 0.12345678901234567890 0.30000000000000004 12345678901234567 123456789012345678 " +
  "1234567890123456789 9007199254740993 1e15 1e16 1e21 1e22 1e-7 1e400 -1e400 1e-400 5e-324 4.9406564584124654e-324 " +
  "1.7976931348623157e308 1.7976931348623159e308 1e999999999999999999999 0e999999999999999999999 1e-999999999999999 " +
  "53010852746782632 53010852746782630 0.10000000000000001 4.9e-324 5e-324 9007199254740993 " +
  "1658793600 1658793600123 1658793600.123 1658793600.1234 -62135596800 253402300799999 253402300800000 0.5e1 " +
  "99999999999999999999999999999999999999 100000000000000000000000000000000000000 0.00000000000000000001"
).split(" ");

const number: Arbitrary<string> = mix(
  [3, fc.integer({ min: -1000, max: 1000 }).map(String)],
  [3, fc.constantFrom(...NUMBERS)],
  [1, fc.bigInt({ min: -(2n ** 65n), max: 2n ** 65n }).map(String)],
  [1, fc.double({ noNaN: true, noDefaultInfinity: true }).map(String)],
  [2, fc.stringMatching(/^-?(0|[1-9][0-9]{0,19})(\.[0-9]{1,20})?([eE][-+]?[0-9]{1,3})?$/)],
);

const NEAR_NUMBERS =
  "012|1_000|0x1F| 12|12 |+5|1.|.5|1e|--1|NaN|Infinity|nan|inf|1,000|١٢|1e5|-0|12|1.5|99999999999999999999|yes";

/** Written as JSON texts, so that each is visible. */
const TEXTS = String.raw`
  "" " " "x" "TRUE" "null" "epoch" "infinity" "-infinity" "today" "{}" "[]" "[1]" "\"" "{\"a\":1}" "{\"a\": 1}"
  "{\"a\":1,\"a\":2}" "\u0000" "a\u0000b" "a\u0001b" "😀" "𝒳" "é" "e\u0301" "\ufeffx" "\u2028" "\ufffe" "\uffff"
  "\u007f" "\r\n" "\t" "\\" "/" "'" "null\n"`;
const texts = [...TEXTS.matchAll(/"(?:[^"\\]|\\.)*"/g)].map(([json]) => JSON.parse(json) as string);

const text: Arbitrary<string> = mix(
  [3, fc.string({ maxLength: 12 })],
  [2, fc.constantFrom(...texts, "x".repeat(300))],
  [1, fc.constantFrom(...NEAR_NUMBERS.split("|"))],
  [1, fc.string({ unit: "binary", maxLength: 8 }).map((unit) => unit.replace(/[\p{Surrogate}\ue000]/gu, ""))],
);

const two = (max: number) => fc.integer({ min: 0, max }).map((value) => String(value).padStart(2, "0"));
const year = fc.oneof(
  fc.constantFrom(
    "0000",
    "0001",
    "1600",
    "1677",
    "1699",
    "1700",
    "1900",
    "1969",
    "2000",
    "2199",
    "2200",
    "2262",
  ),
  fc.constantFrom("2020", "2022", "2024", "9999", "10000"),
);
const day = mix(
  [5, fc.constantFrom("01-01", "02-28", "06-30", "07-26", "12-31", "03-27", "11-06")],
  [1, fc.constantFrom("02-29", "02-30", "00-10", "13-01", "04-31", "7-6")],
);
const date = fc.tuple(year, day).map((parts) => parts.join("-"));
const time = mix(
  [8, fc.tuple(two(23), two(59), two(59)).map((parts) => parts.join(":"))],
  [1, fc.constantFrom("24:00:00", "23:59:60", "09:00", "9:00:00", "00:00:00", "02:30:00")],
);
const fraction = mix(
  [3, fc.constantFrom("", "", ".1", ".123", ".000")],
  [1, fc.stringMatching(/^\.[0-9]{1,12}$/)],
  [1, fc.constantFrom(".", ".123000000", ".1234", ".0000000001", ",5")],
);
const offset = mix(
  [4, fc.constantFrom("", "Z", "+09:00", "+0900", "-03:30")],
  [1, fc.constantFrom("z", "+09", " +09:00", "+14:00", "-23:59", "+24:00", "+05:60", " UTC")],
);
const instant = fc
  .tuple(date, fc.constantFrom("T", "T", " ", " ", "t", "  "), time, fraction, offset)
  .map((parts) => parts.join(""));

// ---- Types.

const SCALARS: Type[] = [
  { kind: "boolean" },
  { kind: "int" },
  { kind: "bigint" },
  { kind: "double" },
  { kind: "string" },
  { kind: "timestamp" },
  { kind: "date" },
];
const decimal: Arbitrary<Type> = fc
  .constantFrom([10, 0], [9, 2], [18, 18], [38, 20], [38, 0], [5, 5])
  .map(([precision = 10, scale = 0]) => ({ kind: "decimal", precision, scale }));
const FIELD_NAMES = ["a", "b", "c", "id", "constructor", "0", "key"];

function typeAt(depth: number): Arbitrary<Type> {
  const scalars = fc.constantFrom(...SCALARS);
  if (depth === 0) return scalars;
  const inner = typeAt(depth - 1);
  const nested = mix<Type>(
    [1, inner.map((element) => ({ kind: "array", element }))],
    [1, inner.map((value) => ({ kind: "map", value }))],
    [1, structOf(inner)],
  );
  return mix([4, scalars], [1, decimal], [2, nested]);
}
const anyType = typeAt(2);

function structOf(type: Arbitrary<Type>): Arbitrary<Extract<Type, { kind: "struct" }>> {
  const field: Arbitrary<Field> = fc
    .tuple(fc.constantFrom(...FIELD_NAMES), type)
    .map(([name, type]) => ({ name, key: name, type }));
  return fc
    .uniqueArray(field, { minLength: 1, maxLength: 4, selector: ({ name }) => name })
    .map((fields) => ({ kind: "struct", fields }));
}

// ---- Values.

const quoted: Arbitrary<Sample> = fc
  .tuple(text, fc.constantFrom("plain", "plain", "plain", "escaped"))
  .map(([value, style]) => leaf(style === "plain" ? JSON.stringify(value) : escaped(value)));

/** Every character as its own escape, alternately in upper and lower case. */
function escaped(value: string): string {
  const units = Array.from({ length: value.length }, (_, i) => {
    const hex = value.charCodeAt(i).toString(16).padStart(4, "0");
    return `\\u${i % 2 ? hex.toUpperCase() : hex}`;
  });
  return `"${units.join("")}"`;
}

const NON_FINITE: Sample[] = ["NaN", "Infinity", "-Infinity"].map(leaf);
const DAMAGED: Sample[] = [
  '"\\ud800"',
  '"x\\udc00"',
  '"\\ud83d\\ud83d\\ude00"',
  `"${BAD_BYTE}"`,
  `"é${BAD_BYTE}"`,
].map((damaged) => ({ text: damaged, isDamaged: true }));

/** Keys that no column has, or that only resemble a column's. */
const ODD_KEYS = [
  ...[
    "u",
    "U",
    "extra",
    "event",
    "",
    "a.b",
    'quo"te',
    "ü",
    "É",
    "é",
    "😀",
    "__proto__",
    "hour",
    "_rescued_data",
  ],
  ...["_envelope", "_Envelope", "\u0000", "a b", "A", "B", "ID", "Tag", "TAG", "\\", "_hourpack_none", "K"],
];
const oddKey: Arbitrary<string> = mix([6, fc.constantFrom(...ODD_KEYS)], [1, text]);
const keyText = (key: Arbitrary<string>): Arbitrary<string> =>
  fc.tuple(key, fc.nat(9)).map(([value, dice]) => (dice === 0 ? escaped(value) : JSON.stringify(value)));

const rare = mix([3, fc.constantFrom(...NON_FINITE)], [2, fc.constantFrom(...DAMAGED)]);
const scalar: Arbitrary<Sample> = mix(
  [12, fc.constantFrom("null", "true", "false").map(leaf)],
  [20, number.map(leaf)],
  [20, quoted],
  [5, instant.map((value) => leaf(JSON.stringify(value)))],
  [1, rare],
);

function valueAt(depth: number): Arbitrary<Sample> {
  if (depth === 0) return scalar;
  const inner = valueAt(depth - 1);
  const keys = fc.constantFrom(...FIELD_NAMES, ...ODD_KEYS.slice(0, 8));
  const items = fc.array(inner, { maxLength: 3 }).map((list) => ({ items: list }));
  return mix<Sample>([6, scalar], [1, items], [1, membersOf(keys, inner, 3)]);
}
/** Any JSON value of a few levels. */
export const anyValue = valueAt(3);

function membersOf(
  key: Arbitrary<string>,
  value: Arbitrary<Sample>,
  maxLength: number,
): Arbitrary<RecordSample> {
  return fc
    .array(fc.tuple(keyText(key), value), { maxLength })
    .map((members) => ({ members: members as [string, Sample][] }));
}

/** Values that mostly fit a column of this type. */
export function valueFor(type: Type): Arbitrary<Sample> {
  return mix([16, fitting(type)], [1, fc.constant(leaf("null"))], [1, anyValue], [1, scalar]);
}

function fitting(type: Type): Arbitrary<Sample> {
  const asText = (value: Arbitrary<string>) =>
    fc
      .tuple(value, fc.nat(9))
      .map(([written, dice]) => leaf(dice === 0 || dice === 1 ? JSON.stringify(written) : written));
  switch (type.kind) {
    case "boolean":
      return asText(fc.constantFrom("true", "false"));
    case "int":
    case "bigint":
      return mix([3, fc.integer().map((value) => leaf(String(value)))], [1, asText(number)]);
    case "double":
    case "decimal":
      return mix(
        [10, fc.integer({ min: -99_999, max: 99_999 }).map((value) => leaf(String(value / 100)))],
        [10, asText(number)],
        [type.kind === "double" ? 1 : 0, fc.constantFrom(...NON_FINITE)],
      );
    case "string":
      return mix([5, quoted], [1, asText(number)]);
    case "date":
      return date.map((value) => leaf(JSON.stringify(value)));
    case "timestamp":
      return mix(
        [type.epoch ? 1 : 5, instant.map((value) => leaf(JSON.stringify(value)))],
        [type.epoch ? 5 : 1, asText(number)],
      );
    case "array":
      return fc.array(valueFor(type.element), { maxLength: 3 }).map((items) => ({ items }));
    case "map":
      return membersOf(fc.constantFrom("k", "K", "é", "", ...FIELD_NAMES), valueFor(type.value), 3);
    case "struct":
      return objectOf(type.fields, 20);
  }
}

/** An object with most of these members, mostly in order. Another member joins in about one of `oddOneIn` objects. */
function objectOf(fields: readonly { key: string; type: Type }[], oddOneIn: number): Arbitrary<RecordSample> {
  const members = fc.tuple(
    ...fields.map(({ key, type }) =>
      fc.option(fc.tuple(keyText(spelling(key)), valueFor(type)), { freq: 5 }),
    ),
  );
  const odd = membersOf(fc.oneof(oddKey, ...fields.map(({ key }) => spelling(key))), anyValue, 2);
  return fc
    .tuple(members, odd, fc.nat(oddOneIn), fc.nat(oddOneIn))
    .map(([present, { members: extra }, oddDice, orderDice]) => {
      const all = present.filter((member) => member !== null) as [string, Sample][];
      if (oddDice === 1) all.push(...extra);
      return { members: orderDice === 1 ? all.reverse() : all };
    });
}

/** The key itself, or now and then in another case. */
function spelling(key: string): Arbitrary<string> {
  return fc.nat(24).map((dice) => (dice === 1 ? key.toUpperCase() : dice === 2 ? capitalised(key) : key));
}

const capitalised = (key: string) => key.slice(0, 1).toUpperCase() + key.slice(1);

// ---- Datasets.

const COLUMN_NAMES = ["a", "b", "c", "id", "Tag", "order", "v_1", "0x", "constructor", "event"];

interface Source {
  key: string;
  type: Type;
  option: ColumnOption;
  isInString: boolean;
}

const plainColumn: Arbitrary<Source> = fc
  .tuple(
    fc.constantFrom(...COLUMN_NAMES),
    anyType,
    structOf(anyType),
    fc.nat(11),
    fc.constantFrom("s", "ms", "zone"),
  )
  .map(([key, type, struct, dice, instants]) => {
    if (dice === 0) {
      return { key, type: struct, option: { type: hiveType(struct), json: "string" }, isInString: true };
    }
    if (dice > 1) return { key, type, option: { type: hiveType(type) }, isInString: false };
    const timestamp: Type =
      instants === "zone" ? { kind: "timestamp" } : { kind: "timestamp", epoch: instants as "s" };
    const more = instants === "zone" ? { zone: "Asia/Kolkata" } : { epoch: instants as "s" };
    return { key, type: timestamp, option: { type: "timestamp", ...more }, isInString: false };
  });

/** `from:` columns, over members of plain columns and members that no column has; some read from the envelope. */
const derivedColumn: Arbitrary<ColumnOption> = fc
  .tuple(
    mix<Partial<ColumnOption> & { type: string }>(
      [6, anyType.map((type) => ({ type: hiveType(type) }))],
      [1, anyType.map((type) => ({ type: hiveType(type), json: "string" }))],
      [1, fc.constantFrom("s" as const, "ms" as const).map((epoch) => ({ type: "timestamp", epoch }))],
      [1, fc.constantFrom("Asia/Kolkata", "Europe/Berlin").map((zone) => ({ type: "timestamp", zone }))],
    ),
    fc.constantFrom(...COLUMN_NAMES, "u", "ev", "EV", "_envelope", '"a.b"', '""', '"ü"'),
    fc.array(fc.constantFrom(...FIELD_NAMES, '"a.b"', "ID"), { maxLength: 2 }),
    fc.nat(5),
  )
  .map(([option, root, rest, dice]) => ({
    ...option,
    from: (dice === 0 ? "^." : "") + [root, ...rest].join("."),
  }));

/** Members that derived columns may find: two levels deep, under the keys that their paths name. */
const derivedMember: Arbitrary<[string, Sample]> = fc.tuple(
  keyText(fc.constantFrom("u", "ev", "EV", "a.b", "", "ü", "event")),
  membersOf(fc.constantFrom(...FIELD_NAMES, "a.b"), anyValue, 2),
);

const configured: Arbitrary<{
  columns: Record<string, ColumnOption> | undefined;
  record: Arbitrary<RecordSample>;
}> = fc
  .tuple(
    fc.uniqueArray(plainColumn, { maxLength: 5, selector: ({ key }) => key.toLowerCase() }),
    mix([2, fc.constant<ColumnOption[]>([])], [1, fc.array(derivedColumn, { maxLength: 4 })]),
    fc.nat(5),
  )
  .map(([sources, derived, dice]) => {
    const columns = Object.fromEntries([
      ...sources.map(({ key, option }) => [key, option]),
      ...derived.map((option, i) => [`d${i}`, option]),
    ]);
    return { columns: dice === 0 ? undefined : columns, record: recordOf(sources, derived.length > 0) };
  });

function recordOf(sources: Source[], hasDerived: boolean): Arbitrary<RecordSample> {
  const plain = objectOf(
    sources.filter((source) => !source.isInString),
    8,
  );
  const inString = sources
    .filter((source) => source.isInString)
    .map(({ key, type }) =>
      fc
        .tuple(valueFor(type), fc.constantFrom<Style>("compact", "compact", "compact", "spaced"))
        .map(([value, style]): [string, Sample] => [JSON.stringify(key), jsonInString(write(value, style))]),
    );
  const more = fc.tuple(...inString, ...(hasDerived ? [derivedMember] : []));
  return fc.tuple(plain, more, fc.nat(9)).map(([record, members, dice]) => ({
    members: dice === 0 ? record.members : [...record.members, ...members],
  }));
}

function jsonInString(json: string): Sample {
  return { text: JSON.stringify(json), isDamaged: json.includes(BAD_BYTE) };
}

export const RECORD_PATHS: Record<string, string[]> = {
  $: [],
  "Records[*]": ["Records"],
  'detail."Grö.ße"[*]': ["detail", "Grö.ße"],
};

export const randomDataset: Arbitrary<RandomDataset> = fc
  .tuple(
    configured,
    fc.constantFrom("$", "$", "$", "$", "Records[*]", 'detail."Grö.ße"[*]'),
    fc.constantFrom("rescue" as const, "rescue" as const, "add" as const),
    fc.constantFrom("UTC", "UTC", "UTC", "America/St_Johns"),
  )
  .map(([{ columns, record }, records, unknown, zone]) => ({
    options: { ...(columns ? { columns } : {}), records, unknown, zone },
    record,
  }));

// ---- Writing.

export type Style = "compact" | "spaced" | "indented" | "trailing";

/** The JSON text of a value. The `trailing` style has a comma after each last item, which readers ignore. */
export function write(sample: Sample, style: Style = "compact", depth = 0, newline = "\n"): string {
  if ("text" in sample) return sample.text;
  const isObject = "members" in sample;
  const parts = isObject
    ? sample.members.map(([key, value]) => `${key}${COLONS[style]}${write(value, style, depth + 1, newline)}`)
    : sample.items.map((item) => write(item, style, depth + 1, newline));
  const [open, close] = isObject ? ["{", "}"] : ["[", "]"];
  if (parts.length === 0) return style === "spaced" ? `${open} ${close}` : open + close;
  if (style === "spaced") return `${open} ${parts.join(" , ")} ${close}`;
  if (style !== "indented") return `${open}${parts.join(",")}${style === "trailing" ? "," : ""}${close}`;
  const gap = (level: number) => newline + "  ".repeat(level);
  return `${open}${gap(depth + 1)}${parts.join(`,${gap(depth + 1)}`)}${gap(depth)}${close}`;
}

const COLONS: Record<Style, string> = { compact: ":", spaced: " :\t", indented: ": ", trailing: ":" };

/** Whether the value contains a lone surrogate or a byte that is not UTF-8. */
export function isDamaged(sample: Sample): boolean {
  if ("text" in sample) return sample.isDamaged === true;
  if ("items" in sample) return sample.items.some(isDamaged);
  return sample.members.some(([, value]) => isDamaged(value));
}

export function bytesOf(text: string): Buffer {
  const pieces = text.split(BAD_BYTE).map((piece) => Buffer.from(piece, "utf8"));
  return Buffer.concat(pieces.flatMap((piece, i) => (i === 0 ? [piece] : [Buffer.from([0xff]), piece])));
}
