/** docs/json.md documents everything that the commands print with `--json`, and the commands print everything in it. */
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ENTRIES } from "../../src/commands/entries.js";
import { addHours, hourOfMs } from "../../src/hour.js";
import { cleanEnv, HOURPACK, hourpack } from "../support/cli.js";
import { JsonPage } from "../support/json-page.js";

const page = new JsonPage();
/** Told together, at the end: one name may stand in many lines. */
const problems = new Set<string>();
let root: string;

/** What one worker and a directory do not bring about. */
const NOT_HERE = [
  "expire expired.needsRawIsImmutable",
  ...["hour-claimed.dataset", "hour-claimed.hour"].map((field) => `lines-of-a-run ${field}`),
  ...["dataset", "hour", "text"].map((field) => `lines-of-a-run hour-replanned.${field}`),
  ...["an-unfilled-column.column", "an-unfilled-column.rows"],
];

const CONFIG = `
run: { lookBack: 2h, settle: 0s }
worker: { listen: "127.0.0.1:0" }
catalog: { type: local, path: ./catalog.duckdb }
datasets:
  events: { raw: "./events/{yyyy}/{MM}/{dd}/{HH}/", tier1: ./lake/events/, table: events }
  trail:
    raw: "./trail/{yyyy}/{MM}/{dd}/{HH}/"
    tier1: ./lake/trail/
    table: trail
    records: Records[*]
    columns:
      id: bigint
      more: { type: "struct<a:bigint>", json: string }
      a: { type: bigint, from: more.a }
      owner: { type: string, from: ^.owner }
`;

/** Whole seconds, so that a file can be another one and look like the one before. */
function put(hour: string, name: string, text: string): void {
  const path = join(root, hour.replace(/(\d{4})-(\d\d)-(\d\d)T/, "$1/$2/$3/"), name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  utimesSync(path, 1_700_000_000, 1_700_000_000);
}

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "hourpack-json-"));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

/**
 * Runs a command to this exit code. `last`: an argument that has blanks; `as`: under which heading its lines stand, where it
 * is another's.
 */
async function prints(
  code: number,
  text: string,
  { as, last, env = {} }: { as?: string; last?: string; env?: Record<string, string> } = {},
): Promise<void> {
  const args = [...text.split(" "), ...(last === undefined ? [] : [last]), "--json"];
  const end = await hourpack(args, { cwd: root, env });
  // Standard error has errors alone: what is found wrong is none.
  expect([text, end.code, code === 0 ? end.stderr : ""]).toEqual([text, code, ""]);
  expect(end.result).toMatchObject({ exitCode: code });
  holdAgainstPage(as ?? args[0] ?? "", end.records);
}

function holdAgainstPage(command: string, records: Record<string, unknown>[]): void {
  expect(records.at(-1)?.["type"]).toMatch(/^(result|error)$/);
  for (const problem of page.problemsOf(command, records)) problems.add(problem);
}

const HOUR = "2022-07-26T00";
const EVENTS = "--dataset events --from 2022-07-26 --to 2022-07-27";

