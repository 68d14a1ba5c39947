/**
 * The proof finds what was planted: one digit changed, one record dropped, one doubled, at random places of a
 * published part; and one byte changed in a raw object. Without a plant it finds nothing.
 *
 * HOURPACK_PROPERTY_RUNS: 1,000 means 40 plants of a kind; HOURPACK_PROPERTY_SEED: repeats a run;
 * HOURPACK_PROPERTY_RECORDS: how many records the large hour has.
 */
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DuckDBInstance } from "@duckdb/node-api";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Components, openComponents } from "../../src/components.js";
import { loadSettings } from "../../src/config/load.js";
import type { Dataset } from "../../src/config/settings.js";
import { manifestKey, partKey, rawPrefix } from "../../src/layout.js";
import { openManifest } from "../../src/manifest.js";
import type { ReadObject } from "../../src/proof/objects.js";
import { type DeepResult, verifyDeep } from "../../src/proof/verify.js";
import { schemaOf } from "../../src/restore.js";
import { headPart } from "../../src/stages/list.js";
import { FIRST_HOUR, type GoldenCase } from "../support/golden.js";
import { packCase } from "../support/pack.js";

const RUNS = Number(process.env["HOURPACK_PROPERTY_RUNS"] ?? 1000);
const SEED = process.env["HOURPACK_PROPERTY_SEED"];
const parameters = (numRuns: number) => ({ numRuns, ...(SEED ? { seed: Number(SEED) } : {}) });
const LARGE_RECORDS = Number(process.env["HOURPACK_PROPERTY_RECORDS"] ?? 1_000_000);

let root: string;
let instance: DuckDBInstance;

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "hourpack-planted-"));
  instance = await DuckDBInstance.create(":memory:", { threads: "1" });
});

afterAll(() => {
  instance?.closeSync();
  rmSync(root, { recursive: true, force: true });
});

const COLUMNS = {
  id: "bigint",
  price: "decimal(38,20)",
  ratio: "double",
  at: "timestamp",
  on: "date",
  name: "string",
  tags: "array<int>",
  who: "struct<age:int,ok:boolean>",
};

/** How each column is changed by as little as it can be. */
const CHANGES: Record<string, string> = {
  id: "id + 1",
  price: "price + 0.00000000000000000001",
  ratio: "nextafter(ratio, 1e300)",
  at: 'CAST("at" + INTERVAL 1 MILLISECOND AS TIMESTAMP_MS)',
  on: 'CAST("on" + 1 AS DATE)',
  name: "name || ' '",
  tags: "list_concat(tags, [NULL])",
  who: "struct_pack(age := who.age, ok := NOT who.ok)",
  _rescued_data: "replace(_rescued_data, '.0', '.1')",
};

function recordText(i: number): string {
  const at = new Date(1_658_793_600_000 + i * 37).toISOString();
  const rest = `"tags":[${i % 7}],"who":{"age":${i % 90},"ok":${i % 2 === 0}}`;
  return `{"id":${i},"price":${i}.00000000000000000001,"ratio":${i / 8},"at":"${at}","on":"2022-07-26","name":"n${i % 50}",${rest},"more":${i}.01}`;
}

interface Hour {
  components: Components;
  dataset: Dataset;
  partPath: string;
  records: number;
  close(): Promise<void>;
}

async function packHour(name: string, options: object, objects: string[][]): Promise<Hour> {
  const dir = join(root, name);
  mkdirSync(join(dir, "objects"), { recursive: true });
  for (const [i, lines] of objects.entries())
    writeFileSync(join(dir, "objects", `${i}.json`), `${lines.join("\n")}\n`);
  const hours = [{ name: "00", hour: FIRST_HOUR, objectsDir: join(dir, "objects") }];
  // Only what packing needs of a case.
  const golden = { dataset: options, hours } as unknown as GoldenCase;
  const [packed] = await packCase(golden, join(dir, "work"));
  const components = openComponents(
    await loadSettings({ file: join(dir, "work", "hourpack.yaml"), env: {} }),
  );
  const [dataset] = components.settings.datasets as [Dataset];
  const records = objects.reduce((sum, lines) => sum + lines.length, 0);
  return { components, dataset, partPath: packed?.partPath ?? "", records, close: () => components.close() };
}

