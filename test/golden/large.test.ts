/** Objects that are read in ranges and cut into pieces, whatever their shape. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openComponents } from "../../src/components.js";
import { loadSettings } from "../../src/config/load.js";
import { addHours, parseHour } from "../../src/hour.js";
import { Sifter } from "../../src/record/sift.js";
import { run } from "../../src/run.js";
import { parseRecordPath, ROOT_PATH } from "../../src/schema/path.js";
import type { Column } from "../../src/schema/types.js";
import { verifyHour } from "../../src/upkeep/verification.js";
import { sifted } from "../support/sifted.js";

const RANGE_BYTES = 64 << 20;
const HOUR = parseHour("2022-07-26T00");
let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "hourpack-large-"));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** Packs one object and verifies it deeply. */
function packed(name: string, bytes: Buffer) {
  return packedHour(name, { objects: 1, bytes, isProved: true });
}

interface HourOfObjects {
  objects: number;
  bytes: Buffer;
  isProved: boolean;
  /** Empty: they are inferred. */
  columns?: string;
  /** Smaller batches are read in smaller ranges. */
  batch?: string;
  records?: string;
}

/** Packs so many objects of the same bytes. */
async function packedHour(
  name: string,
  { objects, bytes, isProved, columns = "n:bigint,s:string", batch = "16MB", records = "$" }: HourOfObjects,
) {
  const root = join(dir, name);
  const folder = join(root, "raw/2022/07/26/00");
  mkdirSync(folder, { recursive: true });
  for (let i = 0; i < objects; i++) writeFileSync(join(folder, `${i}.json`), bytes);
  const flags = {
    raw: "./raw/{yyyy}/{MM}/{dd}/{HH}/",
    tier1: "./lake/",
    table: "t",
    batch,
    records,
    ...(columns !== "" && { columns }),
  };
  const components = openComponents(await loadSettings({ flags, cwd: root, env: {} }));
  try {
    const { hours, failures } = await run(components, { hours: { from: HOUR, to: addHours(HOUR, 1) } });
    expect(failures).toEqual([]);
    const [dataset] = components.settings.datasets;
    if (!dataset) throw new Error("no dataset");
    const task = { dataset, hour: HOUR, request: {}, isAsked: true, components, observe: () => {} };
    expect(await verifyHour(task, { deep: isProved })).toMatchObject({ state: "sound" });
    const { part, quarantined, quarantinedBytes } = hours[0] ?? {};
    return { rows: part?.rows, quarantined, quarantinedBytes };
  } finally {
    await components.close();
    rmSync(root, { recursive: true });
  }
}

const PAD = "x".repeat(10_000);

it("100,000 objects of one byte are as many pieces of quarantine", { timeout: 180_000 }, async () => {
  const hour = { objects: 100_000, bytes: Buffer.from("7"), isProved: false };
  expect(await packedHour("tiny", hour)).toMatchObject({ rows: 0, quarantined: 100_000 });
});

it("a line that is damaged where a range begins harms no other", async () => {
  const lines: string[] = [];
  let bytes = 0;
  while (bytes <= RANGE_BYTES) {
    lines.push(`{"n":${lines.length},"s":"${PAD}"}\n`);
    bytes += (lines.at(-1) as string).length;
  }
  // The last line lies across the border, and is the first of the second range's piece.
  lines[lines.length - 1] = `{"n":,"s":"${PAD}"}\n`;
  const good = lines.length - 1;
  lines.push('{"n":1,"s":"after"}\n{"n":2,"s":"after"}');
  expect(await packed("lines", Buffer.from(lines.join("")))).toMatchObject({
    rows: good + 2,
    quarantined: 1,
  });
});

it("a pretty-printed array larger than a range is one array", async () => {
  const elements: string[] = [];
  for (let bytes = 0; bytes <= RANGE_BYTES; bytes += PAD.length)
    elements.push(JSON.stringify({ n: elements.length, s: PAD }, null, 2));
  expect(await packed("pretty", Buffer.from(`[\n${elements.join(",\n")}\n]\n`))).toMatchObject({
    rows: elements.length,
    quarantined: 0,
  });
});

