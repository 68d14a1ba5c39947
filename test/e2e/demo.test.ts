/** What the demo shows, and a second demo in the same folder, which may hold somebody's files by then. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { cleanEnv, hourpack } from "../support/cli.js";

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "hourpack-demo-"));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const demo = (...args: string[]) => hourpack(["demo", "--json", ...args], { cwd: root });
const HOUR = "hourpack-demo/raw/ios/year=2022/month=07/day=26/hour=00";

describe("a demo", () => {
  it("says where things lie in lines that a narrow terminal has room for, and what to try next", async () => {
    const { code, stdout, stderr } = await hourpack(["demo", "--dir", "shown"], { cwd: root });
    expect(code, stderr).toBe(0);
    const hours = stderr.split("\n").filter((line) => line.includes("  packed: "));
    expect(hours[0]).toMatch(
      /^mmp\/android 2022-07-26T00 {2}packed: new hour, 60 objects \(\S+ MB\) → 2,400 rows \(\d+ KB\), 1 rescued, \S+ s$/,
    );
    expect([hours.length, hours.filter((line) => line.length > 130)]).toEqual([6, []]);
    const [, places = "", next = ""] = stdout.split(/^(?:Where it lies|Next)$/m);
    const lines = places.trimEnd().split("\n");
    expect(lines.filter((line) => line.length > 80)).toEqual([]);
    expect(lines[1]).toBe("  shown/raw/  360 objects");
    expect(lines[2]).toMatch(/^ {2}shown\/lake\/android\/ {2}3 parts, \d+ KB, the first:$/);
    expect(existsSync(join(root, "shown/lake/android", lines[3]?.trim() ?? ""))).toBe(true);
    // Each of them can be typed as it stands, and floods no terminal.
    const commands = next.split("\n").filter((line) => line.includes(" --config "));
    expect(commands).toHaveLength(4);
    for (const command of commands) {
      const { status, stdout: answer } = spawnSync("bash", ["-c", command], {
        cwd: root,
        env: cleanEnv(),
        encoding: "utf8",
      });
      expect([command, status]).toEqual([command, 0]);
      expect(answer.trim().split("\n").length).toBeLessThan(20);
    }
  });
});

describe("a second demo", () => {
  it("makes the first one anew, with another seed, too", async () => {
    expect((await demo()).result).toMatchObject({ objects: 360, exitCode: 0 });
    const again = await demo("--seed", "2");
    expect(again.result, again.stderr).toMatchObject({ objects: 360, exitCode: 0 });
    const actions = (again.result["hours"] as { action: string }[]).map(({ action }) => action);
    expect(actions).toEqual(Array(6).fill("packed"));
  });

  it("takes away what the doctor left of itself", async () => {
    const { code, stdout } = await hourpack(["doctor", "--config", "hourpack-demo/hourpack.yaml"], {
      cwd: root,
    });
    expect(code, stdout).toBe(0);
    const again = await demo();
    expect(again.result, again.stderr).toMatchObject({ objects: 360, exitCode: 0 });
  });

  it.each([
    ["a file beside the raw objects", `${HOUR}/mine.json`],
    ["a file in the lake", "hourpack-demo/lake/mine.parquet"],
    ["a file beside the locks, with something in it", "hourpack-demo/lake/ios/_hourpack/locks/mine.lock"],
    ["a configuration that was changed", "hourpack-demo/hourpack.yaml"],
    ["an object that was changed", `${HOUR}/events-00-000.json`],
  ])("refuses, and deletes nothing: %s", async (_, path) => {
    const before = existsSync(join(root, path)) ? readFileSync(join(root, path)) : undefined;
    writeFileSync(join(root, path), "mine\n");
    const { code, stderr } = await demo();
    expect(code).toBe(2);
    expect(stderr).toBe(
      `error: ./hourpack-demo has files that the demo did not make, or that changed since: ${path}\n` +
        "  → Name another directory with --dir. Nothing was deleted.\n",
    );
    expect(readFileSync(join(root, path), "utf8")).toBe("mine\n");
    expect(existsSync(join(root, "hourpack-demo/catalog.duckdb"))).toBe(true);
    if (before) writeFileSync(join(root, path), before);
    else rmSync(join(root, path));
  });

  it("refuses a folder that is somebody's, and a file", async () => {
    writeFileSync(join(root, "mine.txt"), "mine\n");
    for (const dir of [".", "mine.txt"]) {
      const { code, stderr } = await demo("--dir", dir);
      expect(code, stderr).toBe(2);
      expect(stderr).toContain("mine.txt");
    }
  });
});
