/** A worker over directories, with the test's own clock: when it works, and what it does after downtime. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { loadSettings } from "../../src/config/load.js";
import type { Settings } from "../../src/config/settings.js";
import { addHours, endMs, type Hour, parseHour } from "../../src/hour.js";
import { rawPrefix } from "../../src/layout.js";
import { type Clock, nextRoundMs, type WorkerEvent, work } from "../../src/operations/worker.js";

const at = (text: string) => Date.parse(`2022-07-26T${text}Z`);

describe("the next round", () => {
  it.each([
    ["at minute 5", "00:00:00", [5], 5, "00:05:00"],
    ["strictly after now", "00:05:00", [5], 5, "01:05:00"],
    ["a millisecond before", "00:04:59.999", [5], 5, "00:05:00"],
    ["over midnight", "23:30:00", [5], 5, "24:05:00"],
    ["the nearest of several", "00:21:00", [5, 20, 35, 50], 5, "00:35:00"],
    ["never before the hour is closed", "00:00:00", [5], 15, "00:15:00"],
    ["nor where settle is more than an hour", "00:00:00", [5], 90, "00:30:00"],
    ["a whole hour of settle moves nothing", "00:00:00", [5], 60, "00:05:00"],
    ["minute 0 with no settle", "00:00:00", [0], 0, "01:00:00"],
  ])("%s", (_, now, minutes, settleMinutes, expected) => {
    const [hours = 0, rest] = [Number(expected.slice(0, 2)), expected.slice(2)];
    const expectedMs = at(`${String(hours % 24).padStart(2, "0")}${rest}`) + (hours >= 24 ? 86_400_000 : 0);
    expect(nextRoundMs(at(now), minutes, settleMinutes * 60_000)).toBe(expectedMs);
  });
});

/** Time passes only in sleep, and at once. */
class TestClock implements Clock {
  readonly sleeps: number[] = [];
  private now: number;
  private readonly onSleep: (untilMs: number, clock: TestClock) => void;

  constructor(now: number, onSleep: (untilMs: number, clock: TestClock) => void) {
    this.now = now;
    this.onSleep = onSleep;
  }

  nowMs(): number {
    return this.now;
  }

  set(ms: number): void {
    this.now = ms;
  }

  async sleepUntil(ms: number): Promise<void> {
    this.sleeps.push(ms);
    this.now = Math.max(this.now, ms);
    this.onSleep(ms, this);
  }
}

let dir: string;
let settings: Settings;
beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), "hourpack-worker-"));
  settings = await settingsFor(["a", "b"]);
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

async function settingsFor(names: string[]): Promise<Settings> {
  const dataset = (name: string) => ({
    raw: `${dir}/raw/${name}/{yyyy}/{MM}/{dd}/{HH}/`,
    tier1: `${dir}/tier1/${name}/`,
    table: name,
  });
  const config = {
    datasets: Object.fromEntries(names.map((name) => [name, dataset(name)])),
    run: { lookBack: "3h", spoolDir: join(dir, "spool") },
  };
  const file = join(dir, "hourpack.yaml");
  writeFileSync(file, JSON.stringify(config));
  return loadSettings({ file, env: {} });
}

