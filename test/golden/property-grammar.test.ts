/**
 * The fast way against the exact way: DuckDB reads lines that the grammar accepts as they are, which must give the same rows as
 * converting them value by value.
 *
 * HOURPACK_PROPERTY_RUNS: the least number of accepted lines (1,000). HOURPACK_PROPERTY_SEED: repeats a run.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DuckDBInstance } from "@duckdb/node-api";
import fc, { type Arbitrary } from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { resolveColumns } from "../../src/config/columns.js";
import { openDuckdb } from "../../src/engine/duckdb/duckdb.js";
import type { Engine } from "../../src/engine/engine.js";
import { addHours } from "../../src/hour.js";
import { Sifter } from "../../src/record/sift.js";
import { hiveType, parseHiveType } from "../../src/schema/hive.js";
import { ROOT_PATH } from "../../src/schema/path.js";
import type { Schema, Type } from "../../src/schema/types.js";
import { differences, FIRST_HOUR, type GoldenCase, textOfRow } from "../support/golden.js";
import { packCase } from "../support/pack.js";
import {
  BAD_BYTE,
  bytesOf,
  isDamaged,
  type RandomDataset,
  type RecordSample,
  randomDataset,
  type Sample,
  type Style,
  valueFor,
  write,
} from "../support/random-records.js";
import { type DuckdbReader, openDuckdbReader } from "../support/readers.js";
import { sifted } from "../support/sifted.js";

// Zone-less timestamps are UTC wherever the machine stands. Set before anything opens DuckDB, which reads it then.
process.env["TZ"] = "America/St_Johns";

const RUNS = Number(process.env["HOURPACK_PROPERTY_RUNS"] ?? 1000);
const SEED = process.env["HOURPACK_PROPERTY_SEED"];
const parameters = (numRuns: number) => ({ numRuns, ...(SEED ? { seed: Number(SEED) } : {}) });

interface Case {
  options: RandomDataset["options"] & { columns: object };
  lines: string[];
}

// ---- Values on both sides of the grammar's edges.

const TYPES = [
  ...["boolean", "int", "bigint", "double", "string", "timestamp", "date", "decimal(20,3)", "decimal(10,0)"],
  ...["array<int>", "array<string>", "array<array<double>>", "struct<a:bigint,b:string,c:timestamp>"],
  ...[
    "array<struct<a:double,id:date>>",
    "struct<a:struct<b:array<timestamp>,c:boolean>,id:int>",
    "map<string,int>",
  ],
];
const JSON_TYPES = [
  "struct<a:bigint,b:string>",
  "struct<a:double,id:boolean,key:array<string>>",
  "struct<a:date>",
];
const NAMES = ["a", "id", "Tag", "order", "v_1", "0x", "event"];

const numberText = (pattern: RegExp) => fc.stringMatching(pattern).map((text): Sample => ({ text }));
const stringText = (text: Arbitrary<string>) =>
  text.map((value): Sample => ({ text: JSON.stringify(value) }));
const day = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom("2022-07-26", "1969-12-31", "2024-02-29", "1712-01-01") },
  fc.stringMatching(/^(17|19|20|21)[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$/),
  fc.constantFrom(
    "1700-01-01",
    "1699-12-31",
    "2199-12-31",
    "2200-01-01",
    "2000-02-29",
    "1900-02-29",
    "2100-02-28",
  ),
);

/** Mostly what the grammar accepts, and now and then what it only just does not. */
function edge(type: Type): Arbitrary<Sample> {
  const common = { weight: 1, arbitrary: fc.constant<Sample>({ text: "null" }) };
  const or = (arbitrary: Arbitrary<Sample>) => fc.oneof({ weight: 15, arbitrary }, common);
  switch (type.kind) {
    case "boolean":
      return or(fc.constantFrom<Sample>({ text: "true" }, { text: "false" }));
    case "int":
      return or(numberText(/^(-?[1-9][0-9]{0,8}|0|[12][0-9]{9})$/));
    case "bigint":
      return or(numberText(/^(-?[1-9][0-9]{0,17}|0|[89][0-9]{18}|-0)$/));
    case "decimal":
      return or(numberText(/^(-?[1-9][0-9]{0,14}|0|[1-9][0-9]{9,16})$/));
    case "double":
      return or(numberText(/^(-?[1-9][0-9]{0,15}|0|-?(0|[1-9][0-9]{0,8})\.[0-9]{1,11})$/));
    case "string":
      return or(fc.oneof(stringText(fc.string({ maxLength: 9 })), valueFor(type)));
    case "date":
      return or(stringText(day));
    case "timestamp":
      return or(
        stringText(
          fc
            .tuple(
              day,
              fc.stringMatching(/^[T ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,4})?$/),
              OFFSET,
            )
            .map((parts) => parts.join("")),
        ),
      );
    case "array":
      return or(fc.array(edge(type.element), { maxLength: 3 }).map((items) => ({ items })));
    case "map":
      return or(fc.constant({ members: [] }));
    case "struct":
      return or(objectOfEdges(type.fields));
  }
}

