/** An expiry in a directory that is killed during a deletion leaves nothing hidden, and loses nothing. */
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { LocalStore } from "../../src/store/local.js";
import { Aside } from "../../src/store/local-aside.js";
import { hourpack } from "../support/cli.js";

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "hourpack-killed-"));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** As long as a name can be. */
const LONG = `${"x".repeat(250)}.json`;

/** A packed hour, and what is done about it. */
async function packedHour(names = ["a.json", LONG]) {
  const root = mkdtempSync(join(dir, "lake-"));
  const hour = join(root, "raw/2022/07/26/00");
  mkdirSync(hour, { recursive: true });
  for (const [i, name] of names.entries()) writeFileSync(join(hour, name), `{"id":${i}}`);
  const flags = ["--raw", `${root}/raw/{yyyy}/{MM}/{dd}/{HH}/`, "--tier1", `${root}/lake/`, "--table", "t"];
  const run = (args: string[], env: Record<string, string> = {}) =>
    hourpack([...args, ...flags, "--catalog", "none", "--json"], { env, cwd: root });
  expect((await run(["run", "--hour", "2022-07-26T00"])).code).toBe(0);
  const expire = (env?: Record<string, string>) => run(["expire", "--older-than", "30d", "--yes"], env);
  /** Killed when the long name's file has been taken from its name, in whatever way; with `early`, before anything is. */
  const killedExpire = async (changes: { before?: string; after?: string; early?: true }) => {
    const preload = join(root, "kill.cjs");
    writeFileSync(
      preload,
      `const fs = require("fs"), p = require("fs/promises"), { rename } = p;
const changes = ${JSON.stringify(changes)};
const write = (text, path) => { fs.writeFileSync("new", text); fs.renameSync("new", path); };
p.rename = async (from, to) => {
  if (changes.early && to.includes(".hourpack-tmp-aside-")) process.kill(process.pid, "SIGKILL");
  if (!from.endsWith(${JSON.stringify(LONG)}) || !to.includes(".hourpack-tmp-")) return rename(from, to);
  if (changes.before) write(changes.before, from);
  await rename(from, to);
  if (changes.after) write(changes.after, from);
  process.kill(process.pid, "SIGKILL");
  await new Promise(() => {});
};
require("module").syncBuiltinESMExports();
`,
    );
    expect((await expire({ NODE_OPTIONS: `--require ${preload}` })).code).toBeNull();
    if (!changes.early)
      expect(readdirSync(hour).some((name) => name.startsWith(".hourpack-tmp-"))).toBe(true);
  };
  return { root, hour, run, expire, killedExpire };
}

describe("expire of a directory, killed in the midst of a deletion", () => {
  it("ends as it would have: the next one deletes what it had taken aside", async () => {
    const { hour, expire, killedExpire } = await packedHour();
    await killedExpire({});
    const { code, result } = await expire();
    expect(code).toBe(0);
    expect(result["objects"]).toBeGreaterThan(0);
    expect(readdirSync(hour)).toEqual([]);
  });

  it("takes nothing for gone that is there: where the part is missing then, a run creates it again", async () => {
    const { root, hour, run, killedExpire } = await packedHour();
    await killedExpire({ early: true });
    expect(readdirSync(hour).filter((name) => name.endsWith(".json"))).toHaveLength(2);
    expect(readdirSync(join(root, "lake/_hourpack/expired/2022/07/26/00"))).toHaveLength(1);
    rmSync(join(root, "lake/year=2022"), { recursive: true });
    const verified = await run(["verify"]);
    expect(verified).toMatchObject({ code: 12, result: { wrong: 1 } });
    expect(verified.records.find(({ type }) => type === "verified")).toMatchObject({
      problems: [expect.stringContaining("its part is missing, and a manifest is there")],
    });
    const { code, records } = await run(["run", "--hour", "2022-07-26T00"]);
    const ran = records.find(({ action }) => action !== undefined);
    expect([code, ran]).toMatchObject([0, { action: "packed", part: { rows: 2 } }]);
    expect(await run(["verify", "--deep"])).toMatchObject({ code: 0, result: { expired: 0, rows: 2 } });
  });

  it.each([
    ["a newer file that it took from its name comes back", { before: '{"id":"newer"}' }, "newer"],
    ["a newer file that took the name stays", { after: '{"id":"newer"}' }, "newer"],
    ["of two newer ones the last stays", { before: '{"id":"newer"}', after: '{"id":"newest"}' }, "newest"],
  ])("%s, and is told", async (_, changes, left) => {
    const { hour, run, expire, killedExpire } = await packedHour();
    await killedExpire(changes);
    const { records } = await expire();
    expect(readFileSync(join(hour, LONG), "utf8")).toBe(`{"id":"${left}"}`);
    expect(readdirSync(hour).filter((name) => name.startsWith("."))).toEqual([]);
    expect(records.find(({ type }) => type === "expired")).toMatchObject({ objects: 0 });
    // Not taken for one that is gone: packed anew, or refused where other objects went with it.
    const ran = (await run(["run", "--hour", "2022-07-26T00"])).records;
    const outcome = ran.map(({ action, error }) => action ?? (error as { kind: string } | undefined)?.kind);
    expect(outcome.find((word) => word !== undefined)).toMatch(/^(packed|data)$/);
  });
});

