import { execFileSync } from "node:child_process";
import { channel } from "node:diagnostics_channel";
import {
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Dataset } from "../../src/config/settings.js";
import { HourpackError } from "../../src/errors.js";
import { addHours, endMs, type Hour, parseHour } from "../../src/hour.js";
import { parseLocation, parseRawTemplate } from "../../src/layout.js";
import { type StatusServer, serveStatus } from "../../src/operations/http.js";
import { Metrics, resumeFromFile, writeMetricsFile } from "../../src/operations/metrics.js";
import { Readiness } from "../../src/operations/readiness.js";
import type { DatasetRound } from "../../src/operations/worker.js";
import type { HourFailure, HourResult } from "../../src/task.js";
import { RETRY_CHANNEL } from "../../src/waiting.js";

const HOUR = parseHour("2022-07-26T00");
const DATASET = "mmp/android";
const OUTCOMES = ["packed", "up_to_date", "empty", "waiting", "failed", "interrupted"];

function dataset(name: string): Dataset {
  const rawUri = `s3://raw/${name}/{yyyy}/{MM}/{dd}/{HH}/`;
  return {
    name,
    rawUri,
    raw: parseRawTemplate(rawUri),
    tier1: parseLocation(`s3://lake/${name}/`),
    table: "t",
    rawTable: "t_raw",
    records: { keys: [] } as unknown as Dataset["records"],
    unknown: "rescue",
    zone: "UTC",
    sortBy: [],
  };
}

let nowMs: number;
let metrics: Metrics;
beforeEach(async () => {
  nowMs = endMs(HOUR);
  metrics = await Metrics.open([dataset(DATASET), dataset("mmp/ios")], { nowMs: () => nowMs });
});
afterEach(() => metrics.close());

function result(more: Partial<HourResult> = {}): HourResult {
  return {
    dataset: DATASET,
    hour: HOUR,
    action: "packed",
    reason: "new hour",
    objects: 10,
    rawBytes: 1000,
    skipped: 0,
    changes: { added: 10, overwritten: 0, gone: 0 },
    part: { key: "k", rows: 97, quarantined: 3, quarantinedBytes: 9, sizeBytes: 400 },
    rows: 97,
    rescued: 2,
    quarantined: 3,
    seconds: 3,
    stageSeconds: { list: 0.5, convert: 1.5 },
    ...more,
  };
}

const failure = (
  hour: Hour | undefined,
  kind: "unavailable" | "interrupted" = "unavailable",
): HourFailure => ({
  dataset: DATASET,
  hour,
  error: new HourpackError(kind, "no"),
});

function looked(more: Partial<DatasetRound>): void {
  const round = { dataset: DATASET, hours: [], failures: [], finishedMs: nowMs, ...more };
  metrics.observe({ type: "dataset-finished", result: round });
}

/** The value of a series, as Prometheus would read it. */
async function value(name: string, labels: Record<string, string> = {}): Promise<number | undefined> {
  const wanted = { dataset: DATASET, ...labels };
  const lines = (await metrics.text()).split("\n").filter((line) => line.startsWith(`${name}{`));
  const line = lines.find((one) =>
    Object.entries(wanted).every(([key, text]) => one.includes(`${key}="${text}"`)),
  );
  return line === undefined ? undefined : Number(line.slice(line.lastIndexOf(" ")));
}

const progress = (objectsRead: number, readBytes: number) => {
  const totals = { objectsToRead: 10, toReadBytes: 1000 };
  metrics.observe({
    type: "progress",
    dataset: DATASET,
    hour: HOUR,
    stage: "spool",
    objectsRead,
    readBytes,
    ...totals,
  });
};

