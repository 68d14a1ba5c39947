/**
 * Workers over directories are killed at random instants, repeatedly, while more objects arrive. After each kill every
 * published hour is exactly what its manifest names. After the last kill a fresh worker ends where it would have ended
 * undisturbed, and the catalog shows it.
 */
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { DuckDBInstance } from "@duckdb/node-api";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openComponents } from "../../src/components.js";
import { loadSettings } from "../../src/config/load.js";
import { addHours } from "../../src/hour.js";
import { sweep } from "../../src/upkeep/sweep.js";
import { seededRandom } from "../support/faults.js";
import {
  DirectoryFiles,
  expectedHours,
  FIRST_HOUR,
  hoursFrom,
  kindOfResidue,
  objectsOf,
  type RawObject,
  rawKey,
  rawTemplate,
  readLake,
  seed,
  TABLE,
} from "../support/hour-of-events.js";
import { type DuckdbReader, openDuckdbReader } from "../support/readers.js";
import { inParallel, Worker } from "../support/worker.js";

/** 5 seeds, 3 lakes each, 14 kills a lake: 210 kills. */
const SEEDS = [1, 2, 3, 4, 5];
const LAKES = 3;
const KILLS_PER_LAKE = 14;
const HOURS = 3;
/** For machines that are busy with other things. */
const TIMEOUT_MS = 900_000;

interface Lake {
  dir: string;
  raw: DirectoryFiles;
  tier1: DirectoryFiles;
  objects: RawObject[];
  random: () => number;
}

const workDir = mkdtempSync(join(tmpdir(), "hourpack-kills-"));
let reader: DuckdbReader;

beforeAll(async () => {
  reader = await openDuckdbReader();
});

afterAll(() => {
  reader?.close();
  rmSync(workDir, { recursive: true, force: true });
});

async function makeLake(name: string, number: number): Promise<Lake> {
  const dir = join(workDir, name);
  for (const folder of ["raw", "tier1", "spool", "catalog"])
    mkdirSync(join(dir, folder), { recursive: true });
  const objects = hoursFrom(FIRST_HOUR, HOURS).flatMap((hour) => objectsOf(hour, 3, { damaged: true }));
  const raw = new DirectoryFiles(join(dir, "raw"));
  const tier1 = new DirectoryFiles(join(dir, "tier1"));
  await seed(raw, "", objects);
  return { dir, raw, tier1, objects, random: seededRandom(number) };
}

function runArgs({ dir, raw, tier1 }: Lake): string[] {
  const hours = ["--from", FIRST_HOUR, "--to", addHours(FIRST_HOUR, HOURS)];
  const dataset = ["--raw", rawTemplate(raw, ""), "--tier1", tier1.uri, "--table", TABLE];
  const catalog = ["--catalog", "local", "--catalog-path", join(dir, "catalog/lake.duckdb")];
  return ["run", ...hours, ...dataset, ...catalog, "--spool-dir", join(dir, "spool")];
}

/** Runs a worker to its end; resolves to how long it was at work. */
async function fresh(lake: Lake): Promise<number> {
  const worker = new Worker(runArgs(lake), {});
  await Promise.race([worker.started, worker.ended]);
  const startedMs = performance.now();
  const end = await worker.ended;
  expect(end.code, end.stderr).toBe(0);
  return performance.now() - startedMs;
}

/** What was killed must not have been published by halves: each hour is what its manifest says, whatever that is. */
async function expectWholeHours(lake: Lake): Promise<void> {
  const { hours } = await readLake(lake.tier1, "", reader);
  const named = new Set(
    Object.values(hours).flatMap(({ objects }) => objects.map((line) => line.split(" ")[0])),
  );
  const packed = lake.objects.filter((object) => named.has(rawKey("", object)));
  expect(hours).toEqual(expectedHours("", packed));
}

/** Late objects for every hour, so that there is always something to do. */
async function addLate(lake: Lake, round: number): Promise<void> {
  const late = hoursFrom(FIRST_HOUR, HOURS).flatMap((hour) =>
    objectsOf(hour, 2, { label: `late-${round}`, damaged: true }),
  );
  await seed(lake.raw, "", late);
  lake.objects.push(...late);
}