describe("expire of a directory, interrupted", () => {
  it("ends the deletions that are at work, begins no other, and the next one deletes the rest", async () => {
    const names = Array.from({ length: 500 }, (_, i) => `${i}.json`);
    const { root, hour, run, expire } = await packedHour(names);
    const preload = join(root, "interrupt.cjs");
    writeFileSync(
      preload,
      `const p = require("fs/promises"), { rename } = p;
let isSent = false;
p.rename = async (from, to) => {
  const isFirst = !isSent && to.includes(".hourpack-tmp-aside-");
  isSent ||= isFirst;
  if (isFirst) process.kill(process.pid, "SIGINT");
  return rename(from, to);
};
require("module").syncBuiltinESMExports();
`,
    );
    expect((await expire({ NODE_OPTIONS: `--require ${preload}` })).code).toBe(130);
    const left = readdirSync(hour);
    expect(left.filter((name) => name.startsWith(".hourpack-tmp-"))).toEqual([]);
    expect(left.length).toBeGreaterThan(0);
    expect(left.length).toBeLessThan(500);
    expect(await run(["verify", "--deep"])).toMatchObject({ code: 0, result: { wrong: 0 } });
    expect(await expire()).toMatchObject({ code: 0, result: { objects: left.length } });
    expect(readdirSync(hour)).toEqual([]);
    expect(await run(["verify", "--deep"])).toMatchObject({ code: 0, result: { expired: 1, rows: 500 } });
  });
});

describe("what a deletion takes aside", () => {
  it("is, of a link, the version of what it led to from where it lay; another's comes back", async () => {
    const root = mkdtempSync(join(dir, "link-"));
    writeFileSync(join(root, "target"), "{}");
    symlinkSync("target", join(root, "link"));
    const etag = (await new LocalStore(root).head("link"))?.etag ?? "";
    expect(await new Aside().deleteVersion(join(root, "link"), "0-0-0")).toBe(false);
    expect(readdirSync(root)).toEqual(["link", "target"]);
    expect(readlinkSync(join(root, "link"))).toBe("target");
    expect(await new Aside().deleteVersion(join(root, "link"), etag)).toBe(true);
    expect(readdirSync(root)).toEqual(["target"]);
  });

  it("is left alone while its process lives", async () => {
    const root = mkdtempSync(join(dir, "alive-"));
    const names = Array.from({ length: 500 }, (_, i) => `h/${i}.json`);
    mkdirSync(join(root, "h"));
    for (const name of names) writeFileSync(join(root, name), "{}");
    const [mine, other] = [new LocalStore(root), new LocalStore(root)];
    let isDone = false;
    let seen = 0;
    const deleting = Promise.all(
      names.map(async (name) => mine.delete(name, { etag: (await mine.head(name))?.etag ?? "" })),
    ).finally(() => {
      isDone = true;
    });
    while (!isDone) {
      if (readdirSync(join(root, "h")).some((name) => name.startsWith(".hourpack-tmp-"))) seen++;
      expect(await other.putBack("h/")).toBe(0);
    }
    await deleting;
    expect(seen).toBeGreaterThan(0);
    expect(readdirSync(join(root, "h"))).toEqual([]);
  });
});
