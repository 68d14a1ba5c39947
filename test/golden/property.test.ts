/**
 * Nothing lost, nothing silently changed: random records in random shapes of bytes, packed and restored, are the same multiset
 * of records. Bytes that were not a record are in quarantine, byte for byte. The proof's canon judges this; it shares no code
 * with the converter.
 *
 * HOURPACK_PROPERTY_RUNS: how many cases (1,000). HOURPACK_PROPERTY_SEED: repeats a run that failed.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import fc, { type Arbitrary } from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { stringify } from "yaml";
import { type Components, openComponents } from "../../src/components.js";
import { resolveColumns } from "../../src/config/columns.js";
import { loadSettings } from "../../src/config/load.js";
import type { Dataset } from "../../src/config/settings.js";
import { addHours } from "../../src/hour.js";
import { Canon } from "../../src/proof/canon.js";
import { MAX_DEPTH, type Obj, Reader } from "../../src/proof/json.js";
import { compileSchema } from "../../src/record/convert.js";
import { frameObject } from "../../src/record/frame.js";
import { Shape } from "../../src/record/inference.js";
import { restoreRecord } from "../../src/record/restore.js";
import { run } from "../../src/run.js";
import { parseRecordPath } from "../../src/schema/path.js";
import type { Schema } from "../../src/schema/types.js";
import { schemaOf } from "../../src/tier1/schema-file.js";
import { openRestoration } from "../../src/upkeep/restore.js";
import { verifyHour } from "../../src/upkeep/verification.js";
import { FIRST_HOUR } from "../support/golden.js";
import {
  anyValue,
  bytesOf,
  isDamaged,
  type RandomDataset,
  RECORD_PATHS,
  type RecordSample,
  randomDataset,
  type Sample,
  type Style,
  write,
} from "../support/random-records.js";
import { piecesOf, rawItems } from "../support/raw-items.js";

const RUNS = Number(process.env["HOURPACK_PROPERTY_RUNS"] ?? 1000);
/** An hour packs several objects of several records, each of them a case. */
const HOURS_SHARE = 6;
const SEED = process.env["HOURPACK_PROPERTY_SEED"];

/** A stretch of an object's bytes, in order. Texts of records and garbage have no blanks around them. */
type Chunk = (
  | { text: string; as: "filler" }
  | { text: string; as: "garbage" }
  | { text: string; as: "record"; envelope?: string }
) & {
  /** The chunks of a value whose envelope is not empty: all of them are garbage where none is a record. */
  within?: Chunk[];
};

interface RandomObject {
  key: string;
  chunks: Chunk[];
  wrap:
    | "plain"
    | "gzip"
    | "two members"
    | "padded gzip"
    | "cut gzip"
    | "bad checksum"
    | "gzip and more"
    | "gzip and zeros";
}

interface Case {
  options: RandomDataset["options"];
  /** The objects of each run, one after the other. */
  waves: RandomObject[][];
}

// ---- Bytes.

const style = fc.constantFrom<Style>("compact", "compact", "compact", "spaced", "trailing");
const newline = fc.constantFrom("\n", "\n", "\n", "\r\n", "\r");
const filler = (text: string): Chunk => ({ text, as: "filler" });
const garbage = (text: string): Chunk => ({ text, as: "garbage" });

/** What a record's chunk is depends on what it holds. */
function chunkOf(record: RecordSample, how: Style, ends = "\n"): Chunk {
  const text = write(record, how, 0, ends);
  return isDamaged(record) ? garbage(text) : { text, as: "record" };
}

/** A JSON value that is no object. */
const noObject: Arbitrary<Chunk> = anyValue
  .filter((value) => !("members" in value) && !("items" in value))
  .map((value) => garbage(write(value)));