const OFFSET = fc.constantFrom("", "", "", "Z", "+09:00", "-0330", "+13:59", "-13:59", "+14:00", "-00:30");

function objectOfEdges(fields: readonly { key: string; type: Type }[]): Arbitrary<RecordSample> {
  const members = fields.map(({ key, type }) =>
    fc.option(
      edge(type).map((value): [string, Sample] => [JSON.stringify(key), value]),
      { freq: 6 },
    ),
  );
  return fc.tuple(fc.nat(9), ...members).map(([dice, ...present]) => {
    const all = present.filter((member) => member !== null);
    return { members: dice === 0 ? all.reverse() : all };
  });
}

interface EdgeColumn {
  key: string;
  option: { type: string; json?: "string"; from?: string };
}

const edgeColumn: Arbitrary<EdgeColumn> = fc
  .tuple(fc.constantFrom(...NAMES), fc.constantFrom(...TYPES), fc.constantFrom(...JSON_TYPES), fc.nat(7))
  .map(([key, type, json, dice]) => ({
    key,
    option: dice === 0 ? { type: json, json: "string" } : { type },
  }));

/** Datasets like `randomDataset`, whose records the grammar mostly accepts. */
const edgeDataset: Arbitrary<RandomDataset> = fc
  .tuple(
    fc.uniqueArray(edgeColumn, { minLength: 1, maxLength: 4, selector: ({ key }) => key.toLowerCase() }),
    fc.boolean(),
    fc.constantFrom("UTC", "UTC", "Asia/Tokyo"),
  )
  .map(([sources, hasDerived, zone]) => {
    const columns = Object.fromEntries(sources.map(({ key, option }) => [key, option]));
    const fields = sources.map(({ key, option }) => {
      const type = parseHiveType(option.type);
      return { key, type, isInString: option.json !== undefined };
    });
    const struct = fields.find(({ type, isInString }) => type.kind === "struct" && !isInString);
    const [leaf] = struct?.type.kind === "struct" ? struct.type.fields : [];
    const derived = leaf && { d0: { type: hiveType(leaf.type), from: `${struct?.key}.${leaf.key}` } };
    const plain = objectOfEdges(fields.filter(({ isInString }) => !isInString));
    const inString = fields
      .filter(({ isInString }) => isInString)
      .map(({ key, type }) =>
        edge(type).map((value): [string, Sample] => [
          JSON.stringify(key),
          { text: JSON.stringify(write(value)), isDamaged: write(value).includes(BAD_BYTE) },
        ]),
      );
    const record = fc
      .tuple(plain, ...inString)
      .map(([{ members }, ...more]) => ({ members: [...members, ...more] }));
    const options = { records: "$", unknown: "rescue" as const, zone };
    return { options: { ...options, columns: hasDerived ? { ...columns, ...derived } : columns }, record };
  });

/** Records a line each, of a dataset whose columns are configured. */
const cases = (maxLines: number): Arbitrary<Case> =>
  fc
    .oneof({ weight: 3, arbitrary: edgeDataset }, { weight: 1, arbitrary: randomDataset })
    .filter(({ options }) => options.columns !== undefined && options.records === "$")
    .chain(({ options, record }) => {
      const style = fc.constantFrom<Style>("compact", "compact", "compact", "spaced");
      const line = fc.tuple(
        record.filter((value) => !isDamaged(value)),
        style,
      );
      return fc.array(line, { minLength: 1, maxLength: maxLines, size: "max" }).map((list) => ({
        options: options as Case["options"],
        lines: list.map(([value, how]) => `${write(value, how)}\n`),
      }));
    });

let root: string;
let engine: Engine;
let duckdb: DuckdbReader;

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "hourpack-grammar-"));
  engine = await openDuckdb({ memoryBytes: 256 << 20, concurrency: 1, tempDir: root });
  duckdb = await openDuckdbReader();
});

