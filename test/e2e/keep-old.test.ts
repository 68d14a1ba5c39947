/** An operator decides about an hour whose objects were overwritten, and decides only once. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { addHours, type Hour, hourOfMs, partsOf } from "../../src/hour.js";
import { hourpack } from "../support/cli.js";

/** Due, and old enough for `expire`. */
const HOUR = addHours(hourOfMs(Date.now()), -30);

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "hourpack-keep-old-"));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const { yyyy, MM, dd, HH } = partsOf(HOUR as Hour);
const folder = () => join(root, `raw/${yyyy}/${MM}/${dd}/${HH}`);
const put = (name: string, text: string) => writeFileSync(join(folder(), name), text);

const flags = ["--raw", "./raw/{yyyy}/{MM}/{dd}/{HH}/", "--tier1", "./lake/", "--table", "t", "--json"];
const here = (...args: string[]) => hourpack([...args, ...flags], { cwd: root });
const ofHour = ({ records }: Awaited<ReturnType<typeof here>>) =>
  records.findLast(({ hour }) => hour === HOUR);

/** What one sees of the hour, and whether a run of what is due is all right. */
async function look() {
  const [ran, planned, status] = [await here("run"), await here("plan"), await here("status")];
  const [plan, strip] = [ofHour(planned), ofHour(status)];
  return { codes: [ran.code, planned.code], action: plan?.["action"], state: strip?.["state"] };
}
const REFUSED = { codes: [12, 12], action: "refused", state: "refused" };
const DONE = { codes: [0, 0], action: "upToDate", state: "packed" };

function partOf() {
  const path = join(root, `lake/year=${yyyy}/month=${MM}/day=${dd}/hour=${HH}`);
  const { ino, mtimeNs } = statSync(join(path, readdirSync(path)[0] as string), { bigint: true });
  return `${ino} ${mtimeNs}`;
}

async function restored(): Promise<string[]> {
  const { stdout, code } = await hourpack(["restore", "--hour", HOUR, ...flags.slice(0, -1)], { cwd: root });
  expect(code).toBe(0);
  return stdout.trim().split("\n").sort();
}

describe("an hour of which an object is gone and another overwritten", () => {
  beforeAll(async () => {
    mkdirSync(folder(), { recursive: true });
    for (const [i, name] of ["a.json", "b.json", "c.json"].entries()) put(name, `{"id":${i}}\n`);
    expect(await look()).toEqual(DONE);
    rmSync(join(folder(), "a.json"));
    put("b.json", '{"id":11}\n');
  });

  it("asks in each run of what is due, until --keep-old is said: then it is packed, and left alone", async () => {
    expect(await look()).toEqual(REFUSED);
    expect(await look()).toEqual(REFUSED);
    const decided = await here("run", "--hour", HOUR, "--keep-old");
    expect([decided.code, ofHour(decided)]).toMatchObject([
      0,
      {
        action: "packed",
        reason: "1 object overwritten, 1 object gone: published rows stay",
        part: { rows: 3 },
      },
    ]);
    const part = partOf();
    expect(await look()).toEqual(DONE);
    expect(await look()).toEqual(DONE);
    expect(partOf()).toBe(part);
    expect(await restored()).toEqual(['{"id":0}', '{"id":1}', '{"id":2}']);
  });

  it("remembers it when late objects have been merged", async () => {
    put("late.json", '{"id":3}\n');
    // A run that nobody asked for waits for lateSettle.
    expect(await look()).toMatchObject({ codes: [0, 0], action: "waiting" });
    expect(ofHour(await here("run", "--hour", HOUR))).toMatchObject({ action: "packed", part: { rows: 4 } });
    expect(await look()).toEqual(DONE);
    expect(await restored()).toEqual(['{"id":0}', '{"id":1}', '{"id":2}', '{"id":3}']);
  });

  it("is not proved by it, and expire keeps all of its objects", async () => {
    const verified = await here("verify", "--deep", "--hour", HOUR);
    expect(verified.code).toBe(12);
    expect(ofHour(verified)).toMatchObject({
      state: "wrong",
      problems: [
        expect.stringMatching(/^2 of its objects are gone or overwritten .* 2 rows cannot be proved/),
      ],
    });
    const expired = await here("expire", "--older-than", "25h", "--yes");
    expect([expired.code, ofHour(expired)]).toMatchObject([
      12,
      {
        objects: 0,
        kept: 3,
        refused: expect.stringMatching(/^1 object of it was overwritten and passed over, /),
      },
    ]);
    expect(readdirSync(folder()).sort()).toEqual(["b.json", "c.json", "late.json"]);
  });

  it("asks again about yet another version", async () => {
    put("b.json", '{"id":111}\n');
    expect(await look()).toEqual(REFUSED);
    expect((await here("run", "--hour", HOUR, "--keep-old")).code).toBe(0);
    expect(await look()).toEqual(DONE);
  });
});