/** Fails within its own line, wherever it stands. */
const brokenText = (record: Arbitrary<RecordSample>): Arbitrary<Chunk> =>
  fc.oneof(
    fc
      .constantFrom(
        "oops",
        "<html>",
        "-",
        "+5",
        ".5",
        "nul",
        "'a'",
        "2022-07-26T00:00:00Z",
        "\u0000",
        "\u2028",
        "NaN!",
      )
      .map(garbage),
    fc.constantFrom("]", "}", ":", "}}", "\\", "//", "#", "\u007f", "\ue000\ue000", "é\ue000").map(garbage),
    // Cut inside a key, a line feed there is damage at once.
    record.map((value) => garbage(`{"cut":${write(value)},"ke`)),
    fc
      .constantFrom(
        '{"a":1,,}',
        '{"a":01}',
        '{"a" 1}',
        "{'a':1}",
        '{"a":1} // x'.slice(0, 7).replace("}", "]"),
      )
      .map(garbage),
    fc
      .string({ unit: "binary-ascii", minLength: 1, maxLength: 6 })
      .map((text) => garbage(`!${text.replace(/\s/g, "")}`)),
  );

/** One value a line or several, blank lines, lines that are no record. */
const lines = (record: Arbitrary<RecordSample>): Arbitrary<Chunk[]> =>
  fc
    .tuple(
      newline,
      style,
      fc.array(
        fc.oneof(
          { weight: 12, arbitrary: fc.tuple(record, style).map(([value, how]) => [chunkOf(value, how)]) },
          {
            weight: 1,
            arbitrary: fc.tuple(record, record).map((pair) => pair.map((value) => chunkOf(value, "compact"))),
          },
          { weight: 1, arbitrary: fc.constantFrom("", " ", "\t").map((blank) => [filler(blank)]) },
          { weight: 1, arbitrary: noObject.map((chunk) => [chunk]) },
          { weight: 1, arbitrary: brokenText(record).map((chunk) => [chunk]) },
          {
            weight: 1,
            arbitrary: fc
              .tuple(record, brokenText(record))
              .map(([value, rest]) => [chunkOf(value, "compact"), rest]),
          },
        ),
        { maxLength: 8 },
      ),
      record,
      fc.boolean(),
    )
    .map(([ends, how, list, first, isEnded]) => {
      const all: Chunk[] = [chunkOf(first, how)];
      for (const line of list) all.push(filler(ends), ...line);
      return isEnded ? [...all, filler(ends)] : all;
    });

/** Values one after the other, with nothing or something between them; perhaps damage, which ends the object. */
const concatenated = (record: Arbitrary<RecordSample>): Arbitrary<Chunk[]> =>
  fc
    .tuple(
      fc.constantFrom("", "", " ", "\t", "\n", "\r\n\r\n", "\ufeff", "\n\ufeff"),
      fc.constantFrom<Style>("compact", "indented", "indented", "spaced"),
      fc.array(record, { maxLength: 6 }),
      newline,
    )
    .map(([between, how, records, ends]) =>
      records.flatMap((value) => [chunkOf(value, how, ends), filler(between)]),
    );

const arrays = (record: Arbitrary<RecordSample>): Arbitrary<Chunk[]> =>
  fc
    .tuple(
      fc.constantFrom("", " ", "\n", "\r\n"),
      fc.constantFrom<Style>("compact", "indented", "spaced", "trailing"),
      fc.array(
        fc.array(fc.oneof({ weight: 9, arbitrary: record }, { weight: 1, arbitrary: anyValue }), {
          maxLength: 4,
        }),
        {
          maxLength: 3,
        },
      ),
      fc.boolean(),
    )
    .map(([gap, how, groups, hasComma]) =>
      groups.flatMap((group) => [
        filler(`[${gap}`),
        ...group.flatMap((value, i): Chunk[] => [
          ...(i > 0 ? [filler(`${gap},${gap}`)] : []),
          "members" in value ? chunkOf(value, how) : garbage(write(value, how)),
        ]),
        filler(`${hasComma && group.length > 0 ? "," : ""}${gap}]${gap}`),
      ]),
    );

/** Broken from its first line on: all of it is one piece of quarantine, with what stands before and behind it. */
const broken = (record: Arbitrary<RecordSample>): Arbitrary<Chunk[]> =>
  fc
    .tuple(
      fc.constantFrom("", "", "\ufeff", "\n ", "\ufeff\r\n"),
      brokenText(record),
      fc.array(record, { maxLength: 3 }),
      fc.constantFrom("", "\n", " \n\n"),
    )
    .map(([before, first, rest, behind]) => {
      const lines = [first.text, ...rest.map((value) => write(value))].join("\n");
      return [garbage(`${before}${lines}${behind}`)];
    });

