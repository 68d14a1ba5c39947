import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { DuckDBInstance } from "@duckdb/node-api";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { duckdbType } from "../../src/engine/duckdb/types.js";
import { HourpackError } from "../../src/errors.js";
import type { DeepResult } from "../../src/proof/result.js";
import { type DeepVerification, verifyDeep } from "../../src/proof/verify.js";
import { parseHiveType } from "../../src/schema/hive.js";
import type { Column, Schema, Type } from "../../src/schema/types.js";
import type { Store } from "../../src/store/store.js";
import type { ManifestEntry } from "../../src/tier1/manifest.js";

let directory: string;
let instance: DuckDBInstance;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "proof-verify-"));
  instance = await DuckDBInstance.create(":memory:");
});
afterAll(async () => {
  instance.closeSync();
  await rm(directory, { recursive: true, force: true });
});

/** Objects in memory; the ETag is the length and the first bytes. */
class Shelf {
  readonly objects = new Map<string, Buffer>();

  static etag(body: Buffer): string {
    return `${body.length}-${body.toString("base64").slice(0, 40)}`;
  }

  put(key: string, body: string | Buffer): this {
    this.objects.set(key, Buffer.from(body));
    return this;
  }

  store(): Store {
    const { objects } = this;
    const info = (key: string, body: Buffer) => ({ key, sizeBytes: body.length, etag: Shelf.etag(body) });
    const store: Pick<Store, "kind" | "uri" | "list" | "head" | "get"> = {
      kind: "s3",
      uri: "s3://shelf/",
      async *list(prefix) {
        for (const key of [...objects.keys()].filter((k) => k.startsWith(prefix)).sort()) {
          yield [info(key, objects.get(key)!)];
        }
      },
      async head(key) {
        const body = objects.get(key);
        return body && { ...info(key, body), lastModifiedMs: 0, metadata: {} };
      },
      async get(key, { etag, range } = {}) {
        const body = objects.get(key);
        if (!body || (etag !== undefined && etag !== Shelf.etag(body)))
          throw new HourpackError("conflict", `read ${key}: gone`);
        return range ? body.subarray(range.start, range.end) : body;
      },
    };
    return store as Store;
  }
}

const column = (name: string, type: Type, more: Partial<Column> = {}): Column => ({
  name,
  type,
  path: [name],
  derived: false,
  ...more,
});

interface Setting {
  raw: Record<string, string | Buffer>;
  columns: Column[];
  /** SELECT with the columns and `_rescued_data`. */
  rows: string;
  quarantine?: { key: string; offset: number; bytes: string | Buffer }[];
  /** Rows and quarantined by object, where they are not those that the quarantine and one record a line say. */
  counts?: Record<string, [number, number]>;
  options?: Partial<DeepVerification>;
  /** Done to the raw objects after the manifest was made. */
  after?(raw: Shelf): void;
}

let parts = 0;
async function partOf(select: string): Promise<Buffer> {
  const path = join(directory, `${parts++}.parquet`);
  const connection = await instance.connect();
  await connection.run(`COPY (${select}) TO '${path}' (FORMAT parquet, ROW_GROUP_SIZE 2048)`);
  connection.closeSync();
  return readFile(path);
}

async function verify(setting: Setting): Promise<DeepResult> {
  const raw = new Shelf();
  for (const [key, body] of Object.entries(setting.raw)) raw.put(`raw/${key}`, body);
  const quarantine = (setting.quarantine ?? []).map(({ key, offset, bytes }) => ({
    key: `raw/${key}`,
    etag: Shelf.etag(raw.objects.get(`raw/${key}`) ?? Buffer.alloc(0)),
    offset,
    sizeBytes: Buffer.byteLength(bytes),
    reason: "test",
    ...(typeof bytes === "string" ? { text: bytes } : { base64: bytes.toString("base64") }),
  }));
  const entries: ManifestEntry[] = [...raw.objects].sort().map(([key, body]) => {
    const found = quarantine.filter((entry) => entry.key === key).length;
    const lines = body
      .toString()
      .split("\n")
      .filter((line) => line !== "").length;
    const [rows, quarantined] = setting.counts?.[key.slice(4)] ?? [lines - found, found];
    return { key, etag: Shelf.etag(body), sizeBytes: body.length, records: rows + quarantined, quarantined };
  });
  const part = await partOf(setting.rows);
  const tier1 = new Shelf().put("t/part.parquet", part);
  tier1.put("t/q.gz", gzipSync(quarantine.map((entry) => `${JSON.stringify(entry)}\n`).join("")));
  setting.after?.(raw);
  const schema: Schema = { version: 1, columns: setting.columns };
  return verifyDeep({
    raw: raw.store(),
    tier1: tier1.store(),
    rawPrefix: "raw/",
    partKey: "t/part.parquet",
    partEtag: Shelf.etag(part),
    async *entries() {
      yield* entries;
    },
    quarantineKey: quarantine.length > 0 ? "t/q.gz" : undefined,
    schema,
    records: { keys: [] },
    zone: "UTC",
    partPath: join(directory, `copy-${parts++}.parquet`),
    ...setting.options,
  });
}

