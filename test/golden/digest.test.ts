/** Rows that differ have digests that differ, also where DuckDB takes their values for the same. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DuckDBInstance } from "@duckdb/node-api";
import { afterAll, beforeAll, expect, it } from "vitest";
import { openDuckdb } from "../../src/engine/duckdb/duckdb.js";
import { duckdbType } from "../../src/engine/duckdb/types.js";
import type { Engine } from "../../src/engine/engine.js";
import { parseHiveType, plainColumn } from "../../src/schema/hive.js";

let dir: string;
let engine: Engine;
let instance: DuckDBInstance;
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "hourpack-digest-"));
  engine = await openDuckdb({ memoryBytes: 256 << 20, concurrency: 1, tempDir: join(dir, "temp") });
  instance = await DuckDBInstance.create(":memory:", { threads: "1" });
});
afterAll(async () => {
  instance?.closeSync();
  await engine?.close();
  rmSync(dir, { recursive: true, force: true });
});

it.each([
  ["double", "'-0.0'", "0"],
  ["array<double>", "['-0.0']", "[0]"],
  ["struct<a:double>", "{a: '-0.0'}", "{a: 0}"],
  ["array<bigint>", "[]", "NULL"],
  ["array<bigint>", "[NULL]", "[]"],
  ["array<array<bigint>>", "[[1], [2]]", "[[1, 2]]"],
  ["array<array<bigint>>", "[[]]", "[NULL]"],
  ["map<string,bigint>", "MAP {}", "NULL"],
  ["map<string,array<bigint>>", "MAP {'a': []}", "MAP {'a': NULL}"],
  ["struct<a:bigint>", "{a: NULL}", "NULL"],
  ["array<struct<a:bigint>>", "[{a: NULL}]", "[NULL]"],
  ["struct<t:struct<a:bigint>>", "{t: {a: NULL}}", "{t: NULL}"],
  ["array<array<array<bigint>>>", "[[[1], [2]], [[3]]]", "[[[1, 2]], [[3]]]"],
  ["array<struct<l:array<double>>>", "[{l: ['-0.0']}]", "[{l: [0]}]"],
  [
    "map<string,struct<m:map<string,double>>>",
    "MAP {'a': {m: MAP {'b': '-0.0'}}}",
    "MAP {'a': {m: MAP {'b': 0}}}",
  ],
  ["struct<element:array<struct<element:bigint>>>", "{element: [{element: NULL}]}", "{element: [NULL]}"],
])("%s: %s is not %s", async (text, one, other) => {
  const column = plainColumn("v", parseHiveType(text));
  const digestOf = async (value: string, name: string) => {
    const path = join(dir, `${name}.parquet`);
    const connection = await instance.connect();
    await connection.run(
      `COPY (SELECT (${value})::${duckdbType(column.type)} AS v, NULL::VARCHAR AS _rescued_data) TO '${path}' (FORMAT parquet)`,
    );
    connection.closeSync();
    return engine.digest([path], [column]);
  };
  const digest = await digestOf(one, "one");
  expect(await digestOf(one, "again")).toEqual(digest);
  expect(await digestOf(other, "other")).not.toEqual(digest);
});
