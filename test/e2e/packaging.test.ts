/** The tarball of `npm pack`, installed in an empty folder as a stranger would. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { cleanEnv } from "../support/cli.js";
import { type Verdict, verdictOf } from "../support/linters.js";
import { installTarball } from "../support/tarball.js";

const ROOT = resolve(import.meta.dirname, "../..");
const { version } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { version: string };

let work: string;
let home: string;
let files: string[];
let command: string;

beforeAll(async () => {
  work = mkdtempSync(join(tmpdir(), "hourpack-packaging-"));
  ({ home, files, command } = await installTarball(work));
});

afterAll(() => rmSync(work, { recursive: true, force: true }));

function hourpack(...args: string[]): Promise<Verdict> {
  return verdictOf(command, args, { cwd: home, env: cleanEnv() });
}

describe("the tarball", () => {
  it("has the built code, its types and what a reader needs, and no development file", () => {
    const isWanted =
      /^(?:dist\/[\w./-]+\.(?:js|d\.ts)|bin\/(?:hourpack\.js|package\.json)|package\.json|(?:docs|deploy)\/[\w./-]+|README\.md|CHANGELOG\.md|LICENSE)$/;
    expect(files.filter((path) => !isWanted.test(path))).toEqual([]);
    for (const path of [
      "bin/hourpack.js",
      "bin/package.json",
      "dist/index.js",
      "dist/index.d.ts",
      "LICENSE",
      "README.md",
      // What the README and --help point at.
      "docs/configuration.md",
      "docs/hourpack.schema.json",
      "deploy/iam-policy.json",
    ]) {
      expect(files).toContain(path);
    }
    // Every built file comes with its types.
    const built = files.filter((path) => path.endsWith(".js") && path.startsWith("dist/"));
    expect(built.filter((path) => !files.includes(path.replace(/\.js$/, ".d.ts")))).toEqual([]);
  });

  it("names no place of the machine that it was made on", () => {
    const installed = join(home, "node_modules/hourpack");
    for (const path of files) expect(readFileSync(join(installed, path), "utf8")).not.toContain(ROOT);
  });

  it("needs no script to be run when it is installed", () => {
    const { scripts, dependencies } = JSON.parse(
      readFileSync(join(home, "node_modules/hourpack/package.json"), "utf8"),
    );
    expect(Object.keys(scripts).filter((name) => /^(?:pre|post)?install$/.test(name))).toEqual([]);
    expect(Object.values<string>(dependencies).filter((range) => !/^[\^~\d]/.test(range))).toEqual([]);
  });
});

describe("the installed command", () => {
  it("tells its version and its help", async () => {
    expect(await hourpack("--version")).toEqual({ exitCode: 0, output: `${version}\n` });
    expect((await hourpack("run", "--help")).output).toContain("hourpack run --hour 2022-07-26T00");
  });

  it("packs the demo's hours and answers a query", async () => {
    const demo = await hourpack("demo", "--json");
    expect(demo.exitCode, demo.output).toBe(0);
    const query = await hourpack(
      ...["query", "--catalog-path", "hourpack-demo/catalog.duckdb", "--json"],
      "select count(*) > 1000 as many from mmp_db.mmp_android",
    );
    expect(query.exitCode, query.output).toBe(0);
    expect(query.output).toContain('"many":true');
  });
});

const PROGRAM = `
import { type Hour, type HourResult, loadSettings, openComponents, parseHour, run } from "hourpack";

const hour: Hour = parseHour("2024-01-01T00");
const flags = { raw: "./raw/{yyyy}/{MM}/{dd}/{HH}/", tier1: "./tier1/", table: "events" };
const components = openComponents(await loadSettings({ flags, env: {} }));
const { hours } = await run(components, { hours: { from: hour, to: parseHour("2024-01-01T01") } });
await components.close();
const packed: HourResult[] = hours.filter(({ action }) => action === "packed");
console.log(packed.map(({ part }) => part?.rows).join());
`;

describe("the library", () => {
  it("is compiled against by a strict project, and packs an hour", async () => {
    mkdirSync(join(home, "raw/2024/01/01/00"), { recursive: true });
    writeFileSync(join(home, "raw/2024/01/01/00/a.json"), '{"id":1}\n{"id":2}\n');
    writeFileSync(join(home, "program.ts"), PROGRAM);
    const compilerOptions = {
      strict: true,
      module: "nodenext",
      target: "es2023",
      types: ["node"],
      skipLibCheck: false,
    };
    const typeRoots = [join(ROOT, "node_modules/@types")];
    writeFileSync(
      join(home, "tsconfig.json"),
      JSON.stringify({ compilerOptions: { ...compilerOptions, typeRoots }, files: ["program.ts"] }),
    );
    const tsc = await verdictOf(join(ROOT, "node_modules/.bin/tsc"), [], { cwd: home });
    expect(tsc).toEqual({ exitCode: 0, output: "" });
    expect(await verdictOf(process.execPath, ["program.js"], { cwd: home, env: cleanEnv() })).toEqual({
      exitCode: 0,
      output: "2\n",
    });
  });
});
