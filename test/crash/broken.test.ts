/** Half-written states, one folder each: what a run makes of them, and what the sweeper deletes once it is old enough. */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { openComponents } from "../../src/components.js";
import { loadSettings } from "../../src/config/load.js";
import { addHours, HOUR_MS, parseHour } from "../../src/hour.js";
import { run } from "../../src/run.js";
import { sweep } from "../../src/upkeep/sweep.js";
import { verifyHour } from "../../src/upkeep/verification.js";

const ROOT = join(import.meta.dirname, "../../fixtures/broken");
const HOUR = parseHour("2022-07-26T00");

interface Expected {
  run: { action: string; rows: number } | { error: string; message: string };
  /** Keys below tier 1 that the sweeper takes eight days later; none where absent. */
  swept?: string[];
  unfinished?: number;
  /** Files that are there as before, whatever happens. */
  kept?: string[];
}

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "hourpack-broken-"));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

describe("fixtures/broken", () => {
  it.each(readdirSync(ROOT).filter((name) => !name.includes(".")))("%s", async (name) => {
    const expected = parse(readFileSync(join(ROOT, name, "expected.yaml"), "utf8")) as Expected;
    const cwd = join(dir, name);
    cpSync(join(ROOT, name, "state"), cwd, { recursive: true });
    const before = filesUnder(join(cwd, "lake"));
    const settings = await loadSettings({
      cwd,
      env: {},
      flags: { raw: "./raw/{yyyy}/{MM}/{dd}/{HH}/", tier1: "./lake/", table: "t" },
    });
    const components = openComponents(settings);
    const later = openComponents(settings, { nowMs: () => Date.now() + 8 * 24 * HOUR_MS });
    try {
      const { hours, failures } = await run(components, { hours: { from: HOUR, to: addHours(HOUR, 1) } });
      if ("error" in expected.run) {
        expect(failures[0]?.error).toMatchObject({
          kind: expected.run.error,
          message: expect.stringContaining(expected.run.message),
          hint: expect.any(String),
        });
        expect(filesUnder(join(cwd, "lake"))).toEqual(before);
        return;
      }
      expect(failures).toEqual([]);
      expect(hours[0]).toMatchObject({ action: expected.run.action, part: { rows: expected.run.rows } });
      const [dataset] = settings.datasets;
      if (!dataset) throw new Error("no dataset");
      const swept = await sweep({ components: later, dataset });
      expect(swept.attempts).toEqual(expected.swept ?? []);
      expect(swept.unfinished).toBe(expected.unfinished ?? 0);
      const task = { dataset, hour: HOUR, request: {}, isAsked: true, components, observe: () => {} };
      expect(await verifyHour(task, { deep: true })).toMatchObject({
        state: "sound",
        rows: expected.run.rows,
      });
      const left = filesUnder(join(cwd, "lake")).filter((file) => !file.startsWith("_hourpack/locks/"));
      expect(left.map((file) => file.replace(/[0-9A-Z]{26}/, "<attempt>"))).toEqual([
        "_hourpack/manifests/2022/07/26/00/<attempt>.ndjson.gz",
        "_hourpack/schema.json",
        ...(expected.kept ?? [])
          .concat("year=2022/month=07/day=26/hour=00/t-2022072600.snappy.parquet")
          .sort(),
      ]);
    } finally {
      await later.close();
      await components.close();
    }
  });
});

function filesUnder(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .sort();
}
