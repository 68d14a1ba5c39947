/**
 * Garbage: pieces of JSON in any order. Two readers that share no code (the converter's framing and the proof's) find the same
 * records at the same places. Every byte that is data is in a record or in quarantine. Reading line by line, or in pieces of a
 * few bytes, finds the same as reading the whole.
 *
 * HOURPACK_PROPERTY_RUNS: how many objects, in thousandths of the ordinary run (1,000 means 20,000 objects).
 * HOURPACK_PROPERTY_SEED: repeats a run that failed.
 */
import { createHash } from "node:crypto";
import fc, { type Arbitrary } from "fast-check";
import { describe, expect, test } from "vitest";
import { QuarantineCheck } from "../../src/proof/quarantine.js";
import { RawReader } from "../../src/proof/raw.js";
import { inMemory } from "../../src/proof/source.js";
import { type Framed, frameObject } from "../../src/record/frame.js";
import { Sifter } from "../../src/record/sift.js";
import { parseRecordPath } from "../../src/schema/path.js";
import type { Schema } from "../../src/schema/types.js";
import { frameInPieces, joined } from "../support/pieces.js";
import { BAD_BYTE, bytesOf } from "../support/random-records.js";
import { piecesOf, rawItems } from "../support/raw-items.js";
import { sifted } from "../support/sifted.js";

const RUNS = Number(process.env["HOURPACK_PROPERTY_RUNS"] ?? 1000);
const SEED = process.env["HOURPACK_PROPERTY_SEED"];
const parameters = (numRuns: number) => ({ numRuns, ...(SEED ? { seed: Number(SEED) } : {}) });

const RECORDS = [
  '{"a":1}',
  '{"a":"x"}',
  "{}",
  '{"b":[1,{"a":2}]}',
  '{"a":{"a":1},}',
  '{"é":"😀"}',
  '{"a":null}',
];
const DAMAGED = [
  '{"a":"\\ud800"}',
  `{"a":"${BAD_BYTE}"}`,
  `{"${BAD_BYTE}":1}`,
  '{"a":NaN}',
  '{"b":-Infinity}',
];
const ENVELOPES = [
  '{"Records":[{"a":1},{"b":2}]}',
  '{"x":1,"Records":[',
  '],"y":2}',
  '{"Records":[],"Records":[{}]}',
  '{"Records":[],"x":1}',
  '{"x":1,"Records":[5,"a"]}',
];
const MARKS = ["{", "}", "[", "]", ",", ":", '"', '{"a":', '"a"', '{"a":1,', '{"a":[', "\\", '{"a":"x'];
const SCALARS = [
  "1",
  "-",
  "0",
  "01",
  "1.5e3",
  "2022-07-26",
  "true",
  "tru",
  "null",
  "NaN",
  "Infinity",
  '"s"',
  "oops",
];
const BLANKS = [
  "\n",
  "\n",
  "\n",
  "\r\n",
  "\r",
  " ",
  "\t",
  "\ufeff",
  "\u000b",
  "\u0000",
  "\u2028",
  "\u00a0",
  BAD_BYTE,
];

const piece = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...RECORDS) },
  { weight: 1, arbitrary: fc.constantFrom(...DAMAGED) },
  { weight: 1, arbitrary: fc.constantFrom(...ENVELOPES) },
  { weight: 3, arbitrary: fc.constantFrom(...MARKS) },
  { weight: 2, arbitrary: fc.constantFrom(...SCALARS) },
  { weight: 7, arbitrary: fc.constantFrom(...BLANKS) },
);
const soup: Arbitrary<Buffer> = fc.oneof(
  { weight: 9, arbitrary: fc.array(piece, { maxLength: 14 }).map((pieces) => bytesOf(pieces.join(""))) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)) },
);

/** Lines, nearly all of them whole, and what goes over several of them. */
const line = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom(...RECORDS) },
  { weight: 1, arbitrary: fc.constantFrom("[", "]", ",", '{"a":', '{"a":[', "}", "]}", "7", "[{}", "{},") },
  { weight: 1, arbitrary: piece },
);
const lineSoup: Arbitrary<Buffer> = fc
  .tuple(fc.array(line, { minLength: 4, maxLength: 24 }), fc.constantFrom("\n", "\n", "\r\n", "\r"))
  .map(([lines, end]) => bytesOf(["{}", ...lines].join(end)));

const LIMITS = { maxRecordBytes: 1 << 26 };

