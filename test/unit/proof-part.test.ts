import { mkdtemp, rm, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DuckDBInstance } from "@duckdb/node-api";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Json } from "../../src/proof/json.js";
import { openPart } from "../../src/proof/part.js";
import { writeJson } from "../../src/proof/text.js";
import type { Schema, Type } from "../../src/schema/types.js";

let directory: string;
let instance: DuckDBInstance;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "proof-part-"));
  instance = await DuckDBInstance.create(":memory:");
});
afterAll(async () => {
  instance.closeSync();
  await rm(directory, { recursive: true, force: true });
});

let files = 0;
async function written(select: string, options = "COMPRESSION snappy"): Promise<string> {
  const path = join(directory, `${files++}.parquet`);
  const connection = await instance.connect();
  await connection.run(`COPY (${select}) TO '${path}' (FORMAT parquet, ROW_GROUP_SIZE 2048, ${options})`);
  connection.closeSync();
  return path;
}

function schemaOf(type: Type): Schema {
  return { version: 1, columns: [{ name: "v", type, path: ["v"], derived: false }] };
}

/** The values of the column `v` as JSON text. */
async function valuesOf(type: Type, values: string): Promise<string[]> {
  const part = await openPart(
    await written(`SELECT v, NULL::VARCHAR AS _rescued_data FROM (VALUES ${values}) t(v)`),
    schemaOf(type),
    LOCATION,
  );
  const texts: string[] = [];
  for await (const row of part.read()) texts.push(writeJson(row.values[0] as Json));
  await part.close();
  return texts;
}

const LOCATION = "s3://lake/part.parquet";
const string: Type = { kind: "string" };
const bigint: Type = { kind: "bigint" };

describe("a part is read with every digit", () => {
  it.each([
    [
      "decimal(38,20)",
      { kind: "decimal", precision: 38, scale: 20 },
      "(0.12345678901234567890::DECIMAL(38,20)),(NULL),(-1::DECIMAL(38,20))",
      ["12345678901234567890e-20", "null", "-100000000000000000000e-20"],
    ],
    [
      "decimal(18,2)",
      { kind: "decimal", precision: 18, scale: 2 },
      "(-1234567890123456.78::DECIMAL(18,2))",
      ["-123456789012345678e-2"],
    ],
    [
      "decimal(9,0)",
      { kind: "decimal", precision: 9, scale: 0 },
      "(-123::DECIMAL(9,0)),(123)",
      ["-123", "123"],
    ],
    [
      "bigint",
      bigint,
      "(9223372036854775807),((-9223372036854775808)::BIGINT)",
      ["9223372036854775807", "-9223372036854775808"],
    ],
    ["int", { kind: "int" }, "(-5::INT),(NULL)", ["-5", "null"]],
    [
      "double",
      { kind: "double" },
      "('nan'::DOUBLE),('-inf'::DOUBLE),(0.1::DOUBLE),('-0.0'::DOUBLE),(0::DOUBLE)",
      ["NaN", "-Infinity", "0.1", "-0.0", "0"],
    ],
    ["boolean", { kind: "boolean" }, "(true),(NULL),(false)", ["true", "null", "false"]],
    [
      "timestamp",
      { kind: "timestamp" },
      "('1969-12-31 23:59:59.999'::TIMESTAMP_MS)",
      ['"1969-12-31T23:59:59.999Z"'],
    ],
    ["date", { kind: "date" }, "('0001-01-01'::DATE)", ['"0001-01-01T00:00:00.000Z"']],
    ["string", string, "(chr(65279) || 'x'),(''),(chr(0) || '😀')", ['"\uFEFFx"', '""', '"\\u0000😀"']],
  ] as [string, Type, string, string[]][])("%s", async (_, type, values, expected) => {
    expect(await valuesOf(type, values)).toEqual(expected);
  });

  it("array: absent, empty, with nulls in their places, nested", async () => {
    const array: Type = { kind: "array", element: bigint };
    expect(await valuesOf(array, "(NULL::BIGINT[]),([]),([NULL]),([1,NULL,3])")).toEqual([
      "null",
      "[]",
      "[null]",
      "[1,null,3]",
    ]);
    expect(
      await valuesOf(
        { kind: "array", element: array },
        "(NULL::BIGINT[][]),([]),([NULL]),([[]]),([[NULL],[1,2],NULL,[]])",
      ),
    ).toEqual(["null", "[]", "[null]", "[[]]", "[[null],[1,2],null,[]]"]);
  });

  it("struct: absent differs from one without members, at every depth", async () => {
    const inner: Type = { kind: "struct", fields: [{ name: "a", key: "A", type: string }] };
    const outer: Type = {
      kind: "struct",
      fields: [
        { name: "s", key: "s", type: inner },
        { name: "b", key: "b", type: bigint },
      ],
    };
    expect(await valuesOf(inner, "(NULL::STRUCT(a VARCHAR)),({a: NULL}),({a: 'x'})")).toEqual([
      "null",
      "{}",
      '{"A":"x"}',
    ]);
    expect(
      await valuesOf(
        outer,
        "(NULL::STRUCT(s STRUCT(a VARCHAR), b BIGINT)),({s: NULL, b: NULL}),({s: {a: NULL}, b: 1}),({s: {a: 'x'}, b: NULL})",
      ),
    ).toEqual(["null", "{}", '{"s":{},"b":1}', '{"s":{"A":"x"}}']);
    expect(
      await valuesOf(
        { kind: "array", element: inner },
        "(NULL::STRUCT(a VARCHAR)[]),([]),([NULL, {a: NULL}, {a: 'x'}])",
      ),
    ).toEqual(["null", "[]", '[null,{},{"A":"x"}]']);
    const listInStruct: Type = {
      kind: "struct",
      fields: [{ name: "l", key: "l", type: { kind: "array", element: bigint } }],
    };
    expect(
      await valuesOf(listInStruct, "(NULL::STRUCT(l BIGINT[])),({l: NULL}),({l: []}),({l: [1, NULL]})"),
    ).toEqual(["null", "{}", '{"l":[]}', '{"l":[1,null]}']);
  });

  it("map: absent, empty, NULL values, and keys that mean something to JavaScript", async () => {
    const map: Type = { kind: "map", value: bigint };
    expect(
      await valuesOf(
        map,
        "(NULL::MAP(VARCHAR, BIGINT)),(MAP{}),(MAP{'__proto__': 1::BIGINT, 'b': NULL, '2': 2, '1': 3})",
      ),
    ).toEqual(["null", "{}", '{"__proto__":1,"b":null,"2":2,"1":3}']);
    expect(
      await valuesOf(
        { kind: "map", value: { kind: "array", element: string } },
        "(MAP{'a': ['x', NULL], 'b': [], 'c': NULL}),(NULL::MAP(VARCHAR, VARCHAR[]))",
      ),
    ).toEqual(['{"a":["x",null],"b":[],"c":null}', "null"]);
    expect(
      await valuesOf({ kind: "array", element: map }, "([MAP{'a': 1::BIGINT}, NULL, MAP{}]),([])"),
    ).toEqual(['[{"a":1},null,{}]', "[]"]);
    expect(
      await valuesOf(
        { kind: "map", value: { kind: "struct", fields: [{ name: "x", key: "x", type: bigint }] } },
        "(MAP{'a': {x: 1::BIGINT}, 'b': {x: NULL}, 'c': NULL})",
      ),
    ).toEqual(['{"a":{"x":1},"b":{},"c":null}']);
  });

  it("many row groups, dictionaries and all, in the order of the file", async () => {
    const path = await written("SELECT i AS v, 'r' || (i % 7) AS _rescued_data FROM range(10000) t(i)");
    const part = await openPart(path, schemaOf(bigint), LOCATION);
    expect(part.rows).toBe(10_000);
    let at = 0;
    for await (const { values, rescued } of part.read()) {
      if (writeJson(values[0] as Json) !== String(at) || rescued !== `r${at % 7}`)
        throw new Error(`row ${at}`);
      at++;
    }
    expect(at).toBe(10_000);
    await part.close();
  });
});

