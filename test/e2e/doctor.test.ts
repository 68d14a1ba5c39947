/** hourpack doctor against healthy stores and catalogs, and against each thing that can be wrong. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createServer, request as httpRequest } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { CreateDatabaseCommand, CreateTableCommand, GlueClient } from "@aws-sdk/client-glue";
import { PutObjectCommand } from "@aws-sdk/client-s3";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { capacityOf } from "../../src/capacity.js";
import { judgeSkew } from "../../src/operations/doctor/clock.js";
import { checkMemory, checkNode } from "../../src/operations/doctor/machine.js";
import { credentialsWith, type PolicyStatement } from "../support/assume-role.js";
import { type CliEnd, hourpack } from "../support/cli.js";
import { createBucket, credentialsEnv, type S3Server, startMinio } from "../support/minio.js";
import { type Moto, startMoto } from "../support/moto.js";
import { headersWithout, S3Proxy } from "../support/proxy.js";
import { Bucket } from "../support/s3.js";

interface Check {
  name: string;
  status: string;
  message: string;
  hint?: string;
  exitCode?: number;
}

const checksOf = (end: CliEnd) => end.records.filter(({ type }) => type === "check") as unknown as Check[];
const named = (end: CliEnd, name: string) => checksOf(end).find((check) => check.name === name);
const failures = (end: CliEnd) => checksOf(end).filter(({ status }) => status === "failed");

const flagsOf = (flags: Record<string, string>) =>
  Object.entries(flags).map(([name, value]) => `--${name}=${value}`);

const HOURS = "{yyyy}/{MM}/{dd}/{HH}/";
const RAW_KEY = "raw/2022/07/26/00/a.json";

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "hourpack-doctor-"));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

describe("on MinIO", () => {
  let minio: S3Server;
  let moto: Moto;
  let bucket: Bucket;
  let env: Record<string, string>;

  beforeAll(async () => {
    [minio, moto] = await Promise.all([startMinio(), startMoto()]);
    env = credentialsEnv(minio);
  });
  beforeEach(async () => {
    bucket?.close();
    bucket = new Bucket(minio, await createBucket(minio));
    await bucket.put(RAW_KEY, '{"n":1}\n');
  });
  afterAll(async () => {
    bucket?.close();
    await minio?.stop();
    await moto?.stop();
  });

  /** Flags by name; a value given takes the place of the one here. */
  const args = (more: Record<string, string> = {}) =>
    flagsOf({
      "s3-endpoint": minio.endpoint,
      "s3-force-path-style": "true",
      raw: `s3://${bucket.name}/raw/${HOURS}`,
      tier1: `s3://${bucket.name}/lake/`,
      table: "t",
      "spool-dir": join(dir, "spool"),
      ...more,
    });
  const glue = () => ({ catalog: "glue", "catalog-database": "d", "catalog-endpoint": moto.endpoint });
  const doctor = (more: Record<string, string> = {}, variables = env) =>
    hourpack(["doctor", ...args(more), "--json"], { env: variables, cwd: dir });

  it("finds everything well, line by line, and leaves nothing behind", async () => {
    const end = await hourpack(["doctor", ...args(glue())], { env, cwd: dir });
    expect(end).toMatchObject({ code: 0, stderr: "" });
    const lines = end.stdout.trim().split("\n");
    const names = lines
      .slice(0, -1)
      .filter((line) => !line.startsWith("  → "))
      .map((line) => /^(?:ok {6}|warning )(\S+(?: \S+)*) {2}/.exec(line)?.[1]);
    expect(names).toEqual([
      ...["configuration", "node", "memory", "clock", "credentials", "list raw", "read raw", "read tier 1"],
      ...["schema", "older hours", "write tier 1", "read back", "delete", "conditional writes", "catalog"],
      "disk",
    ]);
    // Of the one that is in raw, until it is packed.
    expect(lines.filter((line) => line.startsWith("warning"))).toEqual([
      expect.stringMatching(/^warning +older hours +t: 1 older hour from 2022-07-26T00 is not packed /),
    ]);
    expect(lines).toContainEqual(
      expect.stringMatching(/^ {2}→ `hourpack run --hour 2022-07-26T00 --raw [^`]*` packs it\.$/),
    );
    expect(lines.at(-1)).toContain("16 checks, 1 warning");
    expect(await bucket.keys()).toEqual([RAW_KEY]);
  });

  it("tells the same as JSON lines, and what is published where something is", async () => {
    const run = await hourpack(["run", ...args(glue()), "--hour", "2022-07-26T00"], { env, cwd: dir });
    expect(run).toMatchObject({ code: 0 });
    const before = await bucket.keys();
    const end = await doctor(glue());
    expect(end.result).toMatchObject({ type: "result", exitCode: 0, ok: 15, failed: 0, warnings: 0 });
    expect(named(end, "read tier 1")?.message).toContain("2022-07-26T00 with 1 row,");
    expect(named(end, "schema")?.message).toBe("version 1, 1 column");
    expect(named(end, "catalog")?.message).toBe("glue database d, readable: t, t_raw");
    expect(await bucket.keys()).toEqual(before);
  });

  const packed = async (catalog: Record<string, string>, ...hours: string[]) => {
    for (const hour of hours) await bucket.put(`raw/2022/07/26/${hour}/a.json`, '{"n":1}\n');
    const [from, to] = [hours[0], String(Number(hours.at(-1)) + 1).padStart(2, "0")];
    const range = ["--from", `2022-07-26T${from}`, "--to", `2022-07-26T${to}`];
    expect(await hourpack(["run", ...args(catalog), ...range], { env, cwd: dir })).toMatchObject({ code: 0 });
  };
  const lacks = (message: string) => ({
    status: "warning",
    message: `hours are published and not in the catalog: ${message}`,
    hint: expect.stringMatching(/^`hourpack register --raw [^`]*` adds every published hour/),
  });

  it("a new Glue database, and one that a run has been at since, until all is registered", async () => {
    const before = { ...glue(), "catalog-database": "before" };
    await packed(before, "00", "01", "02");
    expect(named(await doctor(before), "registered hours")).toBe(undefined);
    const fresh = { ...glue(), "catalog-database": "fresh" };
    const end = await doctor(fresh);
    expect(end).toMatchObject({ code: 0, result: { failed: 0, warnings: 1 } });
    expect(named(end, "registered hours")).toMatchObject(lacks("there is no t, there is no t_raw"));
    // The hour after the newest is registered ahead.
    await packed(fresh, "05");
    const [oldest, newest] = ["2022-07-26T00", "2022-07-26T05"];
    expect(named(await doctor(fresh), "registered hours")).toMatchObject(
      lacks(`t lacks ${oldest}, t_raw lacks ${oldest}`),
    );
    expect(named(await doctor(before), "registered hours")).toMatchObject(
      lacks(`t lacks ${newest}, t_raw lacks ${newest}`),
    );
    await hourpack(["register", ...args(fresh)], { env, cwd: dir });
    expect(named(await doctor(fresh), "registered hours")).toBe(undefined);
  });

  it("a local catalog of parts in S3 that are not copied", async () => {
    const path = join(dir, `${bucket.name}.duckdb`);
    const local = { catalog: "local", "catalog-path": path };
    await packed(local, "00", "01");
    expect(named(await doctor(local), "registered hours")).toBe(undefined);
    rmSync(join(`${path}.parts`, "t/year=2022/month=07/day=26/hour=00"), { recursive: true });
    expect(named(await doctor(local), "registered hours")).toMatchObject(lacks("t lacks 2022-07-26T00"));
  });

  it("a wrong secret, which is never shown", async () => {
    const secret = "a-secret-that-is-quite-wrong";
    const end = await doctor({}, { ...env, AWS_SECRET_ACCESS_KEY: secret });
    expect(end.code).toBe(2);
    expect(failures(end)).toMatchObject([{ name: "credentials", hint: expect.stringContaining("wrong") }]);
    expect(end.stdout + end.stderr).not.toContain(secret);
  });

  it.each([
    [
      "AWS_SECRET_ACCESS_KEY",
      "a-secret-of-someone\n",
      "the secret access key begins or ends with white space",
    ],
    ["AWS_ACCESS_KEY_ID", "a-key-of-someone\nelse", "the access key id has a character"],
  ])("%s that cannot be sent, which is never shown", async (name, value, message) => {
    const end = await doctor({}, { ...env, [name]: value });
    expect(end.code).toBe(2);
    expect(failures(end)).toMatchObject([
      {
        name: "credentials",
        message: expect.stringContaining(message),
        hint: expect.stringContaining(name),
      },
    ]);
    expect(named(end, "reach S3")).toBe(undefined);
    expect(end.stdout + end.stderr).not.toContain("of-someone");
  });

  it("no credentials at all", async () => {
    const end = await doctor({}, { AWS_REGION: "us-east-1" });
    expect(end.code).toBe(2);
    expect(failures(end)).toMatchObject([
      { name: "credentials", hint: expect.stringContaining("No credentials were found") },
    ]);
  });

  const statement = (Action: string | string[], path: string): PolicyStatement => ({
    Sid: Buffer.from(`${Action}${path}`).toString("hex").slice(-20),
    Effect: "Allow",
    Action,
    Resource: `arn:aws:s3:::${bucket.name}${path}`,
  });
  const rights = {
    list: () => statement("s3:ListBucket", ""),
    readRaw: () => statement("s3:GetObject", "/raw/*"),
    readTier1: () => statement("s3:GetObject", "/lake/*"),
    write: () => statement("s3:PutObject", "/lake/*"),
    delete: () => statement("s3:DeleteObject", "/lake/_hourpack/*"),
  };

  it("finds the rights of a least role enough", async () => {
    const least = await credentialsWith(
      minio,
      Object.values(rights).map((right) => right()),
    );
    expect(await doctor({}, least)).toMatchObject({ code: 0, result: { failed: 0 } });
  });

  it.each([
    ["list", "list raw", "s3:ListBucket on arn:aws:s3:::BUCKET."],
    ["readRaw", "read raw", "s3:GetObject on arn:aws:s3:::BUCKET/raw/*."],
    ["write", "write tier 1", "s3:PutObject on arn:aws:s3:::BUCKET/lake/*."],
    ["readTier1", "schema", "s3:GetObject on arn:aws:s3:::BUCKET/lake/*."],
    ["delete", "delete", "s3:DeleteObject on arn:aws:s3:::BUCKET/lake/_hourpack/*."],
  ] as const)("names the right that is missing: %s", async (missing, check, hint) => {
    const others = Object.entries(rights).filter(([name]) => name !== missing);
    const limited = await credentialsWith(
      minio,
      others.map(([, right]) => right()),
    );
    const end = await doctor({}, limited);
    expect(end.code).toBe(2);
    expect(failures(end)[0]).toMatchObject({
      name: check,
      hint: `Grant ${hint.replace("BUCKET", bucket.name)}`,
      exitCode: 2,
    });
  });

  it("a bucket that is not there, and a store where nobody listens, within seconds", async () => {
    const nobody = await doctor({ "s3-endpoint": "http://127.0.0.1:9" });
    expect(nobody.code).toBe(10);
    expect(failures(nobody)).toMatchObject([{ name: "reach S3", hint: expect.stringContaining("running") }]);
    const none = await doctor({ raw: `s3://no-such-bucket/raw/${HOURS}` });
    expect(none.code).toBe(2);
    expect(failures(none)[0]).toMatchObject({ name: "list raw", hint: /Create the bucket no-such-bucket/ });
  });

  it("objects that are in no hour of the template", async () => {
    const end = await doctor({ raw: `s3://${bucket.name}/raw/year={yyyy}/{MM}/{dd}/{HH}/` });
    expect(end.code).toBe(0);
    expect(named(end, "list raw")).toMatchObject({
      status: "warning",
      hint: expect.stringContaining(RAW_KEY),
    });
  });

  it("a file of another hand in a part's place: data that break the contract", async () => {
    await bucket.put("lake/year=2022/month=07/day=26/hour=00/t-2022072600.snappy.parquet", "PAR1");
    const end = await doctor();
    expect(end.code).toBe(12);
    expect(failures(end)).toMatchObject([{ name: "read tier 1", exitCode: 12 }]);
  });

  it("a column that is configured otherwise than it is pinned", async () => {
    await hourpack(["run", ...args(), "--hour", "2022-07-26T00"], { env, cwd: dir });
    const end = await doctor({ columns: "n: string" });
    expect(end.code).toBe(2);
    expect(failures(end)).toMatchObject([{ name: "schema", hint: expect.stringContaining("another name") }]);
  });

  it("a store that takes conditions and ignores them; a single writer may work there", async () => {
    const lookAlike = await startIgnoringConditions(minio, bucket);
    try {
      const there = { "s3-endpoint": lookAlike.endpoint };
      const end = await doctor(there);
      expect(end.code).toBe(2);
      expect(failures(end)).toMatchObject([
        { name: "conditional writes", message: expect.stringContaining("2 of two creators won") },
      ]);
      const vouched = await doctor({ ...there, "single-writer": "true" });
      expect(vouched.code).toBe(0);
      expect(named(vouched, "conditional writes")?.status).toBe("warning");
      expect(await bucket.keys()).toEqual([RAW_KEY]);
    } finally {
      await lookAlike.stop();
    }
  });

  it("a clock that is an hour ahead of the store's", async () => {
    const proxy = await S3Proxy.start(minio);
    // Only the doctor's own question: the SDK would take the other answers' dates for its own clock.
    proxy.hooks.fault = ({ method, path }) =>
      method === "HEAD" && path === "/"
        ? async (_, forward) => {
            const answer = await forward();
            const date = ["Date", new Date(Date.now() - 3_600_000).toUTCString()];
            const headers = [...headersWithout(answer.headers, ["date"]), ...date];
            return { kind: "answer", answer: { ...answer, headers } };
          }
        : undefined;
    try {
      const end = await doctor({ "s3-endpoint": proxy.endpoint });
      expect(end.code).toBe(2);
      expect(failures(end)).toMatchObject([
        { name: "clock", message: expect.stringContaining("ahead of the store's"), hint: /chrony/ },
      ]);
    } finally {
      await proxy.stop();
    }
  });

  it("a catalog that does not answer, and one that is well otherwise", async () => {
    const end = await doctor({ ...glue(), "catalog-endpoint": "http://127.0.0.1:9" });
    expect(end.code).toBe(10);
    expect(failures(end)).toMatchObject([{ name: "catalog", hint: expect.stringContaining("reach Glue") }]);
    const output = `s3://${bucket.name}/athena/`;
    const well = await doctor({ ...glue(), catalog: "athena", "catalog-output": output });
    expect(well.code).toBe(0);
    expect(named(well, "catalog")?.message).toContain("not there yet, made by the first run: t, t_raw");
  });

  it("a table of that name that lies elsewhere", async () => {
    const client = new GlueClient({
      endpoint: moto.endpoint,
      region: "us-east-1",
      credentials: { accessKeyId: "test", secretAccessKey: "test" },
    });
    await client.send(new CreateDatabaseCommand({ DatabaseInput: { Name: "elsewhere" } }));
    const TableInput = { Name: "t", StorageDescriptor: { Location: "s3://other/place/" } };
    await client.send(new CreateTableCommand({ DatabaseName: "elsewhere", TableInput }));
    client.destroy();
    const end = await doctor({ ...glue(), "catalog-database": "elsewhere" });
    expect(end.code).toBe(2);
    expect(failures(end)).toMatchObject([
      { name: "catalog", message: expect.stringContaining("lies at s3://other/place/") },
    ]);
  });
});

