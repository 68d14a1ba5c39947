/** A worker's claim on a slow store: one renewal in flight at a time, and the claim is given back at the end. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { withClaim } from "../../src/claim.js";
import { parseHour } from "../../src/hour.js";
import { claimKey } from "../../src/layout.js";
import { LocalStore } from "../../src/store/local.js";
import type { Body, PutOptions } from "../../src/store/store.js";
import type { HourTask, RunEvent } from "../../src/task.js";

const HOUR = parseHour("2026-11-10T00");
const KEY = claimKey("lake/", HOUR);

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "hourpack-claim-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** Renewals wait until they may go on, or their signal ends them. */
class SlowStore extends LocalStore {
  puts = 0;
  goOn = () => {};
  readonly renewing: Promise<void>;
  private readonly mayGoOn = new Promise<void>((resolve) => {
    this.goOn = resolve;
  });
  private begin = () => {};

  constructor() {
    super(root);
    this.renewing = new Promise((resolve) => {
      this.begin = resolve;
    });
  }

  override async put(key: string, body: Body, options: PutOptions = {}) {
    if (++this.puts > 1) {
      this.begin();
      const aborted = new Promise((_, reject) => {
        options.signal?.addEventListener("abort", () => reject(options.signal?.reason));
      });
      await Promise.race([this.mayGoOn, aborted]);
    }
    return super.put(key, body, options);
  }
}

function taskOf(store: SlowStore, signal?: AbortSignal): { task: HourTask; told: RunEvent[] } {
  const told: RunEvent[] = [];
  const task = {
    dataset: { name: "events", tier1: { prefix: "lake/" } },
    hour: HOUR,
    // Renewed every 10 ms.
    components: { settings: { run: { claimTtlMs: 30 } }, tier1: async () => store, nowMs: Date.now },
    observe: (event: RunEvent) => told.push(event),
    signal,
  };
  return { task: task as unknown as HourTask, told };
}

it("is not renewed while a renewal is on its way: it is given back after that one", async () => {
  const store = new SlowStore();
  const { task, told } = taskOf(store);
  await withClaim(task, "attempt", async () => {
    await store.renewing;
    await setTimeout(200);
    void setTimeout(20).then(store.goOn);
  });
  expect(store.puts).toBe(2);
  expect(await store.head(KEY)).toBeUndefined();
  expect(told).toEqual([]);
});

it("is given back at once where the run is interrupted, and nothing is told of a renewal that this ended", async () => {
  const store = new SlowStore();
  const interruption = new AbortController();
  const { task, told } = taskOf(store, interruption.signal);
  await withClaim(task, "attempt", async () => {
    await store.renewing;
    interruption.abort();
  });
  expect(await store.head(KEY)).toBeUndefined();
  expect(told).toEqual([]);
});

it("stands if it is renewed while another worker looks at it", async () => {
  const store = new SlowStore();
  const claim = { worker: "another:1:X", expiresAtMs: Date.now() + 60_000 };
  await store.put(KEY, Buffer.from(JSON.stringify(claim)));
  const { get } = store;
  store.goOn();
  store.get = async (...args) => {
    await store.put(KEY, Buffer.from(JSON.stringify({ ...claim, expiresAtMs: Date.now() + 120_000 })));
    return get.apply(store, args);
  };
  const { task, told } = taskOf(store);
  const work = vi.fn(async () => {});
  expect(await withClaim(task, "attempt", work)).toBeUndefined();
  expect(work).not.toHaveBeenCalled();
  expect(told).toEqual([]);
});

it("is given back where its answer was lost, as an interrupted run loses it", async () => {
  const store = new SlowStore();
  const interruption = new AbortController();
  const { task } = taskOf(store, interruption.signal);
  const { put } = store;
  store.put = async (...args) => {
    await put.apply(store, args);
    interruption.abort(new Error("interrupted"));
    throw interruption.signal.reason;
  };
  await expect(withClaim(task, "attempt", async () => {})).rejects.toThrow("interrupted");
  expect(await store.head(KEY)).toBeUndefined();
});
