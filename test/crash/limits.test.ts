/** Full or read-only disks, two runs with one spool, and signals: a clear end, nothing half published, and the next run goes on. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { cleanEnv, HOURPACK, hourpack } from "../support/cli.js";

const OBJECTS = 40;
const RECORDS = 1000;
const PART = "lake/year=2022/month=07/day=26/hour=00/t-2022072600.snappy.parquet";
const RUN = ["run", "--raw", "./raw/{yyyy}/{MM}/{dd}/{HH}/", "--tier1", "./lake/", "--table", "t"].concat([
  "--hour",
  "2022-07-26T00",
  "--json",
]);

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "hourpack-limits-"));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

function rawHour(name: string, objects = OBJECTS): string {
  const root = join(dir, name);
  const folder = join(root, "raw/2022/07/26/00");
  mkdirSync(folder, { recursive: true });
  for (let i = 0; i < objects; i++) {
    const lines = Array.from({ length: RECORDS }, (_, k) =>
      JSON.stringify({ id: `${i}-${k}`, pad: noise(i * RECORDS + k) }),
    );
    writeFileSync(join(folder, `${i}.json`), lines.join("\n"));
  }
  return root;
}

/** Sixteen letters that do not compress away. */
function noise(seed: number): string {
  return (Math.imul(seed + 1, 0x9e3779b1) >>> 0).toString(36).padStart(8, "0").repeat(2);
}

async function expectNext(root: string, more: string[] = []): Promise<void> {
  const next = await hourpack([...RUN, ...more], { cwd: root });
  expect(next.stderr).toBe("");
  expect(next.result).toMatchObject({ exitCode: 0, packed: 1, rows: OBJECTS * RECORDS });
  const verified = await hourpack(["verify", "--deep", ...RUN.slice(1)], { cwd: root });
  expect(verified.result).toMatchObject({ wrong: 0, rows: OBJECTS * RECORDS });
}

describe("the spool", () => {
  it("may have no file so long: exit 2, nothing published, and the next run packs the hour", async () => {
    const root = rawHour("full");
    // In blocks of 512 bytes.
    const script = `ulimit -f 200; exec "${process.execPath}" "${HOURPACK}" ${[...RUN, "--spool-dir", "./spool"].map((arg) => `'${arg}'`).join(" ")}`;
    const { code, stderr } = await shell(script, root);
    expect(code).toBe(2);
    expect(stderr).toContain("error: write the spool file");
    expect(stderr).toContain("ulimit -f");
    expect(existsSync(join(root, PART))).toBe(false);
    expect(readdirSync(join(root, "spool"))).toEqual([]);
    await expectNext(root, ["--spool-dir", "./spool"]);
  });

  it("is no folder that can be written: exit 2, since somebody has to mend it", async () => {
    const root = rawHour("closed");
    writeFileSync(join(root, "afile"), "");
    const { code, stderr } = await hourpack([...RUN, "--spool-dir", "./afile/spool"], { cwd: root });
    expect(code).toBe(2);
    expect(stderr).toContain("error: open the spool");
    expect(existsSync(join(root, PART))).toBe(false);
    await expectNext(root);
  });

  it("is shared by two runs, and one that died left something in it", async () => {
    const root = rawHour("shared");
    const left = join(root, "spool", "01K0000000000000000000000A");
    mkdirSync(left, { recursive: true });
    writeFileSync(join(left, "batch-0.raw"), "left over");
    const args = [...RUN, "--spool-dir", "./spool", "--claim-ttl", "0s"];
    const ends = await Promise.all([hourpack(args, { cwd: root }), hourpack(args, { cwd: root })]);
    for (const { code, stderr } of ends) expect(code, stderr).toBe(0);
    expect(readdirSync(join(root, "spool"))).toEqual([]);
    const again = await hourpack(RUN, { cwd: root });
    expect(again.result).toMatchObject({ upToDate: 1 });
  });

  it("holds no more than it may: hours wait for each other, and an hour too large to infer says so", async () => {
    const root = rawHour("bounded");
    const { code, stderr } = await hourpack([...RUN, "--spool-max", "1MB"], { cwd: root });
    expect(code).toBe(2);
    expect(stderr).toContain("--spool-max");
    expect(existsSync(join(root, PART))).toBe(false);
    await expectNext(root, ["--spool-max", "1MB", "--columns", "id:string,pad:string"]);
  });
});

describe("tier 1", () => {
  it("cannot be written: exit 2, and nothing there", async () => {
    const root = rawHour("no-tier1");
    writeFileSync(join(root, "lake"), "a file");
    const { code, stderr } = await hourpack(RUN, { cwd: root });
    expect(code).toBe(2);
    expect(stderr).toContain("A file stands where a folder is needed.");
    rmSync(join(root, "lake"));
    await expectNext(root);
  });
});

describe("a signal", () => {
  it.each(["SIGTERM", "SIGINT"] as const)(
    "%s in the middle of an hour: exit 130, and the next run goes on",
    async (signal) => {
      const root = rawHour(signal);
      const child = spawn(process.execPath, [HOURPACK, ...RUN, "--spool-dir", "./spool"], {
        cwd: root,
        env: cleanEnv(),
        stdio: ["ignore", "pipe", "pipe"],
      });
      await spooling(join(root, "spool"));
      child.kill(signal);
      expect(await exitOf(child)).toBe(130);
      expect(existsSync(join(root, PART))).toBe(false);
      expect(readdirSync(join(root, "spool"))).toEqual([]);
      await expectNext(root, ["--spool-dir", "./spool"]);
    },
  );
});

/** Until an attempt has its folder. */
async function spooling(folder: string): Promise<void> {
  for (let tries = 0; tries < 2000; tries++) {
    if (existsSync(folder) && readdirSync(folder).some((name) => !name.endsWith(".lock"))) return;
    await setTimeout(2);
  }
  throw new Error("no attempt began");
}

function exitOf(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve) => child.once("close", resolve));
}

async function shell(script: string, cwd: string): Promise<{ code: number | null; stderr: string }> {
  const child = spawn("sh", ["-c", script], { cwd, env: cleanEnv(), stdio: ["ignore", "ignore", "pipe"] });
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text) => {
    stderr += text;
  });
  return { code: await exitOf(child), stderr };
}