const MEMBERS_OUTSIDE = fc.array(
  fc.tuple(
    fc
      .constantFrom("source", "n", "id", "ev", "Source", "_envelope", "Tag")
      .map((key) => JSON.stringify(key)),
    anyValue,
  ),
  { maxLength: 3 },
);

/** Values that hold their records in an array at the path. */
function enveloped(record: Arbitrary<RecordSample>, path: string[]): Arbitrary<Chunk[]> {
  const element = fc.oneof({ weight: 9, arbitrary: record }, { weight: 1, arbitrary: anyValue });
  const value = fc
    .tuple(
      fc.tuple(...path.map(() => fc.tuple(MEMBERS_OUTSIDE, MEMBERS_OUTSIDE))),
      fc.array(element, { maxLength: 4 }),
      fc.constantFrom<Style>("compact", "spaced", "indented"),
      fc.nat(14),
    )
    .map(([outsides, elements, how, dice]) => envelopeChunks(path, outsides, elements, how, dice));
  return fc
    .tuple(fc.array(value, { maxLength: 4 }), fc.constantFrom("\n", "", " ", "\r\n"))
    .map(([values, between]) => values.flatMap((chunks) => [...chunks, filler(between)]));
}

type Outside = [before: [string, Sample][], after: [string, Sample][]];

function envelopeChunks(
  path: string[],
  outsides: Outside[],
  elements: Sample[],
  how: Style,
  dice: number,
): Chunk[] {
  const texts = elements.map((element) => write(element, how));
  // What lies at the path may be anything else, too.
  const other = write(elements.find((element) => !("items" in element)) ?? { text: "5" });
  if (dice === 0) return [garbage(envelopeText(path, outsides, other, how))];
  const whole = envelopeText(path, outsides, `[${texts.join(",")}]`, how);
  const isWhole = outsides.flat(2).some(([, item]) => isDamaged(item) || hasNonFinite(item));
  if (isWhole) return [garbage(whole)];
  const [open = "", close = ""] = envelopeText(path, outsides, HOLE, how).split(HOLE);
  const envelope = envelopeText(path, outsides, undefined, how);
  const inner = elements.flatMap((element, i): Chunk[] => {
    const text = texts[i] as string;
    const isRecord = "members" in element && !isDamaged(element);
    return [filler(i > 0 ? "," : ""), isRecord ? { text, as: "record", envelope } : garbage(text)];
  });
  const chunks = [filler(`${open}[`), ...inner, filler(`]${close}`)];
  if (envelope !== "{}") for (const chunk of chunks) chunk.within = chunks;
  return chunks;
}

const HOLE = "\ue001";

/** The value whose path leads to `inner`; without one, what is left when the path's own members are taken out. */
function envelopeText(path: string[], outsides: Outside[], inner: string | undefined, how: Style): string {
  const [key = "", ...rest] = path;
  const [[before, after], ...deeper] = outsides as [Outside, ...Outside[]];
  const at = rest.length > 0 ? envelopeText(rest, deeper, inner, how) : inner;
  const isLeft = at !== undefined && (inner !== undefined || at !== "{}");
  const members = (list: [string, Sample][]) => list.map(([name, item]) => `${name}:${write(item, how)}`);
  const own = isLeft ? [`${JSON.stringify(key)}:${at}`] : [];
  return `{${[...members(before), ...own, ...members(after)].join(",")}}`;
}

function hasNonFinite(sample: Sample): boolean {
  if ("text" in sample) return /^-?(NaN|Infinity)$/.test(sample.text);
  return ("items" in sample ? sample.items : sample.members.map(([, value]) => value)).some(hasNonFinite);
}

