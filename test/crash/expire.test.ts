/** An expiry in a directory that is killed in the midst of a deletion leaves nothing hidden, and loses nothing. */
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
async function packedHour() {
  const root = mkdtempSync(join(dir, "lake-"));
  const hour = join(root, "raw/2022/07/26/00");
  mkdirSync(hour, { recursive: true });
  for (const [i, name] of ["a.json", LONG].entries()) writeFileSync(join(hour, name), `{"id":${i}}`);
  const flags = ["--raw", `${root}/raw/{yyyy}/{MM}/{dd}/{HH}/`, "--tier1", `${root}/lake/`, "--table", "t"];
  const run = (args: string[], env: Record<string, string> = {}) =>
    hourpack([...args, ...flags, "--catalog", "none", "--json"], { env, cwd: root });
  expect((await run(["run", "--hour", "2022-07-26T00"])).code).toBe(0);
  const expire = (env?: Record<string, string>) => run(["expire", "--older-than", "30d", "--yes"], env);
  /** Killed when the long name's file has been taken from its name, in whatever way. */
  const killedExpire = async (changes: { before?: string; after?: string }) => {
    const preload = join(root, "kill.cjs");
    writeFileSync(
      preload,
      `const fs = require("fs"), p = require("fs/promises"), { rename } = p;
const changes = ${JSON.stringify(changes)};
const write = (text, path) => { fs.writeFileSync("new", text); fs.renameSync("new", path); };
p.rename = async (from, to) => {
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
    expect(readdirSync(hour).some((name) => name.startsWith(".hourpack-tmp-"))).toBe(true);
  };
  return { hour, run, expire, killedExpire };
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
    const [ran] = (await run(["run", "--hour", "2022-07-26T00"])).records;
    expect(ran).not.toMatchObject({ action: "upToDate" });
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
