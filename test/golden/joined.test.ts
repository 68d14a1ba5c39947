/** Files joined by their row groups hold the rows of their sources, as three independent readers see them. */
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DuckDBInstance } from "@duckdb/node-api";
import { asyncBufferFromFile, parquetMetadataAsync } from "hyparquet";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { openDuckdb } from "../../src/engine/duckdb/duckdb.js";
import { ParquetJoin } from "../../src/engine/parquet/join.js";
import { readStruct, writeStruct } from "../../src/engine/parquet/thrift.js";
import type { Column } from "../../src/schema/types.js";
import { textOfRow } from "../support/golden.js";
import { openPyarrowReader, type PyarrowReader } from "../support/pyarrow.js";
import { type DuckdbReader, openDuckdbReader, readWithHyparquet } from "../support/readers.js";

let dir: string;
let duckdb: DuckdbReader;
let pyarrow: PyarrowReader;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "hourpack-joined-"));
  duckdb = await openDuckdbReader();
  pyarrow = await openPyarrowReader();
});
afterAll(async () => {
  duckdb?.close();
  await pyarrow?.close();
  rmSync(dir, { recursive: true, force: true });
});

const NAMES = ["id", "name", "noise", "d", "t", "s"];
const ALL = { names: NAMES, dropped: "row hash" };
const PLAIN = {};
const TOLD = { k: "v" };

/** Undefined where they cannot be joined. */
async function joined(
  paths: string[],
  { names, dropped }: { names: string[]; dropped: string },
  outPath: string,
  metadata: Record<string, string>,
): Promise<{ rows: number; sha256: string } | undefined> {
  const parquet = new ParquetJoin(outPath, { names, dropped });
  for (const path of paths) if (!(await parquet.add(path))) return undefined;
  return parquet.finish(metadata, 16_384);
}

/** Rows from `from` up to `to`, with dictionaries, NULLs, nested values, bloom filters, and several row groups. */
async function write(name: string, from: number, to: number, more = ""): Promise<string> {
  const path = join(dir, name);
  const instance = await DuckDBInstance.create(":memory:", { threads: "1" });
  const connection = await instance.connect();
  await connection.run(`COPY (SELECT i AS id, 'name-' || (i % 7) AS name, md5(i::varchar) AS noise,
      CASE WHEN i % 3 = 0 THEN NULL ELSE i * 1.5::DOUBLE END AS d, make_timestamp_ms(1658793600000 + i) AS t,
      {a: i % 5, b: ['x' || i, NULL]} AS s${more} FROM range(${from}, ${to}) r(i))
    TO '${path}' (FORMAT parquet, COMPRESSION snappy, PARQUET_VERSION v1, ROW_GROUP_SIZE 20480)`);
  connection.closeSync();
  instance.closeSync();
  return path;
}

it("joins files of one schema, offsets, statistics and all", async () => {
  const sources = [
    await write("a", 0, 100_000),
    await write("b", 100_000, 120_000),
    await write("c", 120_000, 120_001),
  ];
  const whole = await write("whole", 0, 120_001);
  const out = join(dir, "joined");
  const sha256 = () => createHash("sha256").update(readFileSync(out)).digest("hex");
  expect(await joined(sources, ALL, out, TOLD)).toEqual({ rows: 120_001, sha256: sha256() });
  const expected = await duckdb.read(whole);
  const lines = expected.rows.map(textOfRow);
  const read = await duckdb.read(out);
  expect(read.rows.map(textOfRow)).toEqual(lines);
  expect((await readWithHyparquet(out, read.columns)).map(textOfRow)).toEqual(lines);
  expect((await pyarrow.read(out)).map(textOfRow)).toEqual(lines);
  // By a filter, so that statistics and bloom filters are looked at where they now lie.
  const instance = await DuckDBInstance.create(":memory:");
  const connection = await instance.connect();
  const reader = await connection.runAndReadAll(
    `SELECT count(*)::INT AS n, min(id)::INT AS id FROM read_parquet('${out}') WHERE name = 'name-3' AND id >= 119990`,
  );
  expect(reader.getRowObjects()).toEqual([{ n: 2, id: 119990 + ((3 - (119990 % 7) + 7) % 7) }]);
  connection.closeSync();
  instance.closeSync();
});

