/** What a few odd records do to later hours: a schema only grows, and every later hour is written under it. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { asyncBufferFromFile, parquetReadObjects } from "hyparquet";
import { afterEach, beforeEach, expect, it } from "vitest";
import { openComponents } from "../../src/components.js";
import { loadSettings } from "../../src/config/load.js";
import { openDuckdb } from "../../src/engine/duckdb/duckdb.js";
import type { Engine, RowFiles } from "../../src/engine/engine.js";
import { HourpackError } from "../../src/errors.js";
import { addHours, parseHour } from "../../src/hour.js";
import { Listing } from "../../src/listing.js";
import { Shape } from "../../src/record/inference.js";
import { Sifter } from "../../src/record/sift.js";
import { run } from "../../src/run.js";
import { ROOT_PATH } from "../../src/schema/path.js";
import type { Column, Field, Schema } from "../../src/schema/types.js";
import { type Batch, BatchFiles, BatchMemory, BatchWriter } from "../../src/spool/batch.js";
import { convertAgain, convertBatches } from "../../src/stages/convert.js";
import { LocalStore } from "../../src/store/local.js";
import type { RunEvent } from "../../src/task.js";
import { readPinned } from "../../src/tier1/schema-file.js";

const FIELD: Field = { name: "b", key: "b", type: { kind: "string" } };
const FIRST = parseHour("2022-07-26T00");
let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "hourpack-growth-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** Packs an hour of each of these, one after the other, with `unknown: add`. */
async function packHours(hours: object[][], sortBy = "") {
  for (const [n, records] of hours.entries()) {
    const folder = join(root, `raw/2022/07/26/0${n}`);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "a.json"), records.map((record) => `${JSON.stringify(record)}\n`).join(""));
  }
  const flags = {
    raw: "./raw/{yyyy}/{MM}/{dd}/{HH}/",
    tier1: "./lake/",
    table: "t",
    unknown: "add",
    catalog: "none",
    ...(sortBy !== "" && { "sort-by": sortBy }),
  };
  const components = openComponents(await loadSettings({ flags, cwd: root, env: {} }));
  const notices: string[] = [];
  const observe = (event: RunEvent) => {
    if (event.type === "notice") notices.push(event.text);
  };
  try {
    const packed = [];
    for (const n of hours.keys()) {
      const hour = addHours(FIRST, n);
      const result = await run(components, { hours: { from: hour, to: addHours(hour, 1) } }, observe);
      expect(result.failures).toEqual([]);
      packed.push(result.hours[0]?.part?.rows);
    }
    return { rows: packed, notices };
  } finally {
    await components.close();
  }
}

function nested(levels: number): unknown {
  return levels === 0 ? 1 : [nested(levels - 1)];
}

it("arrays in arrays, however many, stop no hour, and none after it", { timeout: 60_000 }, async () => {
  const deep = (count: number, name: string) =>
    Object.fromEntries(Array.from({ length: count }, (_, i) => [`${name}${i}`, nested(16)]));
  const { rows } = await packHours([[{ id: 1 }], [deep(60, "a")], [deep(2000, "b")], [{ id: 1 }]]);
  expect(rows).toEqual([1, 1, 1, 1]);
});

it.each([
  ["is empty", ""],
  ["is damaged", "oops\n"],
])("a late object without a row is merged into a part of fewer columns: it %s", async (_, text) => {
  await packHours([[{ id: 1 }], [{ id: 2, extra: "x" }]]);
  writeFileSync(join(root, "raw/2022/07/26/00/late.json"), text);
  const { rows } = await packHours([[{ id: 1 }], [{ id: 2, extra: "x" }]]);
  expect(rows).toEqual([1, 1]);
});

