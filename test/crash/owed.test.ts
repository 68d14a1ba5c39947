/** Hours left behind the newest published one are still due, whatever left them there. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { type Components, openComponents } from "../../src/components.js";
import { loadSettings } from "../../src/config/load.js";
import { addHours, endMs, type Hour, hourOfMs, parseHour } from "../../src/hour.js";
import { Owing } from "../../src/hours/owed.js";
import { owedKey, partKey } from "../../src/layout.js";
import { planRun, run } from "../../src/run.js";
import { HOURPACK } from "../support/cli.js";

/** Long before the look-back hours of `LATER`. */
const FIRST = parseHour("2026-11-10T00");
const LATER = parseHour("2026-11-15T00");

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "hourpack-owed-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const TEMPLATE = "raw/{yyyy}/{MM}/{dd}/{HH}/";
const FLAGS = {
  raw: `./${TEMPLATE}`,
  tier1: "./lake/",
  table: "t",
  catalog: "none",
  columns: "n:bigint",
};

function folderOf(hour: Hour): string {
  return join(root, "raw", hour.replace(/[-T]/g, "/"));
}

function seed(hour: Hour, bytes = '{"n":1}\n'): void {
  mkdirSync(folderOf(hour), { recursive: true });
  writeFileSync(join(folderOf(hour), "a.json"), bytes);
}

const isPacked = (hour: Hour) => existsSync(join(root, partKey("lake/", "t", hour)));
const owed = () => JSON.parse(readFileSync(join(root, owedKey("lake/")), "utf8")).hours;

async function at<T>(
  hour: Hour,
  task: (components: Components) => Promise<T>,
  more: Record<string, string> = {},
): Promise<T> {
  const nowMs = () => endMs(hour) + 600_000;
  const components = openComponents(
    await loadSettings({ flags: { ...FLAGS, ...more }, cwd: root, env: {} }),
    { nowMs },
  );
  try {
    return await task(components);
  } finally {
    await components.close();
  }
}

const one = (hour: Hour) => ({ hours: { from: hour, to: addHours(hour, 1) } });

it("an hour is published once tier 1 tells which hour is the newest, though it did not at first", async () => {
  await at(FIRST, async (components) => {
    const [dataset] = components.settings.datasets;
    const tier1 = await components.tier1(dataset!);
    const listing = vi.spyOn(tier1, "listPrefixes").mockRejectedValueOnce(new Error("no answer"));
    const owing = new Owing({ components, dataset: dataset! }, [FIRST]);
    await expect(owing.passing(FIRST)).rejects.toThrow("no answer");
    await owing.passing(FIRST);
    expect(listing).toHaveBeenCalledTimes(2);
  });
});

it("an hour that failed in a catch-up is due until it is packed", { timeout: 60_000 }, async () => {
  const hours = [0, 1, 2, 3].map((n) => addHours(FIRST, n));
  for (const hour of hours) seed(hour);
  await at(FIRST, (components) => run(components, one(FIRST)));
  const bad = addHours(FIRST, 1);
  const link = join(folderOf(bad), "link");
  symlinkSync(root, link);
  const { failures } = await at(LATER, (components) => run(components, {}));
  expect(failures.map(({ hour }) => hour)).toEqual([bad]);
  expect(hours.filter(isPacked)).toEqual(hours.filter((hour) => hour !== bad));
  expect(owed()).toEqual([bad]);
  rmSync(link);
  const planned = await at(LATER, (components) => planRun(components, {}));
  expect(planned.filter(({ action }) => action === "scratch").map(({ hour }) => hour)).toEqual([bad]);
  await at(LATER, (components) => run(components, {}));
  expect(isPacked(bad)).toBe(true);
  expect(owed()).toEqual([]);
});

it("an hour that was noted while it was open is due once it is closed", { timeout: 60_000 }, async () => {
  const [first, bad, packed, open] = [0, 1, 2, 3].map((n) => addHours(FIRST, n)) as [Hour, Hour, Hour, Hour];
  for (const hour of [first, bad, packed, open]) seed(hour);
  await at(first, (components) => run(components, one(first)));
  symlinkSync(root, join(folderOf(bad), "link"));
  const stop = new AbortController();
  // The last hour is not over: at() is ten minutes after the end of the one before.
  await at(
    packed,
    (components) =>
      run(components, { hours: { from: bad, to: addHours(open, 1) }, signal: stop.signal }, (event) => {
        if (event.type === "hour-finished" && event.result.hour === packed) stop.abort();
      }),
    { "hours-in-flight": "1" },
  );
  expect(owed()).toContain(open);
  const due = (hour: Hour) =>
    at(hour, async (components) => (await planRun(components, {})).map(({ hour }) => hour));
  rmSync(join(folderOf(bad), "link"));
  expect(await due(packed)).not.toContain(open);
  expect(await due(open)).toContain(open);
});