describe("what is counted", () => {
  it("all series are there from the start, at nothing", async () => {
    const zero: [string, Record<string, string>][] = [
      ...OUTCOMES.map((outcome): [string, Record<string, string>] => ["hourpack_hours_total", { outcome }]),
      ["hourpack_objects_total", {}],
      ["hourpack_bytes_total", { direction: "in" }],
      ["hourpack_bytes_total", { direction: "out" }],
      ["hourpack_records_total", {}],
      ["hourpack_quarantined_total", {}],
      ["hourpack_rescued_total", {}],
      ["hourpack_retries_total", {}],
      ["hourpack_late_recompactions_total", {}],
      ["hourpack_dataset_failures_total", {}],
      ["hourpack_stage_seconds_total", { stage: "convert" }],
    ];
    for (const [name, labels] of zero) expect([name, await value(name, labels)]).toEqual([name, 0]);
    expect(await value("hourpack_last_success_timestamp_seconds")).toBeUndefined();
  });

  it("no hour has an outcome that none can have", async () => {
    const outcomes = [...(await metrics.text()).matchAll(/hours_total\{.*outcome="(\w+)"/g)];
    expect(new Set(outcomes.map(([, outcome]) => outcome))).toEqual(new Set(OUTCOMES));
  });

  it("an hour that was packed", async () => {
    metrics.observe({ type: "hour-finished", result: result() });
    expect(await value("hourpack_hours_total", { outcome: "packed" })).toBe(1);
    expect(await value("hourpack_records_total")).toBe(100);
    expect(await value("hourpack_quarantined_total")).toBe(3);
    expect(await value("hourpack_rescued_total")).toBe(2);
    expect(await value("hourpack_bytes_total", { direction: "out" })).toBe(400);
    expect(await value("hourpack_stage_seconds_total", { stage: "convert" })).toBe(1.5);
    expect(await value("hourpack_stage_seconds_total", { stage: "total" })).toBeUndefined();
    expect(await value("hourpack_late_recompactions_total")).toBe(0);
    expect(await value("hourpack_records_total", { dataset: "mmp/ios" })).toBe(0);
  });

  it("of a part that late objects joined, only what is new", async () => {
    const changes = { added: 1, overwritten: 0, gone: 0 };
    const converted = { rows: 9, rescued: 1, quarantined: 1 };
    metrics.observe({ type: "hour-finished", result: result({ changes, ...converted }) });
    expect(await value("hourpack_records_total")).toBe(10);
    expect(await value("hourpack_quarantined_total")).toBe(1);
    expect(await value("hourpack_rescued_total")).toBe(1);
    expect(await value("hourpack_late_recompactions_total")).toBe(1);
  });

  it.each([
    ["overwritten objects are late", { added: 0, overwritten: 2, gone: 0 }, 1],
    ["a rebuild is not", { added: 0, overwritten: 0, gone: 0 }, 0],
  ])("%s", async (_, changes, expected) => {
    metrics.observe({ type: "hour-finished", result: result({ changes }) });
    expect(await value("hourpack_late_recompactions_total")).toBe(expected);
  });

  it("an hour that is up to date adds no records", async () => {
    metrics.observe({ type: "hour-finished", result: result({ action: "upToDate" }) });
    expect(await value("hourpack_hours_total", { outcome: "up_to_date" })).toBe(1);
    expect(await value("hourpack_records_total")).toBe(0);
  });

  it("failures by hour; a dataset's own and an interruption are none of them", async () => {
    metrics.observe({ type: "hour-failed", failure: failure(HOUR) });
    metrics.observe({ type: "hour-failed", failure: failure(HOUR, "interrupted") });
    metrics.observe({ type: "hour-failed", failure: failure(undefined) });
    metrics.observe({ type: "hour-failed", failure: failure(undefined, "interrupted") });
    expect(await value("hourpack_hours_total", { outcome: "failed" })).toBe(1);
    expect(await value("hourpack_dataset_failures_total")).toBe(1);
    expect(await value("hourpack_hours_total", { outcome: "interrupted" })).toBe(1);
  });

  it("objects and bytes as they are read, again where an hour is planned again, and not where it has a notice", async () => {
    progress(1, 100);
    progress(4, 400);
    expect(await value("hourpack_objects_total")).toBe(4);
    metrics.observe({ type: "notice", dataset: DATASET, hour: HOUR, text: "the claim was lost" });
    metrics.observe({ type: "hour-replanned", dataset: DATASET, hour: HOUR, text: "planning again: lost" });
    progress(4, 400);
    metrics.observe({ type: "hour-finished", result: result() });
    expect(await value("hourpack_objects_total")).toBe(8);
    expect(await value("hourpack_bytes_total", { direction: "in" })).toBe(800);
    expect(await value("hourpack_retries_total")).toBe(1);
  });

  it("requests that a store tries again, of the dataset that they were for", async () => {
    const retries = channel(RETRY_CHANNEL);
    retries.publish({ location: "s3://raw/mmp/android/2022/07/26/00/x.json" });
    retries.publish({ location: "s3://lake/mmp/android/_hourpack/schema.json" });
    retries.publish({ location: "s3://lake/mmp/ios/year=2022/" });
    retries.publish({ location: "s3://elsewhere/" });
    expect(await value("hourpack_retries_total")).toBe(2);
    expect(await value("hourpack_retries_total", { dataset: "mmp/ios" })).toBe(1);
    // A catalog knows no dataset: it is the one at work.
    retries.publish({ service: "Glue" });
    expect(await value("hourpack_retries_total")).toBe(2);
    metrics.observe({ type: "dataset-started", dataset: DATASET, hours: 1 });
    retries.publish({ service: "Glue" });
    expect(await value("hourpack_retries_total")).toBe(3);
    metrics.close();
    expect(retries.hasSubscribers).toBe(false);
  });
});

describe("lag and last success", () => {
  const done = (...offsets: number[]) =>
    offsets.map((offset) => result({ hour: addHours(HOUR, offset), action: "upToDate" }));

  it("counts from the start until anything is known, also through an outage", async () => {
    nowMs += 600_000;
    looked({ failures: [failure(undefined)] });
    expect(await value("hourpack_lag_seconds")).toBe(600);
    expect(await value("hourpack_last_success_timestamp_seconds")).toBeUndefined();
  });

  it("is the time since the end of the last hour that is done", async () => {
    nowMs += 3_600_000 + 300_000;
    looked({ hours: done(0, 1) });
    expect(await value("hourpack_lag_seconds")).toBe(300);
    expect(await value("hourpack_last_success_timestamp_seconds")).toBe(nowMs / 1000);
    nowMs += 60_000;
    expect(await value("hourpack_lag_seconds")).toBe(360);
  });

  it("ends before the first hour that failed, whatever was packed after it", async () => {
    looked({ hours: done(0, 2), failures: [failure(addHours(HOUR, 1))] });
    expect(await value("hourpack_lag_seconds")).toBe(0);
    looked({ hours: done(1, 2), failures: [failure(HOUR)] });
    expect(await value("hourpack_lag_seconds")).toBe(3600);
  });

  it("goes on growing while nothing can be found out, and a failure to register is no success", async () => {
    looked({ hours: done(0) });
    const successMs = nowMs;
    nowMs += 7_200_000;
    looked({ failures: [failure(undefined)] });
    expect(await value("hourpack_lag_seconds")).toBe(7200);
    looked({ hours: done(1, 2), failures: [failure(undefined)] });
    expect(await value("hourpack_lag_seconds")).toBe(0);
    expect(await value("hourpack_last_success_timestamp_seconds")).toBe(successMs / 1000);
  });
});

describe("a metrics file", () => {
  let dir: string;
  let path: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "hourpack-metrics-"));
    path = join(dir, "hourpack.prom");
  });
  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  it("is whole, and nothing lies beside it", async () => {
    metrics.observe({ type: "hour-finished", result: result() });
    await writeMetricsFile(metrics, path);
    expect(readFileSync(path, "utf8")).toBe(await metrics.text());
    expect(readdirSync(dir)).toEqual(["hourpack.prom"]);
  });

  it("goes on from the run before: what is counted from nothing every time cannot rise", async () => {
    metrics.observe({ type: "hour-finished", result: result() });
    looked({ hours: [result()] });
    await writeMetricsFile(metrics, path);
    const successMs = nowMs;
    utimesSync(path, nowMs / 1000, nowMs / 1000);
    metrics.close();

    nowMs += 3_600_000;
    metrics = await Metrics.open([dataset(DATASET)], { nowMs: () => nowMs });
    await resumeFromFile(metrics, path, nowMs);
    looked({ failures: [failure(undefined)] });
    metrics.observe({ type: "hour-finished", result: result() });
    expect(await value("hourpack_records_total")).toBe(200);
    expect(await value("hourpack_hours_total", { outcome: "packed" })).toBe(2);
    expect(await value("hourpack_bytes_total", { direction: "out" })).toBe(800);
    expect(await value("hourpack_last_success_timestamp_seconds")).toBe(successMs / 1000);
    expect(await value("hourpack_lag_seconds")).toBe(3600);
    // That of a dataset which is configured no longer is dropped.
    expect(await value("hourpack_records_total", { dataset: "mmp/ios" })).toBeUndefined();
  });

  it("that is none of ours adds nothing", async () => {
    writeFileSync(path, 'hourpack_records_total{dataset="mmp/android"} x\nhourpack_up 1\n\0{}} 7\n');
    await resumeFromFile(metrics, path, nowMs);
    await resumeFromFile(metrics, join(dir, "none.prom"), nowMs);
    expect(await value("hourpack_records_total")).toBe(0);
  });

  it("names of datasets come back as they were", async () => {
    const odd = 'a"b\\c\nd';
    const first = await Metrics.open([dataset(odd)]);
    first.observe({ type: "hour-finished", result: result({ dataset: odd }) });
    await writeMetricsFile(first, path);
    first.close();
    const second = await Metrics.open([dataset(odd)]);
    await resumeFromFile(second, path, nowMs);
    expect(await second.text()).toContain('hourpack_records_total{dataset="a\\"b\\\\c\\nd"} 100');
    second.close();
  });

  it("is no pipe, which would be waited for, and be gone when the file takes its place", async () => {
    const pipe = join(dir, "pipe.prom");
    execFileSync("mkfifo", [pipe]);
    await resumeFromFile(metrics, pipe, nowMs);
    await expect(writeMetricsFile(metrics, pipe)).rejects.toMatchObject({
      kind: "unavailable",
      message: `write the metrics file ${pipe}: it is a pipe or a device`,
    });
    expect(lstatSync(pipe).isFIFO()).toBe(true);
    expect(readdirSync(dir)).toEqual(["pipe.prom"]);
  });

  it("says what is wrong where it cannot be written", async () => {
    await expect(writeMetricsFile(metrics, join(dir, "no/folder.prom"))).rejects.toMatchObject({
      kind: "unavailable",
      message: expect.stringContaining("write the metrics file"),
      hint: expect.stringContaining("folder"),
    });
  });
});

