/** Help, and completion by the shell. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { cleanEnv, HOURPACK } from "../support/cli.js";

import { packedFolder } from "../support/packed-folder.js";

const { root, here } = packedFolder("help");

describe("help", () => {
  it("shows a command's own flags, then the settings that matter to it", async () => {
    const { stdout } = await here("query", "--help");
    expect(stdout).toMatch(/Flags:\n +--limit.*Configuration:\n.*--catalog-path.*--show-hidden lists/s);
    expect(stdout).not.toMatch(/--look-back|--s3-endpoint/);
    const { stdout: all } = await here("query", "--help", "--show-hidden");
    expect(all).toMatch(/--s3-timeout.*--look-back/s);
    expect((await here("run", "--help")).stdout).toMatch(/--look-back/);
    expect((await here("run", "--help")).stdout).not.toMatch(/--listen|--s3-timeout/);
    expect((await here("worker", "--help")).stdout).toMatch(/--listen/);
  });

  it("is there as a word, and so is the version", async () => {
    expect((await here("help")).stdout).toBe((await here("--help")).stdout);
    expect((await here("help", "plan")).stdout).toBe((await here("plan", "--help")).stdout);
    expect((await here("help", "help")).stdout).toBe((await here("--help")).stdout);
    const version = await here("--version");
    for (const flag of ["version", "-v", "-V"]) expect(await here(flag)).toEqual(version);
    expect((await here("run", "-v")).stderr).toContain("unknown flag -v");
    const unknown = await here("help", "paln");
    expect(unknown.code).toBe(2);
    expect(unknown.stderr).toContain("Did you mean `hourpack plan`?");
  });
});

describe("completion", () => {
  /** What bash offers at the end of the line. */
  function offered(line: string): string[] {
    const bin = mkdtempSync(join(root, "bin-"));
    symlinkSync(HOURPACK, join(bin, "hourpack"));
    const script = `eval "$(hourpack completion)"; COMP_POINT=\${#COMP_LINE}; _hourpack; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const env = { ...cleanEnv(), PATH: `${bin}:${process.env["PATH"]}`, SHELL: "/bin/bash", COMP_LINE: line };
    const text = execFileSync("bash", ["-c", script], { cwd: root, env, encoding: "utf8" });
    return text.split("\n").filter(Boolean);
  }

  it("offers commands, flags and choices, and leaves file names to the shell", () => {
    expect(offered("hourpack re")).toEqual(["register", "restore"]);
    expect(offered("hourpack plan --s3-e")).toEqual(["--s3-endpoint"]);
    expect(offered("hourpack --log-level d")).toEqual(["debug"]);
    expect(offered("hourpack run --catalog l")).toEqual(["local"]);
    expect(offered("hourpack run --raw ./")).toEqual([]);
    expect(offered("hourpack run --no-a")).toEqual(["--no-ahead"]);
  });

  it("offers the datasets of the configuration that is named", () => {
    const dataset = `raw: "./r/{p}/{yyyy}/{MM}/{dd}/{HH}/", tier1: "./t/{p}/", table: "t_{p}"`;
    writeFileSync(join(root, "mmp.yaml"), `datasets: { mmp: { for: { p: [android, ios] }, ${dataset} } }\n`);
    const line = "hourpack run --config mmp.yaml --dataset ";
    expect(offered(line)).toEqual(["mmp", "mmp/android", "mmp/ios"]);
    expect(offered(`${line}mmp/i`)).toEqual(["mmp/ios"]);
    for (const named of ["--config=mmp.yaml", "--config none.yaml --config=mmp.yaml"])
      expect(offered(`hourpack run ${named} --dataset `)).toEqual(offered(line));
    expect(offered("hourpack run --config none.yaml --dataset ")).toEqual([]);
    expect(offered("hourpack run --config=none.yaml --dataset ")).toEqual([]);
  });

  it("is of what the help names: a flag that is on is shown with its --no- form", async () => {
    expect((await here("run", "--help")).stdout).toContain("--[no-]ahead ");
  });
});