const COLUMNS = [
  column("id", { kind: "bigint" }),
  column("name", { kind: "string" }),
  column("amount", { kind: "decimal", precision: 38, scale: 9 }),
  column("at", { kind: "timestamp" }),
];
const COUNT = 8_000;
const PER_OBJECT = 500;

/** `COUNT` records in objects of `PER_OBJECT`, and a SELECT of their rows. */
function manyRecords(): Pick<Setting, "raw" | "columns"> & { rows: string } {
  const raw: Record<string, string> = {};
  for (let i = 0; i < COUNT; i += PER_OBJECT) {
    const lines = Array.from({ length: PER_OBJECT }, (_, n) => {
      const at = new Date(1_658_793_600_000 + i + n).toISOString().replace("Z", "+00:00");
      return `{"id":${i + n},"name":"name ${i + n}","amount":12345678901234567890.${100_000_000 + i + n},"at":"${at}","n":null}\n`;
    });
    raw[`${String(i).padStart(6, "0")}.json`] = lines.join("");
  }
  const rows = `SELECT i AS id, 'name ' || i AS name,
    ('12345678901234567890.' || (100000000 + i))::DECIMAL(38,9) AS amount,
    make_timestamp((1658793600000 + i) * 1000)::TIMESTAMP_MS AS at, NULL::VARCHAR AS _rescued_data
    FROM range(${COUNT}) t(i)`;
  return { raw, columns: COLUMNS, rows };
}

describe("planted changes", () => {
  it("none: proved, and nothing is left behind", async () => {
    const { raw, columns, rows } = manyRecords();
    const shuffled = `SELECT * FROM (${rows}) ORDER BY hash(id)`;
    const result = await verify({ raw, columns, rows: shuffled });
    expect(result).toMatchObject({
      ok: true,
      objects: 16,
      records: COUNT,
      rows: COUNT,
      quarantined: 0,
      differences: [],
    });
    expect((await readdir(directory)).filter((name) => name.startsWith("hourpack-"))).toEqual([]);
  });

  it("the last digit of a decimal", async () => {
    const { raw, columns, rows } = manyRecords();
    const result = await verify({
      raw,
      columns,
      rows: `SELECT * REPLACE (amount + CASE WHEN id = 6543 THEN 0.000000001 ELSE 0 END::DECIMAL(38,9) AS amount) FROM (${rows})`,
    });
    expect(result.ok).toBe(false);
    expect(result.differences).toEqual([
      {
        kind: "changed",
        detail: 'the row differs in "amount"',
        object: "raw/006500.json",
        offset: expect.any(Number),
        row: 6_543,
        record: expect.stringContaining('"id":6543'),
        members: [
          {
            record: '"amount":12345678901234567890100006543e-9',
            row: '"amount":12345678901234567890100006544e-9',
          },
        ],
      },
    ]);
    const { object = "", offset = 0, record = "" } = result.differences[0] ?? {};
    expect(String(raw[object.slice(4)]).slice(offset)).toMatch(new RegExp(`^${record.slice(0, 14)}`));
  });

  it("one millisecond", async () => {
    const { raw, columns, rows } = manyRecords();
    const moved = `SELECT * REPLACE (("at" + CASE WHEN id = 7 THEN INTERVAL 1 MILLISECOND ELSE INTERVAL 0 SECOND END)::TIMESTAMP_MS AS "at") FROM (${rows})`;
    const result = await verify({ raw, columns, rows: moved });
    expect(result.differences).toMatchObject([
      { kind: "changed", detail: 'the row differs in "at"', object: "raw/000000.json" },
    ]);
  });

  it("one dropped, one doubled", async () => {
    const { raw, columns, rows } = manyRecords();
    const result = await verify({
      raw,
      columns,
      rows: `SELECT * FROM (${rows}) WHERE id <> 1111 UNION ALL SELECT * FROM (${rows}) WHERE id = 2222`,
    });
    expect(result.ok).toBe(false);
    expect(result).toMatchObject({ records: COUNT, rows: COUNT, hasMore: false });
    expect(result.differences).toMatchObject([
      {
        kind: "missing",
        object: "raw/001000.json",
        detail: "the record has no row",
        record: expect.stringContaining('"id":1111,'),
      },
      {
        kind: "extra",
        object: "raw/002000.json",
        detail: "the record has a row more than it occurs",
        record: expect.stringContaining('"id":2222,'),
      },
    ]);
  });

  it("everything: the first differences, and that there are more", async () => {
    const { raw, columns, rows } = manyRecords();
    const result = await verify({
      raw,
      columns,
      rows: `SELECT * REPLACE (id + 1000000 AS id) FROM (${rows})`,
      options: { maxDifferences: 5 },
    });
    expect(result).toMatchObject({ ok: false, hasMore: true });
    expect(result.differences).toHaveLength(5);
  });
});

