/** What a few odd records do to the hours after them: a schema only grows, and every later hour is written by it. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { openComponents } from "../../src/components.js";
import { loadSettings } from "../../src/config/load.js";
import { addHours, parseHour } from "../../src/hour.js";
import { run } from "../../src/run.js";
import type { RunEvent } from "../../src/task.js";

const FIRST = parseHour("2022-07-26T00");
let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "hourpack-growth-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** Packs an hour of each of these, one after the other, with `unknown: add`. */
async function packHours(hours: object[][], sortBy = "") {
  for (const [n, records] of hours.entries()) {
    const folder = join(root, `raw/2022/07/26/0${n}`);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "a.json"), records.map((record) => `${JSON.stringify(record)}\n`).join(""));
  }
  const flags = {
    raw: "./raw/{yyyy}/{MM}/{dd}/{HH}/",
    tier1: "./lake/",
    table: "t",
    unknown: "add",
    catalog: "none",
    ...(sortBy !== "" && { "sort-by": sortBy }),
  };
  const components = openComponents(await loadSettings({ flags, cwd: root, env: {} }));
  const notices: string[] = [];
  const observe = (event: RunEvent) => {
    if (event.type === "notice") notices.push(event.text);
  };
  try {
    const packed = [];
    for (const n of hours.keys()) {
      const hour = addHours(FIRST, n);
      const result = await run(components, { hours: { from: hour, to: addHours(hour, 1) } }, observe);
      expect(result.failures).toEqual([]);
      packed.push(result.hours[0]?.part?.rows);
    }
    return { rows: packed, notices };
  } finally {
    await components.close();
  }
}

function nested(levels: number): unknown {
  return levels === 0 ? 1 : [nested(levels - 1)];
}

it("arrays in arrays, however many, stop no hour, and none after it", { timeout: 60_000 }, async () => {
  const deep = (count: number, name: string) =>
    Object.fromEntries(Array.from({ length: count }, (_, i) => [`${name}${i}`, nested(16)]));
  const { rows } = await packHours([[{ id: 1 }], [deep(60, "a")], [deep(2000, "b")], [{ id: 1 }]]);
  expect(rows).toEqual([1, 1, 1, 1]);
});

it("columns end at 2,000, whichever hours they come from", { timeout: 60_000 }, async () => {
  const wide = (hour: number) =>
    Object.fromEntries(Array.from({ length: 1500 }, (_, i) => [`k${hour}_${i}`, i]));
  await packHours([[{ id: 1 }], [wide(1)], [wide(2)], [{ id: 1 }]]);
  const { readPinned } = await import("../../src/stages/pin.js");
  const { LocalStore } = await import("../../src/store/local.js");
  const pinned = await readPinned(new LocalStore(join(root, "lake")), "", undefined);
  expect(pinned?.pinned.versions.at(-1)?.columns).toHaveLength(2000);
});

it("an order by what is no column yet waits for it", async () => {
  const { rows, notices } = await packHours([[{}], [{ id: 2 }], [{ id: 1, user: "a" }]], "user");
  expect(rows).toEqual([1, 1, 1]);
  expect(notices.filter((text) => text.startsWith("not sorted by user"))).toHaveLength(2);
});