it("a line beyond the limit is quarantined, its neighbours are not", async () => {
  const line = `{"n":1,"s":"${"x".repeat(65 << 20)}"}`;
  expect(await packed("record", Buffer.from(`{"n":0}\n${line}\n{"n":2}\n`))).toMatchObject({
    rows: 2,
    quarantined: Math.ceil(line.length / 4_000_000),
  });
});

describe("an object of nine ranges and some pieces, each of them framed as it would be in the whole", () => {
  const values = Array.from({ length: 900 }, (_, n) => JSON.stringify({ n, s: PAD }));
  const pretty = values.map((_, n) => JSON.stringify({ n, s: PAD }, null, 2));
  const array = Buffer.from(`[${values.join(",")}]`);
  const broken = Buffer.from(`[${values.with(700, '{"n":}').join(",")}]\n \n`);
  const cut = gzipSync(array, { level: 1 }).subarray(0, -1);
  const parquet = Buffer.from(`PAR1${array}\n \n`);
  it.each([
    ["as it lies", parquet],
    ["as its gzip opens", gzipSync(parquet, { level: 1 })],
  ])("another format, %s", async (how, bytes) => {
    const hour = { objects: 1, bytes, isProved: true, batch: "1MB" };
    expect(await packedHour(`format ${how}`, hour)).toMatchObject({
      rows: 0,
      quarantinedBytes: parquet.length,
    });
  });

  it.each<[string, Buffer, rows: number, quarantined: number, records?: string]>([
    ["an array on one line", array, 900, 0],
    ["an array that is damaged", broken, 700, 1],
    ["an array that does not end", array.subarray(0, -5_000), 899, 1],
    ["lines after an array", Buffer.from(`${array}\n${values.join("\n")}\noops\n`), 1800, 1],
    [
      "lines, and an array over lines",
      Buffer.from(`${values.join("\n")}\n[\n${pretty.join(",\n")}]`),
      1800,
      0,
    ],
    ["one after the other, without a newline", Buffer.from(values.join("")), 900, 0],
    ["pretty-printed", Buffer.from(pretty.join("\n")), 900, 0],
    ["lines that end in CR", Buffer.from(`${values.with(7, "oops").join("\r")}`), 899, 1],
    [
      "lines, every ninth damaged",
      Buffer.from(values.map((v, i) => (i % 9 < 8 ? v : "{")).join("\n")),
      800,
      100,
    ],
    ["an array in a gzip", gzipSync(array, { level: 1 }), 900, 0],
    ["a gzip of two members", Buffer.concat([array, array].map((bytes) => gzipSync(bytes))), 1800, 0],
    ["a gzip that is cut", cut, 0, 1],
    ["under a record path", Buffer.from(`{"Records":${array},"id":1}`), 900, 0, "Records[*]"],
  ])("%s", async (name, bytes, rows, quarantined, records) => {
    const hour = { objects: 1, bytes, isProved: true, batch: "1MB", records };
    expect(await packedHour(name, hour)).toMatchObject({ rows, quarantined });
  });
});

it("under a record path a large value is read, and of its records the one beyond the limit is quarantined", async () => {
  const value = (s: string) => `{"Records":[{"n":1,"s":"${s}"},{"n":2}]}`;
  const long = value("x".repeat(64 << 20));
  const bytes = Buffer.from([value(""), long, value("")].join("\n"));
  const hour = { objects: 1, bytes, isProved: true, records: "Records[*]" };
  expect(await packedHour("path", hour)).toMatchObject({ rows: 5, quarantined: 1 });
});

it("rows that each have a long envelope are not held all at once", () => {
  const records = Array.from({ length: 100 }, (_, n) => ({ n }));
  const bytes = Buffer.from(JSON.stringify({ meta: "x".repeat(600_000), Records: records }));
  const columns: Column[] = [{ name: "n", type: { kind: "bigint" }, path: ["n"], derived: false }];
  const path = parseRecordPath("Records[*]");
  const sifter = new Sifter({ version: 1, columns }, path, "UTC", { maxRecordBytes: 64 << 20 });
  const chunks = [...sifter.chunks(bytes)];
  expect(chunks.reduce((rows, { exact }) => rows + exact.length, 0)).toBe(100);
  for (const { exact } of chunks) expect(exact.join("").length).toBeLessThan(6 << 20);
});

