/** What a single run reports besides its output: a file for the textfile collector, and a webhook. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { addHours, hourOfMs, partsOf } from "../../src/hour.js";
import { hourpack } from "../support/cli.js";

const HOUR = addHours(hourOfMs(Date.now()), -2);

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "hourpack-run-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

function feed(name: string, body: string): void {
  const { yyyy, MM, dd, HH } = partsOf(HOUR);
  const folder = join(dir, "raw", yyyy, MM, dd, HH);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, name), body);
}

/** Flags by name; a value given takes the place of the one here. */
function run(more: Record<string, string> = {}, env: Record<string, string> = {}) {
  const flags = {
    raw: "./raw/{yyyy}/{MM}/{dd}/{HH}/",
    tier1: "./lake/",
    table: "t",
    "spool-dir": "./spool",
    "late-settle": "0s",
    ...more,
  };
  const args = Object.entries(flags).map(([name, value]) => `--${name}=${value}`);
  return hourpack(["run", ...args, "--json"], { cwd: dir, env });
}

describe("a run of several datasets", () => {
  const folderOf = (name: string) => {
    const { yyyy, MM, dd, HH } = partsOf(HOUR);
    const folder = join(dir, name, yyyy, MM, dd, HH);
    mkdirSync(folder, { recursive: true });
    return folder;
  };
  const configure = (names: string[]) => {
    const datasets = names.map(
      (name) =>
        `  ${name}: { raw: "./${name}/{yyyy}/{MM}/{dd}/{HH}/", tier1: ./lake/${name}/, table: ${name} }\n`,
    );
    const limits = "run: { maxQuarantine: 0.1, spoolDir: ./spool }\n";
    writeFileSync(
      join(dir, "hourpack.yaml"),
      `datasets:\n${datasets.join("")}catalog: { type: none }\n${limits}`,
    );
    return hourpack(["run", "--hour", HOUR, "--json"], { cwd: dir });
  };

  it("packs what it can: exit code 3 where causes differ, the cause's where it is one, and each is named", async () => {
    writeFileSync(join(folderOf("good"), "a.json"), '{"n":1}\n');
    writeFileSync(join(folderOf("damaged"), "a.json"), "broken\n");
    // Its raw directory is not there.
    const mixed = await configure(["damaged", "missing", "good"]);
    expect(mixed.code).toBe(3);
    for (const name of ["damaged", "missing"]) expect(mixed.stdout).toMatch(new RegExp(`"failed".*${name}`));
    expect(readdirSync(join(dir, "lake/good"), { recursive: true }).join(" ")).toMatch(/\.snappy\.parquet/);
    writeFileSync(join(folderOf("later"), "a.json"), '{"n":1}\n');
    const alike = await configure(["damaged", "later"]);
    expect(alike.code).toBe(12);
    expect(readdirSync(join(dir, "lake/later"), { recursive: true }).join(" ")).toMatch(/\.snappy\.parquet/);
  });
});