const wrap = fc.oneof(
  { weight: 8, arbitrary: fc.constant("plain" as const) },
  { weight: 2, arbitrary: fc.constantFrom("gzip", "two members", "padded gzip" as const) },
  {
    weight: 1,
    arbitrary: fc.constantFrom("cut gzip", "bad checksum", "gzip and more", "gzip and zeros" as const),
  },
) as Arbitrary<RandomObject["wrap"]>;

function objectOf({ options, record }: RandomDataset): Arbitrary<Omit<RandomObject, "key">> {
  const path = RECORD_PATHS[options.records] as string[];
  const shape =
    path.length > 0
      ? enveloped(record, path)
      : fc.oneof(
          { weight: 4, arbitrary: lines(record) },
          { weight: 2, arbitrary: concatenated(record) },
          { weight: 2, arbitrary: arrays(record) },
        );
  const mark = fc.nat(9).map((dice) => (dice === 0 ? [filler("\ufeff")] : []));
  const marked = fc.tuple(mark, shape).map((parts) => parts.flat());
  const chunks =
    path.length > 0
      ? marked
      : fc.oneof({ weight: 8, arbitrary: marked }, { weight: 1, arbitrary: broken(record) });
  return fc.record({ chunks, wrap });
}

const KEYS = ["a.json", "b.gz", "c/d e.json", "ü.json", "z", "a.json.gz", "n+m.json", "0"];

const cases: Arbitrary<Case> = randomDataset.chain((dataset) => {
  const object = objectOf(dataset);
  const waves = fc.array(fc.array(object, { minLength: 1, maxLength: 6 }), { minLength: 1, maxLength: 2 });
  return waves.map((list) => ({
    options: dataset.options,
    waves: list.map((objects, wave) =>
      objects.map((random, i) => ({ key: `${wave}/${KEYS[i]}`, ...random })),
    ),
  }));
});

/** An object's bytes, and what it is stored as. */
function storedBytes({ chunks, wrap }: RandomObject): { bytes: Buffer; stored: Buffer; isBroken: boolean } {
  const bytes = Buffer.concat(chunks.map(({ text }) => bytesOf(text)));
  const half = bytes.length >> 1;
  const gzip = gzipSync(bytes);
  switch (wrap) {
    case "plain":
      return { bytes, stored: bytes, isBroken: false };
    case "gzip":
      return { bytes, stored: gzip, isBroken: false };
    case "padded gzip":
      return { bytes, stored: Buffer.concat([gzip, Buffer.alloc(7)]), isBroken: false };
    case "two members": {
      const stored = Buffer.concat([gzipSync(bytes.subarray(0, half)), gzipSync(bytes.subarray(half))]);
      return { bytes, stored, isBroken: false };
    }
    case "cut gzip":
      return { bytes, stored: gzip.subarray(0, -5), isBroken: true };
    case "bad checksum":
      gzip[gzip.length - 8] = (gzip[gzip.length - 8] as number) ^ 1;
      return { bytes, stored: gzip, isBroken: true };
    case "gzip and more":
      return { bytes, stored: Buffer.concat([gzip, Buffer.from('{"a":1}')]), isBroken: true };
    case "gzip and zeros":
      return { bytes, stored: Buffer.concat([gzip, Buffer.from('\0\0{"a":1}')]), isBroken: true };
  }
}

// ---- Packing, and what must come back.

let root: string;
let shared: Components;
let casesRun = 0;

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "hourpack-property-"));
  shared = openComponents(await settingsOf(join(root, "shared"), {}));
});

afterAll(async () => {
  await shared?.close();
  rmSync(root, { recursive: true, force: true });
});

async function settingsOf(dir: string, options: object) {
  const dataset = {
    raw: `${dir}/raw/year={yyyy}/month={MM}/day={dd}/hour={HH}/`,
    tier1: `${dir}/tier1/`,
    table: "t",
    ...options,
  };
  const config = { datasets: { d: dataset }, run: { spoolDir: join(root, "spool"), hoursInFlight: 1 } };
  await mkdir(join(dir, "tier1"), { recursive: true });
  const file = join(dir, "hourpack.yaml");
  await writeFile(file, stringify(config));
  return loadSettings({ file, env: {} });
}

