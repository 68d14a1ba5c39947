/** A `from:` column has the value of its raw member as the column reads it. The proof finds false values of every kind, and no true ones. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DuckDBInstance } from "@duckdb/node-api";
import { afterAll, beforeAll, describe, expect, it, test } from "vitest";
import { packHour, prove, rewrite } from "../support/planted.js";

let root: string;
let instance: DuckDBInstance;

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "hourpack-derived-"));
  instance = await DuckDBInstance.create(":memory:", { threads: "1" });
});

afterAll(() => {
  instance?.closeSync();
  rmSync(root, { recursive: true, force: true });
});

let hours = 0;

/** `columns` as hourpack.yaml has them, beside `id`. */
const packed = (columns: object, records: string[], options: object = {}) =>
  packHour(join(root, String(hours++)), { columns: { id: "int", ...columns }, ...options }, [records]);

const at = (text: string) => `TIMESTAMP_MS '${text}'`;
const from = (type: string, path = "v") => ({ type, from: path });
const epoch = (unit: string, path = "v") => ({ ...from("timestamp", path), epoch: unit });
const zoned = (zone: string) => ({ ...from("timestamp"), zone });
const O = { o: "struct<a:int,b:string,tags:array<string>,in:struct<c:int>>" };

/** What it is called, the columns, a record's members, and what the column `d` shows of them, truly and falsely. */
const CASES: [name: string, columns: object, members: string, truth: string, falsehood: string][] = [
  ["text of a double", { v: "double", d: from("string") }, '"v":1.50', "'1.50'", "'1.5'"],
  ["text of a bigint", { v: "bigint", d: from("string") }, '"v":1e3', "'1e3'", "'777'"],
  ["text of a string that is a number", { v: "int", d: from("string") }, '"v":"7"', "'7'", "'8'"],
  ["text of a decimal", { v: "decimal(9,2)", d: from("string") }, '"v":1.5', "'1.5'", "'1.51'"],
  ["text of a boolean", { v: "boolean", d: from("string") }, '"v":"true"', "'true'", "'false'"],
  ["text of a date", { v: "date", d: from("string") }, '"v":"2022-07-26"', "'2022-07-26'", "'2022-07-27'"],
  [
    "text of a time",
    { v: "timestamp", d: from("string") },
    '"v":"2022-10-30 12:00:00+09:00"',
    "'2022-10-30 12:00:00+09:00'",
    "'2022-10-30 03:00:00Z'",
  ],
  [
    "text of a count of seconds",
    { v: { type: "timestamp", epoch: "s" }, d: from("string") },
    '"v":17e8',
    "'17e8'",
    "'1700000000'",
  ],
  [
    "text of a struct",
    { ...O, d: from("string", "o") },
    '"o":{ "b":"x", "a":7.0 }',
    `'{"b":"x","a":7.0}'`,
    `'{"b":"X","a":7.0}'`,
  ],
  ["text of a leaf", { ...O, d: from("string", "o.a") }, '"o":{"a":7.0}', "'7.0'", "'7.1'"],
  ["text of a map", { v: "map<string,int>", d: from("string") }, '"v":{"a":1}', `'{"a":1}'`, `'{"a":2}'`],
  [
    "text of JSON in a string",
    { v: { type: "struct<a:int>", json: "string" }, d: from("string") },
    '"v":"{\\"a\\":1}"',
    `'{"a":1}'`,
    `'{"a":2}'`,
  ],
  [
    "an array",
    { ...O, d: from("array<string>", "o.tags") },
    '"o":{"tags":["a","b"]}',
    "['a','b']",
    "['a','B']",
  ],
  ["an array in a string column", { v: "string", d: from("array<int>") }, '"v":[1,2]', "[1,2]", "[2,1]"],
  ["an array, some of it", { v: "string", d: from("array<int>") }, '"v":[1,"x"]', "[1,NULL]", "[1,0]"],
  ["a struct", { ...O, d: from("struct<c:int>", "o.in") }, '"o":{"in":{"c":5}}', "{c: 5}", "{c: 6}"],
  [
    "a struct, some of it",
    { v: "string", d: from("struct<a:int,b:string>") },
    '"v":{"a":"x","b":1.0,"c":2}',
    "{a: NULL, b: '1.0'}",
    "{a: 0, b: '1.0'}",
  ],
  [
    "a struct's last of two",
    { v: "string", d: from("struct<a:int>") },
    '"v":{"a":1,"A":2}',
    "{a: 2}",
    "{a: 1}",
  ],
  ["a struct of nothing", { v: "string", d: from("struct<a:int>") }, '"v":{}', "{a: NULL}", "{a: 0}"],
  [
    "a map",
    { ...O, d: from("map<string,string>", "o") },
    '"o":{"a":7,"b":"x"}',
    "MAP{'a': '7', 'b': 'x'}",
    "MAP{'a': '7', 'b': 'y'}",
  ],
  [
    "JSON in a string",
    { v: "string", d: { type: "struct<a:int>", json: "string", from: "v" } },
    '"v":"{\\"a\\": 1}"',
    "{a: 1}",
    "{a: 2}",
  ],
  [
    "seconds beside milliseconds",
    { v: { type: "timestamp", epoch: "s" }, d: epoch("ms") },
    '"v":1700000000',
    at("1970-01-20 16:13:20"),
    at("2023-11-14 22:13:20"),
  ],
  [
    "milliseconds beside seconds",
    { v: { type: "timestamp", epoch: "ms" }, d: epoch("s") },
    '"v":1700000000.5',
    at("2023-11-14 22:13:20.5"),
    at("1970-01-20 16:13:20"),
  ],
  [
    "seconds of a number",
    { v: "bigint", d: epoch("s") },
    '"v":1700000000',
    at("2023-11-14 22:13:20"),
    at("2023-11-14 22:13:21"),
  ],
  [
    "seconds, floored",
    { v: "double", d: epoch("s") },
    '"v":1.0009',
    at("1970-01-01 00:00:01"),
    at("1970-01-01 00:00:01.001"),
  ],
  [
    "seconds of very many places",
    { v: "string", d: epoch("s") },
    `"v":1.${"0".repeat(150)}1`,
    at("1970-01-01 00:00:01"),
    at("1970-01-01 00:00:00"),
  ],
  [
    "milliseconds in a text",
    { v: "string", d: epoch("ms") },
    '"v":"1700000000001"',
    at("2023-11-14 22:13:20.001"),
    at("2023-11-14 22:13:20"),
  ],
  [
    "a number of an epoch",
    { v: { type: "timestamp", epoch: "s" }, d: from("bigint") },
    '"v":1700000000',
    "1700000000",
    "1700000001",
  ],
  [
    "another zone",
    { v: "timestamp", d: zoned("Europe/Berlin") },
    '"v":"2022-10-30 12:00:00"',
    at("2022-10-30 11:00:00"),
    at("2022-10-30 12:00:00"),
  ],
  [
    "an offset in another zone",
    { v: { type: "timestamp", zone: "Asia/Kolkata" }, d: zoned("Europe/Berlin") },
    '"v":"2022-10-30 12:00:00+09:00"',
    at("2022-10-30 03:00:00"),
    at("2022-10-30 11:00:00"),
  ],
  [
    "the same zone",
    { v: "timestamp", d: from("timestamp") },
    '"v":"2022-10-30 12:00:00"',
    at("2022-10-30 12:00:00"),
    at("2022-10-30 12:00:00.001"),
  ],
  [
    "a time, floored",
    { v: "string", d: zoned("Europe/Berlin") },
    '"v":"2022-10-30 12:00:00.1239"',
    at("2022-10-30 11:00:00.123"),
    at("2022-10-30 11:00:00.124"),
  ],
  ["a date", { v: "string", d: from("date") }, '"v":"2022-07-26"', "DATE '2022-07-26'", "DATE '2022-07-27'"],
  [
    "a double of 17 digits",
    { v: "string", d: from("double") },
    '"v":0.10000000000000001',
    "0.1::DOUBLE",
    "0.2::DOUBLE",
  ],
  [
    "through JSON in a string",
    { v: "string", d: from("string", "v.a") },
    '"v":"{\\"a\\":1.0}"',
    "'1.0'",
    "'1'",
  ],
  ["a member in another case", { d: from("string", "m.x") }, '"M":{"y":1,"X":2.0}', "'2.0'", "'2'"],
  ["of nothing", { v: "int", d: from("array<int>") }, '"v":5', "NULL", "[5]"],
  [
    "of a date alone",
    { v: "string", d: zoned("Europe/Berlin") },
    '"v":"2022-10-30"',
    "NULL",
    at("2022-10-29 22:00:00"),
  ],
  [
    "of more digits than a double has",
    { v: "string", d: from("double") },
    '"v":0.12345678901234567890',
    "NULL",
    "0.12345678901234568::DOUBLE",
  ],
];

