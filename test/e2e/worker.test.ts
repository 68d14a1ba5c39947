/** hourpack worker as a child process that gets real signals. day.test.ts runs it for a day. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { addHours, type Hour, hourOfMs, partsOf } from "../../src/hour.js";
import { cleanEnv, HOURPACK } from "../support/cli.js";
import { createBucket, credentialsEnv, type S3Server, startMinio } from "../support/minio.js";
import { S3Proxy } from "../support/proxy.js";
import { Bucket } from "../support/s3.js";

let minio: S3Server;
let proxy: S3Proxy;
let bucket: Bucket;
let dir: string;
let env: Record<string, string>;

beforeAll(async () => {
  minio = await startMinio();
  env = credentialsEnv(minio);
});
afterAll(async () => {
  await minio?.stop();
});
beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), "hourpack-worker-"));
  bucket = new Bucket(minio, await createBucket(minio));
  proxy = await S3Proxy.start(minio);
});
afterEach(async () => {
  bucket.close();
  await proxy.stop();
  rmSync(dir, { recursive: true, force: true });
});

function rawKey(hour: Hour, name: string): string {
  const { yyyy, MM, dd, HH } = partsOf(hour);
  return `raw/a/${yyyy}/${MM}/${dd}/${HH}/${name}`;
}

const records = (count: number, from = 0) =>
  Array.from({ length: count }, (_, i) => `${JSON.stringify({ n: from + i })}\n`).join("");

/** Two datasets of one bucket, behind the proxy. */
function writeConfig(): string {
  const dataset = (name: string) => ({
    raw: `s3://${bucket.name}/raw/${name}/{yyyy}/{MM}/{dd}/{HH}/`,
    tier1: `s3://${bucket.name}/lake/${name}/`,
    table: name,
  });
  const config = {
    s3: { endpoint: proxy.endpoint, forcePathStyle: true, region: "us-east-1", retryBudget: "50ms" },
    datasets: { a: dataset("a"), b: dataset("b") },
    run: { lookBack: "3h", spoolDir: join(dir, "spool") },
  };
  const file = join(dir, "hourpack.yaml");
  writeFileSync(file, JSON.stringify(config));
  return file;
}

async function partsIn(dataset: string): Promise<string[]> {
  const keys = await bucket.keys(`lake/${dataset}/year=`);
  return keys.flatMap((key) => /\d{10}(?=\.snappy\.parquet$)/.exec(key)?.[0] ?? []).sort();
}