interface Found {
  /** Canonical texts, sorted. */
  records: string[];
  /** `key@offset bytes`, sorted; pieces that touch are one. */
  quarantine: string[];
  problems: unknown[];
}

async function packAndRestore({ options, waves }: Case): Promise<{ wanted: Found; found: Found }> {
  const dir = join(root, `case-${casesRun++}`);
  const components: Components = {
    ...openComponents(await settingsOf(dir, options)),
    engine: shared.engine,
  };
  try {
    for (const objects of waves) {
      for (const object of objects) {
        const path = join(dir, "raw", RAW_HOUR, object.key);
        await mkdir(dirname(path), { recursive: true });
        await writeFile(path, storedBytes(object).stored);
      }
      const { failures } = await run(components, {
        hours: { from: FIRST_HOUR, to: addHours(FIRST_HOUR, 1) },
      });
      for (const { error } of failures) throw error;
    }
    return await readBack(components, waves.flat());
  } finally {
    await components.close();
    await rm(dir, { recursive: true, force: true });
  }
}

const RAW_HOUR = "year=2022/month=07/day=26/hour=00/";

async function readBack(
  components: Components,
  objects: RandomObject[],
): Promise<{ wanted: Found; found: Found }> {
  const [dataset] = components.settings.datasets as [Dataset];
  const restoration = await openRestoration({ components, dataset, hour: FIRST_HOUR });
  try {
    const schema = await schemaOf(
      { components, dataset, hour: FIRST_HOUR },
      restoration.published,
      undefined,
    );
    const canon = new Canon(schema, { zone: dataset.zone, path: dataset.records.keys });
    const found: Found = { records: [], quarantine: [], problems: [] };
    for await (const line of restoration.records()) found.records.push(canon.text(parse(line)) ?? line);
    const pieces: Piece[] = [];
    for await (const { key, offset, text, base64 = "" } of restoration.quarantined()) {
      const bytes = text === undefined ? Buffer.from(base64, "base64") : Buffer.from(text);
      pieces.push({ key: key.slice(RAW_HOUR.length), offset, bytes });
    }
    found.records.sort();
    found.quarantine = textsOf(pieces);
    const task = { dataset, hour: FIRST_HOUR, components, request: {}, isAsked: true, observe: () => {} };
    const { problems, deep } = await verifyHour(task, { deep: true });
    found.problems = [...problems, ...(deep?.differences ?? [])];
    return { wanted: wantedOf(objects, canon), found };
  } finally {
    await restoration.close();
  }
}

interface Piece {
  key: string;
  offset: number;
  bytes: Buffer;
}

/** What was put in: known from how the bytes were made, not from reading them. */
function wantedOf(objects: RandomObject[], canon: Canon): Found {
  const records: string[] = [];
  const pieces: Piece[] = [];
  for (const object of objects) {
    const { key } = object;
    const { stored, isBroken } = storedBytes(object);
    if (isBroken) pieces.push({ key, offset: 0, bytes: stored });
    let offset = 0;
    const textOf = (chunk: Chunk) =>
      chunk.as === "record"
        ? canon.text(parse(chunk.text), chunk.envelope === undefined ? undefined : parse(chunk.envelope))
        : undefined;
    for (const chunk of isBroken ? [] : object.chunks) {
      const bytes = bytesOf(chunk.text);
      const text = textOf(chunk);
      const isLost = chunk.within?.every((other) => textOf(other) === undefined);
      if (text !== undefined) records.push(text);
      else if (chunk.as !== "filler" || isLost) pieces.push({ key, offset, bytes });
      offset += bytes.length;
    }
  }
  return { records: records.sort(), quarantine: textsOf(pieces), problems: [] };
}

/** Damage may be cut in more than one way; what counts is which bytes are there. */
function textsOf(pieces: Piece[]): string[] {
  const joined: Piece[] = [];
  for (const { key, offset, bytes } of pieces.sort((a, b) =>
    a.key < b.key ? -1 : a.key > b.key ? 1 : a.offset - b.offset,
  )) {
    const last = joined.at(-1);
    if (last?.key === key && last.offset + last.bytes.length === offset) {
      last.bytes = Buffer.concat([last.bytes, bytes]);
    } else joined.push({ key, offset, bytes });
  }
  return joined.map(
    ({ key, offset, bytes }) => `${key}@${offset} ${JSON.stringify(bytes.toString("latin1"))}`,
  );
}

