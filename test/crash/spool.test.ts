/** Disks that refuse while an hour is made in the spool: what is told, what is given back, and that the next run goes on. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type Components, openComponents } from "../../src/components.js";
import { loadSettings } from "../../src/config/load.js";
import { addHours, parseHour } from "../../src/hour.js";
import { run } from "../../src/run.js";
import { Spool } from "../../src/spool/spool.js";

/** Of folders below the spool: what no `rm` can take, as on NFS while somebody has a file of it open. */
const refused = vi.hoisted(() => ({ removal: false }));

vi.mock("node:fs/promises", async (importOriginal) => {
  const fs = await importOriginal<typeof import("node:fs/promises")>();
  const rm: typeof fs.rm = async (path, options) => {
    if (refused.removal && /spool\/[0-9A-Z]{26}$/.test(String(path)))
      throw Object.assign(new Error(`ENOTEMPTY: directory not empty, rmdir '${path}'`), {
        code: "ENOTEMPTY",
        syscall: "rmdir",
      });
    return fs.rm(path, options);
  };
  return { ...fs, rm };
});

const HOUR = parseHour("2022-07-26T00");

let root: string;
let components: Components;
beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), "hourpack-spool-"));
  const flags = { raw: "./raw/{yyyy}/{MM}/{dd}/{HH}/", tier1: "./lake/", table: "t", columns: "id:bigint" };
  const limits = { "spool-dir": "./spool", "spool-max": "1MB", "hours-in-flight": "1" };
  components = openComponents(await loadSettings({ flags: { ...flags, ...limits }, cwd: root, env: {} }));
});
afterEach(async () => {
  refused.removal = false;
  await components.close();
  rmSync(root, { recursive: true, force: true });
});

function put(hour: string, name: string, text: string): void {
  const path = join(root, "raw/2022/07/26", hour, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

const spooled = () => readdirSync(join(root, "spool"));

describe("a spool that cannot be removed", { timeout: 20_000 }, () => {
  beforeEach(() => {
    refused.removal = true;
  });

  it("fails no hour, keeps nothing that others wait for, and is swept by a later attempt", async () => {
    // Each takes all that the spool may hold.
    for (const hour of ["00", "01"]) put(hour, "a.json", `{"id":1,"pad":"${"x".repeat(1 << 20)}"}\n`);
    const { hours, failures } = await run(components, { hours: { from: HOUR, to: addHours(HOUR, 2) } });
    expect(failures).toEqual([]);
    expect(hours.map(({ action, rows }) => [action, rows])).toEqual([
      ["packed", 1],
      ["packed", 1],
    ]);
    expect(spooled()).not.toEqual([]);
    refused.removal = false;
    await (await Spool.open(join(root, "spool"), "01K0000000000000000000000A")).close();
    expect(spooled()).toEqual([]);
  });

  it("does not hide why the hour failed", async () => {
    put("00", "a.json", "no json\n");
    const strict = { ...components, settings: { ...components.settings } };
    strict.settings.run = { ...strict.settings.run, maxQuarantine: 0 };
    const { failures } = await run(strict, { hours: { from: HOUR, to: addHours(HOUR, 1) } });
    expect(failures.map(({ error }) => error.kind)).toEqual(["data"]);
    expect(existsSync(join(root, "lake/year=2022"))).toBe(false);
  });
});
