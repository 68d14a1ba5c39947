/** Tests the readers of the golden tests: all three must agree on what one file holds, and a difference must show. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DuckDBInstance } from "@duckdb/node-api";
import { afterAll, beforeAll, expect, test } from "vitest";
import { differences, textOfRow } from "../support/golden.js";
import { openPyarrowReader, type PyarrowReader } from "../support/pyarrow.js";
import {
  type DuckdbReader,
  hiveTypeOf,
  openDuckdbReader,
  type Row,
  readWithHyparquet,
  withoutDecimals,
} from "../support/readers.js";

let dir: string;
let duckdb: DuckdbReader;
let pyarrow: PyarrowReader;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "hourpack-readers-"));
  duckdb = await openDuckdbReader();
  pyarrow = await openPyarrowReader();
});

afterAll(async () => {
  duckdb?.close();
  await pyarrow?.close();
  await rm(dir, { recursive: true, force: true });
});

const COLUMNS = `b boolean, i int, l bigint, d double, m decimal(38,20), s varchar, t timestamp_ms, y date,
  a bigint[], r struct(x bigint, y varchar), q struct(x bigint, m decimal(5,1))[], p map(varchar, bigint)`;
const VALUES = `
  (true, 1, 9007199254740993, 0.1, '0.12345678901234567890', 'é😀' || chr(0), '2022-07-26 00:00:01.123', '0001-01-01',
   [1, NULL], {x: 1, y: NULL}, [{x: 1, m: -0.5}, NULL], MAP {'k': 1, 'K': 2}),
  (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
  (false, -1, 12, 'NaN', -1, '', '9999-12-31 23:59:59.999', '9999-12-31', [], {x: NULL, y: NULL}, [], MAP {}),
  (false, -1, -9223372036854775808, '-infinity', 0, 'x', '1969-12-31 23:59:59.999', '1969-12-31',
   [NULL], {x: 2, y: ''}, [{x: NULL, m: NULL}], MAP {'n': NULL})`;
const NAMES = "b i l d m s t y a r q p".split(" ");
const CELLS: Row[string][][] = [
  [
    true,
    1,
    "9007199254740993",
    0.1,
    "0.12345678901234567890",
    "é😀\u0000",
    "2022-07-26T00:00:01.123Z",
    "0001-01-01",
    [1, null],
    { x: 1, y: null },
    [{ x: 1, m: "-0.5" }, null],
    { k: 1, K: 2 },
  ],
  NAMES.map(() => null),
  [
    false,
    -1,
    12,
    "NaN",
    "-1.00000000000000000000",
    "",
    "9999-12-31T23:59:59.999Z",
    "9999-12-31",
    [],
    { x: null, y: null },
    [],
    {},
  ],
  [
    false,
    -1,
    "-9223372036854775808",
    "-Infinity",
    "0.00000000000000000000",
    "x",
    "1969-12-31T23:59:59.999Z",
    "1969-12-31",
    [null],
    { x: 2, y: "" },
    [{ x: null, m: null }],
    { n: null },
  ],
];
const ROWS: Row[] = CELLS.map((cells) =>
  Object.fromEntries(NAMES.map((name, i) => [name, cells[i] ?? null])),
);

test("DuckDB, pyarrow and hyparquet read the same rows, of every type and with nulls at every level", async () => {
  const path = join(dir, "types.parquet");
  const instance = await DuckDBInstance.create(":memory:");
  const connection = await instance.connect();
  await connection.run(`CREATE TABLE t (${COLUMNS}); INSERT INTO t VALUES ${VALUES};`);
  await connection.run(`COPY t TO '${path}' (FORMAT parquet, COMPRESSION snappy)`);
  connection.closeSync();
  instance.closeSync();

  const { rows, columns } = await duckdb.read(path);
  expect(rows).toEqual(ROWS);
  expect(await pyarrow.read(path)).toEqual(ROWS);
  const byHyparquet = await readWithHyparquet(path, columns);
  expect(withoutDecimals(byHyparquet, columns)).toEqual(withoutDecimals(ROWS, columns));
  expect(columns.map(({ name, type }) => `${name} ${hiveTypeOf(type)}`)).toEqual([
    "b boolean",
    "i int",
    "l bigint",
    "d double",
    "m decimal(38,20)",
    "s string",
    "t timestamp",
    "y date",
    "a array<bigint>",
    "r struct<x:bigint,y:string>",
    "q array<struct<x:bigint,m:decimal(5,1)>>",
    "p map<string,bigint>",
  ]);
});

test("pyarrow says why it cannot read a file, and reads the next one", async () => {
  await expect(pyarrow.read(join(dir, "absent.parquet"))).rejects.toThrow(
    /absent\.parquet: FileNotFoundError/,
  );
  expect(await pyarrow.read(join(dir, "types.parquet"))).toHaveLength(4);
});

test("a changed, a lost and a doubled row are differences; another order is none", () => {
  const rows: Row[] = [{ a: 1, m: { x: 1, y: 2 } }, { a: 2 }, { a: 2 }];
  const between = (expected: Row[], actual: Row[]) => differences(expected, actual, textOfRow);
  expect(between(rows, [{ a: 2 }, { m: { y: 2, x: 1 }, a: 1 }, { a: 2 }])).toEqual([]);
  expect(between(rows, [{ a: 1, m: { x: 1, y: 3 } }, { a: 2 }])).toEqual([
    '- {"a":1,"m":{"x":1,"y":2}}',
    '- {"a":2}',
    '+ {"a":1,"m":{"x":1,"y":3}}',
  ]);
  expect(between([{ a: 1 }], [{ a: "1" }])).toHaveLength(2);
  expect(between([{ a: null }], [{}])).toHaveLength(2);
});
