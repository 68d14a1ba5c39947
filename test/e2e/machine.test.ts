/** What the machine refuses a process: room for its output, and more than its limits. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { cleanEnv, HOURPACK } from "../support/cli.js";
import { verdictOf } from "../support/linters.js";

const RUN = `run --hour 2022-07-26T00 --raw ./raw/{yyyy}/{MM}/{dd}/{HH}/ --table events --catalog none`;

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "hourpack-machine-"));
  mkdirSync(join(root, "raw/2022/07/26/00"), { recursive: true });
  writeFileSync(join(root, "raw/2022/07/26/00/a.json"), `{"id":1,"text":"${"long ".repeat(20_000)}"}\n`);
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** In a shell, where `hourpack` is the built one. */
async function shell(script: string): Promise<{ exitCode: number | null; output: string }> {
  const named = `hourpack() { "${process.execPath}" "${HOURPACK}" "$@"; }; cd "${root}"; ${script}`;
  return verdictOf("bash", ["-c", named], { env: cleanEnv() });
}

describe("output that cannot be written", () => {
  it("is told, and the hour is packed nevertheless", async () => {
    const full = await shell(`hourpack ${RUN} --tier1 ./full/ --json > /dev/full`);
    expect(full).toEqual({
      exitCode: 10,
      output: expect.stringMatching(
        /^error: write the output: no space left on device\n {2}→ What was printed is not whole: .*\n$/,
      ),
    });
    const again = await shell(`hourpack ${RUN} --tier1 ./full/`);
    expect(again.output).toContain("1 hour up to date");
  });

  it.each(["--help", "--version"])("is told of %s", async (flag) => {
    const { exitCode, output } = await shell(`hourpack ${flag} > /dev/full`);
    expect([exitCode, output.split("\n")[0]]).toEqual([
      10,
      "error: write the output: no space left on device",
    ]);
  });

  it("is no loss where somebody stopped reading", async () => {
    const { exitCode, output } = await shell(
      `hourpack ${RUN} --tier1 ./piped/ --json --rebuild | true; exit \${PIPESTATUS[0]}`,
    );
    expect([exitCode, output]).toEqual([0, ""]);
  });
});

it("a file above the limit of a process's files is told as that, and nothing is published", async () => {
  const { exitCode, output } = await shell(
    `ulimit -f 20; hourpack ${RUN} --tier1 ./limited/ 2>&1 | cat; exit \${PIPESTATUS[0]}`,
  );
  expect(exitCode).toBe(2);
  expect(output).toMatch(
    /^error: write the spool file \S+: EFBIG: file too large, write\n {2}→ Raise .*ulimit -f/,
  );
  expect(output).not.toContain("bug");
});