describe.each(["$", "Records[*]"])("under %s", (path) => {
  const records = parseRecordPath(path);

  test(
    "two readers find the same records and the same damage",
    () => {
      const property = fc.asyncProperty(soup, async (bytes) => {
        const framed = [...frameObject(bytes, records, LIMITS)];
        const raw = await rawItems(bytes, records.keys, { isTaken: () => true });
        expect(placesOf(framed)).toEqual(placesOf(raw));
        const entries = piecesOf(framed, () => true);
        expect(joined(damagedOf(raw))).toEqual(joined(entries));
        expect(await quarantineFault(bytes, records.keys, entries)).toBeUndefined();
        if (path === "$") {
          expect(outlineOf(bytes, framed)).toMatch(OUTLINE);
          expect(damageFault(bytes, framed)).toBeUndefined();
        }
      });
      return fc.assert(property, parameters(10 * RUNS));
    },
    60_000 + RUNS * 60,
  );
});

const SCHEMA: Schema = {
  version: 1,
  columns: [{ name: "a", type: { kind: "string" }, path: ["a"], derived: false }],
};

test(
  "line by line or as a whole: the same rows are counted, and the same bytes quarantined",
  () => {
    const property = fc.property(soup, (bytes) => {
      const sifter = new Sifter(SCHEMA, parseRecordPath("$"), "UTC", LIMITS);
      const byLine = sifted(sifter.chunks(bytes));
      const whole = sifted(sifter.exactChunks(bytes));
      expect(byLine.acceptedRows + byLine.exact.length).toBe(whole.exact.length);
      expect(byLine.quarantine).toEqual(whole.quarantine);
    });
    fc.assert(property, parameters(10 * RUNS));
  },
  60_000 + RUNS * 60,
);

test("an object with very many lines for the exact way gives its rows up in chunks, all of them", () => {
  const sifter = new Sifter(SCHEMA, parseRecordPath("$"), "UTC", LIMITS);
  // A key in two ways of writing is left to the exact way.
  const bytes = Buffer.from('{"a":"1"}\n{"A":"2"}\n'.repeat(50_000));
  let rows = 0;
  for (const { acceptedRows, exact, quarantine } of sifter.chunks(bytes)) {
    expect(exact.length).toBeLessThanOrEqual(1000);
    expect(quarantine).toEqual([]);
    rows += acceptedRows + exact.length;
  }
  expect(rows).toBe(100_000);
  const [few, ...others] = sifter.chunks(bytes.subarray(0, 2000));
  expect(others).toEqual([]);
  expect(few).toMatchObject({ acceptedRows: 100, quarantine: [] });
});

test(
  "the proof finds the same in windows and pieces of any size",
  () => {
    const sizes = fc.record({
      windowBytes: fc.integer({ min: 32, max: 100 }),
      pieceBytes: fc.integer({ min: 1, max: 60 }),
      maxRecordBytes: fc.integer({ min: 1, max: 80 }),
    });
    const path = fc.constantFrom<string[]>([], ["Records"]);
    const property = fc.asyncProperty(soup, sizes, path, async (bytes, reading, keys) => {
      const whole = await rawItems(bytes, keys, { maxRecordBytes: reading.maxRecordBytes });
      expect(spanned(await rawItems(bytes, keys, reading))).toEqual(spanned(whole));
    });
    return fc.assert(property, parameters(10 * RUNS));
  },
  60_000 + RUNS * 60,
);

test(
  "in pieces or as a whole: the same records, and the same bytes quarantined",
  async () => {
    const objects = fc.oneof(soup, lineSoup);
    const sizes = fc.tuple(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 60 }));
    const property = fc.asyncProperty(objects, sizes, async (bytes, [rangeBytes, pieceBytes]) => {
      const heldBytes = 3 * pieceBytes;
      const limits = { rangeBytes, pieceBytes, heldBytes, maxRecordBytes: heldBytes };
      const records = parseRecordPath("$");
      const whole = joined([...frameObject(bytes, records, limits)]);
      expect(joined(await frameInPieces(bytes, records, limits))).toEqual(whole);
    });
    await fc.assert(property, parameters(20 * RUNS));
  },
  60_000 + RUNS * 60,
);

test("a format that is not read is named, also where the object is cut", async () => {
  const bytes = Buffer.from(`PAR1 ${"{}\n".repeat(20)}`);
  const limits = { rangeBytes: 3, pieceBytes: 90, heldBytes: 90, maxRecordBytes: 90 };
  const whole = [
    {
      ...{ kind: "quarantine", offset: 0, sizeBytes: bytes.length },
      reason: "it is Parquet: JSON is read, plain or in gzip",
    },
  ];
  expect([...frameObject(bytes, parseRecordPath("$"), limits)]).toEqual(whole);
  expect(await frameInPieces(bytes, parseRecordPath("$"), limits)).toEqual(whole);
});