describe("docs/json.md has", { timeout: 300_000 }, () => {
  it("what a demo prints, and commands that look at one", async () => {
    await prints(0, "demo --dir demo");
    const demo = "--config demo/hourpack.yaml";
    for (const command of "plan status schema ddl doctor sweep register".split(" "))
      await prints(0, `${command} ${demo}`);
    await prints(0, `register ${demo} --dry-run`);
    await prints(0, `query ${demo}`, { last: "select *, null as nothing from mmp_ios limit 3" });
    await prints(0, `restore ${demo} --hour ${HOUR}`);
    await prints(0, `restore ${demo} --hour ${HOUR} --dry-run`);
    await prints(0, `restore ${demo} --from ${HOUR} --to 2022-07-26T05 --out restored`);
    await prints(0, "init ./demo/raw/ios/");
    await prints(0, "completion");
    await prints(0, "completion", { last: "--line=hourpack ru" });
  });

  it("what a run prints of hours that are packed, empty, rescued, late, refused and failing", async () => {
    writeFileSync(join(root, "hourpack.yaml"), CONFIG);
    put("events/2022-07-26T00", "a.json", '{"id":1,"s":"x"}\n{"id":2}\nno record\n');
    for (const HH of ["01", "02", "03", "06"]) {
      put(`events/2022-07-26T${HH}`, "a.json", '{"id":3}\n');
      put(`events/2022-07-26T${HH}`, "b.json", '{"id":4}\n');
    }
    put("events/2022-07-26T04", "a.json", '{"other":1}\n');
    put("trail/2022-07-26T00", "a.json", '{"owner":"o","Records":[{"id":1,"more":"{\\"a\\":1}"}]}');
    await prints(0, `run --profile --hour ${HOUR}`);
    await prints(0, `run ${EVENTS}`);
    await prints(0, "run --hour 2022-07-25T00", { env: { HOURPACK_OTHER: "1" } });
    await prints(12, `run --hour ${HOUR} --dataset events --rebuild --max-quarantine 0`);
    await prints(2, "run --config none.yaml");
    // Not seen by a listing: what is read again is another record.
    put("events/2022-07-26T00", "a.json", '{"id":1,"s":"y"}\n{"id":2}\nno record\n');
    put("events/2022-07-26T01", "late.json", '{"id":5}\n');
    put("events/2022-07-26T02", "b.json", '{"id":6,"s":"overwritten"}\n');
    rmSync(join(root, "events/2022/07/26/02/a.json"));
    put("events/2022-07-26T03", "b.json", '{"id":6,"s":"overwritten"}\n');
    await prints(12, `plan ${EVENTS}`);
    await prints(12, `run --dry-run ${EVENTS}`, { as: "plan" });
    await prints(0, `status ${EVENTS}`);
    await prints(12, "run --dataset events --hour 2022-07-26T02");
  });

  it("what is printed of hours that are looked at again, expire and are swept", async () => {
    rmSync(join(root, "events/2022/07/26/01/b.json"));
    await prints(12, "verify --deep --from 2022-07-26 --to 2022-07-27");
    await prints(0, "verify --dataset trail");
    await prints(0, "schema");
    // An hour that cannot be looked at.
    symlinkSync(root, join(root, "events/2022/07/26/06/folder"));
    await prints(2, "verify --deep --dataset events --hour 2022-07-26T06");
    await prints(3, "expire --older-than 30d");
    await prints(0, "expire --older-than 30d --dataset trail --from 2022-07-26 --to 2022-07-27");
    await prints(3, "expire --older-than 30d --yes");
    await prints(3, "verify --deep");
    await prints(2, "sweep --dataset events --table other");
    put(
      "lake/events/_hourpack/manifests/2022-07-26T06",
      "01G00000000000000000000000.ndjson.gz",
      "of an attempt",
    );
    put("lake/events/year=2022/month=07/day=26/hour=06", "events-2022072606.snappy.parquet", "no Parquet");
    await prints(12, "sweep");
    await prints(2, "doctor --config none.yaml");
  });

  it("what a worker prints until it is stopped", async () => {
    put(`events/${addHours(hourOfMs(Date.now()), -1)}`, "a.json", '{"id":7}\n');
    const child = spawn(process.execPath, [HOURPACK, "worker", "--json", "--dataset", "events"], {
      ...{ cwd: root, env: cleanEnv(), stdio: ["ignore", "pipe", "ignore"] },
    });
    const records: Record<string, unknown>[] = [];
    for await (const line of createInterface({ input: child.stdout as Readable })) {
      records.push(JSON.parse(line));
      if (records.at(-1)?.["type"] === "asleep") child.kill("SIGTERM");
    }
    holdAgainstPage("worker", records);
  });

  it("every command, each line and field of these, and nothing that none of them printed", () => {
    expect(page.commands).toEqual(ENTRIES.map(({ name }) => name));
    expect([...problems]).toEqual([]);
    expect(page.unseen()).toEqual(NOT_HERE);
  });
});
