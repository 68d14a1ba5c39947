/** Bad input: one clear message with the remedy, the documented exit code, and nothing written. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { cleanEnv, HOURPACK, hourpack } from "../support/cli.js";
import { createBucket, credentialsEnv, type S3Server, startMinio } from "../support/minio.js";
import { SILENT_PORT } from "../support/processes.js";
import { Bucket } from "../support/s3.js";

const TEMPLATE = "year={yyyy}/month={MM}/day={dd}/hour={HH}/";
const HOUR = "2022-07-26T00";

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "hourpack-bad-"));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

describe("a command line or configuration that cannot be meant", () => {
  const raw = ["--raw", `./raw/${TEMPLATE}`];
  const tier1 = ["--tier1", "./lake/"];
  const table = ["--table", "events"];
  const hour = ["--hour", HOUR];

  it.each<[string, string[], RegExp, RegExp]>([
    [
      "a template without an hour",
      ["--raw", "./raw/{yyyy}/{MM}/{dd}/", ...tier1, ...table, ...hour],
      /hour/,
      /\{HH\}/,
    ],
    ["a bad hour", [...raw, ...tier1, ...table, "--hour", "2022-07-26T24"], /2022-07-26T24/, /2022-07-26T00/],
    [
      "a range that ends before it begins",
      [...raw, ...tier1, ...table, "--from", "2022-08-01", "--to", "2022-07-01"],
      /2022-07-01/,
      /./,
    ],
    [
      "a column type that Athena lacks",
      [...raw, ...tier1, ...table, ...hour, "--columns", "id:uint64"],
      /uint64/,
      /bigint/,
    ],
    ["tier 1 inside raw", [...raw, "--tier1", "./raw/lake/", ...table, ...hour], /lie in one another/, /./],
    [
      "rows that are to be kept and given up",
      [...raw, ...tier1, ...table, ...hour, "--keep-old", "--from-remainder"],
      /--keep-old and --from-remainder/,
      /--keep-old keeps .*--from-remainder .* gives those rows up/,
    ],
    ["an unknown flag", [...raw, ...tier1, ...table, ...hour, "--tabel", "x"], /--tabel/, /--table/],
    [
      "tier 1 where no file can be",
      [...raw, "--tier1", "/proc/lake/", ...table, ...hour],
      /\/proc\/lake/,
      /disk/,
    ],
    ["a missing flag", [...raw, ...tier1, ...hour], /--table/, /--raw, --tier1 and --table/],
    [
      "a table name that Athena refuses",
      [...raw, ...tier1, "--table", "my-events", ...hour],
      /my-events/,
      /underscores/,
    ],
  ])("%s", async (_, args, message, remedy) => {
    const end = await hourpack(["run", ...args], { cwd: dir });
    expectOneError(end, 2, message, remedy);
    expect(readdirSync(dir)).toEqual([]);
  });

  it.each<[string, string, RegExp, RegExp]>([
    [
      "an unknown key in the YAML",
      "datasets:\n  mmp:\n    raw: ./raw/{yyyy}/{MM}/{dd}/{HH}/\n    tier1: ./lake/\n    table: t\n    colums: {}\n",
      /hourpack\.yaml:6|colums/,
      /columns/,
    ],
    [
      "two datasets writing to one prefix",
      "datasets:\n  a: { raw: './a/{yyyy}/{MM}/{dd}/{HH}/', tier1: ./lake/, table: a }\n  b: { raw: './b/{yyyy}/{MM}/{dd}/{HH}/', tier1: ./lake/, table: b }\n",
      /lake/,
      /./,
    ],
    ["YAML that is none", "datasets: [", /read the configuration/, /./],
    ["no dataset", "catalog: { type: none }\n", /no dataset/, /datasets:/],
    [
      "an alias that may be a secret which is not quoted",
      "hooks:\n  url: *s3cr3t\n",
      /Unresolved alias(?!.*s3cr3t)/,
      /quotes/,
    ],
    [
      "a webhook's address as a key",
      "'https://hooks.example/s3cr3ts3cr3ts3cr3t': 1\n",
      /unknown key "https:\/\/hooks\.example\/…"/,
      /hooks/,
    ],
  ])("%s", async (_, yaml, message, remedy) => {
    const root = mkdtempSync(join(dir, "yaml-"));
    writeFileSync(join(root, "hourpack.yaml"), yaml);
    const end = await hourpack(["run", ...hour], { cwd: root });
    expectOneError(end, 2, message, remedy);
    expect(readdirSync(root)).toEqual(["hourpack.yaml"]);
    rmSync(root, { recursive: true });
  });

  it("a raw directory that is not there", async () => {
    const root = mkdtempSync(join(dir, "absent-"));
    const day = ["--from", "2022-07-26", "--to", "2022-07-27"];
    for (const args of [
      ["run", ...hour],
      ["run", ...day],
      ["plan", ...hour],
    ]) {
      const end = await hourpack([...args, ...raw, ...tier1, ...table], { cwd: root });
      expectOneError(end, 2, /there is no directory .*\/raw\//, /mistyped/);
    }
    expect(readdirSync(root)).toEqual([]);
    rmSync(root, { recursive: true });
  });

  it("a raw directory that is not there, of an hour that is packed", async () => {
    const root = mkdtempSync(join(dir, "packed-"));
    const folder = join(root, "raw/year=2022/month=07/day=26/hour=00");
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "a.json"), '{"id":1}\n');
    const run = [...hour, ...tier1, ...table, "--catalog", "none"];
    expect((await hourpack(["run", ...run, ...raw], { cwd: root })).code).toBe(0);
    const end = await hourpack(["run", ...run, "--raw", `./rwa/${TEMPLATE}`], { cwd: root });
    expect(end.code, end.stderr).toBe(0);
    expect(end.stderr).toMatch(/there is no directory \S*\/rwa\/: the part stays as it is/);
    const status = await hourpack(["status", ...run, "--raw", `./rwa/${TEMPLATE}`], { cwd: root });
    expect([status.code, status.stderr.match(/there is no directory \S*\/rwa\/: the part stays/g)]).toEqual([
      0,
      [expect.any(String)],
    ]);
    const deep = ["verify", "--deep", ...run, "--raw", `./rwa/${TEMPLATE}`];
    const verified = await hourpack(deep, { cwd: root });
    expectOneError(verified, 2, /there is no directory \S*\/rwa\//, /mistyped/);
    const places = [...tier1, ...table, "--catalog", "none"];
    const expire = ["expire", "--older-than", "1d", ...places];
    const failed = await hourpack([...expire, "--raw", `./rwa/${TEMPLATE}`], { cwd: root });
    expect([failed.code, failed.stdout]).toEqual([
      2,
      expect.stringMatching(/there is no directory \S*\/rwa\//),
    ]);
    // What an expiry has emptied may go as a whole.
    expect((await hourpack([...expire, ...raw, "--yes"], { cwd: root })).code).toBe(0);
    rmSync(join(root, "raw"), { recursive: true });
    expect((await hourpack([...expire, ...raw], { cwd: root })).code).toBe(0);
    rmSync(root, { recursive: true });
  });
});

describe("an S3 that cannot be used", () => {
  let minio: S3Server;
  let bucket: Bucket;
  beforeAll(async () => {
    minio = await startMinio();
    bucket = new Bucket(minio, await createBucket(minio));
    await bucket.put("raw/year=2022/month=07/day=26/hour=00/a.json", '{"id":1}');
  });
  afterEach(async () => expect(await bucket.keys("lake")).toEqual([]));
  afterAll(async () => {
    bucket?.close();
    await minio?.stop();
  });

  const run = (endpoint: string, raw: string, tier1: string, env: Record<string, string>) =>
    hourpack(
      ["run", "--s3-endpoint", endpoint, "--s3-force-path-style", "--s3-retry-budget", "2s"].concat(
        ["--raw", `s3://${raw}/raw/${TEMPLATE}`, "--tier1", `s3://${tier1}/lake/`],
        ["--table", "events", "--hour", HOUR],
      ),
      { env },
    );

  it("a missing bucket", async () => {
    const end = await run(minio.endpoint, "no-such-bucket", bucket.name, credentialsEnv(minio));
    expectOneError(end, 2, /no-such-bucket/, /bucket/i);
  });

  it("a missing bucket for tier 1", async () => {
    const end = await run(minio.endpoint, bucket.name, "no-such-lake", credentialsEnv(minio));
    expectOneError(end, 2, /no-such-lake/, /bucket/i);
  });

  it("a wrong secret, which is not printed", async () => {
    const secret = "wrong-secret-of-someone";
    const env = { ...credentialsEnv(minio), AWS_SECRET_ACCESS_KEY: secret };
    const end = await run(minio.endpoint, bucket.name, bucket.name, env);
    expectOneError(end, 2, /\(403 SignatureDoesNotMatch\)/, /credentials are wrong/);
    expect(end.stdout + end.stderr).not.toContain(secret);
  });

  it.each([
    ["a newline", "AWS_ACCESS_KEY_ID", "key-of-someone\nelse", /the access key id has a character/],
    [
      "a letter that is not ASCII",
      "AWS_SESSION_TOKEN",
      "key-of-someoné",
      /the session token has a character/,
    ],
  ])("%s in %s, which is not printed", async (_, name, value, message) => {
    const env = { ...credentialsEnv(minio), [name]: value };
    const end = await run(minio.endpoint, bucket.name, bucket.name, env);
    expectOneError(end, 2, message, new RegExp(name));
    expect(end.stdout + end.stderr).not.toContain("key-of-someon");
  });

  it.each([
    ["AWS_ACCESS_KEY_ID", "\tkey-of-someone", /the access key id begins or ends with white space/],
    ["AWS_SECRET_ACCESS_KEY", "key-of-someone\n", /the secret access key begins or ends with white space/],
    ["AWS_SESSION_TOKEN", "key-of-someone ", /the session token begins or ends with white space/],
  ])("white space at an end of %s, before anything is sent", async (name, value, message) => {
    const env = { ...credentialsEnv(minio), [name]: value };
    const end = await run(`http://127.0.0.1:${SILENT_PORT}`, bucket.name, bucket.name, env);
    expectOneError(end, 2, message, new RegExp(name));
    expect(end.stdout + end.stderr).not.toContain("key-of-someone");
  });

  it.each([
    "http://user:secret-of-someone@127.0.0.1:9000",
    "http:/user:secret-of-someone@127.0.0.1:9000",
    "//user:secret-of-someone@127.0.0.1:9000",
    "user:secret-of-someone@127.0.0.1:9000",
    "http:\\\\user:secret-of-someone@127.0.0.1:9000",
    "http://user:half/secret-of-someone@127.0.0.1:9000",
    "http://secret-of-someone@127.0.0.1:9000",
    "http://127.0.0.1:9000/?x=secret-of-someone",
  ])("a password in the endpoint %s, which is not printed by any command", async (endpoint) => {
    const env = credentialsEnv(minio);
    const end = await run(endpoint, bucket.name, bucket.name, env);
    const places = ["--raw", `s3://${bucket.name}/raw/${TEMPLATE}`, "--tier1", `s3://${bucket.name}/lake/`];
    const s3 = ["--s3-endpoint", endpoint, "--s3-force-path-style", "--s3-retry-budget", "1s"];
    const doctor = await hourpack(["doctor", ...places, ...s3, "--table", "events"], { env });
    expectOneError(end, 2, /s3\.endpoint ".*127\.0\.0\.1.*" has credentials or a query in it/, /AWS chain/);
    expect(doctor.code).toBe(2);
    for (const { stdout, stderr } of [end, doctor]) {
      expect(stdout + stderr).toContain("127.0.0.1");
      expect(stdout + stderr).not.toContain("secret-of-someone");
    }
  });

  it("no credentials at all", async () => {
    const end = await run(minio.endpoint, bucket.name, bucket.name, { AWS_REGION: "us-east-1" });
    expectOneError(end, 2, /credentials/i, /AWS_ACCESS_KEY_ID|credentials/);
  });

  it("an endpoint that nobody answers at", async () => {
    const end = await run(`http://127.0.0.1:${SILENT_PORT}`, bucket.name, bucket.name, credentialsEnv(minio));
    expectOneError(end, 10, /ECONNREFUSED/, /Is the store running at http:/);
  });

  const untilTold = ["--s3-retry-budget", "8s", "--log-level", "warn"];
  const places = ["--raw", "s3://raw/{yyyy}/{MM}/{dd}/{HH}/", "--tier1", "s3://lake/t/", "--table", "t"];

  it.each(["run", "plan", "status"])("says in %s what it waits for where nobody answers", async (command) => {
    const endpoint = `http://127.0.0.1:${SILENT_PORT}`;
    const hour = command === "status" ? [] : ["--hour", HOUR];
    const args = [command, ...hour, ...places, "--s3-endpoint", endpoint, ...untilTold];
    const { code, stderr } = await hourpack(args, { env: credentialsEnv(minio) });
    expect(code, stderr).toBe(10);
    const told = `s3://lake/t/\\S*: ${endpoint} does not answer \\(ECONNREFUSED\\): trying again \\([2-9] of 9\\)`;
    expect(stderr).toMatch(new RegExp(`^(head|list) ${told}$`, "m"));
    expect(stderr).toMatch(new RegExp(`^{"level":"warn".*${told}"}$`, "m"));
  });

  it("says that a store speaks no TLS", async () => {
    const endpoint = minio.endpoint.replace("http:", "https:");
    const args = ["run", "--hour", HOUR, ...places, "--s3-endpoint", endpoint];
    const end = await hourpack(args, { env: credentialsEnv(minio) });
    expectOneError(end, 2, /wrong version number/i, /is it http:/);
  });

  it.each(["run", "plan", "status", "doctor"])("says once in %s that no region is set", async (command) => {
    const hour = command === "status" || command === "doctor" ? [] : ["--hour", HOUR];
    const env = { AWS_ACCESS_KEY_ID: "x", AWS_SECRET_ACCESS_KEY: "y", AWS_EC2_METADATA_DISABLED: "true" };
    const { code, stdout, stderr } = await hourpack([command, ...hour, ...places], { env });
    expect(code, stderr).toBe(2);
    expect(stdout + stderr).toContain("Set s3.region or AWS_REGION");
    expect(stdout + stderr).not.toContain("bug of hourpack");
    expect(stdout + stderr).not.toContain("S3 did not answer");
  });

  it("asks a store that refuses without a reason a few times, and logs why the dataset failed", async () => {
    let asked = 0;
    const refusing = createHttpServer((_, response) => {
      asked++;
      response.writeHead(403).end();
    }).listen(0, "127.0.0.1");
    await once(refusing, "listening");
    const endpoint = `http://127.0.0.1:${(refusing.address() as AddressInfo).port}`;
    const args = ["run", "--hour", HOUR, ...places, "--s3-endpoint", endpoint, "--log-level", "warn"];
    const end = await hourpack(args, { env: credentialsEnv(minio) });
    refusing.close();
    expectOneError(end, 2, /refused these credentials \(403\)/, /Check AWS_ACCESS_KEY_ID/);
    expect(end.stderr).toMatch(
      /^\{"level":"error".*"error":\{"kind":"invalid","message":"head s3:\/\/lake\//m,
    );
    // Once, after each of three renewals, and by a GET, which could have a reason; each time through the SDK, too.
    expect(asked).toBe(10);
  });

  it("says so as JSON, too, of a store that takes the connection and is silent", async () => {
    const silent = createServer().listen(0, "127.0.0.1");
    await once(silent, "listening");
    const endpoint = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`;
    const once4s = ["--s3-endpoint", endpoint, "--s3-timeout", "4s", "--s3-retry-budget", "1s"];
    const { code, records } = await hourpack(["run", "--hour", HOUR, ...places, ...once4s, "--json"], {
      env: credentialsEnv(minio),
    });
    silent.close();
    expect(code).toBe(10);
    const text = expect.stringMatching(/^(head|list) s3:\/\/lake\/t\/\S*: http:\S+ has not answered yet$/);
    expect(records).toContainEqual({ type: "notice", text });
  });
});

describe("a pipe where a file is read", () => {
  const text = () =>
    `datasets: {t: {raw: "${dir}/piped/raw/${TEMPLATE}", tier1: "${dir}/piped/lake/", table: t}}\n`;
  const raw = () => join(dir, "piped/raw/year=2022/month=07/day=26/hour=00");

  it("is a configuration like any other, also while it is still written", async () => {
    mkdirSync(raw(), { recursive: true });
    writeFileSync(join(raw(), "a.json"), '{"a":1}\n');
    const slowly = `{ sleep 0.5; printf '%s' "$TEXT"; } | "${process.execPath}" "${HOURPACK}" run --config /dev/stdin --hour ${HOUR}`;
    const child = spawn("sh", ["-c", slowly], { env: { ...cleanEnv(), TEXT: text() }, stdio: "ignore" });
    expect((await once(child, "exit"))[0]).toBe(0);
  });

  it("that nobody writes to hears signals", async () => {
    const pipe = join(dir, "pipe.yaml");
    execFileSync("mkfifo", [pipe]);
    const child = spawn(process.execPath, [HOURPACK, "run", "--config", pipe], {
      env: cleanEnv(),
      stdio: ["ignore", "ignore", "pipe"],
    });
    const ended = once(child, "exit");
    let told = "";
    child.stderr.setEncoding("utf8").on("data", (piece) => {
      told += piece;
      // The second one ends it at once.
      child.kill("SIGTERM");
    });
    const asking = setInterval(() => told === "" && child.kill("SIGINT"), 1000);
    const deadline = setTimeout(() => child.kill("SIGKILL"), 15_000);
    const [code, signal] = await ended;
    clearInterval(asking);
    clearTimeout(deadline);
    expect(told).toContain("stopping");
    expect(code ?? signal).toBe("SIGINT");
  });

  it("in a claim's place costs the claim, and not the hour", async () => {
    const claims = join(dir, "piped/claimed/_hourpack/claims/2022/07/26");
    mkdirSync(claims, { recursive: true });
    mkdirSync(raw(), { recursive: true });
    writeFileSync(join(raw(), "a.json"), '{"a":1}\n');
    execFileSync("mkfifo", [join(claims, "00.json")]);
    const dataset = ["--raw", `piped/raw/${TEMPLATE}`, "--tier1", "piped/claimed/", "--table", "t"];
    const { code, records } = await hourpack(["run", ...dataset, "--hour", HOUR, "--json"], { cwd: dir });
    expect(code).toBe(0);
    const text = expect.stringMatching(
      /^no claim could be taken .*00\.json: a pipe or device is in its place/,
    );
    expect(records).toContainEqual(expect.objectContaining({ type: "notice", text }));
  });
});

/** One `error:` with a remedy after an arrow, no stack, and the documented code. */
function expectOneError(
  end: { code: number | null; stdout: string; stderr: string },
  code: number,
  message: RegExp,
  remedy: RegExp,
): void {
  expect(end.code, end.stderr).toBe(code);
  expect(end.stderr.match(/^error: /gm)?.length, end.stderr).toBe(1);
  expect(/^error: (.*)$/m.exec(end.stderr)?.[1]).toMatch(message);
  expect(/^ {2}→ (.*)$/m.exec(end.stderr)?.[1]).toMatch(remedy);
  expect(end.stderr).not.toMatch(/^\s+at .*\.[jt]s:\d+/m);
}
