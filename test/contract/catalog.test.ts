import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout } from "node:timers/promises";
import {
  BatchCreatePartitionCommand,
  GetPartitionsCommand,
  GetTableCommand,
  GlueClient,
  UpdatePartitionCommand,
  UpdateTableCommand,
} from "@aws-sdk/client-glue";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openAthena } from "../../src/catalog/athena.js";
import type { Catalog, TableSpec } from "../../src/catalog/catalog.js";
import { tableProperties } from "../../src/catalog/ddl.js";
import { openGlue } from "../../src/catalog/glue.js";
import { LocalCatalog } from "../../src/catalog/local.js";
import { openDatabase, sqlString } from "../../src/engine/duckdb/database.js";
import { addHours, hoursBetween, parseHour } from "../../src/hour.js";
import { partitionPrefix } from "../../src/layout.js";
import { LocalStore } from "../../src/store/local.js";
import { type Moto, startMoto } from "../support/moto.js";

const hour = parseHour("2022-07-26T00");
let tables = 0;

const projection = {
  isOn: true,
  locationTemplate: "s3://lake/p/year=$" + "{year}/",
  firstYear: 2020,
  lastYear: 2030,
};

function spec(more: Partial<TableSpec> = {}): TableSpec {
  const name = `events_${tables++}`;
  const location = more.location ?? `s3://lake/${name}/`;
  return {
    database: "mmp_db",
    name,
    format: "parquet",
    location,
    columns: [
      { name: "id", type: { kind: "bigint" } },
      { name: "st", type: { kind: "struct", fields: [{ name: "a", key: "a", type: { kind: "string" } }] } },
    ],
    registerText: "`hourpack register`",
    partitionLocation: (of) => location + partitionPrefix(of),
    ...more,
  };
}

let moto: Moto;
beforeAll(async () => {
  moto = await startMoto();
  Object.assign(process.env, {
    AWS_ACCESS_KEY_ID: "test",
    AWS_SECRET_ACCESS_KEY: "test",
    AWS_REGION: "us-east-1",
    AWS_EC2_METADATA_DISABLED: "true",
  });
});
afterAll(() => moto?.stop());

