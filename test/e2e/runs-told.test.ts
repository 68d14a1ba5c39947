/** What a run says besides its results: what it did not find, what comes next, what failed many hours alike. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, renameSync, rmSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { cleanEnv, HOURPACK, hourpack } from "../support/cli.js";

import { CONFIG, packedFolder } from "../support/packed-folder.js";

const HOUR = "2022-07-26T00";
const { root, put, here } = packedFolder("runs-told");
const hourAgo = (hours: number) => new Date(Date.now() - hours * 3_600_000).toISOString().slice(0, 13);
const folderOf = (hour: string) => hour.replace(/[-T]/g, "/");

/** The lines of a run's log. */
async function logOf(running: ReturnType<typeof here>) {
  const { stderr } = await running;
  const lines = stderr.split("\n").filter((line) => line.startsWith("{"));
  return lines.map((line) => JSON.parse(line) as { level: string; msg: string } & Record<string, unknown>);
}

it("a run that has an hour fail does not say that there are no objects", async () => {
  const flags = [
    "--raw",
    "./failed/{yyyy}/{MM}/{dd}/{HH}/",
    "--tier1",
    "./failed-lake/",
    "--catalog",
    "none",
  ];
  const hour = hourAgo(3);
  for (const name of ["a", "b"]) put(`failed/${folderOf(hour)}/${name}.json`, '{"id":1}\n');
  expect((await here("run", ...flags)).code).toBe(0);
  rmSync(join(root, "failed", folderOf(hour), "a.json"));
  put(`failed/${folderOf(hour)}/b.json`, '{"id":22}\n');
  for (const range of [[], ["--from", hour, "--to", hourAgo(1)]]) {
    const { code, stdout, stderr } = await here("run", ...flags, ...range);
    expect([code, stdout], stderr).toEqual([12, expect.stringMatching(/^\d+ hours? empty, 1 failed/m)]);
    expect(stderr).not.toContain("no objects in");
  }
});

describe("a run of what is due, where raw has nothing of what is published", () => {
  const flags = (raw: string, lake: string) =>
    ["--raw", `./${raw}/{yyyy}/{MM}/{dd}/{HH}/`, "--tier1", `./${lake}/`, "--catalog", "none"] as const;

  it("says so of an hour within a day, and ends as it does", async () => {
    put(`lately/${folderOf(hourAgo(3))}/a.json`, '{"id":1}\n');
    expect((await here("run", ...flags("lately", "lately-lake"))).code).toBe(0);
    mkdirSync(join(root, "latly"));
    const mistyped = await here("run", ...flags("latly", "lately-lake"));
    expect([mistyped.code, mistyped.stderr.split("\n")]).toEqual([
      0,
      expect.arrayContaining([
        "events: no objects in the last 48 hours, though 1 of them is published; nowhere else, either",
        "  → Is raw right? Nothing lies under it.",
      ]),
    ]);
    expect(mistyped.stdout).toContain("1 hour up to date, 47 empty");
    // Some of it is there: what else is gone somebody may well have deleted.
    put(`latly/${folderOf(hourAgo(2))}/b.json`, '{"id":2}\n');
    for (const round of ["packed", "found"])
      expect((await here("run", ...flags("latly", "lately-lake"))).stderr, round).not.toContain("no objects");
  });

  it("says nothing of older hours, whose raw objects may have expired", async () => {
    put(`earlier/${folderOf(hourAgo(30))}/a.json`, '{"id":1}\n');
    expect((await here("run", ...flags("earlier", "earlier-lake"))).code).toBe(0);
    rmSync(join(root, "earlier", folderOf(hourAgo(30)), "a.json"));
    const { code, stdout, stderr } = await here("run", ...flags("earlier", "earlier-lake"));
    expect([code, stdout], stderr).toEqual([0, expect.stringContaining("1 hour up to date, 47 empty")]);
    expect(stderr).not.toContain("no objects");
  });
});

