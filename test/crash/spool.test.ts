/** Disks that fail while an hour is in the spool: what is reported, what is given back, and that the next run goes on. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type Components, openComponents } from "../../src/components.js";
import { loadSettings } from "../../src/config/load.js";
import { addHours, parseHour } from "../../src/hour.js";
import { run } from "../../src/run.js";
import { Spool } from "../../src/spool/spool.js";
import { expireHour } from "../../src/upkeep/expire.js";
import { openRestoration } from "../../src/upkeep/restore.js";
import { verifyHour } from "../../src/upkeep/verification.js";

/**
 * `removal`: that of an attempt's folder fails, as on NFS while somebody has a file of it open. `room`: there is none for
 * the spool's file of this name; the kernel itself says so, of a device that is always full.
 */
const refused = vi.hoisted(() => ({
  removal: false,
  room: "",
  placeOf: (path: unknown) =>
    refused.room !== "" && String(path).endsWith(`/${refused.room}`) ? "/dev/full" : (path as string),
}));

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
  const open: typeof fs.open = (path, ...rest) => fs.open(refused.placeOf(path), ...rest);
  const writeFile: typeof fs.writeFile = (path, ...rest) => fs.writeFile(refused.placeOf(path), ...rest);
  return { ...fs, rm, open, writeFile };
});

vi.mock("node:fs", async (importOriginal) => {
  const fs = await importOriginal<typeof import("node:fs")>();
  const createWriteStream: typeof fs.createWriteStream = (path, ...rest) =>
    fs.createWriteStream(refused.placeOf(path), ...rest);
  return { ...fs, createWriteStream };
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
  refused.room = "";
  await components.close();
  rmSync(root, { recursive: true, force: true });
});

function put(hour: string, name: string, text: string): void {
  const path = join(root, "raw/2022/07/26", hour, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

const spooled = () => readdirSync(join(root, "spool"));
const pack = () => run(components, { hours: { from: HOUR, to: addHours(HOUR, 1) } });

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

describe("a disk that is full of the spool", () => {
  const full = {
    kind: "unavailable",
    message: expect.stringMatching(
      / in the spool \S+\/spool\/\w{26}: ENOSPC: no space left on device, write$/,
    ),
    hint: "Free some disk space or point --spool-dir at a larger disk.",
  };

  it.each(["base.parquet", "quarantine.ndjson.gz", "manifest.ndjson.gz"])(
    "where %s of a merge is written: the hour is unavailable, stays as it was, and is packed when there is room",
    async (name) => {
      put("00", "a.json", '{"id":1}\n');
      expect((await pack()).failures).toEqual([]);
      // Of so many objects a manifest is written to the disk.
      for (let i = 0; i < 700; i++) put("00", `late-${i}.json`, '{"id":2}\nno json\n');
      refused.room = name;
      const { failures } = await pack();
      expect(failures.map(({ error }) => error)).toMatchObject([full]);
      expect(spooled()).toEqual([]);
      refused.room = "";
      expect((await pack()).hours[0]).toMatchObject({
        action: "packed",
        part: { rows: 701, quarantined: 700 },
      });
    },
  );

  it.each(["verify --deep", "restore"])("where %s copies the part", async (command) => {
    put("00", "a.json", '{"id":1}\n');
    await pack();
    refused.room = "part.parquet";
    const [dataset] = components.settings.datasets;
    if (!dataset) throw new Error("no dataset");
    const looked =
      command === "restore"
        ? openRestoration({ components, dataset, hour: HOUR })
        : verifyHour({ dataset, hour: HOUR, components }, { deep: true });
    await expect(looked).rejects.toMatchObject(full);
    expect(spooled()).toEqual([]);
  });

  it("where the journal of an expiry is written: nothing is deleted", async () => {
    put("00", "a.json", '{"id":1}\n');
    await pack();
    const [dataset] = components.settings.datasets;
    if (!dataset) throw new Error("no dataset");
    refused.room = "journal.ndjson.gz";
    const task = { dataset, hour: HOUR, components, request: {}, isAsked: true, observe: () => {} };
    await expect(expireHour(task, { dryRun: false, rawIsImmutable: true })).rejects.toMatchObject(full);
    expect(readdirSync(join(root, "raw/2022/07/26/00"))).toEqual(["a.json"]);
    expect(spooled()).toEqual([]);
  });
});