it.each([
  ["lines", '{"n":1}\n{"n":10000000}\n{"n":2}\n'],
  ["an array", '[{"n":1},{"n":10000000},{"n":2}]'],
])("a record beyond a limit of some bytes is quarantined, of %s", (_, text) => {
  const columns: Column[] = [{ name: "n", type: { kind: "bigint" }, path: ["n"], derived: false }];
  const sifter = new Sifter({ version: 1, columns }, ROOT_PATH, "UTC", { maxRecordBytes: 10 });
  const { acceptedRows, exact, quarantine } = sifted(sifter.chunks(Buffer.from(text)));
  expect(acceptedRows + exact.length).toBe(2);
  expect(quarantine).toMatchObject([{ sizeBytes: 14, reason: expect.stringMatching(/more than the limit/) }]);
});

it("damage beyond the record limit is several pieces of quarantine, one after the other", async () => {
  const bytes = Buffer.from(`[{"n":1,"s":"before"},{"n":oops ${"é".repeat(34 << 20)}`);
  const pieces = Math.ceil((bytes.length - 22) / 4_000_000);
  expect(await packed("damage", bytes)).toMatchObject({ rows: 1, quarantined: pieces });
});

describe("what is legal and strange is packed with what a run has by default", { timeout: 120_000 }, () => {
  const members = (count: number, value: (i: number) => unknown) =>
    Object.fromEntries(Array.from({ length: count }, (_, i) => [`member_number_${i}`, value(i)]));
  const lines = (count: number, record: object) => `${JSON.stringify(record)}\n`.repeat(count);

  it.each([
    ["300 columns", 50, () => lines(50, members(300, String))],
    [
      "1,000 columns",
      20,
      () =>
        lines(
          20,
          members(1000, (i) => i),
        ),
    ],
    [
      "structs of 3,000 fields in all",
      20,
      () =>
        lines(
          20,
          members(100, () => members(30, String)),
        ),
    ],
    ["a key of 40,000 characters", 2, () => `{"id":1}\n{"${"k".repeat(40_000)}":1}\n`],
    ["a text of four million escapes", 1, () => `{"a":"${"\\n".repeat(4_000_000)}"}`],
    ["an array of three million numbers", 1, () => `{"a":[${"1,".repeat(2_999_999)}1]}`],
    ["arrays in 900 levels", 1, () => `{"a":${"[".repeat(900)}1${"]".repeat(900)}}`],
    ["objects in 900 levels", 1, () => `{"a":${'{"d":'.repeat(900)}1${"}".repeat(900)}}`],
    [
      "objects of 40 members in three levels",
      1,
      () =>
        lines(
          1,
          members(40, () => members(40, () => members(40, String))),
        ),
    ],
    [
      "two million members, all of them different",
      1,
      () => `{"a":1${Array.from({ length: 2_000_000 }, (_, i) => `,"${i}":0`).join("")}}`,
    ],
    ["a number of 400,000 digits", 2, () => `{"a":1}\n{"a":1${"0".repeat(400_000)}1}\n`],
    ["a record of 60 MB", 1, () => `{"a":"${"x".repeat(60_000_000)}"}`],
  ])("%s", async (name, rows, text) => {
    const hour = { objects: 1, bytes: Buffer.from(text()), isProved: true, columns: "" };
    expect(await packedHour(name, hour)).toMatchObject({ rows, quarantined: 0 });
  });

  it("a million blank lines before an object's lines", async () => {
    const line = '{"n":1,"s":"after blank lines"}\n';
    const count = Math.ceil(RANGE_BYTES / line.length);
    const bytes = Buffer.from("\n".repeat(1_000_000) + line.repeat(count));
    const hour = { objects: 1, bytes, isProved: false };
    expect(await packedHour("blank", hour)).toMatchObject({ rows: count, quarantined: 0 });
  });
});
