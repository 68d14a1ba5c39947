import {
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { ulid } from "ulid";
import { describe, expect, it } from "vitest";
import { type Hour, hoursBetween } from "../../src/hour.js";

import { packedFolder } from "../support/packed-folder.js";

const HOUR = "2022-07-26T00";
const { root, put, here } = packedFolder("hours-told");

describe("hours that are not published", () => {
  it.each(["restore", "verify"])("%s refuses where none of those named is", async (command) => {
    const one = await here(command, "--hour", "2022-07-26T05");
    expect(one.code).toBe(2);
    expect(one.stderr).toMatch(
      new RegExp(`^error: ${command} 2022-07-26T05: it is not published in events\n`),
    );
    expect(one.stderr).toMatch(/→ .*status/);
    expect(one.stdout).toBe("");
    const day = await here(command, "--from", "2022-07-27", "--to", "2022-07-28");
    expect(day.code).toBe(2);
    expect(day.stderr).toMatch(/2022-07-27T00 to 2022-07-28T00: no hour of it is published in events/);
  });

  it.each(["restore", "verify"])("%s names those that are not beside one that is", async (command) => {
    const range = ["--from", HOUR, "--to", "2022-07-27"];
    const { code, stderr } = await here(command, ...range);
    expect(code).toBe(0);
    expect(stderr).toMatch(
      /^events: 23 hours have no part: 2022-07-26T01, 2022-07-26T02, 2022-07-26T03 and 20 more$/m,
    );
    const { records } = await here(command, "--json", ...range);
    expect(records.find(({ type }) => type === "unpublished")).toMatchObject({ dataset: "events" });
  });

  it.each([[[]], [["--from", HOUR, "--to", "2022-07-27"]]])(
    "verify refuses where tier 1 has nothing of the table %j",
    async (range) => {
      const elsewhere = await here("verify", "--tier1", "./nothing-here/", ...range);
      expect([elsewhere.code, elsewhere.stdout]).toEqual([2, ""]);
      expect(elsewhere.stderr).toMatch(
        /verify events: .*nothing-here\/ has nothing of the table events: hourpack has not written there/,
      );
      const misspelt = await here("verify", "--table", "event", ...range);
      expect(misspelt.code).toBe(2);
      expect(misspelt.stderr).toMatch(/has nothing of the table event: it holds the table events$/m);
      expect(misspelt.stderr).toMatch(/→ Check tier1 and table of the dataset/);
    },
  );

  it.each([
    [["ddl", "--from", "1970-01-01", "--to", "2199-01-01"], /is over 100 years\n.*mistyped/],
    [["status", "--last", "99999d"], /--last: 99999d is over 100 years/],
    [["verify", "--hour", "9999-12-31T23"], /"9999-12-31T23" is not an hour/],
  ])("a range without an end is refused: %j", async (args, message) => {
    const { code, stderr } = await here(...args);
    expect(code).toBe(2);
    expect(stderr).toMatch(message);
  });

  it.each([["expire", "--older-than", "1d"], ["ddl"], ["verify"], ["status"], ["plan"]])(
    "%s minds no file that is named like a part of an hour that cannot be",
    async (...args) => {
      const flags = ["--tier1", "./month13-lake/", "--catalog", "none"];
      if (!existsSync(join(root, "month13-lake"))) {
        const { code, stderr } = await here("run", ...flags, "--hour", HOUR);
        expect(code, stderr).toBe(0);
      }
      const before = await here(...args, ...flags);
      for (const [yyyy, MM] of [
        ["2022", "13"],
        ["9999", "12"],
        ["0001", "01"],
      ]) {
        const folder = `month13-lake/year=${yyyy}/month=${MM}/day=01/hour=00`;
        put(`${folder}/events-${yyyy}${MM}0100.snappy.parquet`, "PAR1");
      }
      expect(await here(...args, ...flags)).toEqual(before);
      expect(before.code).toBe(0);
      for (const folder of ["year=2022/month=13", "year=9999", "year=0001"])
        rmSync(join(root, "month13-lake", folder), { recursive: true });
    },
  );

  it("verify says what it looked at, and what --deep would", async () => {
    const { stdout, stderr } = await here("verify");
    expect(stdout).toBe(
      `events ${HOUR}  agrees  1 object, 2 rows\n1 hour: footer, manifest and counts agree (2 rows)\n`,
    );
    expect(stderr).toBe("no row was read: `--deep` reads raw and rows again and compares every record\n");
    const deep = await here("verify", "--deep");
    expect(deep.stdout).toContain("1 hour sound: 2 rows, every record compared");
    expect(deep.stderr).toBe("");
  });

  it.each([[[]], [["--deep"]]])("verify says that it looked at the newest day alone %j", async (deep) => {
    put("days/2022/07/25/00/a.json", '{"id":1}\n');
    put("days/2022/07/26/00/a.json", '{"id":2}\n');
    const flags = ["--raw", "./days/{yyyy}/{MM}/{dd}/{HH}/", "--tier1", "./days-lake/", "--catalog", "none"];
    await here("run", ...flags, "--from", "2022-07-25", "--to", "2022-07-27");
    const { code, stdout } = await here("verify", ...flags, ...deep);
    expect(code).toBe(0);
    expect(stdout.trimEnd().split("\n").at(-1)).toBe(
      "1 of 2 published hours looked at (the newest day); name others with --from and --to",
    );
    const { result } = await here("verify", ...flags, ...deep, "--json");
    expect(result).toMatchObject({ type: "result", hours: 1, published: 2 });
    const all = await here("verify", ...flags, ...deep, "--from", "2022-07-25", "--to", "2022-07-27");
    expect(all.stdout).not.toContain("looked at");
  });

  it("verify names hours whose part is gone, and fails where their raw objects are gone, too", async () => {
    for (const HH of ["00", "01", "02"]) put(`gone/2022/07/26/${HH}/a.json`, '{"id":1}\n');
    const flags = ["--raw", "./gone/{yyyy}/{MM}/{dd}/{HH}/", "--tier1", "./gone-lake/", "--catalog", "none"];
    await here("run", ...flags, "--from", HOUR, "--to", "2022-07-26T03");
    const lake = join(root, "gone-lake");
    rmSync(join(lake, "year=2022/month=07/day=26/hour=01"), { recursive: true });
    const day = ["--from", "2022-07-26", "--to", "2022-07-27"];
    // An attempt of today may be at work: so it is said of it, and nothing of hours that have their part.
    const recent =
      "events 2022-07-26T01: its part is missing, and a manifest of the last day is there: the part was deleted, or its attempt ended before it published, or is at it still; `hourpack run --hour 2022-07-26T01 --raw './gone/{yyyy}/{MM}/{dd}/{HH}/' --tier1 ./gone-lake/ --catalog none` packs it";
    for (const command of ["verify", "status"]) {
      const { code, stderr } = await here(command, ...flags, ...day);
      expect([code, stderr.match(/^.* its part is missing, and /gm)?.length]).toEqual([0, 1]);
      expect(stderr).toContain(recent);
    }
    const manifests = join(lake, "_hourpack/manifests/2022/07/26/01");
    const [attempt = ""] = readdirSync(manifests);
    renameSync(join(manifests, attempt), join(manifests, `${ulid(Date.now() - 26 * 3_600_000)}.ndjson.gz`));
    // Without a range, too: it is a hole in the newest day.
    for (const hours of [day, []]) {
      const crashed = await here("verify", ...flags, ...hours);
      expect(crashed.code, crashed.stdout).toBe(12);
      expect(crashed.stdout).toMatch(
        /^events 2022-07-26T01 {2}wrong .*\n {2}its part is missing, and a manifest is there: the part was deleted, or its attempt ended before it published; /m,
      );
      if (hours.length > 0) expect(crashed.stderr).toContain("21 hours have no part");
      else expect(crashed.stderr).not.toContain("no part");
    }
    expect((await here("expire", ...flags, "--older-than", "1d", "--yes")).code).toBe(0);
    rmSync(join(lake, "year=2022/month=07/day=26/hour=00"), { recursive: true });
    // Without a range, too: it is no hour of the newest day that is looked at then.
    for (const hours of [day, ["--hour", HOUR], []]) {
      const lost = await here("verify", ...flags, ...hours);
      expect(lost.code, lost.stderr).toBe(12);
      expect(lost.stdout).toMatch(
        /^events 2022-07-26T00 {2}wrong {2}0 objects, 0 rows\n {2}its part is missing, and raw objects were deleted/,
      );
      expect(lost.stderr).not.toMatch(/no part: 2022-07-26T00/);
    }
    rmSync(join(lake, "year=2022"), { recursive: true });
    const all = await here("verify", ...flags);
    expect([all.code, all.stdout.trimEnd().split("\n").at(-1)]).toEqual([12, "3 of 3 hours wrong"]);
  });

  it("verify notes that the newest part is gone, though no later one makes a hole of it", async () => {
    for (const HH of ["00", "01"]) put(`newest/2022/07/26/${HH}/a.json`, '{"id":1}\n');
    const flags = [
      "--raw",
      "./newest/{yyyy}/{MM}/{dd}/{HH}/",
      "--tier1",
      "./newest-lake/",
      "--catalog",
      "none",
    ];
    await here("run", ...flags, "--from", HOUR, "--to", "2022-07-26T02");
    rmSync(join(root, "newest-lake/year=2022/month=07/day=26/hour=01"), { recursive: true });
    const { stderr } = await here("verify", ...flags);
    expect(stderr).toMatch(
      /^events 2022-07-26T01: its part is missing, and a manifest of the last day is there/m,
    );
  });

  it("verify --deep tells of raw objects that expire deleted", async () => {
    put("old/2022/07/26/00/a.json", '{"id":1}\n{"id":2}\n');
    put("old/2022/07/26/01/a.json", '{"id":3}\n');
    const flags = ["--raw", "./old/{yyyy}/{MM}/{dd}/{HH}/", "--tier1", "./old-lake/"];
    const catalog = ["--catalog", "none"];
    await here("run", ...flags, ...catalog, "--from", HOUR, "--to", "2022-07-26T02");
    const expired = await here("expire", ...flags, "--older-than", "1d", "--yes");
    expect(expired.code, expired.stderr).toBe(0);
    const { code, stdout } = await here("verify", ...flags, ...catalog, "--deep");
    expect(code).toBe(0);
    expect(stdout).toMatch(
      /^events 2022-07-26T00 {2}expired {2}1 object, 2 rows; raw was proved and deleted on \S+T\d\d:\d\dZ$/m,
    );
    expect(stdout).toMatch(
      /^2 hours agree: 3 rows, of which 3 were proved before their raw objects expired$/m,
    );
    const one = await here("verify", ...flags, ...catalog, "--deep", "--hour", HOUR);
    expect(one.stdout).toMatch(/^1 hour agrees: 2 rows, of which 2 were proved/m);
    put("old/2022/07/26/00/b.json", '{"id":4}\n');
    const late = await here("verify", ...flags, ...catalog, "--deep", "--hour", HOUR);
    expect(late.stdout).toContain(
      "  1 late object, not in the part: `hourpack run --hour 2022-07-26T00 --raw './old/{yyyy}/{MM}/{dd}/{HH}/' --tier1 ./old-lake/ --catalog none` packs it, or says why not\n",
    );
    await here("run", ...flags, ...catalog, "--hour", HOUR);
    const some = await here("verify", ...flags, ...catalog, "--deep", "--hour", HOUR);
    const status = await here("status", ...flags, "--from", HOUR, "--to", "2022-07-26T02");
    expect(status.stdout).toMatch(/^ {2}3 objects → \S+ \S+, 4 rows; in raw now: 1 object, 9 B$/m);
    expect(some.stdout).toMatch(
      /expired {2}2 objects, 3 rows; raw of 1 object with 2 rows was proved and deleted on \S+, the others' records were compared$/m,
    );
  });

  it("verify --deep tells of other objects under the names of what expired, until somebody decides", async () => {
    for (const name of ["a", "b"]) put(`reused/2022/07/26/00/${name}.json`, '{"id":1}\n');
    const flags = ["--raw", "./reused/{yyyy}/{MM}/{dd}/{HH}/", "--tier1", "./reused-lake/"];
    const run = (...more: string[]) => here("run", ...flags, "--catalog", "none", "--hour", HOUR, ...more);
    const deep = () => here("verify", ...flags, "--deep", "--json", "--hour", HOUR);
    await run();
    expect((await here("expire", ...flags, "--older-than", "1d", "--yes")).code).toBe(0);
    expect((await deep()).records[0]).toMatchObject({ state: "expired", deep: { replaced: { count: 0 } } });
    put("reused/2022/07/26/00/b.json", '{"id":22}\n');
    expect((await run()).code).toBe(12);
    const replaced = { count: 1, keys: ["2022/07/26/00/b.json"] };
    expect((await deep()).records[0]).toMatchObject({
      state: "expired",
      deep: { replaced, expired: { count: 2 } },
    });
    const { code, stdout } = await here("verify", ...flags, "--deep", "--hour", HOUR);
    expect([code, stdout]).toEqual([
      0,
      expect.stringMatching(
        /^ {2}1 other object lies under the name of what expired \(2022\/07\/26\/00\/b\.json\), and no row of it is in the part: a run refuses the hour until somebody decides, and `hourpack plan --hour 2022-07-26T00 --raw [^`]*` says what can be done$/m,
      ),
    ]);
    expect((await run("--keep-old")).code).toBe(0);
    expect((await run()).code).toBe(0);
    expect((await deep()).records[0]).toMatchObject({ deep: { replaced: { count: 0 } } });
  });

  it.each([
    ["expire", "--older-than", "1d", "--yes"],
    ["verify", "--deep", "--from", HOUR, "--to", "2022-07-26T03"],
  ])("%s goes on past an hour that it cannot look at", async (...args) => {
    for (const hour of ["00", "01", "02"]) put(`past/2022/07/26/${hour}/a.json`, '{"id":1}\n');
    const flags = ["--raw", "./past/{yyyy}/{MM}/{dd}/{HH}/", "--tier1", "./past-lake/", "--catalog", "none"];
    await here("run", ...flags, "--from", HOUR, "--to", "2022-07-26T03");
    const odd = join(root, "past/2022/07/26/01/folder");
    symlinkSync(root, odd);
    const { code, stdout, stderr } = await here(...args, ...flags);
    rmSync(odd);
    expect(code).toBe(2);
    expect(stdout).toMatch(/^events 2022-07-26T01 {2}failed: list .*folder: this is a link to a folder/m);
    expect(stdout).toMatch(/^events 2022-07-26T02 {2}(deleted 1 object|sound)/m);
    expect(stdout).toMatch(/1 failed$/m);
    expect(stderr).toMatch(/error: list .*folder: .*\n.*→/);
    rmSync(join(root, "past"), { recursive: true });
    rmSync(join(root, "past-lake"), { recursive: true });
  });

  it("expire looks at the hours that are named, and says which of them it does not", async () => {
    for (const HH of ["00", "01"]) put(`some/2022/07/26/${HH}/a.json`, '{"id":1}\n');
    const flags = ["--raw", "./some/{yyyy}/{MM}/{dd}/{HH}/", "--tier1", "./some-lake/"];
    await here("run", ...flags, "--catalog", "none", "--from", HOUR, "--to", "2022-07-26T02");
    const expire = ["expire", ...flags, "--older-than"];
    const of = (stdout: string) => stdout.split("\n")[0];
    const one = await here(...expire, "1d", "--hour", HOUR);
    expect([one.code, of(one.stdout)]).toEqual([0, `events ${HOUR}  would delete 1 object (9 B)`]);
    const day = ["--from", "2022-07-26", "--to", "2022-07-27"];
    const young = await here(...expire, "9000d", ...day, "--yes");
    expect([young.code, of(young.stdout)]).toEqual([0, "0 raw objects (0 B) deleted, 0 hours kept"]);
    expect(young.stderr).toMatch(
      /^events 2 hours from \S+ to \S+: ended less than 9000d ago\n.*22 hours have no part/,
    );
    const none = await here(...expire, "1d", "--hour", "2022-07-26T07");
    expect([none.code, none.stderr]).toEqual([2, expect.stringContaining("it is not published in events")]);
  });

  it("expire says of an hour that a run has still to do with it, and that is no failure", async () => {
    for (const HH of ["00", "01", "02"]) put(`newer/2022/07/26/${HH}/a.json`, '{"id":1}\n');
    put("newer/2022/07/26/00/b.json", '{"id":2}\n');
    const flags = ["--raw", "./newer/{yyyy}/{MM}/{dd}/{HH}/", "--tier1", "./newer-lake/"];
    const catalog = ["--catalog", "none"];
    await here("run", ...flags, ...catalog, "--from", HOUR, "--to", "2022-07-26T03");
    const expire = ["expire", ...flags, "--older-than", "1d"];
    put("newer/2022/07/26/00/b.json", '{"id":22}\n');
    put("newer/2022/07/26/01/late.json", '{"id":3}\n');
    const first = await here(...expire, "--yes");
    expect(first.code, first.stderr).toBe(0);
    expect(first.stdout).toMatch(
      /T00 {2}not due: a run needs all its objects \(1 object overwritten\); `hourpack run --hour 2022-07-26T00 --raw [^`]*` comes first, and/,
    );
    expect(first.stdout).toMatch(
      /T01 {2}deleted 1 object \(9 B\), kept 1 object that events has not packed yet: `hourpack run --hour 2022-07-26T01 --raw [^`]*` does$/m,
    );
    expect(first.stdout).toMatch(/^2 raw objects \(18 B\) deleted, 0 hours kept, 1 not due$/m);
    const second = await here(...expire, "--json");
    expect(second.code).toBe(0);
    expect(second.result).toMatchObject({ objects: 0, refused: 0, notDue: 2, failed: 0 });
    const run = await here("run", ...flags, ...catalog, "--from", HOUR, "--to", "2022-07-26T03");
    expect(run.code, run.stderr).toBe(0);
    const third = await here(...expire, "--yes");
    expect([third.code, third.stdout]).toEqual([
      0,
      expect.stringMatching(/^3 raw objects \(28 B\) deleted, 0 hours kept$/m),
    ]);
    // Here no run helps, and somebody has to decide.
    put("newer/2022/07/26/02/a.json", '{"id":4}\n');
    const refused = await here(...expire);
    expect(refused.code).toBe(12);
    expect(refused.stdout).toMatch(/T02 {2}kept: 1 object of it has other content than when it was packed/);
  });

  it("expire says of an hour that another object of it is gone, and that no expiry deleted that one", async () => {
    for (const name of ["a", "b", "c"]) put(`less/2022/07/26/00/${name}.json`, '{"id":1}\n');
    const flags = ["--raw", "./less/{yyyy}/{MM}/{dd}/{HH}/", "--tier1", "./less-lake/"];
    await here("run", ...flags, "--catalog", "none", "--hour", HOUR);
    rmSync(join(root, "less/2022/07/26/00/a.json"));
    const expire = ["expire", ...flags, "--older-than", "1d"];
    const gone = (rest: string) =>
      new RegExp(
        `T00 {2}${rest}\\n {2}1 object of it is gone, and no expiry deleted it \\(2022/07/26/00/a\\.json\\): the part has the only row of it$`,
        "m",
      );
    expect((await here(...expire)).stdout).toMatch(gone("would delete 2 objects \\(18 B\\)"));
    const json = await here(...expire, "--json");
    expect(json.records.find(({ type }) => type === "expired")).toMatchObject({
      gone: { count: 1, rows: 1, keys: ["2022/07/26/00/a.json"] },
    });
    expect((await here(...expire, "--yes")).stdout).toMatch(gone("deleted 2 objects \\(18 B\\)"));
  });

  it("expire counts objects that two datasets read once, in a dry run, too, and says which one lacks some", async () => {
    put("both/2022/07/26/00/a.json", '{"id":1}\n');
    put("both/2022/07/26/00/sub/b.json", '{"id":2}\n');
    const columns = "columns: { id: bigint }";
    put(
      "both.yaml",
      `datasets:
  sub: { raw: './both/{yyyy}/{MM}/{dd}/{HH}/sub/', tier1: ./both-lake/sub/, table: sub, ${columns} }
  all: { raw: './both/{yyyy}/{MM}/{dd}/{HH}/', tier1: ./both-lake/all/, table: everything, ${columns} }
  again: { raw: './both/{yyyy}/{MM}/{dd}/{HH}/', tier1: ./both-lake/again/, table: again, ${columns} }
catalog: { type: none }
`,
    );
    const config = ["--config", "both.yaml"];
    await here("run", ...config, "--hour", HOUR);
    put("both/2022/07/26/00/late.json", '{"id":3}\n');
    await here("run", ...config, "--dataset", "all", "--hour", HOUR);
    const expire = ["expire", ...config, "--older-than", "1d"];
    const dry = await here(...expire);
    expect([dry.code, dry.stdout]).toEqual([
      0,
      `sub 2022-07-26T00  would delete 1 object (9 B)
all 2022-07-26T00  would delete 1 object (9 B), kept 1 object that again has not packed yet: \`hourpack run --config both.yaml --dataset again --hour 2022-07-26T00\` does
2 raw objects (18 B) would be deleted, 0 hours kept
`,
    ]);
    const done = await here(...expire, "--yes", "--json");
    expect([done.code, done.result]).toEqual([
      0,
      expect.objectContaining({ hours: 2, objects: 2, rawBytes: 18, refused: 0, notDue: 1 }),
    ]);
  });

  it("status says where the newest one is", async () => {
    const { code, stderr } = await here("status");
    expect(code).toBe(0);
    expect(stderr).toMatch(/the newest hour 2022-07-26T00: --from 2022-07-26 --to 2022-07-27 shows its day/);
    const shown = await here("status", "--from", "2022-07-26", "--to", "2022-07-27");
    expect(shown.stdout).toContain("█");
    expect(shown.stderr).toBe("");
  });
});

it("plan, verify and expire tell many hours that are alike in one line, and another by itself; with --json each", async () => {
  const flags = ["--raw", "./many/{yyyy}/{MM}/{dd}/{HH}/", "--tier1", "./many-lake/", "--table", "m"];
  const range = ["--from", "2022-07-20", "--to", "2022-07-21T06"];
  for (const hour of hoursBetween("2022-07-20T00" as Hour, "2022-07-21T06" as Hour))
    put(`many/${hour.replace(/[-T]/g, "/")}/a.json`, '{"id":1}\n');
  const planned = (await here("plan", ...flags, ...range)).stdout.split("\n");
  expect(planned[3]).toMatch(/30 hours from 2022-07-20T00 to 2022-07-21T05 │ pack +│ new hour │ +30 │/);
  expect(planned[4]).toMatch(/^└/);
  const ran = await here("run", ...flags, "--catalog", "none", ...range);
  expect(ran.code, ran.stderr).toBe(0);
  put("many/2022/07/20/03/b.json", '{"id":2}\n');
  const told = async (...command: string[]) => {
    const { stdout } = await here(...command, ...flags);
    const { records } = await here(...command, ...flags, "--json");
    expect(records.filter(({ hour }) => hour !== undefined)).toHaveLength(30);
    return stdout.split("\n").slice(0, -2);
  };
  const first = "3 hours from 2022-07-20T00 to 2022-07-20T02";
  const one = "2022-07-20T03";
  const late = `  1 late object, not in the part: \`hourpack run --hour ${one} --raw './many/{yyyy}/{MM}/{dd}/{HH}/' --tier1 ./many-lake/ --table m\` packs it, or says why not`;
  const rest = "26 hours from 2022-07-20T04 to 2022-07-21T05";
  expect(await told("verify", "--deep", ...range)).toEqual([
    `m ${first}  sound  3 objects, 3 rows`,
    `m ${one}  sound  1 object, 1 row`,
    late,
    `m ${rest}  sound  26 objects, 26 rows`,
  ]);
  expect(await told("verify", ...range)).toEqual([
    "m 30 hours from 2022-07-20T00 to 2022-07-21T05  agrees  30 objects, 30 rows",
  ]);
  expect(await told("expire", "--older-than", "30d")).toEqual([
    `m ${first}  would delete 3 objects (27 B)`,
    `m ${one}  would delete 1 object (9 B), kept 1 object that m has not packed yet: \`hourpack run --hour ${one} --raw './many/{yyyy}/{MM}/{dd}/{HH}/' --tier1 ./many-lake/ --table m\` does`,
    `m ${rest}  would delete 26 objects (234 B)`,
  ]);
  expect((await here("expire", "--older-than", "30d", "--yes", ...flags)).code).toBe(0);
  const expired = (await told("verify", "--deep", ...range)).map((line) =>
    line.replace(/(deleted) .*Z$/, "$1"),
  );
  expect(expired).toEqual([
    `m ${first}  expired  3 objects, 3 rows; raw was proved and deleted`,
    `m ${one}  expired  1 object, 1 row; raw was proved and deleted`,
    late,
    `m ${rest}  expired  26 objects, 26 rows; raw was proved and deleted`,
  ]);
});

it("status names an hour that is not packed between others that are", async () => {
  for (const hour of ["00", "01", "02", "03", "05", "06"])
    put(`other/2022/07/20/${hour}/a.json`, '{"id":1}\n');
  const flags = ["--raw", "./other/{yyyy}/{MM}/{dd}/{HH}/", "--tier1", "./other-lake/", "--table", "o"];
  for (const hour of ["00", "02"]) {
    const ran = await here("run", ...flags, "--catalog", "none", "--hour", `2022-07-20T${hour}`);
    expect(ran.code, ran.stderr).toBe(0);
  }
  const day = ["--from", "2022-07-20", "--to", "2022-07-21"];
  const { stdout, stderr } = await here("status", ...flags, ...day);
  expect(stdout).toContain("  2022-07-20  █✗█○·○○·················\n");
  expect(stdout).toContain("○ not packed   ✗ left behind: failed, or came late");
  expect(stderr).toMatch(
    /^o: 2022-07-20T01 left behind: `hourpack run --hour 2022-07-20T01 --raw [^`]*` packs it/,
  );
  const { result } = await here("status", "--json", ...flags, ...day);
  expect(result["datasets"]).toMatchObject([{ states: { packed: 2, missing: 3, leftBehind: 1 } }]);
  const newest = await here("run", ...flags, "--catalog", "none", "--hour", "2022-07-20T06");
  expect(newest.code, newest.stderr).toBe(0);
  const command = "run --from 2022-07-20T01 --to 2022-07-20T06";
  const said = "--raw './other/{yyyy}/{MM}/{dd}/{HH}/' --tier1 ./other-lake/ --table o";
  const several = (await here("status", ...flags, ...day)).stderr;
  expect(several).toContain(
    `o: 3 hours between 2022-07-20T01 and 2022-07-20T05 left behind: \`hourpack ${command} ${said}\` packs them, or says why not\n`,
  );
  const ran = await here(...command.split(" "), ...flags, "--catalog", "none");
  expect(ran.stdout).toMatch(/^3 hours packed, 1 up to date, 1 empty: /);
  expect((await here("status", ...flags, ...day)).stderr).toBe("");
});