/** In a restored record an envelope lies a level deeper than in its object. */
function parse(json: string): Obj {
  return new Reader(Buffer.from(json, "utf8").toString("latin1"), { maxDepth: MAX_DEPTH + 1 }).value() as Obj;
}

/** The same without a store and an engine: quick, so that it sees many more. */
async function convertAndRestore({
  options,
  waves,
}: Case): Promise<{ wanted: Found; found: Found; proved: Found }> {
  const objects = waves.flat().map((object) => ({ ...object, wrap: "plain" as const }));
  const records = parseRecordPath(options.records);
  const limits = { maxRecordBytes: 1 << 26 };
  const framed = objects.map((object) => [...frameObject(storedBytes(object).bytes, records, limits)]);
  const shape = new Shape();
  for (const item of framed.flat()) if (item.kind === "record") shape.observe(item.value);
  const columns = options.columns ? resolveColumns(options.columns, [], () => "here") : shape.columns();
  const schema: Schema = { version: 1, columns };
  const canon = new Canon(schema, { zone: options.zone, path: records.keys });
  const compiled = compileSchema(schema, options.zone);
  const converted = new Gathered();
  const proved = new Gathered();
  for (const [i, object] of objects.entries()) {
    const { bytes } = storedBytes(object);
    const pieces = piecesOf(framed[i] ?? [], ({ value, envelope }) => {
      const row = compiled.convert(value, envelope);
      if ("reason" in row) return false;
      converted.record(canon.text(parse(restoreRecord(schema, row.values, row.rescued))));
      return true;
    });
    for (const { offset, sizeBytes } of pieces) converted.piece(object.key, offset, bytes, sizeBytes);
    const isTaken = (value: Obj, envelope: Obj) => canon.text(value, envelope) !== undefined;
    for (const item of await rawItems(bytes, records.keys, { isTaken })) {
      const text = item.kind === "record" ? canon.text(item.value, item.envelope) : undefined;
      if (text === undefined) proved.piece(object.key, item.offset, bytes, item.sizeBytes);
      else proved.record(text);
    }
  }
  return { wanted: wantedOf(objects, canon), found: converted.found(), proved: proved.found() };
}

class Gathered {
  private readonly records: string[] = [];
  private readonly pieces: Piece[] = [];

  record(text: string | undefined): void {
    this.records.push(text ?? "no record");
  }

  piece(key: string, offset: number, bytes: Buffer, sizeBytes: number): void {
    this.pieces.push({ key, offset, bytes: bytes.subarray(offset, offset + sizeBytes) });
  }

  found(): Found {
    return { records: this.records.sort(), quarantine: textsOf(this.pieces), problems: [] };
  }
}

const parameters = (numRuns: number) => ({ numRuns, ...(SEED ? { seed: Number(SEED) } : {}) });

test(
  "bytes to values and back, and the proof's own reading of the same bytes",
  () => {
    const property = fc.asyncProperty(cases, async (random) => {
      const { wanted, found, proved } = await convertAndRestore(random);
      expect(found).toEqual(wanted);
      expect(proved).toEqual(wanted);
    });
    return fc.assert(property, parameters(3 * RUNS));
  },
  60_000 + RUNS * 500,
);

test(
  "what is packed is restored: the same multiset of records, the same bytes in quarantine",
  async () => {
    let recordsSeen = 0;
    const property = fc.asyncProperty(cases, async (random) => {
      const { wanted, found } = await packAndRestore(random);
      expect(found).toEqual(wanted);
      recordsSeen += wanted.records.length;
    });
    await fc.assert(property, parameters(Math.ceil(RUNS / HOURS_SHARE)));
    expect(recordsSeen).toBeGreaterThan(RUNS);
  },
  60_000 + RUNS * 500,
);
