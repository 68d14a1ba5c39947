/** DuckDB's memory_limit while statements are at work that need more than is configured, and after them. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { Database } from "../../src/engine/duckdb/database.js";
import { openDuckdb } from "../../src/engine/duckdb/duckdb.js";
import type { Engine } from "../../src/engine/engine.js";
import type { Column, Schema } from "../../src/schema/types.js";

/** What the engine opened, and its limit in MiB as each of its statements began. */
const seen = vi.hoisted(() => ({ database: undefined as Database | undefined, limits: [] as number[] }));

vi.mock("../../src/engine/duckdb/database.js", async (importOriginal) => {
  const actual = await importOriginal<typeof import("../../src/engine/duckdb/database.js")>();
  return {
    ...actual,
    openDatabase: async (...args: Parameters<typeof actual.openDatabase>) => {
      const database = await actual.openDatabase(...args);
      seen.database = database;
      const numbers: Database["numbers"] = async (sql) => {
        seen.limits.push(await limit());
        return database.numbers(sql);
      };
      return { ...database, numbers };
    },
  };
});

async function limit(): Promise<number> {
  const rows = await seen.database?.rows("select current_setting('memory_limit') as it");
  return Number.parseFloat(String(rows?.[0]?.["it"]));
}

let dir: string;
let engine: Engine;
beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), "hourpack-limit-"));
  engine = await openDuckdb({ memoryBytes: 256 << 20, concurrency: 2, tempDir: join(dir, "temp") });
  seen.limits.length = 0;
});
afterEach(async () => {
  await engine.close();
  rmSync(dir, { recursive: true, force: true });
});

function columns(count: number): Column[] {
  return Array.from({ length: count }, (_, i) => {
    return { name: `c${i}`, path: [`c${i}`], type: { kind: "bigint" }, derived: false };
  });
}

let files = 0;
async function write(schema: Schema, maxLineMb: number): Promise<string> {
  const path = join(dir, String(files++));
  writeFileSync(`${path}.ndjson`, '{"c0":1}\n');
  const exact = `${path}.ndjson`;
  await engine.writeRows({ schema, accepted: undefined, exact, maxLineBytes: maxLineMb << 20 }, path);
  return path;
}

it("is raised for long lines, for all who are at work at a time, and then as it was", async () => {
  const schema = { version: 1, columns: columns(1) };
  await Promise.all([write(schema, 3), write(schema, 6), write(schema, 0)]);
  expect(Math.max(...seen.limits)).toBe(256 + 5 * 70);
  expect(await limit()).toBe(256);
  seen.limits.length = 0;
  await write(schema, 0);
  expect(new Set(seen.limits)).toEqual(new Set([256]));
});

it("is raised for wide tables in each of their statements, and then as it was", async () => {
  const wide = columns(100);
  const path = await write({ version: 1, columns: wide }, 0);
  const merge = engine.merge(wide, join(dir, "sorted"), { sortBy: ["c0"] });
  await merge.add(path);
  await merge.add(await write({ version: 1, columns: wide }, 0));
  await merge.finish({});
  await engine.digest([path], wide);
  expect(new Set(seen.limits)).toEqual(new Set([256 + (100 - 64) * 2]));
  expect(await limit()).toBe(256);
});

it("is as it was where a statement fails, too", async () => {
  const schema = { version: 1, columns: columns(1) };
  const missing = { schema, accepted: undefined, exact: join(dir, "none"), maxLineBytes: 6 << 20 };
  await expect(engine.writeRows(missing, join(dir, "out"))).rejects.toThrow(/none/);
  expect(Math.max(...seen.limits)).toBe(256 + 5 * 70);
  expect(await limit()).toBe(256);
});