async function prove({ components, dataset }: Hour, readObject?: ReadObject): Promise<DeepResult> {
  const tier1 = await components.tier1(dataset);
  const published = await headPart(
    tier1,
    partKey(dataset.tier1.prefix, dataset.table, FIRST_HOUR),
    undefined,
  );
  if (!published) throw new Error("the hour has no part");
  const key = manifestKey(dataset.tier1.prefix, FIRST_HOUR, published.attempt);
  const manifest = await openManifest(await tier1.get(key), key);
  return verifyDeep({
    raw: await components.raw(dataset),
    tier1,
    rawPrefix: rawPrefix(dataset.raw, FIRST_HOUR),
    partKey: published.key,
    partEtag: published.etag,
    entries: () => manifest.entries(),
    schema: await schemaOf(components, dataset, published, undefined),
    records: dataset.records,
    zone: dataset.zone,
    readObject,
  });
}

/** Writes the part again, with its metadata, from a query over its rows (`part`, numbered from 0 by `row`). */
async function rewrite(partPath: string, query: string): Promise<void> {
  const connection = await instance.connect();
  try {
    const sql = (text: string) => `'${text.replaceAll("'", "''")}'`;
    const pairs = await connection.runAndReadAll(
      `SELECT decode(key) AS k, decode(value) AS v FROM parquet_kv_metadata(${sql(partPath)})`,
    );
    const metadata = pairs.getRows().map(([key, value]) => `"${key}": ${sql(String(value))}`);
    // DuckDB reads milliseconds as microseconds, and would write them so.
    await connection.run(
      `CREATE OR REPLACE TEMP TABLE part AS SELECT * EXCLUDE (file_row_number), file_row_number AS row
        FROM read_parquet(${sql(partPath)}, file_row_number = true, hive_partitioning = false)`,
    );
    const stamps = await connection.runAndReadAll(
      "SELECT column_name FROM (DESCRIBE part) WHERE column_type = 'TIMESTAMP'",
    );
    for (const [name] of stamps.getRows())
      await connection.run(`ALTER TABLE part ALTER "${name}" TYPE TIMESTAMP_MS`);
    await connection.run(
      `COPY (${query}) TO ${sql(`${partPath}.new`)} (FORMAT parquet, COMPRESSION snappy, KV_METADATA {${metadata.join(", ")}})`,
    );
    renameSync(`${partPath}.new`, partPath);
  } finally {
    connection.closeSync();
  }
}

const ALL = "* EXCLUDE (row)";

test(
  "one change in a part is found, and named as what it is",
  async () => {
    const objects = Array.from({ length: 5 }, (_, o) =>
      Array.from({ length: 60 }, (_, i) => recordText(o * 60 + i + 1)),
    );
    const hour = await packHour("small", { columns: COLUMNS }, objects);
    try {
      expect(await prove(hour)).toMatchObject({ ok: true, records: 300, rows: 300, differences: [] });
      const plant = fc.record({
        row: fc.nat(hour.records - 1),
        kind: fc.constantFrom(...Object.keys(CHANGES), "dropped", "doubled"),
      });
      const property = fc.asyncProperty(plant, async ({ row, kind }) => {
        const found = await planted(hour, kind, row);
        const kinds = { dropped: "missing", doubled: "extra" } as Record<string, string>;
        expect(found.ok).toBe(false);
        expect(found.differences.map((difference) => difference.kind)).toEqual([kinds[kind] ?? "changed"]);
      });
      await fc.assert(property, parameters(Math.ceil(RUNS / 25)));
      expect(await prove(hour)).toMatchObject({ ok: true });
    } finally {
      await hour.close();
    }
  },
  120_000 + RUNS * 100,
);