describe("hours before all that is due", () => {
  const flags = ["--raw", "./history/{yyyy}/{MM}/{dd}/{HH}/", "--table", "history", "--catalog", "none"];
  const old = (...args: string[]) => here(...args, ...flags, "--tier1", "./history-lake/");
  const told = (text: string) =>
    /(\d+) older hours from (\S+) are not packed and will not become due by themselves(?:: |\n {2}→ )`hourpack (run \S+ \S+ \S+ \S+) --raw [^`]*` packs them/
      .exec(text)
      ?.slice(1);
  const putHour = (hour: string) => put(`history/${hour.replace(/[-T]/g, "/")}/a.json`, '{"id":1}\n');

  it("are told by plan, the doctor and the first run, with what packs them", async () => {
    const oldest = hourAgo(62);
    for (const hours of [62, 61, 55, 3]) putHour(hourAgo(hours));
    const plan = await old("plan");
    const found = told(plan.stderr);
    expect(found?.slice(0, 2), plan.stderr).toEqual(["3", oldest]);
    const { records } = await old("plan", "--json");
    expect(records.find(({ type }) => type === "notice")).toMatchObject({ dataset: "history" });
    expect(told((await old("plan", "--hour", oldest)).stderr)).toBeUndefined();
    expect(told((await old("doctor")).stdout)).toEqual(found);
    const first = await old("run");
    expect([first.code, told(first.stderr)?.slice(0, 2)]).toEqual([0, found?.slice(0, 2)]);
    // It was said, and plan goes on saying it.
    expect(told((await old("run")).stderr)).toBeUndefined();
    const command = told((await old("plan")).stderr)?.[2]?.split(" ") ?? [];
    expect((await old(...command)).stdout).toMatch(/^3 hours packed/m);
    for (const quiet of [await old("plan"), await old("doctor")])
      expect(quiet.stdout + quiet.stderr).not.toContain("older hour");
    expect((await old("verify")).code).toBe(0);
  });

  it("are no finding of the doctor's where somebody said how far back a run looks; plan tells of them", async () => {
    const of = ["--tier1", "./history-lake-4/"];
    putHour(hourAgo(62));
    for (const [lookBack, warnings] of [
      ["48h", 1],
      ["6h", 0],
    ] as const) {
      const { result, stderr } = await here("doctor", ...flags, ...of, "--look-back", lookBack, "--json");
      expect([lookBack, result["warnings"]], stderr).toEqual([lookBack, warnings]);
    }
    expect(told((await here("plan", ...flags, ...of, "--look-back", "6h")).stderr)).toBeDefined();
  });

  it("are not counted where they are spread over many days", async () => {
    for (const hour of ["2024-02-29T23", hourAgo(60)]) putHour(hour);
    const { stderr } = await here("plan", ...flags, "--tier1", "./history-lake-2/");
    expect(stderr).toMatch(
      /^history: older hours from 2024-02-29T23 on are not packed .*: `hourpack run --from 2024-02-29T23 --to \S+ --raw [^`]*` packs them$/m,
    );
  });

  it("are told with their command where the look-back has none", async () => {
    rmSync(join(root, "history"), { recursive: true });
    putHour("2024-02-29T23");
    const { stderr } = await here("run", ...flags, "--tier1", "./history-lake-3/");
    expect(stderr).toMatch(
      /^ {2}→ 1 older hour from 2024-02-29T23 is .* by itself: `hourpack run --hour 2024-02-29T23 --raw [^`]*` packs it\./m,
    );
  });
});

it("an hour that is not over is packed as it is, and told", async () => {
  const hour = (hours: number) => new Date(Date.now() + hours * 3_600_000).toISOString().slice(0, 13);
  const flags = ["--tier1", "./open-lake/", "--catalog", "none"];
  const later = "not over: objects that come later are merged by the next run";
  const next = await here("run", ...flags, "--hour", hour(2));
  expect(next.stderr).toContain(`${hour(2)} is ${later}\n`);
  const range = await here("run", "--json", ...flags, "--from", hour(-2), "--to", hour(4));
  expect(range.records.find(({ type }) => type === "notice")).toMatchObject({
    text: expect.stringMatching(new RegExp(`^[45] hours from \\S+ to ${hour(3)} are ${later}$`)),
  });
  expect((await here("run", ...flags, "--hour", HOUR)).stderr).not.toContain("not over");
});

it("an interrupt before an hour is begun is told as that, and not as hours that are not due", async () => {
  const fifo = join(root, "slow.yaml");
  execFileSync("mkfifo", [fifo]);
  const args = ["run", "--hour", HOUR, "--config", fifo];
  const child = spawn(process.execPath, [HOURPACK, ...args], { cwd: root, env: cleanEnv() });
  const [out, err]: Buffer[][] = [[], []];
  child.stdout.on("data", (bytes) => out?.push(bytes));
  child.stderr.on("data", (bytes) => err?.push(bytes));
  // Opens when the command does, which then waits for the text.
  const config = await open(fifo, "w");
  child.kill("SIGINT");
  await config.writeFile(CONFIG);
  await config.close();
  const [code] = await once(child, "close");
  expect(Buffer.concat(err ?? []).toString()).toBe(
    "stopping … (once more to stop at once)\n  → Nothing is half published; run the same command again.\n",
  );
  expect([code, Buffer.concat(out ?? []).toString()]).toEqual([
    130,
    expect.stringMatching(/^interrupted, \d\.\d s\n$/),
  ]);
  rmSync(fifo);
});

it.each([
  ["status", "--last"],
  ["expire", "--older-than"],
])("a duration without its unit is told with its flag: %s %s 30", async (command, flag) => {
  const { code, stderr } = await here(command, flag, "30");
  expect([code, stderr]).toEqual([2, expect.stringContaining(`${flag}: "30" is not a duration`)]);
});

it("an hour that another run is at is told once, and is no fault", async () => {
  for (const HH of ["00", "01", "02"]) put(`claimed/2022/07/26/${HH}/a.json`, '{"id":1}\n');
  const flags = ["--raw", "./claimed/{yyyy}/{MM}/{dd}/{HH}/", "--tier1", "./claimed-lake/"];
  const claim = (HH: string) =>
    put(
      `claimed-lake/_hourpack/claims/2022/07/26/${HH}.json`,
      JSON.stringify({ worker: "elsewhere:1:A", expiresAtMs: Date.now() + 3_000 }),
    );
  const run = (...args: string[]) => here("run", ...flags, "--catalog", "none", ...args);
  claim("00");
  const one = await run("--hour", HOUR);
  expect([one.code, one.stderr.split("\n")[0]]).toEqual([
    0,
    `events ${HOUR}  another run is at it: this one waits until that is done`,
  ]);
  claim("01");
  claim("02");
  const { code, stdout, stderr } = await run("--from", HOUR, "--to", "2022-07-26T03");
  expect([code, stdout]).toEqual([0, expect.stringMatching(/^2 hours packed, 1 up to date: /)]);
  const told = "another run is at it: this one goes on with other hours, then waits until that is done";
  expect(stderr.split(told)).toHaveLength(2);
  expect(stderr).toMatch(/\nevents {2}2022-07-26T0[12]: another run was at work, too\n$/);
});

it("a day in place of an hour is told as a range", async () => {
  const { code, stderr } = await here("plan", "--hour", "2022-07-31");
  expect(code).toBe(2);
  expect(stderr).toMatch(
    /→ That day is --from 2022-07-31 --to 2022-08-01; its first hour is --hour 2022-07-31T00\./,
  );
  expect((await here("plan", "--hour", "2022-02-31")).stderr).toContain("Write a UTC hour like");
});

describe("what failed many hours", () => {
  const missing = "list the raw objects of t: there is no directory ";

  it("is told with the first of them, and the others by their names alone", async () => {
    const range = ["--from", "2022-07-26", "--to", "2022-07-27"];
    const raw = ["--raw", "./nope/{yyyy}/{MM}/{dd}/{HH}/"];
    const command = ["run", ...raw, "--tier1", "./lake-of-t/", "--table", "t", ...range];
    const { code, stdout, stderr } = await here(...command);
    expect([code, stdout]).toEqual([2, expect.stringMatching(/^24 hours failed, /)]);
    expect(stderr.split("\n")).toEqual([
      expect.stringContaining(`t 2022-07-26T00  failed: ${missing}`),
      "t  23 hours from 2022-07-26T01 to 2022-07-26T23 failed alike",
      expect.stringContaining(`error: ${missing}`),
      expect.stringMatching(/^ {2}→ Is raw mistyped/),
      "",
    ]);
    const logged = await logOf(here(...command, "--log-level", "warn"));
    expect(logged).toMatchObject([
      { level: "error", hour: "2022-07-26T00", error: { message: expect.stringContaining(missing) } },
      { level: "error", hours: 23, msg: "23 hours from 2022-07-26T01 to 2022-07-26T23 failed alike" },
    ]);
  });

  it("of what is mended alike is told once, whatever each of them says", async () => {
    for (const HH of ["00", "01", "02"]) put(`sick/2022/07/26/${HH}/a.json`, `{"id":1}\nbroken ${HH}\n`);
    const flags = ["--raw", "./sick/{yyyy}/{MM}/{dd}/{HH}/", "--tier1", "./sick-lake/", "--catalog", "none"];
    const range = ["--from", "2022-07-26T00", "--to", "2022-07-26T03"];
    const refused = await here("run", ...flags, ...range, "--max-quarantine", "0");
    expect(refused.code).toBe(12);
    expect(refused.stderr.split("\n")).toEqual([
      expect.stringMatching(/^events 2022-07-26T00 {2}failed: .* would be quarantined/),
      "events  2 hours from 2022-07-26T01 to 2022-07-26T02 failed alike",
      expect.stringMatching(/^error: .* would be quarantined/),
      expect.stringMatching(/^ {2}→ Nothing was published/),
      "",
    ]);
    expect((await here("run", ...flags, ...range)).code).toBe(0);
    for (const HH of ["01", "02"]) {
      renameSync(join(root, `sick/2022/07/26/${HH}/a.json`), join(root, `sick/2022/07/26/${HH}/b.json`));
    }
    const planned = await here("plan", ...flags, ...range);
    expect(planned.stdout.match(/ refuse /g)).toHaveLength(2);
    expect(planned.stderr.match(/^error: /gm), planned.stderr).toHaveLength(1);
  });

  it("is one cause where a store is away, whatever was asked of it", async () => {
    const store = [
      "--s3-endpoint",
      "http://127.0.0.1:9",
      "--s3-retry-budget",
      "1ms",
      "--s3-region",
      "us-east-1",
    ];
    const { code, stderr } = await hourpack(
      [
        ...["run", ...store, "--raw", "s3://bucket/raw/{yyyy}/{MM}/{dd}/{HH}/", "--tier1", "./lake-of-t/"],
        ...["--table", "t", "--from", "2022-07-26T00", "--to", "2022-07-26T03"],
      ],
      { cwd: root, env: { AWS_ACCESS_KEY_ID: "k", AWS_SECRET_ACCESS_KEY: "s" } },
    );
    expect(code).toBe(10);
    expect(stderr.match(/ECONNREFUSED/g)).toHaveLength(2);
    expect(stderr).toContain("t  2 hours from 2022-07-26T01 to 2022-07-26T02 failed alike\n");
  });
});

describe("a first run", () => {
  const first = (table: string, ...more: string[]) =>
    here(
      ...["run", "--raw", "./first/{yyyy}/{MM}/{dd}/{HH}/", "--tier1", `./${table}/`, "--table", table],
      ...["--hour", HOUR, "--catalog", "none", ...more],
    );

  it("shows the columns that it pinned, and where; a later one has none to show", async () => {
    put("first/2022/07/26/00/a.json", '{"Id":1,"at":"2022-07-26T00:00:00Z","tags":["a"]}\n');
    const { stdout, stderr } = await first("one");
    expect(stderr).toContain(
      `one ${HOUR}  3 columns inferred, and pinned in ${join(root, "one/_hourpack/schema.json")}\n`,
    );
    expect(stdout.split("\n").slice(0, 7)).toEqual([
      "columns of one, from now on:",
      "┌────────┬───────────────┬──────┐",
      "│ column │ type          │ from │",
      "├────────┼───────────────┼──────┤",
      "│ id     │ bigint        │ Id   │",
      "│ at     │ timestamp     │ at   │",
      "│ tags   │ array<string> │ tags │",
    ]);
    expect((await first("one", "--rebuild")).stdout).toMatch(/^1 hour packed/);
  });

  it("shows so many of them, and all as JSON", async () => {
    const members = Object.fromEntries(Array.from({ length: 25 }, (_, i) => [`k${i}`, i]));
    put("first/2022/07/26/00/a.json", JSON.stringify(members));
    const { stdout } = await first("two");
    expect(stdout).toContain("│ k19    │");
    expect(stdout).toContain(
      "\nand 5 more: `hourpack schema --raw './first/{yyyy}/{MM}/{dd}/{HH}/' --tier1 ./two/ --table two --catalog none` shows all\n",
    );
    const { records } = await first("three", "--json");
    const pinned = records.find(({ type }) => type === "pinned");
    expect(pinned).toMatchObject({
      dataset: "three",
      hour: HOUR,
      location: expect.stringContaining("schema.json"),
    });
    expect(pinned?.["columns"]).toHaveLength(25);
    expect(pinned?.["columns"]).toContainEqual({
      name: "k24",
      type: "bigint",
      path: ["k24"],
      derived: false,
    });
  });
});

it("columns that unknown: add makes are named once, and not where nothing is new", async () => {
  const places = ["--raw", "./grown/{yyyy}/{MM}/{dd}/{HH}/", "--tier1", "./grown-lake/", "--catalog", "none"];
  const run = (from: string, to: string, ...more: string[]) =>
    here("run", ...places, "--unknown", "add", "--columns", "id:bigint", "--from", from, "--to", to, ...more);
  const members = Object.fromEntries(Array.from({ length: 12 }, (_, i) => [`m${i}`, i]));
  put("grown/2022/07/26/00/a.json", '{"id":1,"kind":"x","at":{"n":1}}\n');
  put("grown/2022/07/26/01/a.json", '{"id":1,"kind":"y"}\n');
  put("grown/2022/07/26/02/a.json", `${JSON.stringify(members)}\n`);
  const { stderr } = await run(HOUR, "2022-07-26T02");
  const text = "2 new columns (unknown: add): kind string, at struct<n:bigint>";
  expect(stderr.match(/^.* new columns? .*$/gm)).toEqual([`events ${HOUR} ${text}`]);
  expect((await run("2022-07-26T02", "2022-07-26T03")).stderr).toMatch(
    /12 new columns \(unknown: add\): (m\d+ bigint, ){9}m\d+ bigint and 2 more\n/,
  );
  const again = await run(HOUR, "2022-07-26T03", "--rebuild", "--json");
  expect(again.records.filter(({ type }) => type === "notice")).toEqual([]);
});

it("a variable that nobody reads is noted, and the command goes on", async () => {
  const env = { HOURPACK_LOK_BACK: "6h", HOURPACK_PORT: "tcp://10.0.0.1:9464" };
  const { code, stderr } = await hourpack(["schema"], { cwd: root, env });
  expect(code).toBe(0);
  expect(stderr).toBe("note: the variable HOURPACK_LOK_BACK is not read: did you mean HOURPACK_LOOK_BACK?\n");
});

it("tells how many objects are skipped for their names, also where an hour has no others", async () => {
  put("names/2022/07/26/00/a.json", '{"id":1}\n');
  put("names/2022/07/26/00/_b.json", '{"id":2}\n');
  put("names/2022/07/26/01/.c.json", '{"id":3}\n');
  const flags = ["--raw", "./names/{yyyy}/{MM}/{dd}/{HH}/", "--tier1", "./names-lake/", "--catalog", "none"];
  const range = [...flags, "--from", HOUR, "--to", "2022-07-26T02"];
  const skipped = "skipped (names that begin with _ or ., or end in /)";
  expect((await here("plan", ...range)).stderr).toContain(`2 objects ${skipped}\n`);
  const { records, result } = await here("plan", "--json", ...range);
  expect([records.map(({ skipped }) => skipped), result["skipped"]]).toEqual([[1, 1, 2], 2]);
  const ran = await here("run", ...range);
  expect(ran.stderr).toMatch(/T00 {2}packed: new hour, .*, 1 object skipped \(names/);
  expect(ran.stdout).toContain(`1 hour packed, 1 empty, 2 objects ${skipped}: 1 object → 1 file`);
  expect((await here("run", "--json", ...range)).result).toMatchObject({ upToDate: 1, empty: 1, skipped: 2 });
  const deep = await here("verify", "--deep", ...flags);
  expect(deep.stdout).toContain(`T00  sound  1 object, 1 row\n  1 object ${skipped}\n`);
});