it("a derived column that another worker brought meanwhile is filled in the batches done before", async () => {
  const text: Column = { name: "m", path: ["m"], type: { kind: "struct", fields: [FIELD] }, derived: false };
  const first: Schema = { version: 1, columns: [text] };
  const derived: Column = { name: "m_b", path: ["m", "b"], type: { kind: "string" }, derived: true };
  const grown: Schema = { version: 2, columns: [text, derived] };
  const memory = new BatchMemory(1 << 16, 4);
  const files = new BatchFiles(root);
  const batches: Batch[] = [];
  // The second has a member that no column knows, for which the hour is converted again.
  for (const [i, line] of ['{"m":{"b":"x"}}\n', '{"m":{"b":"y"},"new":1}\n'].entries()) {
    const writer = await BatchWriter.open(1024, memory);
    writer.add(i, Buffer.from(line), {});
    batches.push(writer.finish(files));
  }
  const limits = { maxRecordBytes: 1 << 20 };
  const conversion = (schema: Schema) => ({
    schema,
    fetched: new Listing(),
    sifter: new Sifter(schema, ROOT_PATH, "UTC", limits),
  });
  const engine = await openDuckdb({ memoryBytes: 256 << 20, concurrency: 2, tempDir: join(root, "temp") });
  try {
    const converted = await convertBatches(batches, conversion(first), engine, { keepBatches: true });
    expect(converted.rescued).toBe(1);
    const again = await convertAgain(converted, conversion(grown), engine);
    const paths = again.batches.flatMap(({ path }) => path ?? []);
    const values = await Promise.all(
      paths.map(
        async (path) => (await parquetReadObjects({ file: await asyncBufferFromFile(path) }))[0]?.["m_b"],
      ),
    );
    expect(values.sort()).toEqual(["x", "y"]);
  } finally {
    await engine.close();
  }
});

it("records that the engine refused are counted once", async () => {
  const id: Column = { name: "id", path: ["id"], type: { kind: "bigint" }, derived: false };
  const schema: Schema = { version: 1, columns: [id] };
  const memory = new BatchMemory(1 << 16, 4);
  const files = new BatchFiles(root);
  const batches: Batch[] = [];
  // One object in 121 has the key r: fewer than 1 % of them, so that they are no struct.
  for (const [i, text] of ['{"n":{"a":1,"r":1}}\n', '{"n":{"a":1}}\n'.repeat(120)].entries()) {
    const writer = await BatchWriter.open(1 << 14, memory);
    writer.add(i, Buffer.from(text), {});
    batches.push(writer.finish(files));
  }
  const unknown = new Shape();
  const sifter = new Sifter(schema, ROOT_PATH, "UTC", { maxRecordBytes: 1 << 20 }, unknown);
  const refused = `${batches[0]?.base}.parquet`;
  let tries = 0;
  const engine = {
    writeRows: async (_: RowFiles, path: string) => {
      if (path === refused && tries++ === 0) throw new HourpackError("internal", "refused");
      return { path, rows: path === refused ? 1 : 120 };
    },
  } as Engine;
  await convertBatches(batches, { schema, fetched: new Listing(), sifter }, engine, { keepBatches: false });
  expect(tries).toBe(2);
  const place = { name: "n", path: ["n"], derived: false };
  expect(unknown.columns(schema)).toEqual([{ ...place, type: { kind: "string" } }]);
});

it("columns end at 2,000, whichever hours they come from", { timeout: 60_000 }, async () => {
  const wide = (hour: number) =>
    Object.fromEntries(Array.from({ length: 1500 }, (_, i) => [`k${hour}_${i}`, i]));
  await packHours([[{ id: 1 }], [wide(1)], [wide(2)], [{ id: 1 }]]);
  const pinned = await readPinned(new LocalStore(join(root, "lake")), "", undefined);
  expect(pinned?.versions.at(-1)?.columns).toHaveLength(2000);
});

it("an order by what is no column yet waits for it", async () => {
  const { rows, notices } = await packHours([[{}], [{ id: 2 }], [{ id: 1, user: "a" }]], "user");
  expect(rows).toEqual([1, 1, 1]);
  expect(notices.filter((text) => text.startsWith("not sorted by user"))).toHaveLength(2);
});
