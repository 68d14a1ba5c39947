/**
 * The proof finds planted damage: one digit changed, one record dropped or one doubled, at random places of a published part,
 * and one byte changed in a raw object. Without a plant it finds nothing.
 *
 * HOURPACK_PROPERTY_RUNS: 1,000 means 40 plants of each kind. HOURPACK_PROPERTY_SEED: repeats a run.
 * HOURPACK_PROPERTY_RECORDS: how many records the large hour has.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DuckDBInstance } from "@duckdb/node-api";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { ReadObject } from "../../src/proof/objects.js";
import type { DeepResult } from "../../src/proof/result.js";
import { type PackedHour, packHour, prove, rewrite } from "../support/planted.js";

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
  ratio_text: { type: "string", from: "ratio" },
  tag_list: { type: "array<string>", from: "tags" },
  age_ms: { type: "timestamp", epoch: "ms", from: "who.age" },
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
  ratio_text: "ratio_text || '0'",
  tag_list: "list_concat(tag_list, ['0'])",
  age_ms: "CAST(age_ms + INTERVAL 1 MILLISECOND AS TIMESTAMP_MS)",
  _rescued_data: "replace(_rescued_data, '.0', '.1')",
};

function recordText(i: number): string {
  const at = new Date(1_658_793_600_000 + i * 37).toISOString();
  const rest = `"tags":[${i % 7}],"who":{"age":${i % 90},"ok":${i % 2 === 0}}`;
  return `{"id":${i},"price":${i}.00000000000000000001,"ratio":${i / 8},"at":"${at}","on":"2022-07-26","name":"n${i % 50}",${rest},"more":${i}.01}`;
}

const ALL = "* EXCLUDE (row)";

test(
  "one change in a part is found, and named as what it is",
  async () => {
    const objects = Array.from({ length: 5 }, (_, o) =>
      Array.from({ length: 60 }, (_, i) => recordText(o * 60 + i + 1)),
    );
    const hour = await packHour(join(root, "small"), { columns: COLUMNS }, objects);
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
async function planted(hour: PackedHour, kind: string, row: number): Promise<DeepResult> {
  const { partPath } = hour;
  const kept = readFileSync(partPath);
  const column = kind === "_rescued_data" ? kind : `"${kind}"`;
  const queries: Record<string, string> = {
    dropped: `SELECT ${ALL} FROM part WHERE row <> ${row}`,
    doubled: `SELECT ${ALL} FROM (SELECT * FROM part UNION ALL SELECT * FROM part WHERE row = ${row})`,
  };
  const change = `CASE WHEN row = ${row} THEN ${CHANGES[kind]} ELSE ${column} END AS ${column}`;
  await rewrite(instance, partPath, queries[kind] ?? `SELECT * EXCLUDE (row) REPLACE (${change}) FROM part`);
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
  const hour = await packHour(join(root, "raw"), { columns: COLUMNS }, objects);
  try {
    const raw = await hour.components.raw(hour.dataset);
    const digit = fc.record({ object: fc.nat(2), line: fc.nat(39), place: fc.nat(500) });
    const property = fc.asyncProperty(digit, async ({ object, line, place }) => {
      const lines = objects[object] as string[];
      const offset = lines.slice(0, line).reduce((sum, text) => sum + text.length + 1, 0);
      const digits = [...(lines[line] as string).matchAll(/[0-9]/g)].map(({ index }) => offset + index);
      const at = digits[place % digits.length] as number;
      const readObject: ReadObject = async (entry) => {
        const bytes = await raw.get(entry.key);
        if (entry.key.endsWith(`/${object}.json`)) bytes[at] = bytes[at] === 0x31 ? 0x32 : 0x31;
        return bytes;
      };
      const found = await prove(hour, { readObject });
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
    const hour = await packHour(join(root, "large"), {}, objects);
    try {
      const places = fc.uniqueArray(fc.nat(hour.records - 1), { minLength: 3, maxLength: 3 });
      const property = fc.asyncProperty(places, async (ids) => {
        const [changed, dropped, doubled] = ids as [number, number, number];
        await rewrite(
          instance,
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