/** What the proof finds while the change is there; the part is put back after. */
async function planted(hour: Hour, kind: string, row: number): Promise<DeepResult> {
  const { partPath } = hour;
  const kept = readFileSync(partPath);
  const column = kind === "_rescued_data" ? kind : `"${kind}"`;
  const queries: Record<string, string> = {
    dropped: `SELECT ${ALL} FROM part WHERE row <> ${row}`,
    doubled: `SELECT ${ALL} FROM (SELECT * FROM part UNION ALL SELECT * FROM part WHERE row = ${row})`,
  };
  const change = `CASE WHEN row = ${row} THEN ${CHANGES[kind]} ELSE ${column} END AS ${column}`;
  await rewrite(partPath, queries[kind] ?? `SELECT * EXCLUDE (row) REPLACE (${change}) FROM part`);
  try {
    return await prove(hour);
  } finally {
    writeFileSync(partPath, kept);
  }
}

test("one digit changed in a raw object is found, with its object and its offset", async () => {
  const objects = Array.from({ length: 3 }, (_, o) =>
    Array.from({ length: 40 }, (_, i) => recordText(o * 40 + i)),
  );
  const hour = await packHour("raw", { columns: COLUMNS }, objects);
  try {
    const raw = await hour.components.raw(hour.dataset);
    const digit = fc.record({ object: fc.nat(2), line: fc.nat(39), place: fc.nat(500) });
    const property = fc.asyncProperty(digit, async ({ object, line, place }) => {
      const lines = objects[object] as string[];
      const offset = lines.slice(0, line).reduce((sum, text) => sum + text.length + 1, 0);
      const digits = [...(lines[line] as string).matchAll(/[0-9]/g)].map(({ index }) => offset + index);
      const at = digits[place % digits.length] as number;
      const found = await prove(hour, async (entry) => {
        const bytes = await raw.get(entry.key);
        if (entry.key.endsWith(`/${object}.json`)) bytes[at] = bytes[at] === 0x31 ? 0x32 : 0x31;
        return bytes;
      });
      expect(found.ok).toBe(false);
      expect(found.differences).toHaveLength(1);
      expect(found.differences[0]).toMatchObject({ offset });
      expect(found.differences[0]?.object).toMatch(new RegExp(`/${object}\\.json$`));
    });
    await fc.assert(property, parameters(Math.ceil(RUNS / 25)));
  } finally {
    await hour.close();
  }
}, 120_000);

test(
  `a digit changed, a record dropped and one doubled among ${LARGE_RECORDS.toLocaleString("en")}`,
  async () => {
    const small = (i: number) => `{"id":${i},"name":"n${i % 1000}","ratio":${i}.5}`;
    const perObject = Math.ceil(LARGE_RECORDS / 20);
    const objects = Array.from({ length: 20 }, (_, o) =>
      Array.from({ length: perObject }, (_, i) => small(o * perObject + i)),
    );
    const hour = await packHour("large", {}, objects);
    try {
      const places = fc.uniqueArray(fc.nat(hour.records - 1), { minLength: 3, maxLength: 3 });
      const property = fc.asyncProperty(places, async (ids) => {
        const [changed, dropped, doubled] = ids as [number, number, number];
        await rewrite(
          hour.partPath,
          `SELECT ${ALL} REPLACE (CASE WHEN id = ${changed} THEN ratio + 1 ELSE ratio END AS ratio) FROM part
            WHERE id <> ${dropped} UNION ALL SELECT ${ALL} FROM part WHERE id = ${doubled}`,
        );
        const { differences, records, rows } = await prove(hour);
        expect({ records, rows }).toEqual({ records: hour.records, rows: hour.records });
        const named = differences.map(({ kind, record }) => `${kind} ${record ?? ""}`).sort();
        expect(named).toEqual([
          `changed ${small(changed)}`,
          `extra ${small(doubled)}`,
          `missing ${small(dropped)}`,
        ]);
      });
      await fc.assert(property, { ...parameters(1), endOnFailure: true });
    } finally {
      await hour.close();
    }
  },
  120_000 + LARGE_RECORDS,
);
