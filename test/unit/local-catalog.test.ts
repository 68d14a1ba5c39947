/** What the local catalog reads of a lake. */
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import promises from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import type { TableSpec } from "../../src/catalog/catalog.js";
import { copyObjects } from "../../src/catalog/copies.js";
import { LocalCatalog } from "../../src/catalog/local.js";
import { openDatabase } from "../../src/engine/duckdb/database.js";
import { addHours, parseHour } from "../../src/hour.js";
import { partitionPrefix } from "../../src/layout.js";
import { LocalStore } from "../../src/store/local.js";
import type { GetOptions } from "../../src/store/store.js";

it("a part may be larger than memory: it is copied in ranges", async () => {
  const root = mkdtempSync(join(tmpdir(), "hourpack-copies-"));
  onTestFinished(() => rmSync(root, { recursive: true }));
  const bytes = Buffer.alloc((40 << 20) + 1, "0123456789");
  for (const at of [0, bytes.length - 4]) bytes.write("PAR1", at);
  mkdirSync(join(root, "lake"));
  writeFileSync(join(root, "lake/part.parquet"), bytes);
  class Counting extends LocalStore {
    readonly gotBytes: number[] = [];
    override async get(key: string, options: GetOptions): Promise<Buffer> {
      const got = await super.get(key, options);
      this.gotBytes.push(got.length);
      return got;
    }
  }
  const store = new Counting(root);
  const folder = join(root, "copies");
  expect(await copyObjects({ store, prefix: "lake/" }, folder)).toBe(true);
  expect(readFileSync(join(folder, "part.parquet")).equals(bytes)).toBe(true);
  expect(readdirSync(folder).filter((name) => name.endsWith(".new"))).toEqual([]);
  expect(Math.max(...store.gotBytes)).toBeLessThanOrEqual(16 << 20);
});

/** How many names of folders' entries are read meanwhile. */
async function namesRead(task: () => Promise<unknown>): Promise<number> {
  const { readdir, opendir } = promises;
  let count = 0;
  const patched = promises as unknown as Record<string, unknown>;
  patched["readdir"] = async (path: string, options: object) => {
    const names = await readdir(path, options);
    count += names.length;
    return names;
  };
  patched["opendir"] = async function* (path: string, options: object) {
    for await (const entry of await opendir(path, options)) {
      count++;
      yield entry;
    }
  };
  syncBuiltinESMExports();
  try {
    await task();
    return count;
  } finally {
    Object.assign(promises, { readdir, opendir });
    syncBuiltinESMExports();
  }
}

it("one part is enough to know that a lake has some: the others are not looked for", async () => {
  const root = mkdtempSync(join(tmpdir(), "hourpack-lake-"));
  onTestFinished(() => rmSync(root, { recursive: true }));
  const part = join(root, "part.parquet");
  const engine = await openDatabase(":memory:");
  await engine.run(`COPY (SELECT 1::BIGINT AS id) TO '${part}' (FORMAT parquet)`);
  await engine.close();
  for (let i = 0; i < 240; i++) {
    const folder = join(root, "lake", partitionPrefix(addHours(parseHour("2026-11-10T00"), i)));
    mkdirSync(folder, { recursive: true });
    copyFileSync(part, join(folder, "t.parquet"));
  }
  const path = join(root, "catalog.duckdb");
  const catalog = new LocalCatalog({ type: "local", path, database: "hourpack" }, () => Promise.reject());
  const table: TableSpec = {
    database: "hourpack",
    name: "t",
    format: "parquet",
    location: join(root, "lake/"),
    columns: [{ name: "id", type: { kind: "bigint" } }],
    partitionLocation: (hour) => join(root, "lake", partitionPrefix(hour)),
    registerText: "register",
  };
  expect(await namesRead(() => catalog.ensureTable(table))).toBeLessThan(20);
  const file = await openDatabase(path, { access_mode: "READ_ONLY" });
  expect(await file.rows("SELECT count(*)::INT AS n FROM hourpack.t")).toEqual([{ n: 240 }]);
  await file.close();
});
