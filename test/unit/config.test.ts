import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { toJsonSchema } from "@valibot/to-json-schema";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { draftConfig } from "../../src/config/draft.js";
import { FIELD_FLAGS } from "../../src/config/flags.js";
import { loadSettings, type SettingsSource } from "../../src/config/load.js";
import { configurationReference } from "../../src/config/reference.js";
import { configJsonSchema } from "../../src/config/schema.js";
import type { Settings } from "../../src/config/settings.js";
import { nearest } from "../../src/config/spelling.js";
import { parseDurationMs, parseSizeBytes } from "../../src/config/units.js";
import { unreadVariables } from "../../src/config/variables.js";
import { EXIT, exitCodeOf, HourpackError } from "../../src/errors.js";
import { Shape } from "../../src/record/inference.js";
import { type JsonObject, parseJson } from "../../src/record/json.js";

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "hourpack-config-"));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

let files = 0;
function load(yaml: string, source: SettingsSource = {}): Promise<Settings> {
  const cwd = join(dir, String(files++));
  mkdirSync(cwd);
  writeFileSync(join(cwd, "hourpack.yaml"), yaml);
  return loadSettings({ env: {}, cwd, ...source });
}

const bare = (source: SettingsSource) => loadSettings({ env: {}, cwd: dir, ...source });

async function failure(settings: Promise<Settings>): Promise<HourpackError> {
  const error = await settings.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof HourpackError)) throw new Error(`no HourpackError: ${error}`);
  expect(exitCodeOf(error)).toBe(EXIT.invalid);
  expect(error.hint, error.message).toMatch(/\S/);
  return error;
}

const EVENTS = `datasets:
  events:
    raw: "s3://lake-raw/events/year={yyyy}/month={MM}/day={dd}/hour={HH}/"
    tier1: s3://lake/events/
    table: events
`;

const ONE_OFF = {
  raw: "./raw/{yyyy}/{MM}/{dd}/{HH}/",
  tier1: "./lake/",
  table: "events",
};