it("status says of an hour that needs a decision why, and what can be done, and nothing of hours elsewhere", async () => {
  const folder = join(root, "decide/2022/07/20/05");
  for (const name of ["a", "b"]) put(`decide/2022/07/20/05/${name}.json`, '{"id":1}\n');
  const flags = ["--raw", "./decide/{yyyy}/{MM}/{dd}/{HH}/", "--tier1", "./decide-lake/", "--table", "d"];
  const day = ["--from", "2022-07-20", "--to", "2022-07-21"];
  const ran = await here("run", ...flags, "--catalog", "none", "--hour", "2022-07-20T05");
  expect(ran.code, ran.stderr).toBe(0);
  rmSync(join(folder, "a.json"));
  writeFileSync(join(folder, "b.json"), '{"id":2}\n');
  const { code, stdout, stderr } = await here("status", ...flags, ...day);
  expect([code, stderr]).toEqual([0, ""]);
  const [, , totals, reason, hint, legend] = stdout.split("\n");
  // Its part, and what is listed of it, which is not what the rows are of.
  expect(totals).toMatch(/^ {2}2 objects → \d+ B, 2 rows; in raw now: 1 object, 9 B$/);
  expect(reason).toMatch(/^ {2}2022-07-20T05: 1 of its 2 objects is gone and others were overwritten, /);
  expect(reason?.match(/T05/g)).toHaveLength(1);
  expect(hint).toMatch(
    /^ {2}→ Say what is meant: `hourpack run --hour 2022-07-20T05 --keep-old --raw [^`]*` keeps .*, passes over the versions that are listed now, .*; `hourpack run --hour 2022-07-20T05 --from-remainder --raw [^`]*` packs what is still listed, and gives up all other rows\.$/,
  );
  expect(legend).toBe("· no objects   ! needs a decision");
  const { records } = await here("status", "--json", ...flags, ...day);
  const refused = records.find(({ state }) => state === "refused");
  const figures = { objects: 1, rawBytes: 9, partObjects: 2, rows: 2 };
  const keepOld = expect.stringContaining("--keep-old");
  expect(refused).toMatchObject({ hour: "2022-07-20T05", hint: keepOld, ...figures });
  const planned = await here("plan", "--json", ...flags, "--catalog", "none", "--hour", "2022-07-20T05");
  expect(planned.records[0]).toMatchObject({ action: "refused", objects: 1, rawBytes: 9, objectsToRead: 0 });
  const shown = await here("plan", ...flags, "--catalog", "none", "--hour", "2022-07-20T05");
  expect(shown.stdout).toContain("\n1 hour looked at, 1 to be decided\n");
  const given = ["--hour", "2022-07-20T05", "--from-remainder"];
  expect((await here("run", ...flags, "--catalog", "none", ...given)).stderr).toMatch(
    /its part had 2 rows, and has 1: those of objects that are gone or were overwritten were given up/,
  );
});

