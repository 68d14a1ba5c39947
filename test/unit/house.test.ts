import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { describe, expect, it } from "vitest";

const root = resolve(import.meta.dirname, "../../src");
const files = readdirSync(root, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ts"));

/** What each file imports: paths relative to src for our own, package names for others. */
const imports = importsBy(/(?:^import [^;]*?from |^export [^;]*?from |\b(?:import|require)\()"([^"]+)"/gm);
/** Without those of types alone. */
const values = importsBy(/(?:^(?:import|export) (?!type)[^;]*?from |(?<!typeof )\bimport\()"([^"]+)"/gm);

function importsBy(pattern: RegExp): Map<string, string[]> {
  const ownOr = (file: string, target: string) =>
    target.startsWith(".")
      ? relative(root, resolve(root, dirname(file), target)).replace(/\.js$/, ".ts")
      : target;
  return new Map(
    files.map((file) => {
      const found = readFileSync(join(root, file), "utf8").matchAll(pattern);
      return [file, [...found].map(([, target = ""]) => ownOr(file, target))];
    }),
  );
}

const roomOf = (file: string) => (file.includes("/") ? file.slice(0, file.indexOf("/")) : file);
const within = (room: string) => files.filter((file) => file.startsWith(`${room}/`));
const importersOf = (pattern: RegExp) =>
  files.filter((file) => imports.get(file)?.some((target) => pattern.test(target)));

describe("the house", () => {
  it("imports one way: nothing below the commands knows them", () => {
    const offenders = files.filter(
      (file) =>
        roomOf(file) !== "commands" && imports.get(file)?.some((target) => target.startsWith("commands/")),
    );
    expect(offenders).toEqual([]);
  });

  it("keeps stages apart: no stage imports a function of another", () => {
    const offenders = within("stages").flatMap((file) => {
      const text = readFileSync(join(root, file), "utf8");
      return [...text.matchAll(/^import (?!type)([^;]*?) from "\.\/([^"]+)"/gm)].map(
        ([, , target]) => `${file} → ${target}`,
      );
    });
    expect(offenders).toEqual([]);
  });

  it.each([
    ["schema", []],
    ["record", ["schema"]],
    ["store", []],
    ["config", ["schema"]],
    ["engine", ["record", "schema"]],
    ["catalog", ["engine", "schema"]],
    ["tier1", ["store", "schema"]],
    ["proof", ["tier1", "schema"]],
    ["spool", ["record"]],
    ["hours", ["tier1", "record", "schema"]],
    ["stages", ["spool", "tier1", "engine", "record", "schema"]],
    ["upkeep", ["stages", "proof", "hours", "spool", "tier1", "config", "record"]],
  ])("the room %s imports of the others no more than %j", (room, allowed) => {
    const targets = within(room)
      .flatMap((file) => values.get(file) ?? [])
      .filter((target) => target.endsWith(".ts"));
    const above = ["compact.ts", "run.ts", "components.ts", "index.ts"];
    const rooms = new Set(
      targets.map(roomOf).filter((name) => !name.endsWith(".ts") || above.includes(name)),
    );
    expect([...rooms].filter((name) => name !== room && !allowed.includes(name))).toEqual([]);
  });

  it("picks implementations in components.ts alone", () => {
    const implementations =
      /^(store\/(s3\/s3|local|open)|catalog\/(glue|athena|local|open)|engine\/duckdb\/duckdb)\.ts$/;
    const offenders = importersOf(implementations).filter(
      (file) => !["components.ts", "store/open.ts", "catalog/open.ts"].includes(file),
    );
    expect(offenders).toEqual([]);
  });

  it.each([
    [/^@aws-sdk\/client-s3|^@aws-sdk\/lib-storage/, "store"],
    [/^@aws-sdk\/client-(glue|athena)$/, "catalog"],
    [/^@duckdb\//, "engine"],
    [/^(log-update|cli-table3)/, "commands"],
  ])("knows %s in one room only", (pattern, room) => {
    expect(importersOf(pattern).filter((file) => roomOf(file) !== room)).toEqual([]);
  });

  it("loads the AWS SDK and DuckDB only when they are needed", () => {
    const eager = files.filter((file) =>
      /^import (?!type)[^;]*from "(@aws-sdk|@smithy|@duckdb)/m.test(readFileSync(join(root, file), "utf8")),
    );
    expect(eager).toEqual([]);
  });

  it("loads packages in CommonJS by require, which is faster and waits until they are needed", () => {
    const isModule = (name: string) => {
      const folder = /^(@[^/]+\/)?[^/]+/.exec(name)?.[0] ?? "";
      const manifest = join(root, "../node_modules", folder, "package.json");
      return JSON.parse(readFileSync(manifest, "utf8")).type === "module";
    };
    // Types that are named by `typeof import("x")` or `import("x").Type` load nothing.
    const pattern =
      /(?:^import (?!type)[^;]*?from |(?<!typeof )\bimport\()"(?!node:|\.)([^"]+)"(?!\)\.[A-Z])/gm;
    const imported = files.flatMap((file) =>
      [...readFileSync(join(root, file), "utf8").matchAll(pattern)].map(([, name = ""]) => name),
    );
    expect(imported).toContain("valibot");
    expect(imported.filter((name) => !isModule(name))).toEqual([]);
  });

  it("leaves what it is developed with out of production, whoever names it as a peer", () => {
    const { packages } = JSON.parse(readFileSync(join(root, "../package-lock.json"), "utf8"));
    const names = Object.keys(packages[""].devDependencies);
    expect(names).toContain("typescript");
    expect(names.filter((name) => packages[`node_modules/${name}`].dev !== true)).toEqual([]);
  });

  it("proves with code of its own", () => {
    const offenders = within("proof").filter((file) =>
      imports.get(file)?.some((target) => target.startsWith("record/")),
    );
    expect(offenders).toEqual([]);
  });

  it("has short files and no junk drawers", () => {
    const long = files.filter((file) => readFileSync(join(root, file), "utf8").split("\n").length > 401);
    expect(long).toEqual([]);
    expect(files.filter((file) => /util|helper|manager|common|misc/i.test(file))).toEqual([]);
  });
});