describe("a metrics file", () => {
  const metrics = () => readFileSync(join(dir, "metrics/hourpack.prom"), "utf8");
  const file = { "metrics-file": "./metrics/hourpack.prom" };
  const value = (series: string) =>
    Number(
      metrics()
        .split("\n")
        .find((line) => line.startsWith(`${series} `))
        ?.split(" ")[1],
    );

  beforeEach(() => mkdirSync(join(dir, "metrics")));

  it("goes on from run to run, and counts late objects alone", async () => {
    feed("a.json", '{"n":1}\n{"n":2}\nbroken\n');
    expect((await run(file)).code).toBe(0);
    expect(value('hourpack_records_total{dataset="t"}')).toBe(3);
    feed("late.json", '{"n":3}\n');
    expect((await run(file)).code).toBe(0);
    expect(value('hourpack_records_total{dataset="t"}')).toBe(4);
    expect(value('hourpack_quarantined_total{dataset="t"}')).toBe(1);
    expect(value('hourpack_objects_total{dataset="t"}')).toBe(2);
    expect(value('hourpack_hours_total{dataset="t",outcome="packed"}')).toBe(2);
    expect(value('hourpack_late_recompactions_total{dataset="t"}')).toBe(1);
    expect(value('hourpack_last_success_timestamp_seconds{dataset="t"}')).toBeGreaterThan(1e9);
    expect(readdirSync(join(dir, "metrics"))).toEqual(["hourpack.prom"]);
  });

  it("keeps the last success through a run that fails, and through one of named hours", async () => {
    feed("a.json", '{"n":1}\n');
    await run(file);
    const success = value('hourpack_last_success_timestamp_seconds{dataset="t"}');
    const named = await run({ ...file, hour: "2015-01-01T00" });
    expect(named.code).toBe(0);
    const nobody = { "s3-endpoint": "http://127.0.0.1:9", "s3-retry-budget": "50ms" };
    const credentials = { AWS_ACCESS_KEY_ID: "x", AWS_SECRET_ACCESS_KEY: "y", AWS_REGION: "us-east-1" };
    const failed = await run({ ...file, ...nobody, tier1: "s3://lake/t/" }, credentials);
    expect(failed.code).toBe(10);
    expect(value('hourpack_lag_seconds{dataset="t"}')).toBeGreaterThan(0);
    expect(value('hourpack_last_success_timestamp_seconds{dataset="t"}')).toBe(success);
  });

  it.each([
    ["./no/such/folder/x.prom", "its folder is not there"],
    ["./metrics/file/x.prom", "what should be its folder is a file"],
    ["./metrics", "it is a folder"],
  ])("that cannot be written is told once, and the run is done all the same: %s", async (path, why) => {
    feed("a.json", '{"n":1}\n');
    writeFileSync(join(dir, "metrics/file"), "");
    const end = await run({ "metrics-file": path, "log-level": "warn" });
    expect(end.code).toBe(0);
    expect(end.stderr).toMatch(new RegExp(`write the metrics file \\S+: ${why}`));
    expect(end.records.filter(({ type, hint }) => type === "notice" && hint !== undefined)).toEqual([
      { type: "notice", text: expect.stringContaining(why), hint: expect.stringContaining("--metrics-file") },
    ]);
    expect(end.result).toMatchObject({ packed: 1, exitCode: 0 });
  });
});

describe("a webhook", () => {
  let server: Server;
  let texts: string[];
  let url: string;

  beforeEach(async () => {
    texts = [];
    server = createServer(async (request, response) => {
      texts.push((JSON.parse(await text(request)) as { text: string }).text);
      response.end("ok");
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/services/sEcReT`;
  });
  afterEach(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  it("is told of a failure and of quarantine, and its address of nobody", async () => {
    feed("a.json", '{"n":1}\nbroken\n');
    const env = { HOURPACK_HOOK_URL: url };
    const kept = await run({ "hooks-quarantine": "0.1", "log-level": "debug" }, env);
    expect(kept.code).toBe(0);
    expect(texts).toEqual([
      expect.stringContaining("1 of 2 records are in quarantine, more than the limit of 10 %"),
    ]);
    const refused = await run({ rebuild: "true", "max-quarantine": "0", "log-level": "debug" }, env);
    expect(refused.code).toBe(12);
    expect(texts[1]).toMatch(/^hourpack: t .* failed: .*would be quarantined/);
    expect(texts).toHaveLength(2);
    for (const end of [kept, refused]) expect(end.stdout + end.stderr).not.toContain("sEcReT");
  });

  it("that refuses does not fail the run, which says so", async () => {
    await new Promise((resolve) => server.close(resolve));
    feed("a.json", "broken\n");
    const end = await run({ "hooks-quarantine": "0" }, { HOURPACK_HOOK_URL: url });
    expect(end.code).toBe(0);
    expect(end.records.filter(({ type }) => type === "notice")).toContainEqual({
      type: "notice",
      text: "tell the webhook: it did not take 1 message (ECONNREFUSED)",
      hint: expect.stringContaining("HOURPACK_HOOK_URL"),
    });
    expect(end.stdout + end.stderr).not.toContain("sEcReT");
    server = createServer().listen(0);
  });
});
