/** The main job, as a user runs it: 200 objects of five GitHub events each become one part of 1,000 rows. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { GetPartitionsCommand, GetTablesCommand, GlueClient } from "@aws-sdk/client-glue";
import { DuckDBInstance } from "@duckdb/node-api";
import { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } from "hyparquet";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hourpack } from "../support/cli.js";
import {
  type EventSums,
  GITHUB_HOUR,
  type GithubEvent,
  githubEvents,
  sumsOf,
} from "../support/github-events.js";
import { createBucket, credentialsEnv, KMS_KEY, type S3Server, startMinio } from "../support/minio.js";
import { type Moto, startMoto } from "../support/moto.js";
import { Bucket } from "../support/s3.js";

const HOUR_FOLDER = "year=2015/month=01/day=01/hour=01/";
const PART = `${HOUR_FOLDER}events-2015010101.snappy.parquet`;
const TEMPLATE = "year={yyyy}/month={MM}/day={dd}/hour={HH}/";
const { objects, sums } = githubEvents();

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "hourpack-e2e-"));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

describe("from MinIO to MinIO, registered in Glue", () => {
  let minio: S3Server;
  let moto: Moto;
  let bucket: Bucket;
  let glue: GlueClient;
  let env: Record<string, string>;
  let args: string[];

  beforeAll(async () => {
    [minio, moto] = await Promise.all([startMinio(), startMoto()]);
    bucket = new Bucket(minio, await createBucket(minio));
    env = credentialsEnv(minio);
    glue = new GlueClient({
      endpoint: moto.endpoint,
      region: "us-east-1",
      credentials: { accessKeyId: "test", secretAccessKey: "test" },
    });
    args = [
      "run",
      ...["--s3-endpoint", minio.endpoint, "--s3-force-path-style"],
      ...["--raw", `s3://${bucket.name}/raw/${TEMPLATE}`, "--tier1", `s3://${bucket.name}/lake/`],
      ...["--table", "events", "--hour", GITHUB_HOUR, "--json"],
      ...["--catalog", "glue", "--catalog-database", "github", "--catalog-endpoint", moto.endpoint],
    ];
    await Promise.all(objects.map((body, i) => bucket.put(`raw/${HOUR_FOLDER}e-${i}.json`, body)));
  });
  afterAll(async () => {
    glue?.destroy();
    bucket?.close();
    await Promise.all([minio?.stop(), moto?.stop()]);
  });

  it("goes to the endpoint of a profile, and nowhere else", async () => {
    const config = join(dir, "aws-config");
    writeFileSync(
      config,
      [
        "[profile lake]",
        "region = us-east-1",
        `endpoint_url = ${minio.endpoint}`,
        `aws_access_key_id = ${minio.accessKeyId}`,
        `aws_secret_access_key = ${minio.secretAccessKey}`,
      ].join("\n"),
    );
    const plan = args.map((arg) => (arg === "run" ? "plan" : arg));
    plan.splice(plan.indexOf("--s3-endpoint"), 2);
    const { code, stdout, stderr } = await hourpack(plan, {
      env: { AWS_CONFIG_FILE: config, AWS_PROFILE: "lake", AWS_EC2_METADATA_DISABLED: "true" },
    });
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toContain('"objects":200');
  });

  it("packs 200 objects into one part with the sums of the raw events", async () => {
    const { code, result, stderr } = await hourpack(args, { env });
    expect(stderr).toBe("");
    expect(code).toBe(0);
    expect(result).toMatchObject({
      type: "result",
      packed: 1,
      objects: 200,
      rows: sums.rows,
      quarantined: 0,
    });
    const path = join(dir, "from-minio.parquet");
    writeFileSync(path, await bucket.get(`lake/${PART}`));
    expect(await sumsByHyparquet(path)).toEqual(sums);
    expect(await sumsByDuckdb(path)).toEqual(sums);
    const footer = await parquetMetadataAsync(await asyncBufferFromFile(path));
    expect(footer.row_groups[0]?.columns[0]?.meta_data?.codec).toBe("SNAPPY");
  });

  it("registered the hour and its neighbours on both tables", async () => {
    const tables = await glue.send(new GetTablesCommand({ DatabaseName: "github" }));
    expect(tables.TableList?.map((table) => table.Name).sort()).toEqual(["events", "events_raw"]);
    for (const [table, root] of [
      ["events", `s3://${bucket.name}/lake/`],
      ["events_raw", `s3://${bucket.name}/raw/`],
    ] as const) {
      const { Partitions = [] } = await glue.send(
        new GetPartitionsCommand({ DatabaseName: "github", TableName: table, Expression: "year = 2015" }),
      );
      const found = Partitions.map((partition) => [partition.Values, partition.StorageDescriptor?.Location]);
      expect(found.sort()).toEqual(
        [0, 1, 2].map((hour) => [
          ["2015", "1", "1", String(hour)],
          `${root}year=2015/month=01/day=01/hour=0${hour}/`,
        ]),
      );
    }
  });

  it("register and query tell that a local catalog has no view of the raw objects of S3", async () => {
    const local = ["--catalog", "local", "--catalog-path", join(dir, "local.duckdb")];
    const flags = args.slice(1, args.indexOf("--hour"));
    const { code, stdout, stderr } = await hourpack(["register", ...flags, ...local], { env });
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/^\S+\.events_raw: no view; the local catalog reads no raw objects of S3$/m);
    expect(stdout).toMatch(
      /^\S+\.events: table created, 1 hour, partitions 1 added, 0 corrected, \d unchanged$/m,
    );
    const asked = await hourpack(["query", ...local, "from events_raw"], { cwd: dir });
    expect(asked.code).toBe(2);
    expect(asked.stderr).toMatch(/^ {2}→ Tables are: \S*events\. Raw objects in S3 have no view here; Glue/m);
  });

  it("finds the hour up to date, and merges a late object without reading the others", async () => {
    const before = (await bucket.head(`lake/${PART}`)).ETag;
    const again = await hourpack(args, { env });
    expect(again.result).toMatchObject({ packed: 0, upToDate: 1 });
    expect((await bucket.head(`lake/${PART}`)).ETag).toBe(before);

    await bucket.put(`raw/${HOUR_FOLDER}late.json`, objects[0] ?? "");
    const late = await hourpack(args, { env });
    expect(late.result).toMatchObject({ packed: 1, rows: sums.rows + 5 });
    expect(late.records.find((record) => record["type"] === "hour-finished")).toMatchObject({
      reason: expect.stringContaining("1 late object"),
      rows: 5,
      part: { rows: sums.rows + 5 },
      changes: { added: 1, overwritten: 0, gone: 0 },
    });
    const verified = await hourpack(["verify", "--deep", ...withoutCatalog(args.slice(1))], { env });
    expect(verified.result).toMatchObject({ hours: 1, wrong: 0, rows: sums.rows + 5 });
    // Nothing but the part, the schema, manifests of which one is named, and a list of no hours.
    const keys = await bucket.keys("lake/");
    expect(keys.filter((key) => !/manifests|(schema|unregistered)\.json/.test(key))).toEqual([
      `lake/${PART}`,
    ]);
  });

  it("expires nothing where the store ignores If-Match on deletes, and says so once, of how many hours", async () => {
    for (const HH of ["01", "02", "03"]) await bucket.put(`old/2015/01/01/${HH}/a.json`, objects[0] ?? "");
    const flags = [
      ...["--s3-endpoint", minio.endpoint, "--s3-force-path-style", "--catalog", "none", "--table", "old"],
      ...[
        "--raw",
        `s3://${bucket.name}/old/{yyyy}/{MM}/{dd}/{HH}/`,
        "--tier1",
        `s3://${bucket.name}/old-lake/`,
      ],
    ];
    const ran = await hourpack(["run", ...flags, "--from", "2015-01-01T01", "--to", "2015-01-01T04"], {
      env,
    });
    expect(ran.code, ran.stderr).toBe(0);
    const expire = ["expire", ...flags, "--older-than", "30d", "--yes"];
    const { code, stdout, stderr } = await hourpack(expire, { env });
    expect(code).toBe(2);
    const why =
      "expire old: the store deletes an object whatever its ETag, so one that is overwritten meanwhile would be lost";
    expect(stdout).toBe(
      `old 2015-01-01T01  failed: ${why}\n0 raw objects (0 B) deleted, 0 hours kept, 3 failed\n`,
    );
    expect(stderr).toMatch(`error: ${why} (3 hours)\n`);
    expect(stderr.match(/whatever its ETag/g)).toHaveLength(1);
    const immutable = await hourpack([...expire, "--raw-is-immutable", "--json"], { env });
    expect([immutable.code, immutable.result]).toEqual([
      0,
      expect.objectContaining({ objects: 3, failed: 0 }),
    ]);
  });

  it("carries what a bucket may demand of a write", async () => {
    const demanded = withoutCatalog(args).map((arg) =>
      arg === `s3://${bucket.name}/lake/` ? `s3://${bucket.name}/lake2/` : arg,
    );
    const extra = ["--s3-write-storage-class", "REDUCED_REDUNDANCY", "--s3-write-tags", "team=data,tier=1"];
    const { code, stderr } = await hourpack([...demanded, ...extra], { env });
    expect(stderr).toBe("");
    expect(code).toBe(0);
    const head = await bucket.head(`lake2/${PART}`);
    expect(head.StorageClass).toBe("REDUCED_REDUNDANCY");
    expect(head.TagCount ?? 2).toBe(2);
    for (const [encryption, more] of [
      ["AES256", []],
      ["aws:kms", ["--s3-write-kms-key-id", KMS_KEY]],
    ] as const) {
      const sse = ["--rebuild", "--s3-write-server-side-encryption", encryption, ...more];
      const encrypted = await hourpack([...demanded, ...sse], { env });
      expect(encrypted.code, encrypted.stderr).toBe(0);
      expect((await bucket.head(`lake2/${PART}`)).ServerSideEncryption).toBe(encryption);
    }
    const verified = await hourpack(["verify", "--deep", ...demanded.slice(1)], { env });
    expect(verified.result).toMatchObject({ hours: 1, wrong: 0 });
    const others = await hourpack([...demanded, "--s3-expected-bucket-owner", "123456789012"], { env });
    expect(others.code, "MinIO ignores the owner; what matters is that the header is signed and sent").toBe(
      0,
    );
  });
});

describe("from a directory, with the local catalog", () => {
  it("gives the same sums by its views", async () => {
    const root = join(dir, "local");
    writeObjects(join(root, "events", HOUR_FOLDER));
    const local = ["--catalog", "local", "--catalog-path", "lake/catalog.duckdb"];
    const { code, result } = await hourpack(
      ["run", "--raw", `./events/${TEMPLATE}`, "--tier1", "./lake/", "--table", "events"].concat(
        ["--hour", GITHUB_HOUR, "--json"],
        local,
      ),
      { cwd: root },
    );
    expect(code).toBe(0);
    expect(result).toMatchObject({ packed: 1, rows: sums.rows });
    expect(await sumsByHyparquet(join(root, "lake", PART))).toEqual(sums);
    const queried = await hourpack(
      ["query", `${SUMS} from events where year = 2015 and hour = 1`, "--json", "--table", "events"].concat([
        "--tier1",
        "./lake/",
        "--catalog-path",
        "lake/catalog.duckdb",
      ]),
      { cwd: root },
    );
    expect(queried.code).toBe(0);
    expect(numbersOf(queried.records[0]?.["row"] as Record<string, unknown>)).toEqual(sums);
  });

  it("takes columns in Hive's syntax, and rescues what they do not hold", async () => {
    const root = join(dir, "columns");
    writeObjects(join(root, "events", HOUR_FOLDER));
    const columns = "id:bigint,type:string,created_at:timestamp,actor:struct<id:bigint,login:string>";
    const { code, result } = await hourpack(
      [
        "run",
        "--raw",
        `events/${TEMPLATE}`,
        "--tier1",
        "lake",
        "--table",
        "events",
        "--hour",
        GITHUB_HOUR,
      ].concat(["--catalog", "none", "--json", "--columns", columns]),
      { cwd: root },
    );
    expect(code).toBe(0);
    expect(result).toMatchObject({ packed: 1, rows: sums.rows, rescued: sums.rows });
    const rows = await parquetReadObjects({ file: await asyncBufferFromFile(join(root, "lake", PART)) });
    const total = rows.reduce((sum, row) => sum + Number(row["id"]), 0);
    expect(total).toBe(sums.idSum);
    const rescued = rows.map((row) => JSON.parse(row["_rescued_data"]) as GithubEvent);
    expect(rescued.filter((members) => members.org).length).toBe(sums.rows - sums.orgAbsent);
  });

  it("loses no value to a column that takes the place of another's since", async () => {
    const root = mkdtempSync(join(tmpdir(), "hourpack-columns-"));
    const raw = (hour: string, name: string, record: object) => {
      mkdirSync(join(root, `raw/2022/07/26/${hour}`), { recursive: true });
      writeFileSync(join(root, `raw/2022/07/26/${hour}`, name), `${JSON.stringify(record)}\n`);
    };
    const run = async (hour: string, columns: string) => {
      const dataset = `{ raw: "./raw/{yyyy}/{MM}/{dd}/{HH}/", tier1: "./lake/", table: ev, columns: { ${columns} } }`;
      writeFileSync(join(root, "hourpack.yaml"), `datasets: { ev: ${dataset} }\n`);
      return hourpack(["run", "--hour", `2022-07-26T${hour}`, "--json"], { cwd: root });
    };
    const derived = "id: bigint, a_b: { type: bigint, from: a.b }";
    raw("00", "first.json", { id: 1, a: { b: 7 } });
    expect((await run("00", derived)).code).toBe(0);
    raw("01", "x.json", { id: 2, a: { b: 1 } });
    expect((await run("01", `${derived}, a: "struct<b:bigint>"`)).code).toBe(0);
    raw("00", "late.json", { id: 3, a: { b: 5 } });
    expect((await run("00", derived)).result).toMatchObject({ packed: 1, rows: 2 });
    const restored = await hourpack(["restore", "--hour", "2022-07-26T00"], { cwd: root });
    expect(restored.stdout.trim().split("\n").sort()).toEqual([
      '{"id":1,"a":{"b":7}}',
      '{"id":3,"a":{"b":5}}',
    ]);
    rmSync(root, { recursive: true });
  });

  it("writes nothing for an hour without objects", async () => {
    const root = join(dir, "empty");
    mkdirSync(join(root, "events"), { recursive: true });
    const { code, result } = await hourpack(
      [
        "run",
        "--raw",
        `events/${TEMPLATE}`,
        "--tier1",
        "lake",
        "--table",
        "events",
        "--hour",
        GITHUB_HOUR,
      ].concat(["--json"]),
      { cwd: root },
    );
    expect(code).toBe(0);
    expect(result).toMatchObject({ packed: 0, empty: 1 });
    expect(readdirSync(root)).toEqual(["events"]);
  });
});

const SUMS = `select count(*) as rows, sum(cast(id as bigint)) as "idSum", sum(actor.id) as "actorIdSum",
  count(*) filter (org is null) as "orgAbsent", sum(coalesce(json_array_length(payload, '$.commits'), 0)) as commits,
  count(*) filter (not json_exists(payload, '$.commits')) as "commitsAbsent",
  sum(cast(payload ->> '$.push_id' as bigint)) as "pushIdSum"`;

async function sumsByDuckdb(path: string): Promise<EventSums> {
  const instance = await DuckDBInstance.create(":memory:");
  const connection = await instance.connect();
  try {
    const reader = await connection.runAndReadAll(`${SUMS} from read_parquet('${path}')`);
    return numbersOf(reader.getRowObjects()[0] ?? {});
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
}

async function sumsByHyparquet(path: string): Promise<EventSums> {
  const rows = await parquetReadObjects({ file: await asyncBufferFromFile(path) });
  return sumsOf(
    rows.map(({ id, type, actor, org, payload }) => ({
      id,
      type,
      actor: { id: Number(actor.id) },
      ...(org ? { org: { id: Number(org.id) } } : {}),
      payload: JSON.parse(payload),
    })),
  );
}

function numbersOf(row: Record<string, unknown>): EventSums {
  return Object.fromEntries(
    Object.keys(sums).map((name) => [name, Number(row[name])]),
  ) as unknown as EventSums;
}

function writeObjects(folder: string): void {
  mkdirSync(folder, { recursive: true });
  for (const [i, body] of objects.entries()) writeFileSync(join(folder, `e-${i}.json`), body);
}

function withoutCatalog(args: string[]): string[] {
  return args.slice(0, args.indexOf("--catalog"));
}
