/**
 * A day of an installed worker by the test's own clock, against MinIO and Glue: late data, damage, a two-hour outage of the
 * store, a kill. At the end every hour is packed and registered, and metrics, alerts and messages report what happened.
 */
import { spawn } from "node:child_process";
import { on, once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { pathToFileURL } from "node:url";
import { GetPartitionsCommand, GlueClient } from "@aws-sdk/client-glue";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { addHours, type Hour, hoursBetween, parseHour, partsOf, startMs } from "../../src/hour.js";
import { cleanEnv } from "../support/cli.js";
import { verdictOf } from "../support/linters.js";
import { createBucket, credentialsEnv, type S3Server, startMinio } from "../support/minio.js";
import { type Moto, startMoto } from "../support/moto.js";
import { firing, increaseOf, type Scrape, samplesIn } from "../support/prometheus.js";
import { S3Proxy } from "../support/proxy.js";
import { Bucket } from "../support/s3.js";
import { type Installed, installTarball } from "../support/tarball.js";

const MINUTE_MS = 60_000;
const STEP_MS = 5 * MINUTE_MS;
/** Ahead of the store's own clock, so that late objects have waited long enough. */
const MIDNIGHT = parseHour(`${new Date(Date.now() + 86_400_000).toISOString().slice(0, 10)}T00`);
const HOURS = hoursBetween(MIDNIGHT, addHours(MIDNIGHT, 24));

let minio: S3Server;
let moto: Moto;
let proxy: S3Proxy;
let bucket: Bucket;
let webhook: Awaited<ReturnType<typeof startWebhook>>;
let work: string;
let installed: Installed;
let env: NodeJS.ProcessEnv;
const scrapes: Scrape[] = [];
/** What /readyz said at each scrape. */
const ready = new Map<number, number>();
let alerts: Map<string, number[]>;

/** `19:10` of the day; after midnight `24:05`. */
function at(time: string): number {
  const [hours, minutes] = time.split(":").map(Number) as [number, number];
  return startMs(MIDNIGHT) + (hours * 60 + minutes) * MINUTE_MS;
}

function timeOf(ms: number): string {
  const minutes = (ms - startMs(MIDNIGHT)) / MINUTE_MS;
  return [Math.floor(minutes / 60), minutes % 60].map((n) => String(n).padStart(2, "0")).join(":");
}

const records = (count: number, more: object = {}) =>
  Array.from({ length: count }, (_, n) => `${JSON.stringify({ n, ...more })}\n`).join("");

async function put(dataset: string, hour: Hour, name: string, body: string): Promise<void> {
  const { yyyy, MM, dd, HH } = partsOf(hour);
  await bucket.put(`raw/${dataset}/${yyyy}/${MM}/${dd}/${HH}/${name}`, body);
}

/** What producers write during an hour: two objects of ten records for `a`, one of one record for `b`. */
async function produce(i: number): Promise<void> {
  const hour = HOURS[i] as Hour;
  await put("a", hour, "x.json", records(10));
  await put("a", hour, "y.json", records(10) + (i === 8 ? "broken\n".repeat(5) : ""));
  // Nothing but damage in one hour, and in another one a member that has no column.
  const ofB = i === 12 ? "broken\n" : records(1, i === 5 ? { surprise: true } : {});
  await put("b", hour, "z.json", ofB);
}

/** What happens beside that. */
const EVENTS: Record<string, () => unknown> = {
  "03:30": () => put("a", HOURS[1] as Hour, "late.json", records(7)),
  "15:30": () => put("b", HOURS[12] as Hour, "z.json", records(1)),
  "17:50": () => {
    proxy.hooks.fault = () => async () => ({ kind: "reset" });
  },
  "19:50": () => {
    proxy.hooks.fault = undefined;
  },
  "22:20": async () => {
    await worker?.kill();
    worker = undefined;
  },
  "22:50": async () => {
    worker = await startWorker(at("22:50"));
  },
};

/** The installed command with the clock of the test, its round at once done. */
async function startWorker(nowMs: number) {
  const child = spawn(process.execPath, [installed.command, "worker", "--json", "--listen", "127.0.0.1:0"], {
    cwd: work,
    env: { ...env, TEST_NOW_MS: String(nowMs) },
    stdio: ["ignore", "pipe", "pipe", "ipc"],
  });
  let stderr = "";
  child.stderr?.setEncoding("utf8").on("data", (piece) => {
    stderr += piece;
  });
  const ended = new Promise<number | null>((resolve) => child.on("close", resolve));
  const lines = on(createInterface(child.stdout as Readable), "line", { close: ["close"] });
  /** Reads on to the next record of a type. */
  const next = async (type: string): Promise<Record<string, unknown>> => {
    for (let read = await lines.next(); !read.done; read = await lines.next()) {
      const record = JSON.parse(read.value[0]) as Record<string, unknown>;
      if (record["type"] === type) return record;
    }
    throw new Error(`no ${type} before the end:\n${stderr}`);
  };
  const { url } = await next("listening");
  await next("asleep");
  return {
    get: (path: string) => fetch(`${url}${path}`),
    goTo: async (ms: number) => {
      const told = once(child, "message");
      child.send(ms);
      await told;
      if (new Date(ms).getUTCMinutes() === 5) await next("asleep");
    },
    kill: async () => {
      child.kill("SIGKILL");
      await ended;
    },
    stop: async () => {
      child.kill("SIGTERM");
      return { exitCode: await ended, stderr };
    },
  };
}

async function scrape(atMs: number): Promise<void> {
  const answer = await worker?.get("/metrics").catch(() => undefined);
  scrapes.push({ atMs, values: answer && samplesIn(await answer.text()) });
  const readyz = await worker?.get("/readyz").catch(() => undefined);
  if (readyz) ready.set(atMs, readyz.status);
}

let worker: Awaited<ReturnType<typeof startWorker>> | undefined;

beforeAll(async () => {
  [minio, moto, webhook] = await Promise.all([startMinio(), startMoto(), startWebhook()]);
  Object.assign(process.env, credentialsEnv(minio));
  work = mkdtempSync(join(tmpdir(), "hourpack-day-"));
  installed = await installTarball(work);
  bucket = new Bucket(minio, await createBucket(minio));
  proxy = await S3Proxy.start(minio);
  env = {
    ...cleanEnv(),
    ...credentialsEnv(minio),
    NODE_OPTIONS: `--import=${pathToFileURL(resolve(import.meta.dirname, "../support/clock.mjs"))}`,
    HOURPACK_HOOK_URL: webhook.url,
  };
  const dataset = (name: string) => ({
    raw: `s3://${bucket.name}/raw/${name}/{yyyy}/{MM}/{dd}/{HH}/`,
    tier1: `s3://${bucket.name}/lake/${name}/`,
    table: name,
  });
  const config = {
    s3: { endpoint: proxy.endpoint, forcePathStyle: true, retryBudget: "50ms" },
    datasets: { a: dataset("a"), b: dataset("b") },
    catalog: { type: "glue", database: "day", endpoint: moto.endpoint, region: "us-east-1" },
    run: { lookBack: "6h", spoolDir: join(work, "spool"), maxQuarantine: 0.5 },
    hooks: { quarantine: 0.1 },
  };
  writeFileSync(join(work, "hourpack.yaml"), JSON.stringify(config));
  await theDay();
  alerts = await firing(scrapes, STEP_MS, work);
});

afterAll(async () => {
  await worker?.kill();
  bucket?.close();
  await proxy?.stop();
  await webhook?.stop();
  await Promise.all([minio?.stop(), moto?.stop()]);
  rmSync(work, { recursive: true, force: true });
});

/** In steps of five minutes, from half past midnight until the last hour is packed. */
async function theDay(): Promise<void> {
  worker = await startWorker(at("00:30"));
  for (let ms = at("00:30"); ms <= at("24:10"); ms += STEP_MS) {
    const time = timeOf(ms);
    if (time.endsWith(":45")) await produce(Number(time.slice(0, 2)));
    await EVENTS[time]?.();
    await worker?.goTo(ms);
    await scrape(ms);
  }
}

/** Runs another command of the package, at the end of the day. */
async function hourpack(...args: string[]) {
  const options = { cwd: work, env: { ...env, TEST_NOW_MS: String(at("24:10")) } };
  return verdictOf(process.execPath, [installed.command, ...args], options);
}

const names = HOURS.map((hour) => hour.replace(/[-T]/g, ""));
const since = (from: string, to: string) => {
  const steps = (at(to) - at(from)) / STEP_MS;
  return Array.from({ length: steps + 1 }, (_, i) => timeOf(at(from) + i * STEP_MS));
};

describe("after a day with late data, damage, an outage and a kill", () => {
  it.each(["a", "b"])("every hour of %s is packed and registered", async (dataset) => {
    const keys = await bucket.keys(`lake/${dataset}/year=`);
    expect(keys.map((key) => /(\d{10})\.snappy\.parquet$/.exec(key)?.[1]).sort()).toEqual(names);
    for (const table of [dataset, `${dataset}_raw`])
      expect(await registeredHours(table)).toEqual(expect.arrayContaining(names));
  });

  it("every record is found in tier 1, and status shows the day", async () => {
    const range = ["--from", MIDNIGHT, "--to", addHours(MIDNIGHT, 24)];
    const verified = await hourpack("verify", "--deep", ...range);
    expect(verified).toMatchObject({ exitCode: 0, output: expect.stringMatching(/^48 hours sound: /m) });
    const { output } = await hourpack("status", ...range);
    const day = MIDNIGHT.slice(0, 10);
    const strips = output.split("\n").filter((line) => line.startsWith(`  ${day}`));
    expect(strips).toEqual([`  ${day}  ████████▓███████████████`, `  ${day}  ${"█".repeat(24)}`]);
  });

  it("the metrics tell the story", () => {
    const sumOf = (name: string) => increaseOf(`hourpack_${name}`, scrapes);
    expect({
      packedA: sumOf('hours_total{dataset="a",outcome="packed"}'),
      packedB: sumOf('hours_total{dataset="b",outcome="packed"}'),
      failed: sumOf('hours_total{dataset="b",outcome="failed"}'),
      late: sumOf('late_recompactions_total{dataset="a"}'),
      objects: sumOf('objects_total{dataset="a"}'),
      records: sumOf('records_total{dataset="a"}'),
      quarantined: sumOf('quarantined_total{dataset="a"}'),
      rescued: sumOf('rescued_total{dataset="b"}'),
      lost: sumOf('dataset_failures_total{dataset="a"}'),
    }).toEqual({
      packedA: 24 + 1,
      packedB: 24,
      failed: 3,
      late: 1,
      objects: 2 * 24 + 1,
      records: 20 * 24 + 5 + 7,
      quarantined: 5,
      rescued: 1,
      lost: 2,
    });
    expect(sumOf('retries_total{dataset="a"}')).toBeGreaterThan(0);
    const last = scrapes.at(-1)?.values;
    expect(last?.get('hourpack_lag_seconds{dataset="a"}')).toBe(600);
    expect(last?.get('hourpack_last_success_timestamp_seconds{dataset="a"}')).toBe(at("24:05") / 1000);
  });

  it("the alerts were there when they should have been, and at no other time", () => {
    const fired = Object.fromEntries([...alerts].map(([name, times]) => [name, times.map(timeOf)]));
    expect(fired).toEqual({
      // From two hours behind on, for a while, until the round that caught up.
      "HourpackLagging a": since("19:10", "20:00"),
      "HourpackLagging b": [...since("14:10", "16:00"), ...since("19:10", "20:00")],
      // From the first failure until 75 minutes after the last.
      "HourpackHourFailed b": since("13:05", "16:15"),
      // An hour before the lag tells of the outage.
      "HourpackRoundFailed a": since("18:05", "20:15"),
      "HourpackRoundFailed b": since("18:05", "20:15"),
      "HourpackNoSuccess b": since("15:15", "16:00"),
      // For two hours.
      "HourpackQuarantine a": since("09:05", "11:00"),
      "HourpackRescued b": since("06:05", "08:00"),
      HourpackDown: since("22:25", "22:45"),
    });
  });

  it("it was ready but for the outage, up to the round that found the store again", () => {
    const unready = [...ready].filter(([, status]) => status !== 200).map(([ms]) => timeOf(ms));
    expect(unready).toEqual(since("18:05", "20:00"));
  });

  it("people were told of each trouble and of its end, once", () => {
    const of = (dataset: string) => webhook.texts.filter((one) => one.startsWith(`hourpack: ${dataset}`));
    expect(of("a")).toEqual([
      expect.stringContaining(`${HOURS[8]}: 5 of 25 records are in quarantine, more than the limit of 10 %`),
      expect.stringMatching(/^hourpack: a failed: list s3:.* → /),
      "hourpack: a recovered after 120 min; all that is due is done",
    ]);
    expect(of("b")).toEqual([
      expect.stringMatching(`^hourpack: b ${HOURS[12]} failed: .*would be quarantined.* → `),
      "hourpack: b recovered after 180 min; all that is due is done",
      expect.stringMatching(/^hourpack: b failed: list s3:.* → /),
      "hourpack: b recovered after 120 min; all that is due is done",
    ]);
  });

  it("a stop ends the worker, and leaves nothing unsaid", async () => {
    expect(await worker?.stop()).toEqual({ exitCode: 0, stderr: "" });
    worker = undefined;
  });
});

async function registeredHours(table: string): Promise<string[]> {
  const client = new GlueClient({ endpoint: moto.endpoint, region: "us-east-1" });
  const got = await client.send(new GetPartitionsCommand({ DatabaseName: "day", TableName: table }));
  client.destroy();
  return (got.Partitions ?? []).map(({ Values = [] }) =>
    Values.map((part, i) => part.padStart(i === 0 ? 4 : 2, "0")).join(""),
  );
}

async function startWebhook() {
  const texts: string[] = [];
  const server = createServer(async (request, response) => {
    texts.push((JSON.parse(await text(request)) as { text: string }).text);
    response.end("ok");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/hook`,
    texts,
    stop: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