it("status tells late objects from overwritten ones, and counts rescued rows, those that late objects brought, too", async () => {
  const flags = ["--raw", "./changed/{yyyy}/{MM}/{dd}/{HH}/", "--tier1", "./changed-lake/", "--table", "c"];
  flags.push("--catalog", "none", "--columns", "id:bigint");
  const day = ["--from", "2022-07-20", "--to", "2022-07-21"];
  const folder = "changed/2022/07/20";
  for (const hour of ["00", "01", "02"]) put(`${folder}/${hour}/a.json`, '{"id":"one"}\n{"id":2}\n');
  expect((await here("run", ...flags, ...day)).code).toBe(0);
  put(`${folder}/01/b.json`, '{"id":3}\n');
  put(`${folder}/02/a.json`, '{"id":4}\n');
  const { stdout } = await here("status", ...flags.slice(0, 6), ...day);
  expect(stdout).toContain("  2022-07-20  █▲△·····················\n");
  expect(stdout).toContain(", 6 rows, 3 rescued\n");
  expect(stdout).toContain("▲ late objects   △ overwritten objects");
  put(`${folder}/01/c.json`, '{"id":"five"}\n');
  expect((await here("run", ...flags, ...day)).code).toBe(0);
  const { result } = await here("status", ...flags.slice(0, 6), ...day, "--json");
  expect(result["datasets"]).toMatchObject([{ states: { packed: 3, late: 0, overwritten: 0 }, rescued: 3 }]);
});

