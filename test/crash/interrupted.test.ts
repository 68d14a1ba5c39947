/** A signal in the middle of an hour: no further step begins, and nothing of the hour stays. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { openComponents } from "../../src/components.js";
import { loadSettings } from "../../src/config/load.js";
import type { Engine, Merge } from "../../src/engine/engine.js";
import { addHours, parseHour } from "../../src/hour.js";
import { run } from "../../src/run.js";

const HOUR = parseHour("2022-07-26T00");
/** Each fills a batch. */
const OBJECTS = 6;
const PAD = "x".repeat(60_000);

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "hourpack-interrupted-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function put(name: string, record: object): void {
  const folder = join(root, "raw/2022/07/26/00");
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, name), `${JSON.stringify({ ...record, pad: PAD })}\n`);
}

type Step = "writeRows" | "add" | "finish" | "digest";

/** Runs the hour; the signal comes when the engine is asked for that step for the nth time. Returns what it was asked for. */
async function runUntil(at: { step: Step; time: number } | undefined, more: Record<string, string> = {}) {
  const flags = { raw: "./raw/{yyyy}/{MM}/{dd}/{HH}/", tier1: "./lake/", table: "t", catalog: "none" };
  const limits = { "spool-dir": "./spool", batch: "64KB" };
  const settings = await loadSettings({ flags: { ...flags, ...limits, ...more }, cwd: root, env: {} });
  const components = openComponents(settings);
  const controller = new AbortController();
  const steps: Step[] = [];
  const begin = (step: Step) => {
    steps.push(step);
    if (step === at?.step && steps.filter((one) => one === step).length === at.time) controller.abort();
  };
  const { engine: open } = components;
  const watched = Object.assign(components, { engine: async () => watchedEngine(await open(), begin) });
  try {
    const hours = { from: HOUR, to: addHours(HOUR, 1) };
    const { failures } = await run(watched, { hours, signal: controller.signal });
    return { steps, kinds: failures.map(({ error }) => error.kind) };
  } finally {
    await components.close();
  }
}

function watchedEngine(engine: Engine, begin: (step: Step) => void): Engine {
  const watchedMerge = (merge: Merge): Merge => ({
    add: async (path) => {
      begin("add");
      await merge.add(path);
    },
    finish: async (metadata) => {
      begin("finish");
      return merge.finish(metadata);
    },
  });
  return {
    writeRows: async (files, outPath) => {
      begin("writeRows");
      return engine.writeRows(files, outPath);
    },
    merge: (columns, outPath, options) => watchedMerge(engine.merge(columns, outPath, options)),
    digest: async (paths, columns, options) => {
      if (paths.length > 0) begin("digest");
      return engine.digest(paths, columns, options);
    },
    close: () => engine.close(),
  };
}

const times = (steps: Step[], step: Step) => steps.filter((one) => one === step).length;

function expectNothingLeft(): void {
  expect(existsSync(join(root, "lake/year=2022"))).toBe(false);
  expect(existsSync(join(root, "lake/_hourpack/manifests"))).toBe(false);
  const claims = join(root, "lake/_hourpack/claims");
  if (existsSync(claims))
    expect(
      readdirSync(claims, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()),
    ).toEqual([]);
  expect(readdirSync(join(root, "spool"))).toEqual([]);
}

it("while batches of a first hour are converted: those at work are the last", async () => {
  for (let i = 0; i < OBJECTS; i++) put(`${i}.json`, { id: i });
  const { steps, kinds } = await runUntil({ step: "writeRows", time: 1 });
  expect(kinds).toEqual(["interrupted"]);
  expect(times(steps, "writeRows")).toBeLessThanOrEqual(2);
  expectNothingLeft();
  expect((await runUntil(undefined)).kinds).toEqual([]);
});

it("while they are converted again under columns that came", async () => {
  const columns = { columns: "id:bigint", unknown: "add" };
  for (let i = 0; i < OBJECTS; i++) put(`${i}.json`, { id: i });
  const { steps, kinds } = await runUntil({ step: "writeRows", time: OBJECTS + 1 }, columns);
  expect(kinds).toEqual(["interrupted"]);
  expect(times(steps, "writeRows")).toBeLessThanOrEqual(OBJECTS + 2);
  expectNothingLeft();
});

it.each([
  ["the last batch is converted: no part is made", { step: "writeRows", time: 1 }, "finish"],
  ["the part is made: it is not read back", { step: "finish", time: 1 }, "digest"],
] as const)("while %s", async (_, at, next) => {
  put("a.json", { id: 1 });
  const { steps, kinds } = await runUntil(at, { columns: "id:bigint" });
  expect(kinds).toEqual(["interrupted"]);
  expect(steps).not.toContain(next);
  expectNothingLeft();
});

it("while batches are merged: the next is not copied", async () => {
  for (let i = 0; i < OBJECTS; i++) put(`${i}.json`, { id: i });
  const columns = { columns: "id:bigint,pad:string", unknown: "add" };
  const { steps, kinds } = await runUntil({ step: "add", time: 1 }, columns);
  expect(kinds).toEqual(["interrupted"]);
  expect(times(steps, "add")).toBe(1);
  expectNothingLeft();
});