it("hours that were due stay so where a later one is packed by name", { timeout: 60_000 }, async () => {
  const hours = [0, 5, 7, 9].map((n) => addHours(FIRST, n));
  for (const hour of hours) seed(hour);
  await at(FIRST, (components) => run(components, one(FIRST)));
  await at(LATER, (components) => run(components, one(hours[3] as Hour)));
  expect(owed()).toEqual(hours.slice(1, 3));
  await at(LATER, (components) => run(components, {}));
  expect(hours.every(isPacked)).toBe(true);
  expect(owed()).toEqual([]);
});

it("a part of an hour that cannot be, or has not begun, passes no hour by, and is told", {
  timeout: 60_000,
}, async () => {
  const hours = [0, 5].map((n) => addHours(FIRST, n)) as [Hour, Hour];
  const ahead = parseHour("2150-01-01T00");
  for (const hour of [...hours, ahead]) seed(hour);
  await at(FIRST, (components) => run(components, one(hours[0])));
  await at(LATER, (components) => run(components, one(ahead)));
  // Those that are due are noted before, and none of the million hours between.
  expect(owed()).toEqual([hours[1]]);
  rmSync(join(root, owedKey("lake/")));
  for (const text of ["9999-12-31T23", "2026-13-01T00", "0001-01-01T00"]) {
    const key = join(root, partKey("lake/", "t", text as Hour));
    mkdirSync(dirname(key), { recursive: true });
    copyFileSync(join(root, partKey("lake/", "t", hours[0])), key);
  }
  const notices: string[] = [];
  const { failures } = await at(LATER, (components) =>
    run(components, {}, (event) => event.type === "notice" && notices.push(event.text)),
  );
  expect(failures).toEqual([]);
  expect(hours.every(isPacked)).toBe(true);
  expect(notices).toEqual([expect.stringMatching(/a part of 2150-01-01T00, which has not begun/)]);
});

it("nothing is noted where hours are packed one by one, in their order", { timeout: 60_000 }, async () => {
  for (const n of [0, 1, 2]) {
    const hour = addHours(FIRST, n);
    seed(hour);
    await at(hour, (components) => run(components, {}));
    expect(isPacked(hour)).toBe(true);
  }
  expect(existsSync(join(root, owedKey("lake/")))).toBe(false);
});

it("a list of them that is damaged is told, and no hour passed by", { timeout: 60_000 }, async () => {
  seed(FIRST);
  await at(FIRST, (components) => run(components, {}));
  writeFileSync(join(root, owedKey("lake/")), '{"hours":["yesterday"]}');
  const { failures } = await at(LATER, (components) => run(components, {}));
  expect(failures[0]?.error).toMatchObject({
    kind: "data",
    message: expect.stringContaining("no list of hours"),
  });
});

it("a catch-up that is killed with a later hour published before an earlier one goes on from there", {
  timeout: 120_000,
}, async () => {
  const nowHour = hourOfMs(Date.now());
  const first = addHours(nowHour, -100);
  const hours = [0, 1, 2, 3].map((n) => addHours(first, n));
  const [, large, small] = hours as [Hour, Hour, Hour];
  for (const hour of hours) seed(hour, hour === large ? '{"n":1}\n'.repeat(6_000_000) : undefined);
  const start = (...more: string[]) => {
    const flags = Object.entries(FLAGS).flatMap(([name, value]) => [`--${name}`, value]);
    const args = [HOURPACK, "run", ...flags, "--spool-dir", join(root, "spool"), ...more];
    return spawn(process.execPath, args, { cwd: root, stdio: "ignore" });
  };
  await once(start("--hour", first), "exit");
  expect(isPacked(first)).toBe(true);
  const killed = start("--hours-in-flight", "2");
  const ended = once(killed, "exit");
  while (!isPacked(small) && killed.exitCode === null) await setTimeout(5);
  killed.kill("SIGKILL");
  await ended;
  expect([isPacked(small), isPacked(large)]).toEqual([true, false]);
  await once(start(), "exit");
  expect(hours.filter(isPacked)).toEqual(hours);
  expect(owed()).toEqual([]);
});