/** The proof reads big objects in windows of 4 MiB; nothing may hang on where one ends. */
describe("an object of several windows", () => {
  const record = (i: number) =>
    `{"i":${i},\n"text":"${"x".repeat((i * 7919) % 3000)}",\n"list":[${i},{"é":null}]}`;
  const values = Array.from({ length: 6000 }, (_, i) => record(i));
  const flat = values.map((text) => text.replaceAll("\n", ""));
  test.each([
    ["pretty-printed", values.join("\n")],
    ["one array over lines", `[${values.join("\n,")}\n]`],
    ["arrays over lines", values.map((value) => `[${value}\n,${value}]`).join("\n")],
    ["lines", flat.join("\r\n")],
    ["lines that end in CR", flat.join("\r")],
    ["one line", flat.join("")],
    [
      "lines, some of them damaged",
      flat.map((line, i) => (i % 5 === 4 ? line.slice(0, -3) : line)).join("\n"),
    ],
    ["a record larger than a window", `${flat[0]}\n{"all":[\n${values.join(",\n")}]}\n${flat[1]}`],
    ["an array that does not end", `${flat[0]}\n[${values.join(",\n")},\n{"a":`],
  ])("%s", async (_, text) => {
    const bytes = Buffer.from(text);
    const framed = [...frameObject(bytes, parseRecordPath("$"), LIMITS)];
    const raw = await rawItems(bytes, [], { pieceBytes: 1_000_000 });
    expect(placesOf(raw)).toEqual(placesOf(framed));
    expect(raw.length).toBe(framed.length);
  });
});

interface Place {
  kind: string;
  offset: number;
  sizeBytes: number;
}

function placesOf(items: Place[]): [number, number][] {
  return items.filter(({ kind }) => kind === "record").map(({ offset, sizeBytes }) => [offset, sizeBytes]);
}

/** Where each item lies, and why it is no record. */
function spanned(items: Awaited<ReturnType<typeof rawItems>>) {
  return items.map((item) => [item.kind, item.offset, item.bytes.toString("latin1")]);
}

/** What the proof says where these items are what the quarantine file holds. */
async function quarantineFault(bytes: Buffer, path: string[], items: Place[]) {
  const entries = items.map(({ offset, sizeBytes }) => {
    const sha256 = createHash("sha256")
      .update(bytes.subarray(offset, offset + sizeBytes))
      .digest("binary");
    return { etag: "e", offset, sizeBytes, sha256 };
  });
  const check = new QuarantineCheck(entries, "e");
  const reader = new RawReader(inMemory(bytes), { path, isTaken: () => true });
  for await (const found of reader.items()) {
    for (const item of found) {
      check.pass(item.offset, item.sizeBytes, item.kind !== "none", () => reader.bytesOf(item));
    }
  }
  return check.result();
}

/**
 * The bytes that are in no record and not in quarantine, but blanks, with a `v` for each whole value and a `d` for each
 * stretch that is none.
 */
function outlineOf(bytes: Buffer, items: Framed[]): string {
  let outline = "";
  let end = 0;
  for (const item of [...items, undefined]) {
    outline += bytes
      .subarray(end, item?.offset)
      .toString("latin1")
      .replaceAll(/[ \t\r\n]|\xef\xbb\xbf/g, "");
    if (item) outline += isDamage(item) ? "d" : "v";
    end = item ? item.offset + item.sizeBytes : bytes.length;
  }
  return outline;
}

/** Left out are the brackets and commas of arrays that are empty or had an element, and of these the last bracket may be missing. */
const OUTLINE = /^(?:v|d|\[\]|\[v(?:,?v)*,?(?:\]|d|$))*$/;

function isDamage(item: Framed): boolean {
  return item.kind === "quarantine" && /^(no JSON|it is .*): /.test(item.reason);
}

/** Damage goes to the end of its line or of the object; what comes before all values is all of the object. */
function damageFault(bytes: Buffer, items: Framed[]): string | undefined {
  const isOutset = outlineOf(bytes, items).startsWith("d");
  if (isOutset && (items.length > 1 || items[0]?.sizeBytes !== bytes.length)) return "not the whole object";
  for (const item of items.filter(isDamage)) {
    const next = bytes[item.offset + item.sizeBytes];
    if (next !== undefined && next !== 0x0a && next !== 0x0d) return `it ends before ${next}`;
    if (isBlankAt(bytes, item.offset) && !isOutset) return `it begins with a blank at ${item.offset}`;
  }
  return undefined;
}

function isBlankAt(bytes: Buffer, at: number): boolean {
  return /^(?:[ \t\r\n]|\xef\xbb\xbf)/.test(bytes.toString("latin1", at, at + 3));
}

/** What the proof finds to be no record, as the converter's framing says it. */
function damagedOf(
  raw: Awaited<ReturnType<typeof rawItems>>,
): Omit<Extract<Framed, { kind: "quarantine" }>, "reason">[] {
  return raw
    .filter(({ kind }) => kind === "none")
    .map(({ offset, sizeBytes }) => ({ kind: "quarantine", offset, sizeBytes }));
}