describe("a derived column", () => {
  it.each(CASES)("%s", async (_, columns, members, truth, falsehood) => {
    const hour = await packed(columns, [`{"id":1,${members}}`, '{"id":2}', `{"id":3,${members}}`]);
    const become = (value: string) =>
      rewrite(
        instance,
        hour.partPath,
        `SELECT * EXCLUDE (row) REPLACE (CASE WHEN id = 1 THEN ${value} ELSE d END AS d) FROM part`,
      );
    try {
      const proved = { ok: true, rows: 3, differences: [], unfilled: [] };
      expect(await prove(hour)).toMatchObject(proved);
      await become(truth);
      expect(await prove(hour)).toMatchObject(proved);
      await become(falsehood);
      const { ok, differences } = await prove(hour);
      expect(ok).toBe(false);
      expect(differences).toMatchObject([
        { kind: "changed", detail: "the row differs in the column d", offset: 0 },
      ]);
      await become("NULL");
      const unfilled = truth === "NULL" ? [] : [{ column: "d", rows: 1 }];
      expect(await prove(hour)).toMatchObject({ ...proved, unfilled });
    } finally {
      await hour.close();
    }
  });

  it("of the envelope", async () => {
    const columns = {
      n: from("string", "^.n"),
      at: epoch("ms", "^.t"),
      s: epoch("s", "^.t"),
    };
    const record = '{"n":1.50,"t":1700000000,"Records":[{"id":1},{"id":2}]}';
    const hour = await packed(columns, [record], { records: "Records[*]" });
    try {
      expect(await prove(hour)).toMatchObject({ ok: true, rows: 2, differences: [], unfilled: [] });
      await rewrite(
        instance,
        hour.partPath,
        `SELECT * EXCLUDE (row) REPLACE (${at("2001-01-01 00:00:00")} AS s) FROM part`,
      );
      const { differences } = await prove(hour);
      expect(differences.map(({ detail }) => detail)).toEqual(
        Array(2).fill("the row differs in the column s"),
      );
    } finally {
      await hour.close();
    }
  });
});