describe("Glue", () => {
  let catalog: Catalog;
  let client: GlueClient;
  beforeAll(async () => {
    catalog = await openGlue({
      type: "glue",
      database: "mmp_db",
      endpoint: moto.endpoint,
      region: "us-east-1",
      timeoutMs: 30_000,
    });
    client = new GlueClient({ endpoint: moto.endpoint, region: "us-east-1" });
  });
  afterAll(() => catalog?.close());

  const tableOf = async (table: TableSpec) =>
    (await client.send(new GetTableCommand({ DatabaseName: table.database, Name: table.name }))).Table;
  const partitionsOf = async (table: TableSpec) =>
    (await client.send(new GetPartitionsCommand({ DatabaseName: table.database, TableName: table.name })))
      .Partitions ?? [];
  const register = (table: TableSpec, Values: string[], Location: string) =>
    client.send(
      new BatchCreatePartitionCommand({
        DatabaseName: table.database,
        TableName: table.name,
        PartitionInputList: [{ Values, StorageDescriptor: { Location } }],
      }),
    );

  it("creates database and table once, and writes nothing the second time", async () => {
    const table = spec();
    expect(await catalog.ensureTable(table)).toBe("created");
    expect(await catalog.ensureTable(table)).toBe("unchanged");
    const found = await tableOf(table);
    expect(found?.StorageDescriptor?.Columns).toMatchObject([
      { Name: "id", Type: "bigint" },
      { Name: "st", Type: "struct<a:string>" },
    ]);
    expect(found?.PartitionKeys?.map(({ Name, Type }) => `${Name} ${Type}`)).toEqual([
      "year int",
      "month int",
      "day int",
      "hour int",
    ]);
  });

  it("appends columns that are new, and drops none", async () => {
    const table = spec();
    await catalog.ensureTable(table);
    const grown = {
      ...table,
      columns: [...table.columns.slice(1), { name: "new", type: { kind: "date" } as const }],
    };
    expect(await catalog.ensureTable(grown)).toBe("changed");
    expect((await tableOf(table))?.StorageDescriptor?.Columns?.map(({ Name }) => Name)).toEqual([
      "id",
      "st",
      "new",
    ]);
  });

  it("leaves what others wrote on the table when it appends a column", async () => {
    const table = spec();
    await catalog.ensureTable(table);
    const {
      Name = "",
      Parameters,
      TableType,
      PartitionKeys,
      StorageDescriptor,
    } = (await tableOf(table)) ?? {};
    const theirs = {
      ...{ Name, Parameters, TableType, Description: "of the shop", Owner: "shop", Retention: 9 },
      PartitionKeys: PartitionKeys?.map((key) => ({ ...key, Comment: `the ${key.Name}` })),
      StorageDescriptor: {
        ...StorageDescriptor,
        Parameters: { theirs: "1" },
        SerdeInfo: { ...StorageDescriptor?.SerdeInfo, Name: "theirs" },
      },
    };
    await client.send(new UpdateTableCommand({ DatabaseName: table.database, TableInput: theirs }));
    const grown = { ...table, columns: [...table.columns, { name: "new", type: { kind: "date" } as const }] };
    expect(await catalog.ensureTable(grown)).toBe("changed");
    const { Columns, ...storage } = theirs.StorageDescriptor;
    expect(await tableOf(table)).toMatchObject({ ...theirs, StorageDescriptor: storage });
  });

  it("does not take over a table that lies elsewhere", async () => {
    const table = spec();
    await catalog.ensureTable(table);
    await expect(catalog.ensureTable({ ...table, location: "s3://other/" })).rejects.toMatchObject({
      kind: "invalid",
      hint: /another table name/,
    });
  });

  it("registers hours with values as Glue holds them and locations of two digits", async () => {
    const table = spec();
    await catalog.ensureTable(table);
    expect(await catalog.syncPartitions(table, [hour])).toMatchObject({ added: 1, corrected: 0 });
    const [partition] = await partitionsOf(table);
    expect(partition?.Values).toEqual(["2022", "7", "26", "0"]);
    expect(partition?.StorageDescriptor?.Location).toBe(
      `${table.location}year=2022/month=07/day=26/hour=00/`,
    );
    expect(await catalog.syncPartitions(table, [hour])).toMatchObject({
      added: 0,
      corrected: 0,
      unchanged: 1,
    });
  });

  it("registers a month of hours in bulk, and finds them again", async () => {
    const table = spec();
    await catalog.ensureTable(table);
    const hours = hoursBetween(hour, addHours(hour, 744));
    expect(await catalog.syncPartitions(table, hours)).toMatchObject({ added: 744 });
    expect(await catalog.syncPartitions(table, hours)).toMatchObject({ added: 0, unchanged: 744 });
  });

  it("corrects a partition that lies elsewhere, and says so", async () => {
    const table = spec();
    await catalog.ensureTable(table);
    await register(table, ["2022", "7", "26", "0"], "s3://old/place/");
    const sync = await catalog.syncPartitions(table, [hour]);
    expect(sync).toMatchObject({
      added: 0,
      corrected: 1,
      notes: [expect.stringContaining("s3://old/place/")],
    });
    const [partition] = await partitionsOf(table);
    expect(partition?.StorageDescriptor?.Location).toBe(table.partitionLocation(hour));
  });

  it("takes 07 for the same partition, and never has both", async () => {
    const table = spec();
    await catalog.ensureTable(table);
    await register(table, ["2022", "07", "26", "00"], table.partitionLocation(hour));
    expect(await catalog.syncPartitions(table, [hour])).toMatchObject({
      added: 0,
      corrected: 0,
      unchanged: 1,
    });
    await register(table, ["2022", "7", "26", "0"], table.partitionLocation(hour));
    expect(await catalog.syncPartitions(table, [hour])).toMatchObject({
      corrected: 1,
      notes: [expect.stringContaining("removed")],
    });
    expect((await partitionsOf(table)).map(({ Values }) => Values)).toEqual([["2022", "07", "26", "00"]]);
  });

  it("corrects 07 under its own spelling", async () => {
    const table = spec();
    await catalog.ensureTable(table);
    await register(table, ["2022", "07", "26", "00"], "s3://old/place/");
    expect(await catalog.syncPartitions(table, [hour])).toMatchObject({ corrected: 1 });
    const [partition, ...more] = await partitionsOf(table);
    expect(more).toEqual([]);
    expect(partition?.StorageDescriptor?.Location).toBe(table.partitionLocation(hour));
  });

  it("puts partition projection on the table instead", async () => {
    const table = spec({ projection });
    await catalog.ensureTable(table);
    expect((await tableOf(table))?.Parameters).toMatchObject({
      "projection.enabled": "true",
      "projection.year.range": "2020,2030",
      "projection.hour.digits": "2",
      "storage.location.template": "s3://lake/p/year=$" + "{year}/",
    });
  });

  it("ends the projection that it put there, once, says so, and puts it there again", async () => {
    const table = spec({ projection });
    const off = { ...table, projection: { ...projection, isOn: false } };
    const enabled = async () => (await tableOf(table))?.Parameters?.["projection.enabled"];
    await catalog.ensureTable(table);
    const notes: string[] = [];
    const note = (text: string) => notes.push(text);
    expect(await catalog.ensureTable(off, { note })).toBe("changed");
    expect(await enabled()).toBe("false");
    expect(await catalog.ensureTable(off, { note })).toBe("unchanged");
    expect(notes).toEqual([expect.stringMatching(/turned off: `hourpack register`/)]);
    expect(await catalog.ensureTable(table, { note })).toBe("changed");
    expect(await enabled()).toBe("true");
    expect(notes).toHaveLength(1);
  });

  it("leaves a projection that is another's", async () => {
    const theirs = spec({ projection: { ...projection, lastYear: 2099 } });
    await catalog.ensureTable(theirs);
    const ours = { ...theirs, projection: { ...projection, isOn: false } };
    expect(await catalog.ensureTable(ours)).toBe("unchanged");
    expect((await tableOf(theirs))?.Parameters).toMatchObject({ "projection.enabled": "true" });
  });

  it("tells which hours have no partition, under either spelling", async () => {
    const table = spec();
    await catalog.ensureTable(table);
    await catalog.syncPartitions(table, [hour]);
    await register(table, ["2022", "07", "26", "01"], table.partitionLocation(addHours(hour, 1)));
    const asked = [hour, addHours(hour, 1), addHours(hour, 2)];
    expect(await catalog.lacking(table, asked)).toEqual([addHours(hour, 2)]);
    expect(await partitionsOf(table)).toHaveLength(2);
  });

  it("tells which tables are not there, and refuses one that lies elsewhere", async () => {
    const [there, lacking] = [spec(), spec()];
    await catalog.ensureTable(there);
    expect(await catalog.lackingTables([lacking, there])).toEqual([lacking]);
    await expect(catalog.lackingTables([{ ...there, location: "s3://other/" }])).rejects.toMatchObject({
      kind: "invalid",
      hint: /another table name/,
    });
  });

  it("says what it could not reach, and to who waits for it without trying for long", async () => {
    const nowhere = (timeoutMs: number) =>
      openGlue({
        type: "glue",
        database: "d",
        endpoint: "http://127.0.0.1:9",
        region: "us-east-1",
        timeoutMs,
      });
    const told = { kind: "unavailable", hint: /reach Glue/ };
    await expect((await nowhere(1000)).ensureTable(spec())).rejects.toMatchObject(told);
    const beganMs = performance.now();
    await expect((await nowhere(60_000)).lackingTables([spec()])).rejects.toMatchObject(told);
    expect(performance.now() - beganMs).toBeLessThan(5_000);
  });

  it("leaves what an update by others made", async () => {
    const table = spec();
    await catalog.ensureTable(table);
    await catalog.syncPartitions(table, [hour]);
    const [partition] = await partitionsOf(table);
    const input = {
      Values: partition?.Values,
      StorageDescriptor: partition?.StorageDescriptor,
      Parameters: { rows: "5" },
    };
    const target = {
      DatabaseName: table.database,
      TableName: table.name,
      PartitionValueList: partition?.Values,
    };
    await client.send(new UpdatePartitionCommand({ ...target, PartitionInput: input }));
    await catalog.syncPartitions(table, [hour]);
    expect((await partitionsOf(table))[0]?.Parameters).toEqual({ rows: "5" });
  });
});