it("a part that does not say all of itself is told as damaged, and no run takes its place", async () => {
  const flags = ["--raw", "./unsaid/{yyyy}/{MM}/{dd}/{HH}/", "--tier1", "./unsaid-lake/", "--table", "u"];
  flags.push("--catalog", "none");
  const hour = ["--hour", "2022-07-20T00"];
  put("unsaid/2022/07/20/00/a.json", '{"id":1}\n');
  expect((await here("run", ...flags, ...hour)).code).toBe(0);
  const part = join(root, "unsaid-lake/year=2022/month=07/day=20/hour=00/u-2022072000.snappy.parquet");
  const text = readFileSync(part, "latin1");
  expect(text).toContain("hourpack-rescued");
  const unsaid = Buffer.from(text.replaceAll("hourpack-rescued", "hourpack-unknown"), "latin1");
  writeFileSync(part, unsaid);
  const { records } = await here("status", ...flags.slice(0, 6), ...hour, "--json");
  const told = "no part of hourpack's lies there, or one whose end is damaged";
  expect(records[0]).toMatchObject({ state: "refused", reason: expect.stringContaining(told), rows: 0 });
  put("unsaid/2022/07/20/00/b.json", '{"id":2}\n');
  for (const command of ["run", "run --rebuild", "run --rebuild --from-remainder", "verify"]) {
    const { code, stdout, stderr } = await here(...command.split(" "), ...flags, ...hour);
    expect([code, stdout + stderr]).toEqual([12, expect.stringContaining(told)]);
    expect(stdout + stderr).toContain(`\`mv ${part} .\` moves it away`);
  }
  expect(readFileSync(part)).toEqual(unsaid);
});