const rescue = (json: string) => `'${json.replaceAll("'", "''")}'`;
const FLAT = [
  column("id", { kind: "bigint" }),
  column("s", { kind: "string" }),
  column("t", { kind: "timestamp" }),
];

/** One record and its row. */
function one(record: string, columns: Column[], row: string): Promise<DeepResult> {
  return verify({ raw: { "a.json": record }, columns, rows: `SELECT ${row}` });
}

describe("rescued data override columns", () => {
  const row = (id: string, s: string, t: string, rescued: string) =>
    `${id}::BIGINT AS id, ${s}::VARCHAR AS s, ${t}::TIMESTAMP_MS AS t, ${rescued}::VARCHAR AS _rescued_data`;

  it.each([
    ["a misfit", '{"id":1.5,"s":"x"}', row("NULL", "'x'", "NULL", rescue('{"id":1.5}'))],
    ["an unknown member", '{"id":1,"zz":[1.10]}', row("1", "NULL", "NULL", rescue('{"zz":[1.10]}'))],
    [
      "a collision, the column shows the last",
      '{"ID":1,"id":2}',
      row("2", "NULL", "NULL", rescue('{"ID":1,"id":2}')),
    ],
    [
      "microseconds, floored",
      '{"t":"2022-07-26 00:00:01.123999"}',
      row("NULL", "NULL", "'2022-07-26 00:00:01.123'", rescue('{"t":"2022-07-26 00:00:01.123999"}')),
    ],
    ["a value that fits, rescued all the same", '{"id":1}', row("1", "NULL", "NULL", rescue('{"id":1}'))],
    ["a time that is none", '{"t":"2022-07-26"}', row("NULL", "NULL", "NULL", rescue('{"t":"2022-07-26"}'))],
    ["a number under a string", '{"s":1.10}', row("NULL", "'1.10'", "NULL", "NULL")],
    [
      "an object under a string, compact",
      '{"s":{"b":[1e2], "a":"x"}}',
      row("NULL", `'{"b":[1e2],"a":"x"}'`, "NULL", "NULL"),
    ],
  ])("%s", async (_, record, values) => {
    expect(await one(record, FLAT, values)).toMatchObject({ ok: true, differences: [] });
  });

  it.each([
    ["a digit in rescued data", '{"zz":1.10}', row("NULL", "NULL", "NULL", rescue('{"zz":1.11}')), "changed"],
    ["digits that say nothing", '{"zz":1.10}', row("NULL", "NULL", "NULL", rescue('{"zz":1.1}')), "changed"],
    ["an exponent", '{"zz":[1e2]}', row("NULL", "NULL", "NULL", rescue('{"zz":[100.0]}')), "changed"],
    ["a null within", '{"zz":{"a":null}}', row("NULL", "NULL", "NULL", rescue('{"zz":{}}')), "changed"],
    [
      "a digit of a member that is shown, too",
      '{"ID":1.0,"id":2}',
      row("2", "NULL", "NULL", rescue('{"ID":1,"id":2}')),
      "changed",
    ],
    [
      "a digit of a misfit",
      '{"id":1.50,"s":"x"}',
      row("NULL", "'x'", "NULL", rescue('{"id":1.5}')),
      "changed",
    ],
    ["a member that is lost", '{"id":1,"s":"x","zz":1}', row("1", "'x'", "NULL", "NULL"), "changed"],
    ["a misfit that is rounded", '{"id":1.5,"s":"x"}', row("2", "'x'", "NULL", "NULL"), "changed"],
    ["the first of a collision is lost", '{"ID":1,"id":2}', row("2", "NULL", "NULL", "NULL"), "changed"],
    [
      "a string that is spelled otherwise",
      '{"s":"1.10","id":1}',
      row("1", "'1.1'", "NULL", "NULL"),
      "changed",
    ],
    ["a number under a string with other digits", '{"s":7}', row("NULL", "'7.0'", "NULL", "NULL"), "changed"],
    [
      "a number in an object under a string with other digits",
      '{"s":{"b":[1e2],"a":"x"}}',
      row("NULL", `'{"b":[100.0],"a":"x"}'`, "NULL", "NULL"),
      "changed",
    ],
    [
      "microseconds that are lost",
      '{"t":"2022-07-26 00:00:01.123999","s":"x"}',
      row("NULL", "'x'", "'2022-07-26 00:00:01.123'", "NULL"),
      "changed",
    ],
    [
      "an offset that is dropped",
      '{"t":"2022-07-26 09:00:00+09:00"}',
      row("NULL", "NULL", "'2022-07-26 09:00:00'", "NULL"),
      "changed",
    ],
    [
      "a collision shows another",
      '{"ID":1,"id":2}',
      row("1", "NULL", "NULL", rescue('{"ID":1,"id":2}')),
      "contradicted",
    ],
    [
      "a misfit shows something",
      '{"id":1.5}',
      row("1", "NULL", "NULL", rescue('{"id":1.5}')),
      "contradicted",
    ],
    [
      "microseconds show nothing",
      '{"t":"2022-07-26 00:00:01.123999"}',
      row("NULL", "NULL", "NULL", rescue('{"t":"2022-07-26 00:00:01.123999"}')),
      "contradicted",
    ],
    [
      "microseconds are rounded up",
      '{"t":"2022-07-26 00:00:01.123999"}',
      row("NULL", "NULL", "'2022-07-26 00:00:01.124'", rescue('{"t":"2022-07-26 00:00:01.123999"}')),
      "contradicted",
    ],
    [
      "a value that fits, rescued and not shown",
      '{"id":1,"s":"x"}',
      row("NULL", "'x'", "NULL", rescue('{"id":1}')),
      "contradicted",
    ],
    [
      "a collision shows nothing",
      '{"ID":1,"id":2}',
      row("NULL", "NULL", "NULL", rescue('{"ID":1,"id":2}')),
      "contradicted",
    ],
    [
      "rescued data that are no JSON",
      '{"zz":1}',
      row("NULL", "NULL", "NULL", "'{\"zz\":1,}'"),
      "contradicted",
    ],
  ])("%s", async (_, record, values, kind) => {
    const result = await one(record, FLAT, values);
    expect(result.ok).toBe(false);
    expect(result.differences.map((difference) => difference.kind)).toContain(kind);
  });
});