describe("a configuration", () => {
  it("fills in what is not said", async () => {
    const settings = await load(EVENTS);
    expect(settings.file).toBe("hourpack.yaml");
    expect(settings.catalog).toEqual({ type: "none" });
    expect(settings.s3).toEqual({ timeoutMs: 30_000, retryBudgetMs: 300_000, write: {} });
    expect(settings.run).toMatchObject({
      lookBackHours: 48,
      settleMs: 300_000,
      lateSettleMs: 3_600_000,
      ahead: true,
      projection: false,
      batchBytes: 16_000_000,
      engineMemoryBytes: 256_000_000,
      maxRecordBytes: 64 * 2 ** 20,
      singleWriter: false,
    });
    expect(settings.datasets).toEqual([
      {
        name: "events",
        rawUri: "s3://lake-raw/events/year={yyyy}/month={MM}/day={dd}/hour={HH}/",
        raw: {
          location: { scheme: "s3", root: "lake-raw", prefix: "" },
          template: "events/year={yyyy}/month={MM}/day={dd}/hour={HH}/",
        },
        tier1: { scheme: "s3", root: "lake", prefix: "events/" },
        table: "events",
        rawTable: "events_raw",
        records: { text: "$", keys: [] },
        unknown: "rescue",
        columns: undefined,
        zone: "UTC",
        sortBy: [],
      },
    ]);
  });

  it("makes a dataset of each combination of its variables", async () => {
    const { datasets } = await load(`datasets:
  mmp:
    for: { platform: [android, ios], region: [jp, us] }
    raw: "s3://raw-bucket/{platform}/{region}/{yyyy}/{MM}/{dd}/{HH}/"
    tier1: "s3://lake/{platform}/{region}/"
    table: "mmp_{platform}_{region}"
    rawTable: "json_{platform}_{region}"
`);
    expect(datasets.map(({ name }) => name)).toEqual([
      "mmp/android/jp",
      "mmp/android/us",
      "mmp/ios/jp",
      "mmp/ios/us",
    ]);
    expect(datasets[3]).toMatchObject({
      raw: { template: "ios/us/{yyyy}/{MM}/{dd}/{HH}/" },
      tier1: { prefix: "ios/us/" },
      table: "mmp_ios_us",
      rawTable: "json_ios_us",
    });
  });

  it.each([
    ["a list", "    for: { v: [01, 1e3, 2024] }\n"],
    ["by an alias", "    for: { v: *values }\n"],
    ["in an alias", "    for: *variables\n"],
    ["merged", "    <<: *dataset\n"],
  ])("keeps the numbers of variables as they are written: %s", async (_how, variables) => {
    const { datasets } = await load(`datasets:
  first: &dataset
    for: &variables { v: &values [01, 1e3, 2024] }
    raw: "./first/{v}/{yyyy}/{MM}/{dd}/{HH}/"
    tier1: "./first-parquet/{v}/"
    table: "first_{v}"
  events:
${variables}    raw: "./events/{v}/{yyyy}/{MM}/{dd}/{HH}/"
    tier1: "./events-parquet/{v}/"
    table: "events_{v}"
`);
    const names = datasets.map(({ name }) => name).slice(3);
    expect(names).toEqual(["events/01", "events/1e3", "events/2024"]);
  });

  it("keeps a version as it is written", async () => {
    const { datasets } = await load(
      `datasets: { events: { for: { v: [1.10] }, raw: "./raw/{v}/{yyyy}/{MM}/{dd}/{HH}/", tier1: "./t/{v}/", table: t } }`,
    );
    expect(datasets[0]?.raw.template).toBe("{yyyy}/{MM}/{dd}/{HH}/");
    expect(datasets[0]?.rawUri).toContain("/raw/1.10/");
  });

  it("reads columns in Hive's types, with their sources", async () => {
    const { datasets } = await load(`${EVENTS}    columns:
      appVersion: string
      event_value: { type: "struct<user_id:string,n:array<bigint>>", json: string }
      comic_id: { type: string, from: event_value.comic_id }
      quoted: { type: bigint, from: '"a.b".c' }
      log_group: { type: string, from: ^.logGroup }
      at: { type: timestamp, epoch: ms }
      local: { type: timestamp, zone: Asia/Tokyo }
      price: decimal(10,2)
`);
    expect(datasets[0]?.columns).toEqual([
      { name: "appversion", type: { kind: "string" }, path: ["appVersion"], derived: false },
      {
        name: "event_value",
        type: {
          kind: "struct",
          fields: [
            { name: "user_id", key: "user_id", type: { kind: "string" } },
            { name: "n", key: "n", type: { kind: "array", element: { kind: "bigint" } } },
          ],
        },
        path: ["event_value"],
        derived: false,
        jsonString: true,
      },
      { name: "comic_id", type: { kind: "string" }, path: ["event_value", "comic_id"], derived: true },
      { name: "quoted", type: { kind: "bigint" }, path: ["a.b", "c"], derived: true },
      { name: "log_group", type: { kind: "string" }, path: ["logGroup"], derived: true, envelope: true },
      { name: "at", type: { kind: "timestamp", epoch: "ms" }, path: ["at"], derived: false },
      { name: "local", type: { kind: "timestamp", zone: "Asia/Tokyo" }, path: ["local"], derived: false },
      { name: "price", type: { kind: "decimal", precision: 10, scale: 2 }, path: ["price"], derived: false },
    ]);
  });

  it("takes names that JavaScript's objects have", async () => {
    const settings = await load(`${EVENTS}    columns: { constructor: string, prototype: int }\n`);
    expect(settings.datasets[0]?.columns?.map(({ name }) => name)).toEqual(["constructor", "prototype"]);
  });

  it("takes paths in a file as relative to the file, and those in flags as relative to the caller", async () => {
    const yaml = `datasets:
  events: { raw: "./raw/{yyyy}/{MM}/{dd}/{HH}/", tier1: lake, table: events }
catalog: { type: local, path: catalog.duckdb }
run: { spoolDir: spool }
`;
    mkdirSync(join(dir, "elsewhere"));
    writeFileSync(join(dir, "elsewhere/hp.yaml"), yaml);
    const settings = await bare({ file: "elsewhere/hp.yaml", flags: { tier1: "./mine/" } });
    expect(settings.file).toBe("elsewhere/hp.yaml");
    expect(settings.datasets[0]?.raw.location.root).toBe(join(dir, "elsewhere/raw"));
    expect(settings.datasets[0]?.tier1.root).toBe(join(dir, "mine"));
    expect(settings.catalog).toMatchObject({ path: join(dir, "elsewhere/catalog.duckdb") });
    expect(settings.run.spoolDir).toBe(join(dir, "elsewhere/spool"));
  });

  it.each(["./lake/", "../lake", "/lake/", ".", "file:///lake/"])(
    "takes a tier 1 that is said to be a directory beside raw in S3: %s",
    async (tier1) => {
      const { datasets } = await load(EVENTS.replace("s3://lake/events/", tier1));
      expect(datasets[0]?.tier1.scheme).toBe("file");
    },
  );

  it("resolves each kind of catalog", async () => {
    const catalogOf = async (text: string) =>
      (await load(`${EVENTS}s3: { region: eu-west-1 }\ncatalog: ${text}\n`)).catalog;
    expect(await catalogOf("{ type: glue, database: db, catalogId: '012345678901' }")).toEqual({
      type: "glue",
      database: "db",
      catalogId: "012345678901",
      region: "eu-west-1",
      timeoutMs: 300_000,
    });
    expect(
      await catalogOf("{ type: athena, database: db, output: s3://b/a/, timeout: 90s, region: us-east-1 }"),
    ).toEqual({
      type: "athena",
      database: "db",
      workgroup: "primary",
      output: "s3://b/a/",
      catalogName: "AwsDataCatalog",
      timeoutMs: 90_000,
      region: "us-east-1",
    });
    expect(await catalogOf("{ path: c.duckdb }")).toMatchObject({ type: "local", database: "hourpack" });
  });
});