it("a row of which nothing can be made is damage, told with its place", async () => {
  const part = await openPart(await written("SELECT * FROM range(3) AS r(v)"), schemaOf(bigint), LOCATION);
  const read: unknown[] = [];
  const reading = async () => {
    for await (const value of part.readAs(({ values }) => {
      if (read.length === 1) throw new RangeError("of no use");
      return values[0];
    }))
      read.push(value);
  };
  await expect(reading()).rejects.toMatchObject({
    kind: "data",
    message: expect.stringMatching(/damaged, and what is in its row 1 cannot be read/),
    cause: expect.any(RangeError),
  });
  await part.close();
});

it("a file that is cut after it was opened is damage, and no rows of zeros", async () => {
  const path = await written(
    "SELECT (hash(i) >> 1)::BIGINT AS v FROM range(2000) t(i)",
    "COMPRESSION uncompressed",
  );
  const part = await openPart(path, schemaOf(bigint), LOCATION);
  await truncate(path, 8_000);
  const reading = async () => {
    for await (const { values } of part.read()) expect(writeJson(values[0] as Json)).not.toBe("0");
  };
  await expect(reading()).rejects.toMatchObject({
    kind: "data",
    cause: { message: expect.stringMatching(/^\d+ of \d+ bytes are there$/) },
  });
  await part.close();
});

describe("a part of another schema is refused", () => {
  it.each([
    ["an unknown column", bigint, "SELECT 1::BIGINT AS v, 2 AS w", "column w is not in the schema"],
    ["an int for a bigint", bigint, "SELECT 1::INT AS v", "stored as INT32, which is no bigint"],
    ["microseconds", { kind: "timestamp" }, "SELECT now()::TIMESTAMP AS v", "marked as no timestamp"],
    [
      "another scale",
      { kind: "decimal", precision: 9, scale: 3 },
      "SELECT 1::DECIMAL(9,2) AS v",
      "has the scale 2, not 3",
    ],
    [
      "another field",
      { kind: "struct", fields: [{ name: "a", key: "a", type: string }] },
      "SELECT {b: 'x'} AS v",
      "no struct",
    ],
    ["a text for an array", { kind: "array", element: string }, "SELECT 'x' AS v", "is no array"],
  ] as [string, Type, string, string][])("%s", async (_, type, select, message) => {
    await expect(openPart(await written(select), schemaOf(type), LOCATION)).rejects.toThrow(message);
  });

  it("but a column that the file lacks reads as NULL", async () => {
    const part = await openPart(await written("SELECT 'x' AS _rescued_data"), schemaOf(bigint), LOCATION);
    const rows = [];
    for await (const row of part.read()) rows.push(row);
    expect(rows).toEqual([{ values: [null], rescued: "x" }]);
    await part.close();
  });
});