afterAll(async () => {
  duckdb?.close();
  await engine?.close();
  rmSync(root, { recursive: true, force: true });
});

/** The lines that the grammar accepts, read in both ways. */
async function bothWays({ options, lines }: Case): Promise<{ accepted: number; found: string[] }> {
  const columns = resolveColumns(options.columns, [], () => "here");
  const schema: Schema = { version: 1, columns };
  const sifter = new Sifter(schema, ROOT_PATH, options.zone, { maxRecordBytes: 1 << 26 });
  // Once to learn in which order keys stand.
  const acceptedRows = (line: string) => sifted(sifter.chunks(bytesOf(line))).acceptedRows;
  for (const line of lines) acceptedRows(line);
  const accepted = lines.filter((line) => acceptedRows(line) === 1);
  if (accepted.length === 0) return { accepted: 0, found: [] };
  const exact = sifted(sifter.exactChunks(bytesOf(accepted.join(""))));
  expect({ rows: exact.exact.length, rescued: exact.rescued, quarantine: exact.quarantine }).toEqual({
    rows: accepted.length,
    rescued: 0,
    quarantine: [],
  });
  const file = (name: string) => join(root, name);
  writeFileSync(file("accepted.ndjson"), accepted.join(""));
  writeFileSync(file("exact.ndjson"), exact.exact.join(""));
  const way = { schema, accepted: undefined, exact: undefined, maxLineBytes: 1 << 16 };
  await engine.writeRows({ ...way, accepted: file("accepted.ndjson") }, file("accepted.parquet"));
  await engine.writeRows({ ...way, exact: file("exact.ndjson") }, file("exact.parquet"));
  const [fast, slow] = [
    await duckdb.read(file("accepted.parquet")),
    await duckdb.read(file("exact.parquet")),
  ];
  return { accepted: accepted.length, found: differences(slow.rows, fast.rows, textOfRow) };
}

test(
  "a line that the grammar accepts gives the row of the exact way",
  async () => {
    let accepted = 0;
    const property = fc.asyncProperty(cases(80), async (random) => {
      const both = await bothWays(random);
      expect(both.found).toEqual([]);
      accepted += both.accepted;
    });
    await fc.assert(property, parameters(Math.ceil(RUNS / 5)));
    expect(accepted).toBeGreaterThan(RUNS);
  },
  60_000 + RUNS * 300,
);

test(
  "records packed a line each, and with nothing between them, are the same rows",
  async () => {
    let packs = 0;
    const property = fc.asyncProperty(cases(60), async ({ options, lines }) => {
      const found = await packBothWays(join(root, `pack-${packs++}`), options, lines);
      expect(found).toEqual([]);
    });
    await fc.assert(property, parameters(Math.ceil(RUNS / 50)));
  },
  60_000 + RUNS * 300,
);

/** Two hours of the same records: lines, which the grammar looks at, and one run of values, which only the exact way reads. */
async function packBothWays(dir: string, options: object, lines: string[]): Promise<string[]> {
  const hours = ["00", "01"].map((name, i) => {
    const objectsDir = join(dir, "objects", name);
    mkdirSync(objectsDir, { recursive: true });
    return { name, hour: addHours(FIRST_HOUR, i), objectsDir };
  });
  const bodies = [lines.join(""), lines.map((line) => line.trimEnd()).join("")];
  for (const [i, { objectsDir }] of hours.entries())
    writeFileSync(join(objectsDir, "x.json"), bodies[i] ?? "");
  // Only what packing needs of a case.
  const golden = { dataset: { ...options, unknown: "rescue" }, hours } as unknown as GoldenCase;
  const packed = await packCase(golden, join(dir, "work"));
  const [asLines, asOne] = packed.map(
    ({ partPath }) => `read_parquet('${partPath}', hive_partitioning = false)`,
  );
  const instance = await DuckDBInstance.create(":memory:", { threads: "1" });
  const connection = await instance.connect();
  try {
    const without = async (a?: string, b?: string) =>
      (await connection.runAndReadAll(`SELECT * FROM ${a} EXCEPT ALL SELECT * FROM ${b}`)).getRowsJson();
    const rows = [...(await without(asLines, asOne)), ...(await without(asOne, asLines))];
    const quarantined = packed.map(({ quarantine }) => quarantine.length);
    expect(quarantined[0]).toBe(quarantined[1]);
    return rows.map((row) => JSON.stringify(row));
  } finally {
    connection.closeSync();
    instance.closeSync();
    rmSync(dir, { recursive: true, force: true });
  }
}
