/** A sorted part holds the rows of its sources, whether they fit in memory at once or in pieces. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DuckDBInstance } from "@duckdb/node-api";
import { afterAll, beforeAll, expect, it } from "vitest";
import { openDuckdb } from "../../src/engine/duckdb/duckdb.js";
import type { Engine } from "../../src/engine/engine.js";
import type { Column, Type } from "../../src/schema/types.js";

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "hourpack-sorted-"));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const COLUMNS: Column[] = (
  [
    ["id", { kind: "bigint" }],
    ["user", { kind: "string" }],
    ["noise", { kind: "string" }],
  ] satisfies [string, Type][]
).map(([name, type]) => ({ name, path: [name], type, derived: false }));

async function ask(sql: string): Promise<Record<string, unknown>[]> {
  const instance = await DuckDBInstance.create(":memory:", { threads: "1" });
  const connection = await instance.connect();
  try {
    return (await connection.runAndReadAll(sql)).getRowObjects() as Record<string, unknown>[];
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
}

/** Users come and go, some of them are NULL, and `noise` makes the files as large as they are. */
async function write(name: string, from: number, to: number): Promise<string> {
  const path = join(dir, name);
  await ask(`COPY (SELECT i::BIGINT AS id, CASE WHEN i % 11 = 0 THEN NULL ELSE 'u' || (i * 7919) % 1000 END AS user,
      md5(i::VARCHAR) || md5((i + 1)::VARCHAR) AS noise, NULL::VARCHAR AS _rescued_data
      FROM range(${from}, ${to}) r(i)) TO '${path}' (FORMAT parquet, COMPRESSION snappy, PARQUET_VERSION v1)`);
  return path;
}

/** How often a row comes before one that it should follow. */
async function descents(path: string): Promise<number> {
  const [row] = await ask(`SELECT count(*)::INT AS n FROM (SELECT coalesce(user, '~') AS user,
      lag(coalesce(user, '~')) OVER (ORDER BY file_row_number) AS before
      FROM read_parquet('${path}', file_row_number = true)) WHERE user < before`);
  return Number(row?.["n"]);
}

async function withEngine<T>(
  memoryBytes: number,
  task: (engine: Engine) => Promise<T>,
  concurrency = 2,
): Promise<T> {
  const engine = await openDuckdb({ memoryBytes, concurrency, tempDir: join(dir, "temp") });
  try {
    return await task(engine);
  } finally {
    await engine.close();
  }
}

it.each([
  ["at once", 512 << 20, [0]],
  // As many as there is memory for: of three files at most three.
  ["in pieces", 64 << 20, [1, 2]],
])("%s", async (name, memoryBytes, piecesButOne) => {
  const sources = [
    await write("a", 0, 150_000),
    await write("b", 150_000, 300_000),
    await write("c", 300_000, 450_000),
  ];
  const out = join(dir, `${name}.parquet`);
  await withEngine(memoryBytes, async (engine) => {
    const merge = engine.merge(COLUMNS, out, { sortBy: ["user"] });
    for (const path of sources) await merge.add(path);
    expect((await merge.finish({ k: "v" })).rows).toBe(450_000);
    const digest = await engine.digest([out], COLUMNS);
    expect(await engine.digest(sources, COLUMNS)).toEqual(digest);
    // Not in halves, where one statement is at work at a time.
    const whole = await withEngine(memoryBytes, (alone) => alone.digest([out], COLUMNS), 1);
    expect(whole).toEqual(digest);
  });
  expect(piecesButOne).toContain(await descents(out));
  expect(
    await ask(`SELECT decode(key) AS key, decode(value) AS value FROM parquet_kv_metadata('${out}')`),
  ).toEqual([{ key: "k", value: "v" }]);
});

it("the rows of many files are hashed a few files at a time, and come to the same", async () => {
  const sources: string[] = [];
  for (let i = 0; i < 70; i++) sources.push(await write(`many-${i}`, i * 100, (i + 1) * 100));
  const out = join(dir, "many.parquet");
  await withEngine(256 << 20, async (engine) => {
    const merge = engine.merge(COLUMNS, out, { sortBy: [] });
    for (const path of sources) await merge.add(path);
    expect((await merge.finish({})).rows).toBe(7000);
    const digest = await engine.digest([out], COLUMNS);
    expect(digest.rows).toBe(7000);
    expect(await engine.digest(sources, COLUMNS)).toEqual(digest);
    expect(await engine.digest(sources.slice(1), COLUMNS)).not.toEqual(digest);
  });
});