describe("structs, arrays, maps, json: string and derived columns", () => {
  const type: Type = {
    kind: "struct",
    fields: [
      { name: "a", key: "a", type: { kind: "bigint" } },
      { name: "b", key: "b", type: { kind: "string" } },
    ],
  };
  const derivedB = column("eb", { kind: "string" }, { path: ["e", "b"], derived: true });
  const columns = [column("e", type), derivedB];
  const row = (e: string, eb: string, rescued: string) =>
    `${e}::STRUCT(a BIGINT, b VARCHAR) AS e, ${eb}::VARCHAR AS eb, ${rescued}::VARCHAR AS _rescued_data`;

  it.each([
    ["held", '{"e":{"b":"x","a":1.0}}', row("{a: 1, b: 'x'}", "'x'", "NULL"), true],
    ["empty", '{"e":{}}', row("{a: NULL, b: NULL}", "NULL", "NULL"), true],
    ["empty is not absent", '{"e":{}}', row("NULL", "NULL", "NULL"), false],
    [
      "a misfit shows the leaves that fit",
      '{"e":{"a":1.5,"b":"x","c":2}}',
      row("{a: NULL, b: 'x'}", "'x'", rescue('{"e":{"a":1.5,"b":"x","c":2}}')),
      true,
    ],
    ["a leaf that was lost", '{"e":{"a":1,"b":"x","c":2}}', row("{a: 1, b: 'x'}", "'x'", "NULL"), false],
    [
      "a leaf that contradicts",
      '{"e":{"a":1.5,"b":"x"}}',
      row("{a: 2, b: 'x'}", "'x'", rescue('{"e":{"a":1.5,"b":"x"}}')),
      false,
    ],
    [
      "a derived column that contradicts",
      '{"e":{"a":1,"b":"x"}}',
      row("{a: 1, b: 'x'}", "'y'", "NULL"),
      false,
    ],
    ["a derived column of nothing", '{"e":{"a":1}}', row("{a: 1, b: NULL}", "'y'", "NULL"), false],
    ["a scalar where it belongs", '{"e":"x"}', row("NULL", "NULL", rescue('{"e":"x"}')), true],
  ])("struct: %s", async (_, record, values, ok) => {
    expect((await one(record, columns, values)).ok).toBe(ok);
  });

  it("derived columns alone hold what they cover whole", async () => {
    const own = [derivedB, column("ea", { kind: "bigint" }, { path: ["e", "a"], derived: true })];
    const select = (eb: string, ea: string, rescued: string) =>
      `${eb}::VARCHAR AS eb, ${ea}::BIGINT AS ea, ${rescued}::VARCHAR AS _rescued_data`;
    expect((await one('{"e":{"a":1,"b":"x"}}', own, select("'x'", "1", "NULL"))).ok).toBe(true);
    expect((await one('{"e":{"a":1,"b":"y"}}', own, select("'x'", "1", "NULL"))).ok).toBe(false);
    expect((await one('{"e":{"a":1,"c":"y"}}', own, select("NULL", "1", "NULL"))).ok).toBe(false);
    expect(
      (await one('{"e":{"a":1,"c":"y"}}', own, select("NULL", "1", rescue('{"e":{"a":1,"c":"y"}}')))).ok,
    ).toBe(true);
  });

  it("json: string", async () => {
    const own = [column("e", type, { jsonString: true })];
    const select = (e: string, rescued = "NULL") =>
      `${e}::STRUCT(a BIGINT, b VARCHAR) AS e, ${rescued}::VARCHAR AS _rescued_data`;
    expect((await one('{"e":"{\\"a\\":1,\\"b\\":\\"x\\"}"}', own, select("{a: 1, b: 'x'}"))).ok).toBe(true);
    expect((await one('{"e":"{\\"a\\":1}"}', own, select("{a: 2, b: NULL}"))).ok).toBe(false);
    expect((await one('{"e":"{\\"a\\": 1}"}', own, select("{a: 1, b: NULL}"))).ok).toBe(false);
    expect(
      (await one('{"e":"{\\"a\\": 1}"}', own, select("{a: 1, b: NULL}", rescue('{"e":"{\\"a\\": 1}"}')))).ok,
    ).toBe(true);
    expect((await one('{"e":"oops"}', own, select("NULL", rescue('{"e":"oops"}')))).ok).toBe(true);
  });

  it.each([
    ["its members in another order", '{"b":"x","a":1}', "bigint", "1", false],
    ["a null", '{"a":null,"b":"x"}', "bigint", "NULL", false],
    ["an escape that need not be", '{"a":1,"b":"\\u0078"}', "bigint", "1", false],
    ["a double of other digits", '{"a":1e2,"b":"x"}', "double", "100", false],
    ["a double, negative zero", '{"a":-0.0,"b":"x"}', "double", "'-0.0'", true],
    ["a double that lost its sign", '{"a":-0.0,"b":"x"}', "double", "0", false],
    ["a decimal", '{"a":-0.50,"b":"x"}', "decimal(9,2)", "-0.5", true],
    ["a decimal of other digits", '{"a":-0.5,"b":"x"}', "decimal(9,2)", "-0.5", false],
    ["an integer as a decimal", '{"a":12,"b":"x"}', "decimal(9,0)", "12", true],
    ["a time", '{"a":"2022-07-26T00:00:01.000Z","b":"x"}', "timestamp", "'2022-07-26 00:00:01'", true],
    [
      "a time with an offset",
      '{"a":"2022-07-26T00:00:01Z","b":"x"}',
      "timestamp",
      "'2022-07-26 00:00:01'",
      false,
    ],
    ["milliseconds", '{"a":1500,"b":"x"}', "epoch ms", "'1970-01-01 00:00:01.5'", true],
    ["seconds", '{"a":-1,"b":"x"}', "epoch s", "'1969-12-31 23:59:59'", true],
    ["seconds and milliseconds", '{"a":-0.050,"b":"x"}', "epoch s", "'1969-12-31 23:59:59.95'", true],
    ["seconds with other digits", '{"a":1.0,"b":"x"}', "epoch s", "'1970-01-01 00:00:01'", false],
    ["a date", '{"a":"2022-07-26","b":"x"}', "date", "'2022-07-26'", true],
    ["a list", '{"a":[1,null],"b":"x"}', "array<int>", "[1, NULL]", true],
    ["a map", '{"a":{"B":1,"A":2},"b":"x"}', "map<string,int>", "MAP{'B': 1, 'A': 2}", true],
    [
      "a map in another order",
      '{"a":{"B":1,"A":2},"b":"x"}',
      "map<string,int>",
      "MAP{'A': 2, 'B': 1}",
      false,
    ],
  ])("json: string comes back as this very text: %s", async (_, text, a, shown, ok) => {
    const [name, epoch] = a.split(" ");
    const type = epoch ? ({ kind: "timestamp", epoch } as Type) : parseHiveType(a);
    const fields = [
      { name: "a", key: "a", type },
      { name: "b", key: "b", type: { kind: "string" } as Type },
    ];
    const own = [column("e", { kind: "struct", fields }, { jsonString: true })];
    const select = (rescued: string) =>
      `{a: (${shown})::${name === "epoch" ? "TIMESTAMP_MS" : duckdbType(type)}, b: 'x'} AS e, ${rescued}::VARCHAR AS _rescued_data`;
    const record = JSON.stringify({ e: text });
    expect((await one(record, own, select("NULL"))).ok).toBe(ok);
    expect((await one(record, own, select(rescue(record)))).ok).toBe(true);
  });

  it("arrays and maps", async () => {
    const own = [
      column("l", { kind: "array", element: { kind: "double" } }),
      column("m", { kind: "map", value: { kind: "date" } }),
    ];
    const select = (l: string, m: string, rescued = "NULL") =>
      `${l}::DOUBLE[] AS l, ${m}::MAP(VARCHAR, DATE) AS m, ${rescued}::VARCHAR AS _rescued_data`;
    const record = '{"l":[1.50,null,NaN],"m":{"A":"2022-07-26","":null,"a":"2022-07-27"}}';
    expect(
      (
        await one(
          record,
          own,
          select("[1.5, NULL, 'nan'::DOUBLE]", "MAP{'a': '2022-07-27', 'A': '2022-07-26'}"),
        )
      ).ok,
    ).toBe(true);
    expect(
      (await one(record, own, select("[1.5, 'nan'::DOUBLE]", "MAP{'a': '2022-07-27', 'A': '2022-07-26'}")))
        .ok,
    ).toBe(false);
    expect((await one('{"l":[1,"x"]}', own, select("[1, NULL]", "NULL", rescue('{"l":[1,"x"]}')))).ok).toBe(
      true,
    );
    expect((await one('{"l":[1,"x"]}', own, select("[2, NULL]", "NULL", rescue('{"l":[1,"x"]}')))).ok).toBe(
      false,
    );
  });
});