describe("Athena", () => {
  let catalog: Catalog;
  beforeAll(async () => {
    catalog = await openAthena({
      type: "athena",
      database: "mmp_db",
      workgroup: "primary",
      output: "s3://results/",
      catalogName: "AwsDataCatalog",
      endpoint: moto.endpoint,
      region: "us-east-1",
      timeoutMs: 10_000,
    });
  });
  afterAll(() => catalog?.close());

  /** What the next statements answer, one after the other. */
  async function answers(...results: string[][][]): Promise<void> {
    const body = {
      account_id: "123456789012",
      region: "us-east-1",
      results: results.map((rows) => ({
        rows: rows.map((row) => ({ Data: row.map((VarCharValue) => ({ VarCharValue })) })),
        column_info: [],
      })),
    };
    const response = await fetch(`${moto.endpoint}/moto-api/static/athena/query-results`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    expect(response.status).toBe(201);
  }

  it("creates what is missing, and nothing where all columns are there", async () => {
    const table = spec();
    await answers([["column_name", "data_type"]], [], []);
    expect(await catalog.ensureTable(table)).toBe("created");
    await answers([
      ["column_name", "data_type"],
      ["id", "bigint"],
      ["st", "row(a varchar)"],
    ]);
    expect(await catalog.ensureTable(table)).toBe("unchanged");
  });

  /** As Athena does, a line a row, and without the slash at the end. */
  const described = (location: string) => [
    ["# col_name            \tdata_type           \tcomment             "],
    ["# Detailed Table Information\t \t "],
    [`Location:           \t${location.replace(/\/$/, "")}\t `],
    ["Table Type:         \tEXTERNAL_TABLE      \t "],
  ];
  const columnsOf = (table: TableSpec) => [
    ["column_name", "data_type"],
    ...table.columns.map(({ name }) => [name, "bigint"]),
  ];

  it("adds columns that are new", async () => {
    const table = spec({ location: "s3://lake/with a space/" });
    await answers(columnsOf({ ...table, columns: table.columns.slice(1) }), described(table.location), []);
    expect(await catalog.ensureTable(table)).toBe("changed");
  });

  it("does not take over a table that lies elsewhere", async () => {
    const table = spec();
    await answers(columnsOf(table), described("s3://other/"));
    await expect(catalog.ensureTable(table)).rejects.toMatchObject({
      kind: "invalid",
      message: expect.stringContaining("lies at s3://other"),
      hint: /another table name/,
    });
  });

  it("puts partition projection on a table that was made without it, once", async () => {
    const table = spec({ projection });
    const known = [columnsOf(table), described(table.location)];
    await answers(...known, [["EXTERNAL\tTRUE"], ["classification\tparquet"]], []);
    expect(await catalog.ensureTable(table)).toBe("changed");
    const set = Object.entries(tableProperties(table)).map(([name, value]) => [`${name}\t${value}`]);
    await answers(...known, [["EXTERNAL\tTRUE"], ...set]);
    expect(await catalog.ensureTable(table)).toBe("unchanged");
  });

  it("ends the projection that it put there, and says so; one of others is left alone", async () => {
    const table = spec({ projection });
    const off = { ...table, projection: { ...projection, isOn: false } };
    const set = Object.entries(tableProperties(table));
    const projected = [["Table Parameters:\t \t "], ["\tprojection.enabled  \ttrue                "]];
    const known = [columnsOf(table), [...described(table.location), ...projected]];
    const notes: string[] = [];
    const note = (text: string) => notes.push(text);
    await answers(
      ...known,
      set.map(([name, value]) => [`${name}\t${value}`]),
      [],
    );
    expect(await catalog.ensureTable(off, { note })).toBe("changed");
    expect(notes).toEqual([expect.stringMatching(/turned off: `hourpack register`/)]);
    const ofOthers = set.map(([name, value]) => [`${name}\t${value.replace("2030", "2099")}`]);
    await answers(...known, ofOthers);
    expect(await catalog.ensureTable(off, { note })).toBe("unchanged");
    expect(notes).toHaveLength(1);
  });

  it("tells which hours have no partition, under either spelling", async () => {
    await answers([
      ["year", "month", "day", "hour"],
      ["2022", "07", "26", "00"],
      ["2022", "7", "26", "1"],
    ]);
    const asked = [hour, addHours(hour, 1), addHours(hour, 2)];
    expect(await catalog.lacking(spec(), asked)).toEqual([addHours(hour, 2)]);
  });

  it("tells which tables are not there", async () => {
    const [there, lacking] = [spec(), spec()];
    await answers([["table_name"], [there.name]]);
    expect(await catalog.lackingTables([lacking, there])).toEqual([lacking]);
  });

  it("adds missing partitions, and compares and sets the location of those that are there", async () => {
    const table = spec();
    const hours = [hour, addHours(hour, 1), addHours(hour, 2)];
    await answers(
      [
        ["year", "month", "day", "hour"],
        ["2022", "07", "26", "00"],
        ["2022", "7", "26", "1"],
      ],
      [],
      [["# Partition Information"], [`Location:           \t${table.partitionLocation(hour)}`]],
      [["Location:           \ts3://old/place"]],
      [],
    );
    expect(await catalog.syncPartitions(table, hours)).toEqual({
      added: 1,
      corrected: 1,
      unchanged: 1,
      notes: [expect.stringContaining("s3://old/place")],
    });
  });
});

describe("a DuckDB file", () => {
  const root = mkdtempSync(join(tmpdir(), "hourpack-catalog-"));
  const path = join(root, "catalog.duckdb");
  const catalog = new LocalCatalog({ type: "local", database: "mmp_db", path }, async () => {
    throw new Error("no S3 here");
  });
  afterAll(() => rmSync(root, { recursive: true, force: true }));

  async function query(sql: string): Promise<Record<string, unknown>[]> {
    const database = await openDatabase(path, { access_mode: "READ_ONLY" });
    try {
      return await database.rows(sql);
    } finally {
      await database.close();
    }
  }

  async function writePart(location: string, of: typeof hour, select: string): Promise<void> {
    const folder = join(location, partitionPrefix(of));
    mkdirSync(folder, { recursive: true });
    const database = await openDatabase(":memory:");
    await database.run(`COPY (${select}) TO ${sqlString(join(folder, "x.parquet"))} (FORMAT parquet)`);
    await database.close();
  }

  it("has a view before there is a part, and reads parts of older columns beside newer ones", async () => {
    // A folder's name may look like a pattern.
    const location = `${join(root, "la[k]\\e*?")}/`;
    const table = spec({
      location,
      columns: [
        { name: "id", type: { kind: "bigint" } },
        { name: "late", type: { kind: "string" } },
      ],
    });
    expect(await catalog.ensureTable(table)).toBe("created");
    expect(await query(`SELECT * FROM mmp_db.${table.name}`)).toEqual([]);
    await writePart(location, hour, "SELECT 1::BIGINT AS id");
    await writePart(location, addHours(hour, 10), "SELECT 2::BIGINT AS id, 'x' AS late");
    expect(await catalog.ensureTable(table)).toBe("changed");
    expect(await catalog.ensureTable(table)).toBe("unchanged");
    expect(await query(`SELECT * FROM mmp_db.${table.name} ORDER BY id`)).toEqual([
      { id: 1, late: null, year: 2022, month: 7, day: 26, hour: 0 },
      { id: 2, late: "x", year: 2022, month: 7, day: 26, hour: 10 },
    ]);
  });

  it("has no column of a folder above the table that is called key=value", async () => {
    const location = `${join(root, "platform=android/year=1999/lake")}/`;
    const named = (name: string) => ({ name, type: { kind: "string" } as const });
    const table = spec({ location, columns: [named("platform")] });
    const withFilename = {
      ...table,
      name: `${table.name}_f`,
      columns: [named("platform"), named("filename")],
    };
    await writePart(location, hour, "SELECT 'ios' AS platform, 'own' AS filename");
    await writePart(location, addHours(hour, 10), "SELECT 'web' AS platform, 'its own' AS filename");
    await catalog.ensureTable(withFilename);
    expect(await query(`SELECT * FROM mmp_db.${withFilename.name} WHERE hour = 0`)).toEqual([
      { platform: "ios", filename: "own", year: 2022, month: 7, day: 26, hour: 0 },
    ]);
    rmSync(location, { recursive: true });
    await writePart(location, hour, "SELECT 'ios' AS platform");
    await writePart(location, addHours(hour, 10), "SELECT 'web' AS platform");
    await catalog.ensureTable(table);
    const ofHour = `SELECT * FROM mmp_db.${table.name} WHERE year = 2022 AND hour = 10`;
    expect(await query(ofHour)).toEqual([{ platform: "web", year: 2022, month: 7, day: 26, hour: 10 }]);
    // The other hour's file is not read.
    expect(JSON.stringify(await query(`EXPLAIN ANALYZE ${ofHour}`))).toMatch(/Total Files Read: 1\b/);
  });

  it("tells which tables are not there, also before there is a file", async () => {
    const settings = { type: "local", database: "mmp_db", path: join(root, "look.duckdb") } as const;
    const looked = new LocalCatalog(settings, () => Promise.reject(new Error("no S3 here")));
    const [there, lacking] = [spec({ location: `${join(root, "there")}/` }), spec()];
    expect(await looked.lackingTables([there, lacking])).toEqual([there, lacking]);
    expect(existsSync(settings.path)).toBe(false);
    await looked.ensureTable(there);
    expect(await looked.lackingTables([there, lacking])).toEqual([lacking]);
  });

  it("adds a partition of S3 once: another version of its part is copied again", async () => {
    const bucket = mkdtempSync(join(root, "bucket-"));
    const table = spec({
      location: "s3://lake/copied/",
      columns: [{ name: "id", type: { kind: "bigint" } }],
    });
    const overS3 = new LocalCatalog({ type: "local", database: "mmp_db", path }, async () => ({
      store: new LocalStore(bucket),
      prefix: partitionPrefix(hour),
    }));
    for (const [id, added, unchanged] of [
      [1, 1, 0],
      [1, 0, 1],
      [22, 0, 1],
    ]) {
      await writePart(bucket, hour, `SELECT unnest(range(${id}))::BIGINT + 1 AS id`);
      expect(await overS3.syncPartitions(table, [hour])).toMatchObject({ added, unchanged, corrected: 0 });
      expect(await query(`SELECT max(id) AS id FROM mmp_db.${table.name}`)).toEqual([{ id }]);
    }
    // A copy that is no Parquet file would fail every query of the table.
    for (const damage of ["trash\n", "PAR1 but cut"]) {
      writeFileSync(join(bucket, partitionPrefix(hour), "x.parquet"), damage);
      await expect(overS3.syncPartitions(table, [hour])).rejects.toMatchObject({
        kind: "data",
        message: expect.stringContaining("no whole Parquet file"),
      });
      expect(await query(`SELECT max(id) AS id FROM mmp_db.${table.name}`)).toEqual([{ id: 22 }]);
    }
  });

  it("copies the part of S3 that is there, where it was replaced since it was listed", async () => {
    const bucket = mkdtempSync(join(root, "bucket-"));
    const table = spec({ location: "s3://lake/raced/", columns: [{ name: "id", type: { kind: "bigint" } }] });
    const store = new LocalStore(bucket);
    const listed = store.list.bind(store);
    let replaced = 0;
    store.list = async function* (prefix, options) {
      yield* listed(prefix, options);
      if (replaced++ < 2) await writePart(bucket, hour, `SELECT unnest(range(${replaced}))::BIGINT AS id`);
    };
    await writePart(bucket, hour, "SELECT 99::BIGINT AS id");
    const overS3 = new LocalCatalog({ type: "local", database: "mmp_db", path }, async () => ({
      store,
      prefix: partitionPrefix(hour),
    }));
    expect(await overS3.syncPartitions(table, [hour])).toMatchObject({ added: 1 });
    expect(await query(`SELECT id FROM mmp_db.${table.name}`)).toEqual([{ id: 0 }, { id: 1 }]);
  });

  it("says where a part of S3 cannot be copied to, and that its hour lacks it", async () => {
    const table = spec({ location: "s3://lake/refused/" });
    const folder = join(`${path}.parts`, table.name, partitionPrefix(hour));
    mkdirSync(dirname(folder), { recursive: true });
    writeFileSync(folder.replace(/\/$/, ""), "");
    const overS3 = new LocalCatalog({ type: "local", database: "mmp_db", path }, async () => {
      return { store: new LocalStore(root), prefix: partitionPrefix(hour) };
    });
    await expect(overS3.syncPartitions(table, [hour])).rejects.toMatchObject({
      kind: "invalid",
      message: expect.stringMatching(/^copy s3:\/\/lake\/refused\/year=2022\/.*: ENOTDIR/),
    });
    expect(await overS3.lacking(table, [hour])).toEqual([hour]);
  });

  it("is changed by two at a time without losing a view", async () => {
    const specs = Array.from({ length: 6 }, (_, i) => spec({ location: `${join(root, `both${i}`)}/` }));
    await Promise.all(specs.map((table) => catalog.ensureTable(table)));
    const views = await query("SELECT view_name FROM duckdb_views() WHERE schema_name = 'mmp_db'");
    expect(views.map((view) => view["view_name"])).toEqual(
      expect.arrayContaining(specs.map(({ name }) => name)),
    );
  });

  it("is no pipe, which nobody might ever write to", async () => {
    const pipe = join(root, "pipe.duckdb");
    execFileSync("mkfifo", [pipe]);
    const settings = { type: "local", database: "mmp_db", path: pipe } as const;
    const none = new LocalCatalog(settings, () => Promise.reject(new Error("no S3 here")));
    await expect(none.ensureTable(spec({ location: `${root}/` }))).rejects.toMatchObject({
      kind: "invalid",
      message: expect.stringContaining("no file"),
    });
  });

  /** A process that has the file open for writing, and has written a row to a table of its own. */
  async function openElsewhere(): Promise<ChildProcess> {
    const script = `
      const { DuckDBInstance } = require("@duckdb/node-api");
      (async () => {
        const instance = await DuckDBInstance.create(process.argv[1]);
        const connection = await instance.connect();
        await connection.run("CREATE TABLE IF NOT EXISTS theirs (a INTEGER)");
        await connection.run("INSERT INTO theirs VALUES (1)");
        console.log("open");
        process.stdin.once("data", async () => {
          await connection.run("INSERT INTO theirs VALUES (2)");
          connection.closeSync();
          instance.closeSync();
          process.exit();
        });
      })();`;
    const child = spawn(process.execPath, ["-e", script, path], { stdio: ["pipe", "pipe", "inherit"] });
    await once(child.stdout, "data");
    return child;
  }

  // Elsewhere the kernel's two kinds of locks know nothing of each other.
  describe.runIf(process.platform === "linux")("that another process has open for writing", () => {
    const known = spec({ location: `${join(root, "known")}/` });
    const rows = async () => (await query("SELECT a FROM theirs ORDER BY a")).map(({ a }) => a);

    it("is waited for, so that nothing is lost that was written there", async () => {
      await catalog.ensureTable(known);
      const other = await openElsewhere();
      // Nothing to change: nothing to wait for.
      expect(await catalog.ensureTable(known)).toBe("unchanged");
      const table = spec({ location: `${join(root, "meanwhile")}/` });
      const changed = catalog.ensureTable(table);
      await setTimeout(300);
      other.stdin?.write("go on");
      expect(await changed).toBe("created");
      expect(await rows()).toEqual([1, 2]);
      expect(await query(`SELECT * FROM mmp_db.${table.name}`)).toEqual([]);
    });

    it("and was killed: what it left beside the file is taken in", async () => {
      const other = await openElsewhere();
      other.kill("SIGKILL");
      await once(other, "exit");
      expect(existsSync(`${path}.wal`)).toBe(true);
      expect(await catalog.ensureTable(spec({ location: `${join(root, "after")}/` }))).toBe("created");
      expect(await rows()).toEqual([1, 1, 2]);
    });

    it("and does not close it: a message, and the file as it was", { timeout: 20_000 }, async () => {
      const other = await openElsewhere();
      const table = spec({ location: `${join(root, "refused")}/` });
      await expect(catalog.ensureTable(table)).rejects.toMatchObject({
        kind: "unavailable",
        message: expect.stringContaining("open for writing"),
        hint: expect.stringContaining("hourpack register"),
      });
      other.stdin?.write("go on");
      await once(other, "exit");
      expect(await rows()).toEqual([1, 1, 1, 2, 2]);
      expect(await catalog.ensureTable(table)).toBe("created");
    });
  });
});