/** Resolves to whether the worker was killed, or had come to its end before. */
async function killOnce(lake: Lake, workMs: number): Promise<boolean> {
  const worker = new Worker(runArgs(lake), {});
  await Promise.race([worker.started, worker.ended]);
  await Promise.race([setTimeout(lake.random() * workMs), worker.ended]);
  if (!worker.hasEnded) return (await worker.kill()).signal === "SIGKILL";
  const end = await worker.ended;
  expect(end.code, end.stderr).toBe(0);
  return false;
}

async function expectRecovered(lake: Lake): Promise<void> {
  const expected = expectedHours("", lake.objects);
  const { hours, residue } = await readLake(lake.tier1, "", reader);
  expect(hours).toEqual(expected);
  const kinds = residue.map((key) => kindOfResidue("", key));
  expect(
    kinds.filter((kind) => !["manifests", "quarantine", "locks", "claims", "temporary"].includes(kind)),
  ).toEqual([]);
  expect(await rowsInCatalog(lake)).toEqual(
    Object.values(expected)
      .flatMap(({ rows }) => rows)
      .sort(),
  );
  expect(readdirSync(join(lake.dir, "catalog")).sort()).toEqual(["lake.duckdb", "lake.duckdb.lock"]);
}

/** Of what was left the sweeper takes all once its age has come, and nothing else. */
async function expectSwept(lake: Lake): Promise<void> {
  const flags = { raw: rawTemplate(lake.raw, ""), tier1: lake.tier1.uri, table: TABLE };
  const laterMs = Date.now() + 8 * 24 * 3_600_000;
  const components = openComponents(await loadSettings({ env: {}, cwd: lake.dir, flags }), {
    nowMs: () => laterMs,
  });
  try {
    for (const dataset of components.settings.datasets) await sweep({ components, dataset });
  } finally {
    await components.close();
  }
  const { hours, residue } = await readLake(lake.tier1, "", reader);
  expect(hours).toEqual(expectedHours("", lake.objects));
  expect(residue.map((key) => kindOfResidue("", key)).filter((kind) => kind !== "locks")).toEqual([]);
}

/** `id=n` of each row whose partition is the hour that its id begins with. */
async function rowsInCatalog({ dir }: Lake): Promise<string[]> {
  const instance = await DuckDBInstance.create(join(dir, "catalog/lake.duckdb"), {
    access_mode: "READ_ONLY",
  });
  const connection = await instance.connect();
  try {
    const rows = await connection.runAndReadAll(
      `SELECT id || '=' || n FROM hourpack.${TABLE}
       WHERE id LIKE printf('%04d-%02d-%02dT%02d/%%', year, month, day, hour)`,
    );
    return rows
      .getRows()
      .map(([text]) => String(text))
      .sort();
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
}

describe("workers over directories", { timeout: TIMEOUT_MS }, () => {
  let workMs: number;
  beforeAll(async () => {
    const lake = await makeLake("undisturbed", 0);
    workMs = await fresh(lake);
    await expectRecovered(lake);
  });

  it.each(SEEDS)(
    `are killed ${LAKES * KILLS_PER_LAKE} times at random (seed %i): nothing is lost, doubled or half published`,
    async (seedNumber) => {
      const numbers = Array.from({ length: LAKES }, (_, i) => seedNumber * LAKES + i);
      await inParallel(numbers, LAKES, async (number) => {
        const lake = await makeLake(`lake-${number}`, number);
        for (let kills = 0, round = 0; kills < KILLS_PER_LAKE; round++) {
          if (await killOnce(lake, workMs)) kills++;
          await expectWholeHours(lake);
          if (round % 2 === 1) await addLate(lake, round);
        }
        await addLate(lake, 999);
        await fresh(lake);
        await expectRecovered(lake);
        await expectSwept(lake);
        // The empty lock file of one that was killed before it had a folder may stay: it might be somebody's.
        const left = readdirSync(join(lake.dir, "spool")).filter((name) => !name.endsWith(".lock"));
        expect(left).toEqual([]);
      });
    },
  );
});