describe("what a column shows of a member that is rescued", () => {
  const MIXED = '{"d":0.10000000000000001,"e":{"a":1,"c":2},"l":[1,"x"],"m":{"a":1,"b":"x"}}';
  const fields = [
    { name: "a", key: "a", type: { kind: "bigint" } as Type },
    { name: "b", key: "b", type: { kind: "bigint" } as Type },
  ];
  const columns = [
    column("d", { kind: "double" }),
    column("e", { kind: "struct", fields }),
    column("l", { kind: "array", element: { kind: "bigint" } }),
    column("m", { kind: "map", value: { kind: "bigint" } }),
  ];
  const row = ({ d = "0.1", e = "{a: 1, b: NULL}", l = "[1, NULL]", m = "MAP{'a': 1, 'b': NULL}" }) =>
    `${d}::DOUBLE AS d, ${e}::STRUCT(a BIGINT, b BIGINT) AS e, ${l}::BIGINT[] AS l,
      ${m}::MAP(VARCHAR, BIGINT) AS m, ${rescue(MIXED)}::VARCHAR AS _rescued_data`;

  it("is all of it that fits", async () => {
    expect(await one(MIXED, columns, row({}))).toMatchObject({ ok: true, differences: [] });
  });

  it.each([
    ["d", "NULL", "is NULL, where its member has a value for it"],
    ["d", "0.2", "contradicts its member"],
    ["e", "NULL", "is NULL, where its member has a value for it"],
    ["e", "{a: NULL, b: NULL}", "contradicts its member"],
    ["l", "NULL", "is NULL, where its member has a value for it"],
    ["l", "[NULL, NULL]", "contradicts its member"],
    ["l", "[1]", "contradicts its member"],
    ["m", "MAP{'b': NULL}", "contradicts its member"],
    ["m", "MAP{'a': 1, 'b': NULL, 'c': NULL}", "contradicts its member"],
  ])("%s as %s is a difference", async (name, shown, detail) => {
    const { differences } = await one(MIXED, columns, row({ [name]: shown }));
    expect(differences).toMatchObject([{ kind: "contradicted", detail: `the column ${name} ${detail}` }]);
  });

  it("may be nothing where the column came after the row", async () => {
    const rows = `SELECT ${row({ m: "NULL" })}`;
    const setting = { raw: { "a.json": MIXED }, columns, rows };
    expect(await verify({ ...setting, options: { firstColumns: 3 } })).toMatchObject({ ok: true });
    expect(await verify({ ...setting, options: { firstColumns: 4 } })).toMatchObject({ ok: false });
  });

  it("is compared in a time that grows with a map's keys, not with their square", async () => {
    const keys = 50_000;
    const members = Array.from({ length: keys }, (_, i) => `"k${i}":${i}`).join(",");
    const record = `{"m":{${members},"x":"y"}}`;
    const rows = `SELECT NULL::DOUBLE AS d, NULL::STRUCT(a BIGINT, b BIGINT) AS e, NULL::BIGINT[] AS l,
      map_from_entries(list_append([('k' || i, i) FOR i IN range(${keys})], ('x', NULL::BIGINT))) AS m,
      ${rescue(record)} AS _rescued_data`;
    const startMs = performance.now();
    expect(await verify({ raw: { "a.json": record }, columns, rows })).toMatchObject({ ok: true });
    expect(performance.now() - startMs).toBeLessThan(20_000);
  }, 200_000);
});

