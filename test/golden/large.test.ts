/** Objects that are read in ranges, and those that cannot be. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openComponents } from "../../src/components.js";
import { loadSettings } from "../../src/config/load.js";
import { addHours, parseHour } from "../../src/hour.js";
import { run } from "../../src/run.js";
import { RANGE_BYTES } from "../../src/stages/spool.js";
import { verifyHour } from "../../src/verification.js";

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
}

/** Packs so many objects of the same bytes. */
async function packedHour(
  name: string,
  { objects, bytes, isProved, columns = "n:bigint,s:string" }: HourOfObjects,
) {
  const root = join(dir, name);
  const folder = join(root, "raw/2022/07/26/00");
  mkdirSync(folder, { recursive: true });
  for (let i = 0; i < objects; i++) writeFileSync(join(folder, `${i}.json`), bytes);
  const flags = {
    raw: "./raw/{yyyy}/{MM}/{dd}/{HH}/",
    tier1: "./lake/",
    table: "t",
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
    return { rows: hours[0]?.part?.rows, quarantined: hours[0]?.quarantined };
  } finally {
    await components.close();
    rmSync(root, { recursive: true });
  }
}

const PAD = "x".repeat(10_000);

it("100,000 objects of one byte are as many pieces of quarantine", { timeout: 180_000 }, async () => {
  const hour = { objects: 100_000, bytes: Buffer.from("7"), isProved: false };
  expect(await packedHour("tiny", hour)).toEqual({ rows: 0, quarantined: 100_000 });
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
  expect(await packed("lines", Buffer.from(lines.join("")))).toEqual({ rows: good + 2, quarantined: 1 });
});

it("a pretty-printed array larger than a range is one array", async () => {
  const elements: string[] = [];
  for (let bytes = 0; bytes <= RANGE_BYTES; bytes += PAD.length)
    elements.push(JSON.stringify({ n: elements.length, s: PAD }, null, 2));
  expect(await packed("pretty", Buffer.from(`[\n${elements.join(",\n")}\n]\n`))).toEqual({
    rows: elements.length,
    quarantined: 0,
  });
});

it("a line beyond the limit is quarantined, its neighbours are not", async () => {
  const line = `{"n":1,"s":"${"x".repeat(65 << 20)}"}`;
  expect(await packed("record", Buffer.from(`{"n":0}\n${line}\n{"n":2}\n`))).toEqual({
    rows: 2,
    quarantined: 1,
  });
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
    expect(await packedHour(name, hour)).toEqual({ rows, quarantined: 0 });
  });

  it("a million blank lines before an object's lines", async () => {
    const line = '{"n":1,"s":"after blank lines"}\n';
    const count = Math.ceil(RANGE_BYTES / line.length);
    const bytes = Buffer.from("\n".repeat(1_000_000) + line.repeat(count));
    const hour = { objects: 1, bytes, isProved: false };
    expect(await packedHour("blank", hour)).toEqual({ rows: count, quarantined: 0 });
  });
});