function feed(dataset: string, hour: Hour, name = "events.json", text = '{"n":1}\n'): void {
  const { raw } = settings.datasets.find((one) => one.name === dataset) as Settings["datasets"][number];
  const path = join(raw.location.root, rawPrefix(raw, hour), name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

function partsOf(dataset: string): string[] {
  return readdirSync(join(dir, "tier1", dataset), { recursive: true, encoding: "utf8" })
    .flatMap((path) => /\d{10}(?=\.snappy\.parquet$)/.exec(path)?.[0] ?? [])
    .sort();
}

/** Works for so many rounds. `onSleep` is told after each but the last. */
async function rounds(
  count: number,
  start: number,
  onSleep: (round: number, clock: TestClock) => void = () => {},
) {
  const stop = new AbortController();
  const events: WorkerEvent[] = [];
  const clock = new TestClock(start, () => {
    if (clock.sleeps.length === count) stop.abort();
    else onSleep(clock.sleeps.length, clock);
  });
  const observe = (event: WorkerEvent) => void events.push(event);
  const end = await work({ settings, signal: stop.signal, clock, observe });
  return { end, events, clock };
}

const packedHours = (events: WorkerEvent[]) =>
  events.flatMap((event) =>
    event.type === "hour-finished" && event.result.action === "packed"
      ? [`${event.result.dataset} ${event.result.hour}`]
      : [],
  );

const HOUR = parseHour("2022-07-26T00");

it("ends with the error of an observer that rejects an event of a run", async () => {
  feed("a", HOUR);
  const clock = new TestClock(endMs(HOUR) + 600_000, () => {});
  const observe = async ({ type }: WorkerEvent) => {
    if (type === "hour-finished") throw new Error("no room for it");
  };
  const working = work({ settings, signal: new AbortController().signal, clock, observe });
  await expect(working).rejects.toThrow("no room for it");
});

describe("a worker", () => {
  it("works at once, and then at minute 5 of every hour", async () => {
    for (const [i, name] of ["a", "b", "a"].entries()) feed(name, addHours(HOUR, i));
    const { end, events, clock } = await rounds(3, at("01:17:00"));
    expect(end).toEqual({ rounds: 3, isInterrupted: false });
    expect(clock.sleeps).toEqual([at("02:05:00"), at("03:05:00"), at("04:05:00")]);
    expect(packedHours(events)).toEqual(["a 2022-07-26T00", "b 2022-07-26T01", "a 2022-07-26T02"]);
  });

  it("says whether it waits for a minute, or for the hour to settle", async () => {
    settings.worker.at = [0, 20];
    const { events } = await rounds(2, at("01:00:00"));
    const asleep = events.filter(({ type }) => type === "asleep");
    expect(asleep).toEqual([
      { type: "asleep", untilMs: at("01:05:00"), waitsFor: "settle" },
      { type: "asleep", untilMs: at("01:20:00"), waitsFor: "at" },
    ]);
  });

  it("leaves an hour alone until it has settled", async () => {
    feed("a", HOUR);
    const { events } = await rounds(2, at("01:04:59"));
    const byRound = events.filter(({ type }) => type === "round-started" || type === "hour-finished");
    const secondRound = byRound.slice(byRound.findLastIndex(({ type }) => type === "round-started"));
    expect(packedHours(byRound.slice(0, -secondRound.length))).toEqual([]);
    expect(packedHours(secondRound)).toEqual(["a 2022-07-26T00"]);
  });

  it("catches up oldest first after downtime, however long", async () => {
    settings.run.hoursInFlight = 1;
    feed("a", HOUR);
    const { events } = await rounds(2, at("01:05:00"), (_, clock) => {
      for (let i = 1; i <= 12; i++) feed("a", addHours(HOUR, i));
      clock.set(endMs(addHours(HOUR, 12)) + 10 * 60_000);
    });
    expect(packedHours(events)).toEqual(Array.from({ length: 13 }, (_, i) => `a ${addHours(HOUR, i)}`));
    expect(partsOf("a")).toHaveLength(13);
  });

  it("does not look at every hour of a year that has no folder", async () => {
    feed("a", HOUR);
    const later = addHours(HOUR, 365 * 24);
    const { events } = await rounds(2, at("01:05:00"), (_, clock) => {
      feed("a", later);
      clock.set(endMs(addHours(later, 24)) + 10 * 60_000);
    });
    expect(packedHours(events)).toEqual([`a ${HOUR}`, `a ${later}`]);
    const looked = events.filter((event) => event.type === "hour-started" && event.dataset === "a");
    // Twice the look-back, and the one hour that was missed.
    expect(looked).toHaveLength(3 + 1 + 3);
  });

  it("finds late objects, and waits for lateSettle with them", async () => {
    feed("a", HOUR);
    const { events } = await rounds(3, at("01:05:00"), (round) => {
      if (round === 1) feed("a", HOUR, "late.json", '{"n":2}\n');
    });
    const ofHour = events.flatMap((event) =>
      event.type === "hour-finished" && event.result.dataset === "a" && event.result.hour === HOUR
        ? [[event.result.action, event.result.part?.rows]]
        : [],
    );
    // The part's time is the file system's, which is far ahead of this clock: it always waits here.
    expect(ofHour).toEqual([
      ["packed", 1],
      ["waiting", 1],
      ["waiting", 1],
    ]);
  });

  it("goes on with other datasets and hours where some fail, and tries those again", async () => {
    settings.datasets[0]!.tier1.root = join(dir, "blocked", "a");
    writeFileSync(join(dir, "blocked"), "a file where a folder is needed");
    for (const name of ["a", "b"]) feed(name, HOUR);
    const { end, events } = await rounds(2, at("01:05:00"), () => {
      rmSync(join(dir, "blocked"));
    });
    expect(end.rounds).toBe(2);
    const results = events.flatMap((event) => (event.type === "dataset-finished" ? [event.result] : []));
    expect(results.map(({ dataset, failures }) => [dataset, failures.length > 0])).toEqual([
      ["a", true],
      ["b", false],
      ["a", false],
      ["b", false],
    ]);
    expect(packedHours(events)).toEqual(["b 2022-07-26T00", "a 2022-07-26T00"]);
  });

  it("begins the next round at once, and only one, where a round took longer than to its minute", async () => {
    const stop = new AbortController();
    const clock = new TestClock(at("01:05:00"), () => {
      if (clock.sleeps.length === 3) stop.abort();
    });
    let isFirst = true;
    const observe = (event: WorkerEvent) => {
      if (event.type !== "round-finished" || !isFirst) return;
      isFirst = false;
      clock.set(at("04:30:00"));
    };
    await work({ settings, signal: stop.signal, clock, observe });
    expect(clock.sleeps).toEqual([at("02:05:00"), at("05:05:00"), at("06:05:00")]);
  });

  it("never overlaps itself", async () => {
    for (let i = 0; i < 3; i++) feed("a", addHours(HOUR, i));
    const { events } = await rounds(4, at("03:05:00"));
    let open = 0;
    for (const { type } of events) {
      if (type === "round-started") expect(++open).toBe(1);
      if (type === "round-finished") expect(--open).toBe(0);
    }
    expect(events.filter(({ type }) => type === "round-finished")).toHaveLength(4);
  });

  it("says so where a stop interrupts work, and the next start goes on from there", async () => {
    settings.run.hoursInFlight = 1;
    for (let i = 0; i < 3; i++) feed("a", addHours(HOUR, i));
    const stop = new AbortController();
    const results: WorkerEvent[] = [];
    const observe = (event: WorkerEvent) => {
      if (event.type === "hour-finished") stop.abort();
      if (event.type === "dataset-finished") results.push(event);
    };
    const clock = new TestClock(at("03:05:00"), () => {});
    const end = await work({ settings, signal: stop.signal, clock, observe });
    expect(end).toEqual({ rounds: 1, isInterrupted: true });
    expect(clock.sleeps).toEqual([]);
    expect(results).toMatchObject([
      { result: { dataset: "a", failures: [{ error: { kind: "interrupted" } }] } },
    ]);
    expect(partsOf("a")).toEqual(["2022072600"]);
    await rounds(1, at("03:05:00"));
    expect(partsOf("a")).toEqual(["2022072600", "2022072601", "2022072602"]);
  });

  it("refuses a dataset that is not configured before it does anything", async () => {
    const { signal } = new AbortController();
    await expect(work({ settings, datasets: ["c"], signal })).rejects.toMatchObject({
      kind: "invalid",
      message: 'there is no dataset "c"',
    });
  });
});