/** MinIO behind a door that hears no condition: what some look-alikes of S3 are. */
async function startIgnoringConditions(
  minio: S3Server,
  bucket: Bucket,
): Promise<{ endpoint: string; stop(): Promise<void> }> {
  const server = createServer(async (request, response) => {
    const body = await buffer(request);
    const path = new URL(request.url ?? "/", "http://x").pathname;
    if (request.method === "PUT") {
      const Key = decodeURIComponent(path.slice(bucket.name.length + 2));
      const put = await bucket.client.send(new PutObjectCommand({ Bucket: bucket.name, Key, Body: body }));
      response.writeHead(200, { etag: put.ETag }).end();
      return;
    }
    const { hostname, port } = new URL(minio.endpoint);
    const options = { hostname, port, path: request.url, method: request.method, setHost: false };
    httpRequest({ ...options, headers: request.rawHeaders as never }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.rawHeaders);
      answer.pipe(response);
    }).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

describe("in a directory", () => {
  let home: string;
  const args = (more: Record<string, string> = {}) =>
    flagsOf({
      raw: `./raw/${HOURS}`,
      tier1: "./lake/",
      table: "t",
      "spool-dir": "./spool",
      catalog: "local",
      "catalog-path": "./catalog.duckdb",
      ...more,
    });
  const doctor = (more: Record<string, string> = {}) =>
    hourpack(["doctor", ...args(more), "--json"], { cwd: home });

  beforeEach(() => {
    home = mkdtempSync(join(dir, "home-"));
    mkdirSync(join(home, "raw/2022/07/26/00"), { recursive: true });
    writeFileSync(join(home, RAW_KEY), '{"n":1}\n');
  });

  it("finds everything well before and after a run, and leaves no probe", async () => {
    // That the hour is older than what is due.
    expect((await doctor()).result).toMatchObject({ exitCode: 0, failed: 0, warnings: 1, skipped: 0 });
    await hourpack(["run", ...args(), "--hour", "2022-07-26T00"], { cwd: home });
    const end = await doctor();
    expect(end.result).toMatchObject({ exitCode: 0, failed: 0, warnings: 0, skipped: 0 });
    expect(named(end, "catalog")?.message).toContain("readable: t, t_raw");
    expect(existsSync(join(home, "lake/_hourpack/probe"))).toBe(false);
    expect(readdirSync(join(home, "spool"))).toEqual([]);
  });

  it("a catalog that was lost, until all is registered again", async () => {
    await hourpack(["run", ...args(), "--hour", "2022-07-26T00"], { cwd: home });
    rmSync(join(home, "catalog.duckdb"));
    const end = await doctor();
    expect(end.code).toBe(0);
    expect(named(end, "registered hours")).toEqual({
      ...{ type: "check", name: "registered hours", dataset: "t", status: "warning" },
      message: "hours are published and not in the catalog: there is no t, there is no t_raw",
      hint: expect.stringMatching(
        /^`hourpack register --raw [^`]*` adds every published hour; a run adds those alone that it is about, at its end\.$/,
      ),
    });
    await hourpack(["register", ...args()], { cwd: home });
    expect((await doctor()).result).toMatchObject({ warnings: 0, failed: 0 });
  });

  it.each([
    ["that is gone", undefined, /it is not there, and it named the columns of parts/],
    ["of before the newest part", "older", /version 2 of its columns is not pinned/],
  ])("a schema.json %s fails as it fails a plan", async (_, left, message) => {
    const schema = join(home, "lake/_hourpack/schema.json");
    await hourpack(["run", ...args(), "--hour", "2022-07-26T00"], { cwd: home });
    const older = readFileSync(schema);
    mkdirSync(join(home, "raw/2022/07/26/01"));
    writeFileSync(join(home, "raw/2022/07/26/01/b.json"), '{"m":1}\n');
    await hourpack(["run", ...args({ unknown: "add" }), "--hour", "2022-07-26T01"], { cwd: home });
    rmSync(schema);
    if (left !== undefined) writeFileSync(schema, older);
    const plan = await hourpack(["plan", ...args()], { cwd: home });
    const end = await doctor();
    expect([plan.code, end.code]).toEqual([12, 12]);
    expect(failures(end)).toMatchObject([
      { name: "schema", message: expect.stringMatching(message), hint: /^Bring /, exitCode: 12 },
    ]);
    expect(plan.stderr).toContain(failures(end)[0]?.message);
    expect(existsSync(schema)).toBe(left !== undefined);
  });

  it("a configuration that cannot be read: its line, and nothing else is tried", async () => {
    writeFileSync(join(home, "hourpack.yaml"), "datasets:\n  mmp:\n    raw: ./raw/\n    tire1: ./lake/\n");
    const end = await hourpack(["doctor"], { cwd: home });
    expect(end.code).toBe(2);
    expect(end.stdout).toMatch(
      /^FAILED +configuration +hourpack\.yaml:4: unknown key "tire1".*\n {2}→ Did you mean "tier1"\?/,
    );
    expect(end.stdout).toContain("1 check, 1 failed");
    expect((await hourpack(["doctor", "--json"], { cwd: home })).result).toMatchObject({ exitCode: 2 });
  });

  it("a raw directory that is not there fails as it fails a run; an empty one may fill yet", async () => {
    const mistyped = { raw: `./rwa/${HOURS}` };
    const end = await doctor(mistyped);
    expect(end.code).toBe(2);
    expect(failures(end)).toMatchObject([
      { name: "list raw", message: /there is no directory .*\/rwa\/$/, hint: /mistyped/, exitCode: 2 },
    ]);
    mkdirSync(join(home, "rwa"));
    const empty = await doctor(mistyped);
    expect(empty.code).toBe(0);
    expect(named(empty, "list raw")).toMatchObject({ status: "warning", message: /nothing lies under/ });
  });

  it("more memory asked for than there is", async () => {
    const end = await doctor({ "engine-memory": "900TB" });
    expect(end.code).toBe(2);
    expect(failures(end)).toMatchObject([
      { name: "memory", hint: expect.stringContaining("run.engineMemory") },
    ]);
  });

  it("a spool folder that cannot be one, and a catalog that is none", async () => {
    writeFileSync(join(home, "file"), "");
    writeFileSync(join(home, "catalog.duckdb"), "this is no DuckDB file, however one looks at it");
    const end = await doctor({ "spool-dir": "./file/spool" });
    expect(end.code).toBe(10);
    expect(failures(end).map(({ name }) => name)).toEqual(["catalog", "disk"]);
    expect(failures(end)[1]?.hint).toContain("run.spoolDir");
  });

  it("a catalog in a folder that cannot be written", async () => {
    // Not even root makes files there.
    const end = await doctor({ "catalog-path": "/proc/catalog.duckdb" });
    expect(end.code).toBe(2);
    expect(failures(end)).toMatchObject([
      { name: "catalog", message: /^write beside the catalog/, hint: /--catalog-path/, exitCode: 2 },
    ]);
  });

  it("an unknown dataset and a flag of another command are bad arguments", async () => {
    expect((await doctor({ dataset: "nope" })).code).toBe(2);
    expect((await doctor({ hour: "2022-07-26T00" })).code).toBe(2);
  });
});

describe("judgements", () => {
  it.each([
    [900, "ok"],
    [-20_000, "ok"],
    [-60_000, "warning"],
    [60_000, "warning"],
    [302_000, "failed"],
    [-302_000, "warning"],
    [-1_000_000, "failed"],
  ])("a clock that is %i ms ahead, with 5 minutes of settle: %s", (aheadMs, status) => {
    expect(judgeSkew(aheadMs, 300_000).status).toBe(status);
  });

  it.each([
    ["20.18.3", "failed"],
    ["20.19.0", "ok"],
    ["18.20.0", "failed"],
    ["24.0.1", "ok"],
  ])("Node.js %s: %s", (version, status) => {
    expect(checkNode(version).status).toBe(status);
  });

  it.each([
    [512, {}, "ok"],
    [256, {}, "ok"],
    [255, {}, "warning"],
    [384, { engineMemoryBytes: 256e6, hoursInFlight: 2, batchBytes: 16e6 }, "failed"],
  ])("a container of %i MiB in which %j is set: %s", (mib, set, status) => {
    const machine = { cores: 2, memoryBytes: mib * 2 ** 20, memoryOf: "container" } as const;
    expect(checkMemory(capacityOf(machine, set), machine).status).toBe(status);
  });
});