/** Lines are counted from 1; EVENTS has five. */
const BAD: [what: string, yaml: string, line: number, message: RegExp, hint: RegExp][] = [
  ["a template without an hour", EVENTS.replace("hour={HH}/", ""), 3, /lacks \{HH\}/, /hour=\{HH\}/],
  [
    "an unknown placeholder",
    EVENTS.replace("lake-raw/", "lake-raw/{platform}/"),
    3,
    /\{platform\}/,
    /`for:`/,
  ],
  [
    "a minute before the hour",
    `${EVENTS}worker: { at: [5, -5] }\n`,
    6,
    /worker\.at\.1 must be at least 0, not -5/,
    /^at: Worker: minutes of the hour/,
  ],
  [
    "a misspelt key of a dataset",
    EVENTS.replace("table:", "tabel:"),
    5,
    /unknown key "tabel" in datasets\.events/,
    /"table"/,
  ],
  [
    "a duration without its unit",
    `${EVENTS}run: { lookBack: 48 }\n`,
    6,
    /lookBack must be a string, not 48/,
    /a unit, like/,
  ],
  [
    "minutes as a duration",
    `${EVENTS}worker: { at: 5m }\n`,
    6,
    /worker\.at must not be "5m"/,
    /0 to 59, or a list/,
  ],
  [
    "columns as a list",
    `${EVENTS}    columns: [id]\n`,
    6,
    /columns must be a map, not a list/,
    /`id: bigint`/,
  ],
  [
    "what is neither a share nor a count",
    `${EVENTS}run: { maxQuarantine: 1.5 }\n`,
    6,
    /maxQuarantine 1\.5 is neither a count nor a share/,
    /0\.05 for 5 %/,
  ],
  ["a share in percent", `${EVENTS}run: { maxQuarantine: 5% }\n`, 6, /not "5%"/, /0\.05 for 5 %/],
  ["a misspelt section", `${EVENTS}catalogue: {}\n`, 6, /unknown key "catalogue"/, /"catalog"/],
  ["a key that resembles none", `${EVENTS}run:\n  zzz: 1\n`, 7, /unknown key "zzz" in run/, /lookBack/],
  ["a missing key", EVENTS.replace(/ {4}table.*\n/, ""), 2, /datasets\.events\.table is missing/, /table/],
  [
    "a column type that Athena lacks",
    `${EVENTS}    columns:\n      a: string\n      b: varchar\n`,
    8,
    /"varchar" is no type/,
    /string/,
  ],
  ...[
    ["bool", "boolean"],
    ["int64", "bigint"],
    ["long", "bigint"],
    ["float", "double"],
    ["text", "string"],
    ["json", "string"],
  ].map(([other, ours]): (typeof BAD)[number] => [
    `${other} as a type`,
    `${EVENTS}    columns: { b: "struct<x:${other}>" }\n`,
    6,
    new RegExp(`"${other}" is no type`),
    new RegExp(`^Write ${ours}\\.$`),
  ]),
  [
    "a nested type that Athena lacks",
    `${EVENTS}    columns:\n      b: { type: "array<uuid>" }\n`,
    7,
    /"uuid"/,
    /string/,
  ],
  [
    "a type that nests too deep for the engine",
    `${EVENTS}    columns:\n      b: "${"array<".repeat(17)}int${">".repeat(17)}"\n`,
    7,
    /nests deeper than 16 levels/,
    /Make it a string/,
  ],
  [
    "a misspelt key of a column",
    `${EVENTS}    columns:\n      b:\n        type: string\n        form: c\n`,
    9,
    /unknown key "form"/,
    /"from"/,
  ],
  [
    "a column named as a partition key",
    `${EVENTS}    columns:\n      Hour: int\n`,
    7,
    /"Hour" has the name of a partition key/,
    /from: Hour/,
  ],
  [
    "a column named as rescued data",
    `${EVENTS}    columns:\n      _rescued_data: string\n`,
    7,
    /rescued data/,
    /from:/,
  ],
  [
    "columns that are one when folded",
    `${EVENTS}    columns:\n      Tag: int\n      tag: int\n`,
    8,
    /"Tag" and "tag" have one name/,
    /Rename/,
  ],
  ["a column written twice", `${EVENTS}    columns:\n      tag: int\n      tag: int\n`, 8, /unique/i, /YAML/],
  [
    "a column with a bad name",
    `${EVENTS}    columns:\n      "a-b": int\n`,
    7,
    /"a-b" is no column name/,
    /from:/,
  ],
  [
    "epoch on a string",
    `${EVENTS}    columns:\n      t: { type: string, epoch: ms }\n`,
    7,
    /no timestamp/,
    /timestamp/,
  ],
  [
    "a bad epoch",
    `${EVENTS}    columns:\n      t: { type: timestamp, epoch: us }\n`,
    7,
    /epoch must be s or ms, not "us"/,
    /^Microseconds are not read as times.* type: bigint/,
  ],
  [
    "an epoch in words",
    `${EVENTS}    columns:\n      t: { type: timestamp, epoch: milliseconds }\n`,
    7,
    /not "milliseconds"/,
    /^Did you mean "ms"\?$/,
  ],
  [
    "a bad source",
    `${EVENTS}    columns:\n      t: { type: string, from: "a..b" }\n`,
    7,
    /"a\.\.b" is no path/,
    /a\.b/,
  ],
  [
    "an order by what is no column",
    `${EVENTS}    columns: { a: string }\n    sortBy: [b]\n`,
    7,
    /sortBy names "b", which is no column/,
    /Columns are: a\./,
  ],
  [
    "an order by a struct",
    `${EVENTS}    columns: { s: "struct<x:string>" }\n    sortBy: [s]\n`,
    7,
    /"s", whose values have no order: it is a struct/,
    /from: s\.x/,
  ],
  [
    "an order by a map",
    `${EVENTS}    columns: { m: "map<string,int>" }\n    sortBy: [M]\n`,
    7,
    /it is a map/,
    /no array/,
  ],
  ["an order that is no list", `${EVENTS}    sortBy: a\n`, 6, /sortBy must be a list, not "a"/, /to sort/],
  [
    "a record path with a bad escape",
    `${EVENTS}    records: '"a\\q"[*]'\n`,
    6,
    /is no record path/,
    /Records\[\*\]/,
  ],
  ["a bad record path", `${EVENTS}    records: Records\n`, 6, /"Records" is no record path/, /Records\[\*\]/],
  ["a bad zone", `${EVENTS}    zone: Asia/Tokio\n`, 6, /"Asia\/Tokio" is no time zone/, /Asia\/Tokyo/],
  [
    "a bad choice",
    `${EVENTS}    unknown: rescued\n`,
    6,
    /unknown must be rescue or add, not "rescued"/,
    /"rescue"/,
  ],
  [
    "a bad table name",
    EVENTS.replace("table: events", "table: my-events"),
    5,
    /"my-events" is no table name/,
    /underscores/,
  ],
  ["a bad bucket name", EVENTS.replace("s3://lake/", "s3://Lake/"), 4, /names no valid bucket/, /lower-case/],
  ["another kind of URI", EVENTS.replace("s3://lake/", "gs://lake/"), 4, /neither an s3/, /s3:\/\//],
  [
    "a bad duration",
    `${EVENTS}run:\n  settle: 5 minutes\n`,
    7,
    /run\.settle "5 minutes" is not a duration/,
    /5m/,
  ],
  ["a bad size", `${EVENTS}run:\n  batch: 16\n`, 7, /run\.batch must be a string, not 16/, /a unit, like/],
  [
    "a dataset that JavaScript would lose",
    `${EVENTS}  __proto__: { raw: "./r/{HH}/", tier1: ./t/, table: t }\n`,
    6,
    /__proto__/,
    /another name/,
  ],
  [
    "a column that JavaScript would lose",
    `${EVENTS}    columns: { a: int, __proto__: string }\n`,
    6,
    /__proto__/,
    /another name/,
  ],
  ["a look-back without an end", `${EVENTS}run: { lookBack: 99999d }\n`, 6, /is over 100 years/, /each run/],
  ["a look-back of no whole hours", `${EVENTS}run: { lookBack: 90m }\n`, 6, /no number of whole hours/, /6h/],
  [
    "a number that is too small",
    `${EVENTS}s3: { concurrency: 0 }\n`,
    6,
    /s3\.concurrency must be at least 1, not 0/,
    /GETs/,
  ],
  [
    "a text where a number belongs",
    `${EVENTS}s3: { concurrency: many }\n`,
    6,
    /must be a number, not "many"/,
    /GETs/,
  ],
  [
    "a share in per cent",
    `${EVENTS}run: { maxQuarantine: 5% }\n`,
    6,
    /must be a number, not "5%"/,
    /0\.05 for 5 %/,
  ],
  [
    "an account id without quotes",
    `${EVENTS}s3: { expectedBucketOwner: 123456789012 }\n`,
    6,
    /must be a string, not 123456789012/,
    /quotes/,
  ],
  [
    "a share without end",
    `${EVENTS}run: { maxQuarantine: .inf }\n`,
    6,
    /must be a number, not Infinity/,
    /0\.05 for 5 %/,
  ],
  ["a list in place of a section", `${EVENTS}run: []\n`, 6, /run must be a map, not a list/, /How hours are/],
  [
    "a list in place of columns",
    `${EVENTS}    columns: [a, b]\n`,
    6,
    /columns must be a map, not a list/,
    /Columns by name/,
  ],
  [
    "a list in place of a catalog",
    `${EVENTS}catalog: [local]\n`,
    6,
    /must be a map, not a list/,
    /partitions/,
  ],
  [
    "a dataset's name with a blank",
    EVENTS.replace("events:", '"my events":'),
    2,
    /the name "my events" has characters that a name cannot have/,
    /hyphens/,
  ],
  [
    "a bad endpoint of a catalog",
    `${EVENTS}catalog: { type: glue, database: d, endpoint: "ftp://x" }\n`,
    6,
    /catalog\.endpoint "ftp:\/\/x" is no URL/,
    /http:/,
  ],
  ["a bad endpoint", `${EVENTS}s3: { endpoint: "127.0.0.1:9000" }\n`, 6, /is no URL/, /http:/],
  [
    "yes",
    `${EVENTS}s3: { forcePathStyle: "yes" }\n`,
    6,
    /s3\.forcePathStyle must be true or false, not "yes"/,
    /^forcePathStyle: /,
  ],
  [
    "a question mark in the path of a catalog",
    `${EVENTS}catalog: { type: local, path: "./a?b/c.duckdb" }\n`,
    6,
    /catalog\.path ".*a\?b\/c\.duckdb" has a \?/,
    /without one/,
  ],
  [
    "an unknown catalog",
    `${EVENTS}catalog: { type: gleu }\n`,
    6,
    /must be none, local, glue or athena, not "gleu"/,
    /"glue"/,
  ],
  [
    "a catalog by its engine",
    `${EVENTS}catalog: { type: duckdb, path: c.duckdb }\n`,
    6,
    /not "duckdb"/,
    /^Did you mean "local"\?/,
  ],
  [
    "a field of another catalog",
    `${EVENTS}catalog: { type: glue, database: d, path: x }\n`,
    6,
    /unknown key "path" in catalog/,
    /database/,
  ],
  [
    "a catalog without its database",
    `${EVENTS}catalog: { type: glue }\n`,
    6,
    /catalog\.database is missing/,
    /Database/,
  ],
  [
    "a misspelt key for all datasets",
    EVENTS.replace("datasets:", "dataset:"),
    1,
    /unknown key "dataset"/,
    /^Did you mean "datasets"\?$/,
  ],
  ["no dataset", "datasets: {}\n", 1, /no dataset is configured/, /raw, tier1 and table/],
  ["an empty file", "", 1, /no map/, /datasets/],
  ["a list", "- a\n", 1, /no map/, /datasets/],
  ["broken YAML", "datasets:\n  a: [1,\nb: 2\n", 3, /read the configuration/, /YAML/],
  ["a custom tag", `${EVENTS}    records: !!js/function "x"\n`, 6, /tag/i, /Tags/],
  [
    "tier 1 without its s3://",
    EVENTS.replace("s3://lake/", "lake/"),
    4,
    /tier1 "lake\/events\/" is a directory, and raw is in S3/,
    /^Write s3:\/\/lake\/events\/ .* or \.\/lake\/events\/ /,
  ],
  [
    "raw without its s3://",
    EVENTS.replace("s3://lake-raw/", "lake-raw/"),
    3,
    /raw "lake-raw\/.*" is a directory, and tier1 is in S3/,
    /^Write s3:\/\/lake-raw\/events/,
  ],
  [
    "tier 1 inside raw",
    EVENTS.replace("s3://lake/events/", "s3://lake-raw/events/parquet/"),
    4,
    /lie in one another/,
    /beside/,
  ],
  [
    "raw inside tier 1",
    EVENTS.replace("s3://lake/events/", "s3://lake-raw/"),
    4,
    /lie in one another/,
    /beside/,
  ],
  [
    "two datasets with one tier 1",
    `${EVENTS}  more:\n    raw: "s3://b-raw/{yyyy}/{MM}/{dd}/{HH}/"\n    tier1: s3://lake/events\n    table: more\n`,
    8,
    /events and more write to one tier-1 prefix/,
    /own/,
  ],
  [
    "a tier 1 inside another",
    `${EVENTS}  more:\n    raw: "s3://b-raw/{yyyy}/{MM}/{dd}/{HH}/"\n    tier1: s3://lake/events/more/\n    table: more\n`,
    8,
    /in one another/,
    /own/,
  ],
  [
    "variables that tier 1 does not use",
    `datasets:\n  m:\n    for: { p: [a, b] }\n    raw: "s3://raw-bucket/{p}/{yyyy}/{MM}/{dd}/{HH}/"\n    tier1: s3://lake/m/\n    table: "m_{p}"\n`,
    5,
    /m\/a and m\/b write to one tier-1 prefix/,
    /`for:`/,
  ],
  [
    "variables that table does not use",
    `datasets:\n  m:\n    for: { p: [a, b] }\n    raw: "s3://raw-bucket/{p}/{yyyy}/{MM}/{dd}/{HH}/"\n    tier1: "s3://lake/{p}/"\n    table: m\n`,
    6,
    /have one table, m/,
    /`for:`/,
  ],
];

describe("a bad configuration", () => {
  it.each(BAD)("%s", async (_what, yaml, line, message, hint) => {
    const error = await failure(load(yaml));
    expect(error.location).toBe(`hourpack.yaml:${line}`);
    expect(error.message).toMatch(message);
    expect(error.hint).toMatch(hint);
  });

  it("counts the problems after the first", async () => {
    const error = await failure(load(`${EVENTS}s3: { concurrency: 0, region: "", timeout: x }\n`));
    expect(error.hint).toMatch(/\(2 more after this one\.\)$/);
  });

  it("is one whose aliases come to more than anybody meant", async () => {
    const bomb = ["a: &a [x, x, x, x, x, x, x, x, x, x]"];
    for (const [from, to] of ["ab", "bc", "cd", "de", "ef", "fg"])
      bomb.push(`${to}: &${to} [${Array(10).fill(`*${from}`).join(", ")}]`);
    const error = await failure(load(`${bomb.join("\n")}\n${EVENTS}`));
    expect(error).toMatchObject({ kind: "invalid", hint: expect.stringContaining("aliases") });
  });

  it("is one that is named and not there", async () => {
    const error = await failure(bare({ file: "nowhere.yaml" }));
    expect(error).toMatchObject({ location: "nowhere.yaml", message: expect.stringMatching(/no such file/) });
  });
});

describe("directories that have two names", () => {
  it("are one: tier 1 is not let into raw by a link", async () => {
    mkdirSync(join(dir, "raw"));
    symlinkSync(join(dir, "raw"), join(dir, "also"));
    const flags = {
      raw: join(dir, "raw/{yyyy}/{MM}/{dd}/{HH}/"),
      tier1: join(dir, "also/lake/"),
      table: "t",
    };
    expect((await failure(bare({ flags }))).message).toMatch(/in one another/);
  });
});

describe("prefixes from a bucket's root on", () => {
  const inBucket = (raw: string, tier1: string) => bare({ flags: { raw, tier1, table: "t" } });
  it("leave room beside the hours' folders", async () => {
    const { datasets } = await inBucket("s3://lake/{yyyy}/{MM}/{dd}/{HH}/", "s3://lake/parquet/");
    expect(datasets[0]?.tier1.prefix).toBe("parquet/");
  });
  it.each(["s3://lake/", "s3://lake/2022/"])("have none at %s", async (tier1) => {
    expect((await failure(inBucket("s3://lake/{yyyy}/{MM}/{dd}/{HH}/", tier1))).message).toMatch(
      /in one another/,
    );
  });
  it("do not meet by the beginning of a name", async () => {
    const { datasets } = await inBucket(
      "s3://lake/events/{yyyy}/{MM}/{dd}/{HH}/",
      "s3://lake/events-parquet/",
    );
    expect(datasets).toHaveLength(1);
  });
});

describe("flags and variables", () => {
  it("are one for each field, by one rule", () => {
    const byFlag = Object.fromEntries(FIELD_FLAGS.map((field) => [field.flag, field]));
    expect(byFlag["s3-endpoint"]).toMatchObject({
      variable: "HOURPACK_S3_ENDPOINT",
      path: ["s3", "endpoint"],
    });
    expect(byFlag["s3-write-storage-class"]).toMatchObject({ path: ["s3", "write", "storageClass"] });
    expect(byFlag["catalog"]).toMatchObject({ variable: "HOURPACK_CATALOG", path: ["catalog", "type"] });
    expect(byFlag["catalog-path"]).toMatchObject({ path: ["catalog", "path"], default: "catalog.duckdb" });
    expect(byFlag["late-settle"]).toMatchObject({
      variable: "HOURPACK_LATE_SETTLE",
      path: ["run", "lateSettle"],
    });
    expect(byFlag["raw-table"]).toMatchObject({ variable: "HOURPACK_RAW_TABLE", path: ["rawTable"] });
    expect(Object.keys(byFlag)).toHaveLength(FIELD_FLAGS.length);
    for (const field of FIELD_FLAGS) expect(field.description, field.flag).toMatch(/\S/);
  });

  it("make a run that needs no file", async () => {
    const flags = {
      ...ONE_OFF,
      columns: "id:bigint,st:struct<a:string,b:decimal(4,1)>",
      unknown: "add",
      records: "R[*]",
    };
    const { datasets, file } = await bare({ flags });
    expect(file).toBeUndefined();
    expect(datasets[0]).toMatchObject({
      name: "events",
      table: "events",
      unknown: "add",
      records: { keys: ["R"] },
      raw: { location: { root: join(dir, "raw") }, template: "{yyyy}/{MM}/{dd}/{HH}/" },
      tier1: { root: join(dir, "lake") },
    });
    expect(datasets[0]?.columns?.map(({ name, type }) => [name, type.kind])).toEqual([
      ["id", "bigint"],
      ["st", "struct"],
    ]);
  });

  it("go before the file: a flag first, then its variable", async () => {
    const yaml = `${EVENTS}run: { settle: 1m, lateSettle: 1m, lookBack: 2h }\n`;
    const env = {
      HOURPACK_SETTLE: "2m",
      HOURPACK_LATE_SETTLE: "2m",
      HOURPACK_AHEAD: "false",
      HOURPACK_S3_CONCURRENCY: "7",
    };
    const { run, s3 } = await load(yaml, { env, flags: { settle: "3m" } });
    expect(run).toMatchObject({ settleMs: 180_000, lateSettleMs: 120_000, lookBackHours: 2, ahead: false });
    expect(s3.concurrency).toBe(7);
  });

  it("replace the file's datasets where they make a whole one, and keep its other settings", async () => {
    const settings = await load(`${EVENTS}s3: { region: eu-west-1 }\n`, {
      flags: { ...ONE_OFF, table: "mine" },
    });
    expect(settings.datasets.map(({ name }) => name)).toEqual(["mine"]);
    expect(settings.s3.region).toBe("eu-west-1");
  });

  it("are about the file's one dataset, or the one chosen", async () => {
    const two = `${EVENTS}  more:\n    raw: "s3://b-raw/{yyyy}/{MM}/{dd}/{HH}/"\n    tier1: s3://lake/more/\n    table: more\n`;
    expect((await load(EVENTS, { flags: { unknown: "add" } })).datasets[0]?.unknown).toBe("add");
    const chosen = await load(two, { flags: { unknown: "add" }, datasets: ["more"] });
    expect(chosen.datasets.map(({ unknown }) => unknown)).toEqual(["rescue", "add"]);
    const error = await failure(load(two, { flags: { unknown: "add" } }));
    expect(error).toMatchObject({
      location: "--unknown",
      hint: expect.stringMatching(/--dataset: events, more/),
    });
  });

  it("read maps and lists of variables", async () => {
    const flags = {
      ...ONE_OFF,
      raw: "./raw/{p}/{yyyy}/{MM}/{dd}/{HH}/",
      tier1: "./lake/{p}/",
      table: "t_{p}",
      for: "p=a,b",
      "s3-write-tags": "team=data,cost=low",
    };
    const settings = await bare({ flags });
    expect(settings.datasets.map(({ name }) => name)).toEqual(["t/a", "t/b"]);
    expect(settings.s3.write.tags).toEqual({ team: "data", cost: "low" });
  });

  it("take the endpoint that the AWS SDK would take", async () => {
    const endpointOf = async (env: NodeJS.ProcessEnv, flags = {}) =>
      (await load(EVENTS, { env, flags })).s3.endpoint;
    expect(await endpointOf({ AWS_ENDPOINT_URL: "http://a:1" })).toBe("http://a:1");
    expect(await endpointOf({ AWS_ENDPOINT_URL: "http://a:1", AWS_ENDPOINT_URL_S3: "http://b:1" })).toBe(
      "http://b:1",
    );
    expect(await endpointOf({ AWS_ENDPOINT_URL: "http://a:1" }, { "s3-endpoint": "http://c:1" })).toBe(
      "http://c:1",
    );
  });

  it("name another kind of catalog than the file without what only the file's kind has", async () => {
    const local = `${EVENTS}catalog: { type: local, database: lake, path: c.duckdb }\n`;
    const glue = `${EVENTS}catalog: { type: glue, database: lake, catalogId: '012345678901', region: eu-west-1 }\n`;
    const catalogOf = async (yaml: string, source: SettingsSource) => (await load(yaml, source)).catalog;
    expect(await catalogOf(local, { flags: { catalog: "none" } })).toEqual({ type: "none" });
    expect(await catalogOf(local, { env: { HOURPACK_CATALOG: "none" } })).toEqual({ type: "none" });
    expect(await catalogOf(local, { flags: { catalog: "glue" } })).toMatchObject({
      type: "glue",
      database: "lake",
    });
    expect(await catalogOf(glue, { flags: { catalog: "athena" } })).toMatchObject({
      type: "athena",
      region: "eu-west-1",
    });
    expect(await catalogOf(glue, { flags: { "catalog-path": "./c.duckdb" } })).toMatchObject({
      type: "local",
      database: "lake",
    });
    expect(await catalogOf(local, { flags: { catalog: "local" } })).toMatchObject({
      path: expect.stringMatching(/c\.duckdb$/),
    });
    const env = { HOURPACK_CATALOG: "athena", HOURPACK_CATALOG_OUTPUT: "s3://b/a/" };
    expect(await catalogOf(EVENTS, { env, flags: { catalog: "none" } })).toEqual({ type: "none" });
    expect(
      await failure(load(local, { flags: { catalog: "none", "catalog-output": "s3://b/a/" } })),
    ).toMatchObject({ location: "--catalog-output" });
    expect((await failure(load(local, { flags: { catalog: "gleu" } }))).hint).toContain('"glue"');
  });

  it("are told as the place of what is wrong", async () => {
    const place = async (source: SettingsSource) => (await failure(bare(source))).location;
    expect(await place({ flags: { ...ONE_OFF, settle: "soon" } })).toBe("--settle");
    expect(await place({ flags: ONE_OFF, env: { HOURPACK_SETTLE: "soon" } })).toBe("HOURPACK_SETTLE");
    expect(await place({ flags: { ...ONE_OFF, "s3-concurrency": "x" } })).toBe("--s3-concurrency");
    expect(await place({ flags: { ...ONE_OFF, columns: "a:varchar" } })).toBe("--columns");
    expect(await place({ flags: { ...ONE_OFF, raw: "./raw/{yyyy}/" } })).toBe("--raw");
    expect(await place({ flags: { ...ONE_OFF, tier1: "./raw/x/" } })).toBe("--tier1");
    expect(await place({ flags: { ...ONE_OFF, table: ["a", "b"] } })).toBe("--table");
    expect(await place({ flags: { ...ONE_OFF, "s3-write-tags": "x" } })).toBe("--s3-write-tags");
    expect(await place({ flags: { ...ONE_OFF, catalog: "glue" } })).toBe("--catalog-database");
    expect(await place({ flags: ONE_OFF, env: { AWS_ENDPOINT_URL: "nonsense" } })).toBe("AWS_ENDPOINT_URL");
  });

  it.each([
    ["for", "--for", "__proto__=x"],
    ["for", "--for", "p=a; __proto__ =x"],
    ["s3-write-tags", "--s3-write-tags", "team=data,__proto__=x"],
    ["columns", "--columns", "__proto__ int"],
    ["table", "--table", "__proto__"],
  ])("refuse a name that JavaScript would lose: %s", async (flag, location, text) => {
    const error = await failure(bare({ flags: { ...ONE_OFF, [flag]: text } }));
    expect(error).toMatchObject({ location, message: expect.stringContaining("__proto__") });
  });

  it("say what a one-off run lacks", async () => {
    expect((await failure(bare({ flags: { raw: "./x/", table: "t" } }))).message).toBe("--tier1 is missing");
    expect((await failure(bare({}))).hint).toMatch(/hourpack init/);
  });

  it("need no dataset where only the catalog is asked for", async () => {
    const settings = await bare({
      flags: { "catalog-path": "./c.duckdb", tier1: "./l/", table: "t" },
      withoutDatasets: true,
    });
    expect(settings).toMatchObject({ datasets: [], catalog: { type: "local", path: join(dir, "c.duckdb") } });
  });
});

describe("variables that nobody reads", () => {
  const told = async (...names: string[]) =>
    (await unreadVariables({ ...Object.fromEntries(names.map((name) => [name, "x"])) })).join("\n");

  it.each([
    ["HOURPACK_LOK_BACK", "HOURPACK_LOOK_BACK"],
    ["HOURPACK_RUN_SETTLE", "HOURPACK_SETTLE"],
    ["HOURPACK_S3_ENDPONT", "HOURPACK_S3_ENDPOINT"],
    ["HOURPACK_LOGLEVEL", "HOURPACK_LOG_LEVEL"],
    ["HOURPACK_HOOKS_URL", "HOURPACK_HOOK_URL"],
  ])("%s is told as %s", async (name, meant) => {
    expect(await told(name)).toBe(`the variable ${name} is not read: did you mean ${meant}?`);
  });

  it("what is like none is told, too", async () => {
    expect(await told("HOURPACK_FAVOURITE_COLOUR")).toMatch(
      /FAVOURITE_COLOUR is not read: docs\/configuration\.md/,
    );
  });

  it("those of the fields, of the tests and of Kubernetes are not told", async () => {
    expect(await told(...FIELD_FLAGS.map(({ variable }) => variable))).toBe("");
    expect(await told("HOURPACK_CONFIG", "HOURPACK_HOOK_URL", "HOURPACK_LOG_LEVEL", "PATH")).toBe("");
    expect(await told("HOURPACK_CACHE", "HOURPACK_TEST_S3_ENDPOINT", "HOURPACK_PROPERTY_RUNS")).toBe("");
    const service = ["SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_METRICS", "PORT", "PORT_9464_TCP"];
    const ports = ["PORT_9464_TCP_PROTO", "PORT_9464_TCP_PORT", "PORT_9464_TCP_ADDR"];
    for (const name of [...service, ...ports])
      expect(await told(`HOURPACK_${name}`, `HOURPACK_WORKER_${name}`)).toBe("");
  });

  it("an empty one is none", async () => {
    expect(await unreadVariables({ HOURPACK_LOK_BACK: "" })).toEqual([]);
  });
});

describe("units", () => {
  it.each([
    ["250ms", 250],
    ["30s", 30_000],
    ["1.5m", 90_000],
    ["1h", 3_600_000],
    ["2d", 172_800_000],
  ])("%s", (text, ms) => {
    expect(parseDurationMs(text)).toBe(ms);
  });
  it.each([
    ["1B", 1],
    ["512KB", 512_000],
    ["16MB", 16_000_000],
    ["1.5GB", 1.5e9],
    ["64MiB", 67_108_864],
    ["1GiB", 2 ** 30],
  ])("%s", (text, bytes) => {
    expect(parseSizeBytes(text)).toBe(bytes);
  });
  it.each(["", "5", "m", "-5m", "5 m", "5M", "1h30m"])("no duration: %j", (text) => {
    expect(() => parseDurationMs(text)).toThrow(HourpackError);
  });
  it.each(["", "5", "MB", "-5MB", "5 MB", "5mb", "5M"])("no size: %j", (text) => {
    expect(() => parseSizeBytes(text)).toThrow(HourpackError);
  });
});

describe("spelling", () => {
  it.each([
    ["tabel", "table"],
    ["late_settle", "lateSettle"],
    ["lokBack", "lookBack"],
    ["raw_table", "rawTable"],
    ["xyz", undefined],
  ])("%s is probably %s", (word, meant) => {
    expect(nearest(word, ["table", "rawTable", "lateSettle", "lookBack", "tier1"])).toBe(meant);
  });
});

describe("a draft", () => {
  it("is a configuration that gives its columns back", async () => {
    const shape = new Shape();
    const record = parseJson(
      '{"userId":"u","true":1,"a-b":{"x":1.5},"hour":3,"a.b":"t","at":"2022-07-26T00:00:01Z","123":2}',
    );
    shape.observe(record.value as JsonObject);
    const columns = shape.columns();
    const yaml = draftConfig({
      dataset: "2022",
      raw: "s3://lake-raw/{part}/{yyyy}/{MM}/{dd}/{HH}/",
      tier1: "s3://lake/{part}/",
      table: "t_{part}",
      variable: { name: "part", values: ["a_b", "true"] },
      records: "Records[*]",
      columns,
      seen: "1 record",
      s3: { endpoint: "http://127.0.0.1:9000", forcePathStyle: true },
    });
    const settings = await load(yaml);
    expect(settings.datasets.map(({ name }) => name)).toEqual(["2022/a_b", "2022/true"]);
    expect(settings.s3).toMatchObject({ endpoint: "http://127.0.0.1:9000", forcePathStyle: true });
    const named = (list: typeof columns | undefined) =>
      list?.map(({ name, type, path }) => JSON.stringify([name, type, path])).sort();
    expect(named(settings.datasets[0]?.columns)).toEqual(named(columns));
  });
});

it.each(["decimal(10.5,2)", "decimal(10,1.5)", "decimal(39)", "decimal(4,5)", "decimal(0)"])(
  "%s is no type",
  async (type) => {
    const flags = {
      raw: "s3://r/{yyyy}/{MM}/{dd}/{HH}/",
      tier1: "s3://l/",
      table: "t",
      columns: `a:${type}`,
    };
    await expect(loadSettings({ flags, env: {} })).rejects.toThrow("a decimal has 1 to 38 digits");
  },
);

describe("docs/hourpack.schema.json", () => {
  it("is current (npm run build && node scripts/config-docs.mjs)", () => {
    const text = readFileSync(new URL("../../docs/hourpack.schema.json", import.meta.url), "utf8");
    expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(configJsonSchema(toJsonSchema))));
  });

  it("has docs/configuration.md beside it, as current", () => {
    const text = readFileSync(new URL("../../docs/configuration.md", import.meta.url), "utf8");
    expect(text).toBe(configurationReference());
  });
});