it.each([
  // A dictionary of its own and a bloom filter; a number a row.
  ["few values", "hash(i % 50)"],
  ["a value a row", "hash(i, 'x')"],
])("leaves out a last column of %s, with its bytes", async (name, hash) => {
  const hashed = [
    await write(`${name}-a`, 0, 100_000, `, ${hash} AS "row hash"`),
    await write(`${name}-b`, 100_000, 120_000),
    await write(`${name}-c`, 120_000, 120_001, `, ${hash} AS "row hash"`),
  ];
  const plain = [
    await write(`${name}-plain-a`, 0, 100_000),
    hashed[1] as string,
    await write(`${name}-plain-c`, 120_000, 120_001),
  ];
  const [out, expected] = [join(dir, `${name}-joined`), join(dir, `${name}-plain`)];
  expect(await joined(hashed, ALL, out, TOLD)).toMatchObject({ rows: 120_001 });
  expect(await joined(plain, ALL, expected, TOLD)).toMatchObject({ rows: 120_001 });
  // The writer gives chunks their encodings by themselves, so that nothing is left of the column that was there.
  expect(readFileSync(out).equals(readFileSync(expected))).toBe(true);
});

it("joins many files", async () => {
  const path = await write("one-of-many", 0, 20_480);
  const out = join(dir, "of-many");
  expect(await joined(Array(60).fill(path), ALL, out, PLAIN)).toMatchObject({ rows: 60 * 20_480 });
  const instance = await DuckDBInstance.create(":memory:");
  const connection = await instance.connect();
  const reader = await connection.runAndReadAll(
    `SELECT count(*)::INT AS n, sum(id)::BIGINT AS ids, min(noise) = min(md5(id::VARCHAR)) AS same FROM read_parquet('${out}')`,
  );
  const ids = BigInt(60 * ((20_480 * 20_479) / 2));
  expect(reader.getRowObjects()).toEqual([{ n: 60 * 20_480, ids, same: true }]);
  connection.closeSync();
  instance.closeSync();
});

it("leaves files of two schemas, of other columns than are asked for, and small row groups, to be written anew", async () => {
  const a = await write("d", 0, 100);
  expect(
    await joined([a, await write("e", 0, 100, ", 1 AS more")], ALL, join(dir, "no"), PLAIN),
  ).toBeUndefined();
  expect(await joined([a, await write("f", 0, 100)], ALL, join(dir, "no"), PLAIN)).toBeUndefined();
  for (const names of [[...NAMES, "more"], NAMES.slice(1), [...NAMES.slice(1), "id"]])
    expect(await joined([a], { ...ALL, names }, join(dir, "no"), PLAIN)).toBeUndefined();
  expect(await joined([a], ALL, join(dir, "one"), TOLD)).toMatchObject({ rows: 100 });
});

it("a wide table's row groups have fewer rows, and are joined as they are", async () => {
  const columns: Column[] = Array.from({ length: 1000 }, (_, i) => ({
    name: `n${i}`,
    path: [`n${i}`],
    type: { kind: "bigint" },
    derived: false,
  }));
  const lines = join(dir, "wide.ndjson");
  writeFileSync(lines, Array.from({ length: 20_000 }, (_, i) => `{"n${i % 1000}":${i}}\n`).join(""));
  const engine = await openDuckdb({ memoryBytes: 256 << 20, concurrency: 2, tempDir: join(dir, "temp") });
  const files = {
    schema: { version: 1, columns },
    accepted: lines,
    exact: undefined,
    maxLineBytes: 100,
  };
  const [batch, out] = [join(dir, "wide-batch"), join(dir, "wide")];
  try {
    await engine.writeRows(files, batch);
    const merge = engine.merge(columns, out, { sortBy: [] });
    for (const path of [batch, batch]) await merge.add(path);
    await merge.finish({});
  } finally {
    await engine.close();
  }
  const groupsOf = async (path: string) =>
    (await parquetMetadataAsync(await asyncBufferFromFile(path))).row_groups.map(({ num_rows }) =>
      Number(num_rows),
    );
  const groups = await groupsOf(batch);
  expect(Math.max(...groups)).toBeLessThanOrEqual(8192);
  expect(await groupsOf(out)).toEqual([...groups, ...groups]);
});

it("writes a footer back as it was", async () => {
  const bytes = readFileSync(await write("g", 0, 30_000));
  const footer = bytes.subarray(bytes.length - 8 - bytes.readUInt32LE(bytes.length - 8), bytes.length - 8);
  expect(writeStruct(readStruct(footer)).equals(footer)).toBe(true);
});

it("tells of a file that is cut while it is read, and takes nothing else for its footer", async () => {
  const path = await write("h", 0, 100);
  const file = await open(path);
  const handles = Object.getPrototypeOf(file);
  await file.close();
  const looked = vi.spyOn(handles, "stat").mockImplementationOnce(async () => {
    const found = statSync(path);
    truncateSync(path, found.size - 1);
    return found;
  });
  try {
    await expect(joined([path], ALL, join(dir, "cut"), PLAIN)).rejects.toThrow(/\d+ of \d+ bytes are there/);
  } finally {
    looked.mockRestore();
  }
});