describe("as a process", () => {
  /** Half an hour away from now, so that no test meets its second round. */
  const at = String((new Date().getUTCMinutes() + 30) % 60);
  const newest = addHours(hourOfMs(Date.now()), -1);
  let worker: ChildProcess | undefined;

  afterEach(() => worker?.kill("SIGKILL"));

  function start(more: string[] = [], variables: Record<string, string> = {}) {
    const file = writeConfig();
    const flags = ["--config", file, "--at", at, "--settle", "0s", "--listen", "127.0.0.1:0", "--json"];
    const own = flags.filter((flag, i) => !more.includes(flag) && !more.includes(flags[i - 1] ?? ""));
    const child = spawn(process.execPath, [HOURPACK, "worker", ...own, ...more], {
      env: { ...cleanEnv(), ...env, ...variables },
      stdio: ["ignore", "pipe", "pipe"],
    });
    worker = child;
    const seen: Record<string, unknown>[] = [];
    const waiting = new Set<() => void>();
    let rest = "";
    let stderr = "";
    child.stderr.setEncoding("utf8").on("data", (piece) => {
      stderr += piece;
    });
    child.stdout.setEncoding("utf8").on("data", (piece) => {
      const lines = (rest + piece).split("\n");
      rest = lines.pop() ?? "";
      seen.push(...lines.map((line) => JSON.parse(line) as Record<string, unknown>));
      for (const look of waiting) look();
    });
    const ended = new Promise<number | null>((resolve) => child.on("close", resolve));
    /** The first record of a type; fails where the process ends without one. */
    const record = (type: string) =>
      new Promise<Record<string, unknown>>((resolve, reject) => {
        const look = () => {
          const found = seen.find((one) => one["type"] === type);
          if (found) resolve(found);
        };
        waiting.add(look);
        look();
        void ended.then(() => reject(new Error(`no ${type} before the end:\n${stderr}`)));
      });
    return { child, record, ended, seen, stderr: () => stderr };
  }

  it("packs what is due at once, shows how it is, and a stop while it sleeps is an end like any other", async () => {
    const hours = [addHours(newest, -1), newest];
    for (const hour of hours) await bucket.put(rawKey(hour, "x.json"), records(5));
    const running = start(["--log-level", "info"]);
    const { url } = await running.record("listening");
    expect(await running.record("asleep")).toHaveProperty("until");
    const get = async (path: string) => {
      const response = await fetch(`${url}${path}`);
      return { status: response.status, text: await response.text() };
    };
    expect(await get("/healthz")).toEqual({ status: 200, text: "ok\n" });
    expect(await get("/readyz")).toEqual({ status: 200, text: "ready\n" });
    const metrics = (await get("/metrics")).text;
    for (const line of [
      'hourpack_hours_total{dataset="a",outcome="packed"} 2',
      'hourpack_hours_total{dataset="b",outcome="packed"} 0',
      'hourpack_objects_total{dataset="a"} 2',
      'hourpack_records_total{dataset="a"} 10',
      `hourpack_bytes_total{dataset="a",direction="in"} ${2 * records(5).length}`,
    ]) {
      expect(metrics).toContain(`${line}\n`);
    }
    expect(metrics).toMatch(/hourpack_last_success_timestamp_seconds\{dataset="a"\} 1\d{9}/);
    expect(metrics).toContain("process_resident_memory_bytes");

    running.child.kill("SIGTERM");
    expect(await running.ended).toBe(0);
    expect(running.seen.at(-1)).toEqual({ type: "result", rounds: 1, isInterrupted: false, exitCode: 0 });
    await expect(fetch(`${url}/healthz`)).rejects.toThrow();
    expect(await partsIn("a")).toEqual(hours.map((hour) => hour.replace(/[-T]/g, "")));
    // Each line of the log has the run's id, and those of a round the round's and the hour.
    const log = running
      .stderr()
      .split("\n")
      .filter((line) => line.startsWith("{"));
    const packed = log.map((line) => JSON.parse(line)).filter(({ msg }) => msg === "hour packed");
    expect(packed).toHaveLength(2);
    for (const line of packed) expect(line).toMatchObject({ runId: /\w{26}/, round: /\w{26}/, dataset: "a" });
  });

  it("counts a round in which a store refused it: the lag, which counts from the start, does not tell of that", async () => {
    const running = start([], { AWS_SECRET_ACCESS_KEY: "wrong" });
    const { url } = await running.record("listening");
    await running.record("asleep");
    const metrics = await (await fetch(`${url}/metrics`)).text();
    expect(metrics).toContain('hourpack_dataset_failures_total{dataset="a"} 1\n');
    const [, lag] = /^hourpack_lag_seconds\{dataset="a"\} (\S+)$/m.exec(metrics) ?? [];
    expect(Number(lag)).toBeLessThan(60);
    // What an alert on restarts goes by.
    expect(metrics).toMatch(/^process_start_time_seconds 1\d{9}$/m);
    expect((await fetch(`${url}/readyz`)).status).toBe(503);
  });

  it("says in the log when it is at work again, and that it waits for settle, and not for its minute", async () => {
    const running = start(["--at", "0", "--settle", "59m", "--log-level", "info"]);
    const { until, waitsFor } = await running.record("asleep");
    expect(waitsFor).toBe("settle");
    expect(until).toMatch(/:59:00\.000Z$/);
    running.child.kill("SIGTERM");
    expect(await running.ended).toBe(0);
    const log = running.stderr().split("\n");
    const line = JSON.parse(log.find((text) => text.includes('"msg":"asleep"')) ?? "{}");
    expect(line).toMatchObject({ until, waitsFor: "settle" });
  });

  it("a stop at work answers with 130, publishes nothing half, and the next start goes on", async () => {
    for (let i = 0; i < 40; i++) await bucket.put(rawKey(newest, `${i}.json`), records(5, i * 5));
    // A raw object that never comes holds the work at its reading.
    let hold = true;
    const reads = new Promise<void>((resolve) => {
      proxy.hooks.fault = ({ operation, path }) => {
        if (!hold || operation !== "GetObject" || !path.includes("/raw/")) return undefined;
        resolve();
        return async () => ({ kind: "silence" });
      };
    });
    const running = start();
    await reads;
    running.child.kill("SIGTERM");
    expect(await running.ended).toBe(130);
    expect(running.seen.at(-1)).toEqual({ type: "result", rounds: 1, isInterrupted: true, exitCode: 130 });
    expect(await partsIn("a")).toEqual([]);

    hold = false;
    const again = start();
    await again.record("asleep");
    again.child.kill("SIGINT");
    expect(await again.ended).toBe(0);
    expect(await partsIn("a")).toEqual([newest.replace(/[-T]/g, "")]);
  });

  it("is up while the store is not, says so, and keeps going", async () => {
    proxy.hooks.fault = () => async () => ({ kind: "reset" });
    const running = start();
    const { url } = await running.record("listening");
    const round = await running.record("round-finished");
    expect(round).toMatchObject({ datasets: 2, datasetsFailed: 2, packed: 0, failed: 0 });
    await running.record("asleep");
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    const ready = await fetch(`${url}/readyz`);
    expect([ready.status, await ready.text()]).toEqual([503, expect.stringContaining("unavailable")]);
    running.child.kill("SIGTERM");
    expect(await running.ended).toBe(0);
  });

  it.each([
    ["--listen", "127.0.0.1:99999", "is no address to listen on"],
    ["--at", "60", "must be at most 59"],
    ["--at", "five", "must be a number"],
    ["--dataset", "c", 'there is no dataset "c"'],
  ])("bad arguments end it before it begins: %s %s", async (flag, value, message) => {
    const file = writeConfig();
    const child = spawn(process.execPath, [HOURPACK, "worker", "--config", file, flag, value], {
      env: { ...cleanEnv(), ...env },
      stdio: ["ignore", "ignore", "pipe"],
    });
    worker = child;
    const [code, stderr] = await Promise.all([
      new Promise((resolve) => child.on("close", resolve)),
      text(child.stderr),
    ]);
    expect([code, stderr]).toEqual([2, expect.stringContaining(message)]);
  });

  it("a port that is taken ends it with the remedy", async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
    const { port } = taken.address() as AddressInfo;
    const file = writeConfig();
    const child = spawn(
      process.execPath,
      [HOURPACK, "worker", "--config", file, "--listen", `127.0.0.1:${port}`],
      { env: { ...cleanEnv(), ...env }, stdio: ["ignore", "ignore", "pipe"] },
    );
    worker = child;
    const stderr = await text(child.stderr);
    expect(stderr).toMatch(/the port is taken[\s\S]*--listen/);
    await new Promise((resolve) => taken.close(resolve));
  });
});