describe("over HTTP", () => {
  let server: StatusServer;
  let readiness: Readiness;
  beforeEach(async () => {
    readiness = new Readiness();
    server = await serveStatus({ host: "127.0.0.1", port: 0 }, metrics, readiness);
  });
  afterEach(() => server.close());

  const get = async (path: string) => {
    const response = await fetch(server.url + path);
    return {
      status: response.status,
      type: response.headers.get("content-type"),
      text: await response.text(),
    };
  };

  it("serves the metrics in Prometheus' format, on the address that was asked for", async () => {
    const { status, type, text } = await get("/metrics?x=1");
    expect([status, type]).toEqual([200, "text/plain; version=0.0.4; charset=utf-8"]);
    expect(text).toContain("# TYPE hourpack_lag_seconds gauge");
    expect(server.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
  });

  it("lives as soon as it answers; is ready when a store was reached, and not while none is", async () => {
    expect((await get("/healthz")).status).toBe(200);
    expect(await get("/readyz")).toMatchObject({ status: 503, text: expect.stringContaining("starting") });
    readiness.observe({ type: "dataset-started", dataset: DATASET, hours: 3 });
    expect(await get("/readyz")).toMatchObject({ status: 200, text: "ready\n" });
    const outage = { dataset: DATASET, hours: [], failures: [failure(undefined)], finishedMs: nowMs };
    const healthy = { ...outage, failures: [], hours: [result()] };
    readiness.observe({ type: "round-finished", round: "r", datasets: [outage, healthy], seconds: 1 });
    expect((await get("/readyz")).status).toBe(200);
    readiness.observe({ type: "round-started", round: "r" });
    readiness.observe({ type: "round-finished", round: "r", datasets: [outage, outage], seconds: 1 });
    expect(await get("/readyz")).toMatchObject({ status: 503, text: expect.stringContaining("unavailable") });
    expect((await get("/healthz")).status).toBe(200);
    readiness.observe({ type: "dataset-started", dataset: DATASET, hours: 3 });
    expect((await get("/readyz")).status).toBe(200);
    readiness.stop();
    expect(await get("/readyz")).toMatchObject({ status: 503, text: "stopping\n" });
  });

  it("is not ready while the catalog cannot be told, until a round ends well", async () => {
    const untold = { dataset: DATASET, hours: [result()], failures: [failure(undefined)], finishedMs: nowMs };
    const round = (...datasets: DatasetRound[]) => {
      readiness.observe({ type: "round-started", round: "r" });
      readiness.observe({ type: "dataset-started", dataset: DATASET, hours: 1 });
      return () => readiness.observe({ type: "round-finished", round: "r", datasets, seconds: 1 });
    };
    round(untold)();
    expect((await get("/readyz")).status).toBe(503);
    const finish = round({ ...untold, failures: [] });
    expect((await get("/readyz")).status).toBe(503);
    finish();
    expect((await get("/readyz")).status).toBe(200);
  });

  it("is not ready where raw lets no hour of any dataset be read, until a round ends well", async () => {
    const finish = (...datasets: DatasetRound[]) => {
      readiness.observe({ type: "round-started", round: "r" });
      readiness.observe({ type: "dataset-started", dataset: DATASET, hours: 2 });
      readiness.observe({ type: "round-finished", round: "r", datasets, seconds: 1 });
      return get("/readyz");
    };
    const failed = (...failures: HourFailure[]) => ({
      dataset: DATASET,
      hours: [],
      failures,
      finishedMs: nowMs,
    });
    const away = failed(failure(HOUR), failure(addHours(HOUR, 1)));
    const damaged = { dataset: DATASET, hour: HOUR, error: new HourpackError("data", "no") };
    const idle = failed();
    expect(await finish(away, away)).toMatchObject({ status: 503, text: "unavailable: no\n" });
    readiness.observe({ type: "round-started", round: "r" });
    readiness.observe({ type: "dataset-started", dataset: DATASET, hours: 2 });
    expect((await get("/readyz")).status).toBe(503);
    for (const sound of [{ ...away, hours: [result()] }, failed(failure(HOUR), damaged), idle]) {
      expect((await finish(away)).status).toBe(503);
      expect((await finish(away, sound)).status).toBe(200);
    }
    expect((await finish(failed(failure(HOUR, "interrupted")))).status).toBe(200);
  });

  it("is not ready where no dataset's store lets it in", async () => {
    const error = new HourpackError("invalid", "list s3://raw/: refused");
    const refused = {
      dataset: DATASET,
      hours: [],
      failures: [{ dataset: DATASET, error }],
      finishedMs: nowMs,
    };
    readiness.observe({ type: "round-started", round: "r" });
    readiness.observe({ type: "round-finished", round: "r", datasets: [refused], seconds: 1 });
    const text = "invalid: list s3://raw/: refused\n";
    expect(await get("/readyz")).toMatchObject({ status: 503, text });
  });

  it("knows three paths, and reads only", async () => {
    expect((await get("/")).status).toBe(404);
    expect((await fetch(`${server.url}/metrics`, { method: "POST", body: "x" })).status).toBe(405);
    const head = await fetch(`${server.url}/metrics`, { method: "HEAD" });
    expect([head.status, await head.text()]).toEqual([200, ""]);
  });

  it("says so where the port is taken", async () => {
    const port = Number(new URL(server.url).port);
    await expect(serveStatus({ host: "127.0.0.1", port }, metrics, readiness)).rejects.toMatchObject({
      kind: "invalid",
      message: `listen on 127.0.0.1:${port}: the port is taken`,
      hint: expect.stringContaining("--listen"),
    });
  });

  it("closes under a connection that is kept alive", async () => {
    const kept = await new Promise<void>((resolve, reject) => {
      const asked = request(`${server.url}/healthz`, { headers: { connection: "keep-alive" } }, (response) =>
        response.resume().on("end", resolve),
      );
      asked.on("error", reject).end();
    });
    expect(kept).toBeUndefined();
    await server.close();
    await expect(fetch(`${server.url}/healthz`)).rejects.toThrow();
    server = await serveStatus({ host: "127.0.0.1", port: 0 }, metrics, readiness);
  });
});