describe("quarantine and counts", () => {
  const text = '{"id":1}\noops\r\n{"id":2}\n';
  const rows = "SELECT i::BIGINT AS id, NULL::VARCHAR AS _rescued_data FROM range(1, 3) t(i)";
  const columns = [column("id", { kind: "bigint" })];
  const setting = { raw: { "a.json": text }, columns, rows };
  const counts: Record<string, [number, number]> = { "a.json": [2, 1] };

  it.each([
    ["as it was", [{ key: "a.json", offset: 9, bytes: "oops" }]],
    ["with its newline", [{ key: "a.json", offset: 9, bytes: "oops\r\n" }]],
    ["as bytes", [{ key: "a.json", offset: 9, bytes: Buffer.from("oops\r") }]],
  ])("%s", async (_, quarantine) => {
    expect(await verify({ ...setting, counts, quarantine })).toMatchObject({
      ok: true,
      records: 3,
      rows: 2,
      quarantined: 1,
    });
  });

  it.each([
    ["not there", []],
    ["a byte changed", [{ key: "a.json", offset: 9, bytes: "oopz" }]],
    ["a byte short", [{ key: "a.json", offset: 9, bytes: "oop" }]],
    ["another place", [{ key: "a.json", offset: 10, bytes: "oops" }]],
    ["a record too", [{ key: "a.json", offset: 9, bytes: 'oops\r\n{"id":2}' }]],
    [
      "an unknown object",
      [
        { key: "a.json", offset: 9, bytes: "oops" },
        { key: "b.json", offset: 0, bytes: "x" },
      ],
    ],
  ])("%s", async (_, quarantine) => {
    const result = await verify({
      ...setting,
      counts: quarantine.length === 0 ? { "a.json": [2, 0] } : counts,
      quarantine,
    });
    expect(result.ok).toBe(false);
    expect(result.differences.map((difference) => difference.kind)).toContain("quarantine");
  });

  it.each([
    ["an empty array", "[]", true],
    ["no element that is a record", '[5,{"x":NaN}]', true],
    ["a record that only a double column takes", '[{"d":NaN}]', false],
  ])("an envelope of %s must be in quarantine, or with its record in a row", async (_, list, isLost) => {
    const value = `{"batch":7,"Records":${list}}`;
    const quarantine = [{ key: "a.json", offset: 0, bytes: value }];
    const row = `SELECT 'NaN'::DOUBLE AS d, '{"_envelope":{"batch":7}}'::VARCHAR AS _rescued_data`;
    const enveloped = {
      ...{ raw: { "a.json": `${value}\n{"Records":[]}` }, columns: [column("d", { kind: "double" })] },
      ...{ rows: `${row} WHERE ${!isLost}`, options: { records: { keys: ["Records"] } } },
    };
    const whole = await verify({ ...enveloped, counts: { "a.json": [0, 1] }, quarantine });
    expect(whole.ok).toBe(isLost);
    const without = await verify({ ...enveloped, counts: { "a.json": [isLost ? 0 : 1, 0] } });
    expect(without.differences.map(({ kind, detail }) => [kind, detail])).toEqual(
      isLost ? [["quarantine", "bytes that are no record are not in quarantine"]] : [],
    );
  });

  it.each([
    ["[ERROR] x", "ERROR] x", 1],
    ["\u0000[\u0001 \n", "\u0000[\u0001", 0],
    ["\n\u0000[\u0001", "\u0000[\u0001", 1],
  ])("of %j all bytes must be in quarantine, not %j alone", async (object, bytes, offset) => {
    const damaged = (bytes: string, offset: number) =>
      verify({
        ...setting,
        raw: { "a.json": '{"id":1}\n{"id":2}', "b.json": object },
        counts: { "b.json": [0, 1] },
        quarantine: [{ key: "b.json", offset, bytes }],
      });
    expect(await damaged(object, 0)).toMatchObject({ ok: true });
    const detail = "bytes that are no record are not in quarantine";
    const { ok, differences } = await damaged(bytes, offset);
    expect(ok).toBe(false);
    expect(differences).toMatchObject([{ kind: "quarantine", object: "raw/b.json", detail }]);
  });

  describe("bytes that are no record, in entries that follow each other", () => {
    const damaged = gzipSync(`{"id":9,"s":"${"x".repeat(500)}"}`).subarray(0, 30);
    const cut = (...places: [number, number][]) =>
      verify({
        ...setting,
        raw: { "a.json": '{"id":1}\n{"id":2}', "b.json.gz": damaged },
        counts: { "b.json.gz": [0, places.length] },
        quarantine: places.map(([from, to]) => ({
          key: "b.json.gz",
          offset: from,
          bytes: damaged.subarray(from, to),
        })),
      });

    it("are those bytes, in any order of the entries", async () => {
      expect(await cut([0, 10], [10, 11], [11, 30])).toMatchObject({ ok: true, quarantined: 3 });
      expect(await cut([11, 30], [0, 10], [10, 11])).toMatchObject({ ok: true });
    });

    it.each([
      ["a byte is missing between two", [0, 10], [11, 30], "bytes that are no record are not in quarantine"],
      ["a byte is there twice", [0, 11], [10, 30], "bytes are in quarantine twice"],
      ["the last byte is missing", [0, 10], [10, 29], "bytes that are no record are not in quarantine"],
    ] as const)("%s", async (_, first, second, detail) => {
      const { ok, differences } = await cut([...first], [...second]);
      expect(ok).toBe(false);
      expect(differences).toMatchObject([{ kind: "quarantine", object: "raw/b.json.gz", detail }]);
    });
  });

  it("a manifest that counts otherwise", async () => {
    const quarantine = [{ key: "a.json", offset: 9, bytes: "oops" }];
    const result = await verify({ ...setting, counts: { "a.json": [3, 1] }, quarantine });
    expect(result.differences).toMatchObject([{ kind: "count", object: "raw/a.json" }]);
  });

  it("a damaged gzip in quarantine as it lies", async () => {
    const damaged = gzipSync('{"id":9}').subarray(0, 20);
    const quarantine = [{ key: "b.json.gz", offset: 0, bytes: damaged }];
    const result = await verify({
      ...setting,
      raw: { "a.json": '{"id":1}\n{"id":2}', "b.json.gz": damaged },
      counts: { "b.json.gz": [0, 1] },
      quarantine,
    });
    expect(result.ok).toBe(true);
  });
});

