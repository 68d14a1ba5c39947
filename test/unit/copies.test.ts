/** The local catalog's copies of parts, from a directory. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { copyObjects } from "../../src/catalog/copies.js";
import { LocalStore } from "../../src/store/local.js";
import type { GetOptions } from "../../src/store/store.js";

it("a part may be larger than memory: it is copied in ranges", async () => {
  const root = mkdtempSync(join(tmpdir(), "hourpack-copies-"));
  onTestFinished(() => rmSync(root, { recursive: true }));
  const bytes = Buffer.alloc((40 << 20) + 1, "0123456789");
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