test("rows that leave derived columns NULL are told apart from false ones, however few are looked at in a time", async () => {
  const columns = { v: "double", d: from("string"), e: from("string") };
  const hour = await packed(
    columns,
    Array.from({ length: 400 }, (_, i) => `{"v":${i % 40}.0}`),
  );
  try {
    const change =
      "CASE WHEN row % 2 = 0 THEN NULL ELSE d END AS d, CASE WHEN row % 4 = 0 THEN NULL ELSE e END AS e";
    await rewrite(instance, hour.partPath, `SELECT * EXCLUDE (row) REPLACE (${change}) FROM part`);
    const kept = readFileSync(hour.partPath);
    const unfilled = expect.arrayContaining([
      { column: "d", rows: 200 },
      { column: "e", rows: 100 },
    ]);
    expect(await prove(hour, { maxTexts: 20 })).toMatchObject({ ok: true, hasMore: false, unfilled });
    await rewrite(
      instance,
      hour.partPath,
      `SELECT * EXCLUDE (row) REPLACE (CASE WHEN row = 8 THEN '8' ELSE e END AS e) FROM part`,
    );
    const { ok, differences } = await prove(hour, { maxTexts: 20 });
    expect(ok).toBe(false);
    expect(differences).toMatchObject([{ kind: "changed", row: 8 }]);
    writeFileSync(hour.partPath, kept);
    expect(await prove(hour)).toMatchObject({ ok: true, unfilled });
  } finally {
    await hour.close();
  }
});