describe("objects that came or went", () => {
  const raw = { "a.json": '{"id":1}\n', "b.json": '{"id":2}\n', "c.json": '{"id":3}\n' };
  const columns = [column("id", { kind: "bigint" })];
  const rows = (ids: string) => `SELECT unnest([${ids}])::BIGINT AS id, NULL::VARCHAR AS _rescued_data`;

  it("late ones are named, and the part stays proved", async () => {
    const after = (shelf: Shelf) =>
      shelf.put("raw/0.json", "{}").put("raw/bb.json", "{}").put("raw/_SUCCESS", "");
    const result = await verify({ raw, columns, rows: rows("1,2,3"), after });
    expect(result).toMatchObject({
      ok: true,
      late: { count: 2, keys: ["raw/0.json", "raw/bb.json"] },
      skipped: 1,
    });
  });

  it.each([
    ["gone", (shelf: Shelf) => void shelf.objects.delete("raw/b.json")],
    ["overwritten", (shelf: Shelf) => void shelf.put("raw/b.json", '{"id":7}\n')],
  ])("one is %s: the rest is proved, the hour is not", async (kind, after) => {
    const result = await verify({ raw, columns, rows: rows("1,2,3"), after });
    expect(result).toMatchObject({
      ok: false,
      objects: 2,
      gone: { count: 0 },
      overwritten: { count: 0 },
      [kind]: { count: 1, rows: 1, keys: ["raw/b.json"] },
      differences: [],
    });
    const lost = await verify({ raw, columns, rows: rows("1,2"), after });
    expect(lost.differences.map((difference) => difference.kind)).toHaveLength(1);
    const more = await verify({ raw, columns, rows: rows("1,2,3,4"), after });
    expect(more.differences.map((difference) => difference.kind)).toEqual(["extra", "extra"]);
  });

  it("a part that is not there, or another one", async () => {
    await expect(
      verify({ raw, columns, rows: rows("1"), options: { partKey: "t/none" } }),
    ).rejects.toMatchObject({ kind: "conflict" });
    await expect(
      verify({ raw, columns, rows: rows("1"), options: { partEtag: "other" } }),
    ).rejects.toMatchObject({ kind: "conflict" });
  });

  it("a signal ends it", async () => {
    const options = { signal: AbortSignal.abort() };
    await expect(verify({ raw, columns, rows: rows("1,2,3"), options })).rejects.toMatchObject({
      kind: "interrupted",
    });
  });

  it("a store that fails is not taken for data", async () => {
    const readObject = async () => {
      throw new HourpackError("unavailable", "read: no answer");
    };
    await expect(
      verify({ raw, columns, rows: rows("1,2,3"), options: { readObject } }),
    ).rejects.toMatchObject({ kind: "unavailable" });
  });
});
