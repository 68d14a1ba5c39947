/** What the commands say besides their results: what is impossible, what was probably meant, what comes next. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { ulid } from "ulid";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Hour, hoursBetween } from "../../src/hour.js";
import { cleanEnv, HOURPACK, hourpack } from "../support/cli.js";
import { verdictOf } from "../support/linters.js";
import { unshared } from "../support/root-filesystem.js";

const HOUR = "2022-07-26T00";
const COLUMNS = "columns: { id: bigint, big: 'struct<n:bigint,all:array<bigint>>' }";
const CONFIG = `datasets:
  events: { raw: './raw/{yyyy}/{MM}/{dd}/{HH}/', tier1: ./lake/, table: events, ${COLUMNS} }
catalog: { type: local, path: ./catalog.duckdb }
`;

/** A folder with one packed hour of two records. */
let root: string;
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "hourpack-messages-"));
  put("hourpack.yaml", CONFIG);
  put("raw/2022/07/26/00/a.json", '{"id":1,"big":{"n":12345678901,"all":[1,9007199254740993]}}\n{"id":2}\n');
  const ran = await hourpack(["run", "--hour", HOUR], { cwd: root });
  expect(ran.code, ran.stderr).toBe(0);
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

function put(path: string, text: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
}

const here = (...args: string[]) => hourpack(args, { cwd: root });

/** The lines of a run's log. */
async function logOf(running: ReturnType<typeof here>) {
  const { stderr } = await running;
  const lines = stderr.split("\n").filter((line) => line.startsWith("{"));
  return lines.map((line) => JSON.parse(line) as { level: string; msg: string } & Record<string, unknown>);
}

describe("ddl", () => {
  it("prints the tables of a directory, and says that Athena cannot read it", async () => {
    const { code, stdout, stderr } = await here("ddl");
    expect(code).toBe(0);
    const note = "events: Athena reads S3 alone, and cannot read a directory: events_raw and events";
    expect(stderr).toBe(`${note}\n`);
    expect(stdout).toContain(`-- ${note}\n`);
    expect(stdout).toContain("CREATE EXTERNAL TABLE");
  });

  it("leaves out raw partitions of hours that are no folders", async () => {
    const { stdout, stderr } = await here(
      ...["ddl", "--raw", "s3://trail/{yyyy}/{MM}/{dd}/x_{yyyy}{MM}{dd}T{HH}", "--tier1", "./trail/"],
      ...["--table", "t", "--columns", "id:bigint", "--from", "2022-07-26", "--to", "2022-07-27"],
    );
    expect(stdout, stderr).toContain("-- t: t_raw gets no partitions");
    expect(stdout.match(/^ALTER TABLE \S+/gm)).toEqual(["ALTER TABLE `hourpack`.`t`"]);
  });
});

describe("a file system that is read-only", () => {
  it.each([
    ["tier 1", ["--tier1", "RO/lake/"], "write RO/lake/_hourpack/schema.json: EROFS"],
    [
      "the catalog",
      ["--catalog-path", "RO/sub/catalog.duckdb"],
      "write the catalog RO/sub/catalog.duckdb: EROFS",
    ],
    [
      "the spool",
      ["--rebuild", "--spool-dir", "RO/spool/of/it"],
      "open the spool RO/spool/of/it/[^:]*: EROFS",
    ],
  ])("is named where %s is to be, and somebody has to mend it", async (_, flags, message) => {
    const place = join(root, "read-only");
    mkdirSync(place, { recursive: true });
    const placed = (text: string) => text.replace("RO", place);
    const mounted = `mount -t tmpfs -o ro none ${place} && cd ${root} && exec "$@"`;
    const command = [process.execPath, HOURPACK, "run", "--hour", HOUR, ...flags.map(placed)];
    const [program = "", ...args] = unshared(["unshare", "--mount", "sh", "-c", mounted, "sh", ...command]);
    const { exitCode, output } = await verdictOf(program, args, { env: cleanEnv() });
    expect(output).toMatch(new RegExp(`^error: ${placed(message)}: read-only file system`, "m"));
    expect(exitCode).toBe(2);
  });
});

describe("a file that is something else", () => {
  it.each([
    ["query", "show tables"],
    ["run", "--hour", HOUR],
  ])("is named where it is to be the catalog of %s", async (...command) => {
    put("a-text", "no database\n");
    const { code, stderr } = await here(...command, "--catalog-path", "a-text");
    expect(code).toBe(2);
    expect(stderr).toMatch(
      /^error: open the DuckDB file \S*\/a-text: .*"\S*\/a-text" exists, but it is not a valid/m,
    );
    expect(stderr).toMatch(/^ {2}→ Name another file with --catalog-path, or move this one away/m);
    expect(existsSync(join(root, "a-text.new"))).toBe(false);
  });

  it("is named where it is to be the folder of the spool", async () => {
    put("a-text", "no folder\n");
    const { code, stderr } = await here("run", "--hour", HOUR, "--rebuild", "--spool-dir", "a-text");
    expect(code).toBe(2);
    expect(stderr).toMatch(
      /^error: open the spool \S*a-text\S*: ENOTDIR: .*\n {2}→ Point --spool-dir at a folder\.$/m,
    );
  });
});

it.each(["/proc/x", "/proc/x/below"])(
  "restore says that nothing can be made there: --out %s",
  async (out) => {
    const { code, stderr } = await here("restore", "--hour", HOUR, "--out", out);
    expect([code, stderr]).toEqual([
      2,
      `error: write ${out}: EPERM: no folder can be made in /proc\n  → Choose another folder with --out.\n`,
    ]);
  },
);

it.each(["a-file", "a-file/below"])("restore says that --out is no folder: %s", async (out) => {
  put("a-file", "");
  const { code, stdout, stderr } = await here("restore", "--hour", HOUR, "--out", out);
  expect([code, stdout]).toEqual([2, ""]);
  expect(stderr).toMatch(/^error: write a-file\S*: ENOTDIR: .*\n {2}→ Choose another folder with --out\.\n$/);
});

describe("restore", () => {
  it("does not mix the records of several datasets", async () => {
    const other = `  others: { raw: './raw/{yyyy}/{MM}/{dd}/{HH}/', tier1: ./others/, table: others, ${COLUMNS} }\n`;
    put("two.yaml", CONFIG.replace("catalog:", `${other}catalog:`));
    const two = ["--config", "two.yaml", "--hour", HOUR];
    expect((await here("run", ...two, "--catalog", "none")).code).toBe(0);
    const mixed = await here("restore", ...two);
    expect([mixed.code, mixed.stdout]).toEqual([2, ""]);
    expect(mixed.stderr).toMatch(
      /the records of events, others would be mixed\n {2}→ Name one with --dataset, or/,
    );
    const one = await here("restore", ...two, "--dataset", "others");
    expect([one.code, one.stdout.match(/\n/g)?.length]).toEqual([0, 2]);
    const { records } = await here("restore", ...two, "--json");
    expect(records.filter(({ type }) => type === "record").map(({ dataset }) => dataset)).toEqual([
      "events",
      "events",
      "others",
      "others",
    ]);
  });

  it("says with --dry-run how many hours it would write", async () => {
    const dry = await here("restore", "--hour", HOUR, "--dry-run");
    expect([dry.code, dry.stdout, dry.stderr]).toEqual([0, `events ${HOUR}\n`, "1 hour would be written\n"]);
    const { records } = await here("restore", "--hour", HOUR, "--dry-run", "--json");
    expect(records).toEqual([
      { type: "planned", dataset: "events", hour: HOUR },
      { type: "result", hours: 1, dryRun: true, exitCode: 0 },
    ]);
  });
});

describe("data of another kind than the configuration", () => {
  const flags = (name: string) => [
    ...["--raw", `./${name}/{yyyy}/{MM}/{dd}/{HH}/`, "--tier1", `./${name}-lake/`, "--table", name],
    ...["--catalog", "none"],
  ];

  it("plan shows all hours where one needs a decision, and names it", async () => {
    for (const object of ["00/a", "00/b", "01/a"]) put(`odd/2022/07/26/${object}.json`, '{"id":1}\n');
    expect((await here("run", "--hour", HOUR, ...flags("odd"))).code).toBe(0);
    rmSync(join(root, "odd/2022/07/26/00/b.json"));
    put("odd/2022/07/26/00/a.json", '{"id":22}\n');
    const range = ["--from", HOUR, "--to", "2022-07-26T02"];
    const { code, stdout, stderr } = await here("plan", ...range, ...flags("odd"));
    expect(code, stderr).toBe(12);
    // Its hour stands beside it.
    expect(stdout).toMatch(/│ 2022-07-26T00 │ refuse +│ 1 of its 2 objects is gone and others/);
    expect(stdout).toMatch(/│ 2022-07-26T01 │ pack /);
    expect(stderr).toMatch(/^error: /m);
    const typed = await here("plan", ...range, ...flags("odd"), "--columns", "id:string");
    expect(typed.code, typed.stderr).toBe(2);
    expect(typed.stderr).toMatch(/^error: .*id/m);
    // A run would refuse it, which has the bytes of one that is gone: verify does not say that one takes it.
    put("odd/2022/07/26/00/c.json", '{"id":1}\n');
    const proved = await here("verify", "--hour", HOUR, "--deep", ...flags("odd"));
    expect(proved.stdout).toContain(
      "  1 late object, not in the part: `hourpack run --hour 2022-07-26T00 --raw './odd/{yyyy}/{MM}/{dd}/{HH}/' --tier1 ./odd-lake/ --table odd --catalog none` packs it, or says why not\n",
    );
  });

  it("run refuses what plan refuses, also where all hours are up to date", async () => {
    put("typed/2022/07/26/00/a.json", '{"id":1}\n');
    const run = (...args: string[]) => here("run", "--hour", HOUR, ...flags("typed"), ...args);
    expect((await run()).stdout).toMatch(/^1 hour packed/m);
    expect((await run()).stdout).toMatch(/^1 hour up to date/m);
    const typed = await run("--columns", "id:string");
    expect(typed.code, typed.stderr).toBe(2);
    const planned = await here("plan", "--hour", HOUR, ...flags("typed"), "--columns", "id:string");
    expect(typed.stderr.split("\n").slice(-4)).toEqual(planned.stderr.split("\n"));
  });

  it("run tells a first hour whose one column is a list, and an hour all of whose rows are rescued", async () => {
    put("trail/2022/07/26/00/a.json", '{"Records":[{"id":1},{"id":2}]}\n');
    put("trail/2022/07/26/01/a.json", '{"other":1}\n');
    put("trail/2022/07/26/02/a.json", "none\n");
    const run = (hour: string) => here("run", "--hour", hour, ...flags("trail"));
    expect((await run(HOUR)).stderr).toMatch(/its one column is a list: .* records: Records\[\*\]/);
    expect((await run("2022-07-26T01")).stderr).toContain(
      "each of its 1 row has rescued data: other in 1 row. Are records ($) and columns those of these objects?",
    );
    expect((await run("2022-07-26T02")).stderr).toMatch(
      /all of it, 1 piece \(5 bytes\), is in quarantine: 2022\/07\/26\/02\/a\.json at byte 0: 5 bytes, no JSON/,
    );
  });

  it("run says of a json: string that is no compact JSON that its text alone is rescued, and asks nothing", async () => {
    const columns = "columns: { id: bigint, v: { type: 'struct<a:string,n:bigint>', json: string } }";
    const dataset = `{ raw: './dumps/{yyyy}/{MM}/{dd}/{HH}/', tier1: ./dumps-lake/, table: t, ${columns} }`;
    writeFileSync(join(root, "dumps.yaml"), `datasets:\n  dumps: ${dataset}\n`);
    const line = (value: string, more = {}) => `${JSON.stringify({ id: 1, v: value, ...more })}\n`;
    const blanks = '{"a": "x", "n": 1}';
    const run = async (HH: string, ...lines: string[]) => {
      put(`dumps/2022/07/26/${HH}/a.json`, lines.join(""));
      return (await here("run", "--hour", `2022-07-26T${HH}`, "--config", "dumps.yaml")).stderr;
    };
    const told = "The `json: string` column of v has all that the text says";
    const asked = "Are records ($) and columns those of these objects?";
    const alone = await run("00", line(blanks), line('{"n":1,"a":"x"}'));
    expect(alone).toContain(`each of its 2 rows has rescued data: v in 2 rows. ${told}`);
    expect(alone).not.toContain(asked);
    const beside = await run("01", line(blanks, { other: 1 }));
    expect(beside).toContain(`v in 1 row. ${told}`);
    expect(beside).toContain(asked);
    // Of one of them the column lacks a member.
    const lacking = await run("02", line(blanks), line('{"a":"x","b":1}'));
    expect(lacking).toContain(`v in 2 rows. ${asked}`);
    expect(lacking).not.toContain(told);
    expect(await run("03", line(blanks), line('{"a":"x","n":1}'))).not.toContain("rescued data");
  });

  it("run names what is rescued most, and the reason of damage; once, and of other hours which", async () => {
    put("rescued/2022/07/26/00/a.json", '{"id":1}\n');
    expect((await here("run", "--hour", HOUR, ...flags("rescued"))).code).toBe(0);
    const records = ['"agent":"x","request":7,"kind":1,"id":[2]', '"agent":"y","request":8', '"agent":"z"'];
    const lines = records.map((members) => `{${members}}\n`).join("");
    for (const HH of ["01", "02", "03"]) put(`rescued/2022/07/26/${HH}/a.json`, lines);
    for (const HH of ["04", "05"]) {
      put(`rescued/2022/07/26/${HH}/a.json.gz`, "");
      const whole = gzipSync(lines.repeat(9));
      writeFileSync(join(root, `rescued/2022/07/26/${HH}/a.json.gz`), whole.subarray(0, whole.length - 9));
    }
    const run = (...more: string[]) =>
      here("run", "--from", "2022-07-26T01", "--to", "2022-07-26T06", ...flags("rescued"), ...more);
    const { code, stderr } = await run();
    expect(code, stderr).toBe(0);
    const text =
      "each of its 3 rows has rescued data: agent in 3 rows, request in 2 rows, id in 1 row and 1 more member.";
    expect(stderr.match(/each of its .*? member\./g), stderr).toEqual([text]);
    expect(stderr.match(/all of it, 1 piece .*/g)).toEqual([
      expect.stringMatching(
        /^all of it, 1 piece \(\d+ bytes\), is in quarantine: \S+ at byte 0: \d+ bytes, damaged gzip: /,
      ),
    ]);
    const tail = stderr.trimEnd().split("\n").slice(-2);
    expect(tail.sort()).toEqual([
      expect.stringMatching(
        /^rescued {2}2 hours (from|between) 2022-07-26T0. (to|and) 2022-07-26T0.: rescued data in each row, too$/,
      ),
      expect.stringMatching(/^rescued {2}2022-07-26T0[45]: all in quarantine, too$/),
    ]);
    const logged = await logOf(run("--log-level", "warn", "--rebuild"));
    expect(logged.map(({ msg, hour, hours }) => [hour === undefined ? hours : 1, msg])).toEqual(
      expect.arrayContaining([
        [1, expect.stringContaining(text)],
        [2, expect.stringMatching(/^2 hours (from|between) .*: rescued data in each row, too$/)],
        [1, expect.stringMatching(/^all of it, 1 piece/)],
        [1, expect.stringMatching(/^2022-07-26T0[45]: all in quarantine, too$/)],
      ]),
    );
    expect(logged).toHaveLength(4);
    const all = await logOf(run("--log-level", "info", "--rebuild"));
    expect(all.filter(({ msg, hour }) => hour !== undefined && msg.startsWith(text))).toHaveLength(3);
    const notices = (await run("--json", "--rebuild")).records.filter(({ type }) => type === "notice");
    const of = (alike: string) => notices.filter((notice) => notice["alike"] === alike);
    expect(of("rescued data in each row")).toHaveLength(3);
    for (const notice of of("rescued data in each row")) expect(notice["text"]).toContain(text);
    expect(of("all in quarantine")).toHaveLength(2);
  });
});

describe("an hour with too much quarantine", () => {
  it("is refused by its first pieces: there is no quarantine file to look at", async () => {
    put("broken/2022/07/26/00/a.json", '{"id":1}\nno record\n{"id":2}\n');
    // What tells records from each other is damaged: all of it is one piece.
    put("broken/2022/07/26/00/b.json", 'no heading\n{"id":3}\n{"id":4}\n');
    for (const name of ["c", "d"]) put(`broken/2022/07/26/00/${name}.json`, "1\n");
    const { code, records, stderr } = await here(
      ...["run", "--hour", HOUR, "--raw", "./broken/{yyyy}/{MM}/{dd}/{HH}/", "--tier1", "./broken-lake/"],
      ...[
        "--table",
        "broken",
        "--catalog",
        "none",
        "--columns",
        "id:bigint",
        "--max-quarantine",
        "3",
        "--json",
      ],
    );
    expect(code, stderr).toBe(12);
    const [failure] = records.filter(({ type }) => type === "hour-failed") as {
      error?: { message: string; evidence: object[] };
    }[];
    const folder = "2022/07/26/00";
    expect(failure?.error?.message).toMatch(
      new RegExp(
        `4 of 6 records would be quarantined, more than --max-quarantine 3 allows \\(40 bytes: ${folder}/a.json at byte 9: 9 bytes, no JSON: .*; ${folder}/b.json at byte 0: \\d+ bytes, no JSON: .*; ${folder}/c.json at byte 0: 1 byte, no JSON object, but a number; and 1 more\\)$`,
      ),
    );
    expect(failure?.error?.evidence).toHaveLength(4);
    expect(failure?.error?.evidence[3]).toEqual({
      key: `${folder}/d.json`,
      offset: 0,
      sizeBytes: 1,
      reason: "no JSON object, but a number",
    });
    expect(existsSync(join(root, "broken-lake/year=2022"))).toBe(false);
  });
});

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

describe("where several datasets are configured", () => {
  const folder = (hour: string, name = "two") => `several/${name}/${hour.replace(/[-T]/g, "/")}`;
  const lake = (...path: string[]) => join(root, "several-lake/two", ...path);
  const dataset = (name: string, columns: string) =>
    `  ${name}: { raw: './several/${name}/{yyyy}/{MM}/{dd}/{HH}/', tier1: ./several-lake/${name}/, table: ${name}${columns} }\n`;
  const several = (...args: string[]) => here(...args, "--config", "several.yaml");
  /** Without the file, which all of them name: they would be about another's datasets. */
  const commandsIn = (text: string) =>
    [...text.matchAll(/`hourpack ([^`]*)`/g)].map(([, command = ""]) => {
      expect(command).toContain(" --config several.yaml");
      return command.replace(" --config several.yaml", "");
    });
  const inLake = (name: RegExp) => {
    const names = readdirSync(lake(), { recursive: true, encoding: "utf8" });
    return lake(names.find((path) => name.test(path)) ?? expect.fail(`no ${name}`));
  };
  const damagePart = () => {
    const bytes = readFileSync(inLake(/\.parquet$/));
    bytes.writeUInt8(bytes.readUInt8(10) ^ 1, 10);
    writeFileSync(inLake(/\.parquet$/), bytes);
  };
  const packed = async (hour: string, objects: Record<string, string>) => {
    for (const [name, text] of Object.entries(objects)) put(`${folder(hour)}/${name}.json`, text);
    const ran = await several("run", "--dataset", "two", "--hour", hour);
    expect(ran.code, ran.stderr).toBe(0);
  };

  beforeEach(() => {
    for (const path of ["several", "several-lake"])
      rmSync(join(root, path), { recursive: true, force: true });
    const [one, two] = [
      dataset("one", ", columns: { id: bigint }"),
      dataset("two", ", columns: { id: bigint }"),
    ];
    put("several.yaml", `datasets:\n${one}${two}${dataset("wide", "")}catalog: { type: none }\n`);
    for (const name of ["one", "wide"]) mkdirSync(join(root, "several", name), { recursive: true });
  });

  it("a refusal names the dataset and the hour, once in a line", async () => {
    await packed(HOUR, { a: '{"id":1}\n', b: '{"id":2}\n' });
    rmSync(join(root, folder(HOUR), "a.json"));
    put(`${folder(HOUR)}/b.json`, '{"id":22}\n');
    const why = "1 of its 2 objects is gone and others were overwritten";
    const range = ["--from", HOUR, "--to", "2022-07-26T02"];
    const ran = await several("run", ...range);
    expect(ran.stderr).toContain(`two ${HOUR}  failed: ${why}`);
    const planned = await several("plan", ...range);
    for (const { code, stderr } of [ran, planned])
      expect([code, stderr]).toEqual([12, expect.stringContaining(`error: plan two ${HOUR}: ${why}`)]);
    expect(planned.stdout).toMatch(/│ two +│ 2022-07-26T00 │ refuse +│ 1 of its 2 objects is gone/);
    expect((await several("status", ...range)).stdout).toContain(`\n  ${HOUR}: ${why}`);
    const expired = await several("expire", "--older-than", "1d");
    expect(expired.stdout).toContain(`two ${HOUR}  kept: ${why}`);
  });

  const again = `run --dataset two --hour ${HOUR}`;
  it.each<[string, () => void, string]>([
    ["part", () => damagePart(), `${again} --rebuild`],
    [
      "manifest",
      () => writeFileSync(inLake(/manifests.*\.gz$/), "no gzip"),
      `${again} --rebuild --from-remainder`,
    ],
    ["quarantine file", () => writeFileSync(inLake(/quarantine.*\.gz$/), "no gzip"), `${again} --rebuild`],
    ["schema.json", () => rmSync(inLake(/schema\.json$/)), `${again} --rebuild`],
    ["raw object", () => put(`${folder(HOUR)}/a.json`, '{"id":22}\n'), `plan --dataset two --hour ${HOUR}`],
  ])(
    "verify names the command that helps where a %s is another, damaged or gone",
    async (_, damage, command) => {
      await packed(HOUR, { a: '{"id":1}\n', b: "none\n" });
      damage();
      const { stdout, stderr } = await several("verify", "--deep", "--dataset", "two", "--hour", HOUR);
      expect([...new Set(commandsIn(stdout + stderr))], stdout + stderr).toEqual([command]);
    },
  );

  it("verify names the command that packs an hour whose part is away", async () => {
    for (const hour of [HOUR, "2022-07-26T01"]) await packed(hour, { a: '{"id":1}\n' });
    rmSync(lake("year=2022/month=07/day=26/hour=00"), { recursive: true });
    const manifest = inLake(/manifests.2022.07.26.00.*\.gz$/);
    renameSync(manifest, join(dirname(manifest), `${ulid(Date.now() - 26 * 3_600_000)}.ndjson.gz`));
    const { code, stdout } = await several("verify", "--from", HOUR, "--to", "2022-07-26T02");
    expect([code, commandsIn(stdout)], stdout).toEqual([12, [again]]);
  });

  it("status tells many hours whose parts are away in one line, verify each, and --json each", async () => {
    const hours = ["00", "01", "03", "04"].map((hour) => `2022-07-26T${hour}`);
    for (const hour of hours) {
      await packed(hour, { a: '{"id":1}\n' });
      if (hour.endsWith("04")) continue;
      rmSync(lake(`year=2022/month=07/day=26/hour=${hour.slice(11)}`), { recursive: true });
      if (hour.endsWith("03")) continue;
      const manifest = inLake(new RegExp(`manifests.2022.07.26.${hour.slice(11)}.*\\.gz$`));
      renameSync(manifest, join(dirname(manifest), `${ulid(Date.now() - 26 * 3_600_000)}.ndjson.gz`));
    }
    const day = ["--dataset", "two", "--from", HOUR, "--to", "2022-07-26T05"];
    const missing = (text: string) => text.split("\n").filter((line) => line.includes("missing"));
    const mayBeAtWork =
      "two 2022-07-26T03: its part is missing, and a manifest of the last day is there: the part was deleted, or its attempt ended before it published, or is at it still; `hourpack run --config several.yaml --dataset two --hour 2022-07-26T03` packs it while its raw objects are there";
    const { stderr } = await several("status", ...day);
    expect(missing(stderr), stderr).toEqual([
      `two 2 hours from 2022-07-26T00 to 2022-07-26T01: their parts are missing, and manifests are there: the parts were deleted, or attempts ended before they published; \`hourpack run --config several.yaml --dataset two --from 2022-07-26 --to 2022-07-26T02\` packs them while their raw objects are there`,
      mayBeAtWork,
    ]);
    const notices = (await several("status", ...day, "--json")).records.filter(
      ({ type }) => type === "notice",
    );
    expect(notices.map(({ hour }) => hour)).toEqual(hours.slice(0, 3));
    expect(notices[0]?.["text"]).toMatch(/^two 2022-07-26T00: its part is missing/);
    const verified = await several("verify", ...day);
    expect(missing(verified.stderr), verified.stderr).toEqual([mayBeAtWork]);
    expect([verified.code, missing(verified.stdout).length], verified.stdout).toEqual([12, 2]);
  });

  it("run names the command that makes the parts of the one dataset anew whose schema.json is gone", async () => {
    await packed(HOUR, { a: '{"id":1}\n' });
    rmSync(inLake(/schema\.json$/));
    put(`${folder("2022-07-26T01")}/a.json`, '{"id":2}\n');
    const { code, stderr } = await several("run", "--dataset", "two", "--hour", "2022-07-26T01");
    expect([code, commandsIn(stderr)]).toEqual([12, ["run --dataset two --rebuild"]]);
  });

  it("run names the dataset in what it says of quarantine and of columns", async () => {
    put(`${folder(HOUR)}/a.json`, "none\n");
    const { code, stderr } = await several("run", "--hour", HOUR, "--max-quarantine", "0");
    expect([code, commandsIn(stderr)]).toEqual([12, [`${again} --max-quarantine 1`]]);
    put(`${folder(HOUR)}/a.json`, '{"other":1}\n');
    const members = Array.from({ length: 21 }, (_, i) => [`m${i}`, i]);
    put(`${folder(HOUR, "wide")}/a.json`, `${JSON.stringify(Object.fromEntries(members))}\n`);
    const ran = await several("run", "--hour", HOUR);
    expect([commandsIn(ran.stderr), commandsIn(ran.stdout)]).toEqual([
      ["schema --dataset two"],
      ["schema --dataset wide"],
    ]);
  });

  it.each([["run"], ["plan"], ["doctor"], ["ddl"]])(
    "%s names the one in which a column is configured as another than it is pinned",
    async (command) => {
      await packed(HOUR, { a: '{"id":1}\n' });
      const other = readFileSync(join(root, "several.yaml"), "utf8").replaceAll("id: bigint", "id: string");
      put("several.yaml", other);
      const { code, stdout, stderr } = await several(command);
      expect(code).toBe(2);
      const said = "merge the columns of two: the column id is pinned as bigint, and configured as string";
      expect(stdout + stderr).toContain(said);
      expect(stdout + stderr).not.toContain("merge the columns of one");
      if (command !== "doctor") expect(stderr).toContain(`  at ${lake("_hourpack/schema.json")}\n`);
    },
  );

  it("plan and status name it with hours that no run packs by itself", async () => {
    await packed(HOUR, { a: '{"id":1}\n' });
    await packed("2022-07-26T03", { a: '{"id":1}\n' });
    for (const hour of ["2022-07-25T22", "2022-07-26T01", "2022-07-26T02"])
      put(`${folder(hour)}/a.json`, '{"id":1}\n');
    const shown = await several("status", "--from", "2022-07-26", "--to", "2022-07-27");
    expect(commandsIn(shown.stderr)).toEqual(["run --dataset two --from 2022-07-26T01 --to 2022-07-26T03"]);
    const planned = await several("plan", "--dataset", "two");
    expect(commandsIn(planned.stderr)).toEqual(["run --dataset two --hour 2022-07-25T22"]);
  });
});

it("run, status and verify say how many bytes are in quarantine, those that late objects brought, too", async () => {
  const hour = ["--hour", "2022-07-21T05"];
  const flags = ["--raw", "./bytes/{yyyy}/{MM}/{dd}/{HH}/", "--tier1", "./bytes-lake/", "--table", "b"];
  for (const [name, text, told] of [
    ["a", '{"id":1}\nnone\n', "1 quarantined (4 B)"],
    ["b", '{"id":2}\nno record\n', "2 quarantined (13 B)"],
  ] as const) {
    put(`bytes/2022/07/21/05/${name}.json`, text);
    const ran = await here("run", ...flags, "--catalog", "none", ...hour);
    expect(ran.code, ran.stderr).toBe(0);
    for (const line of [ran.stdout, ran.stderr]) expect(line).toContain(`, ${told}, `);
    for (const command of [["status"], ["verify"], ["verify", "--deep"]])
      expect((await here(...command, ...flags, ...hour)).stdout).toContain(`, ${told}\n`);
  }
  const { records, result } = await here("status", ...flags, ...hour, "--json");
  const counted = { quarantined: 2, quarantinedBytes: 13 };
  expect([records[0], result]).toMatchObject([counted, { datasets: [counted] }]);
  // Of a part that stays as it is, too.
  const again = await here("run", ...flags, "--catalog", "none", ...hour, "--json");
  const finished = again.records.find(({ type }) => type === "hour-finished");
  expect(finished).toMatchObject({ action: "upToDate", part: counted });
});

it.each([
  ["run", "--hour", HOUR],
  ["plan", "--hour", HOUR],
  ["status"],
  ["verify", "--hour", HOUR],
  ["restore", "--hour", HOUR, "--dry-run"],
  ["schema"],
  ["query", "select 1 as one"],
  ["register", "--hour", HOUR],
  ["ddl"],
  ["expire", "--older-than", "1d"],
  ["sweep", "--dry-run"],
  ["init", "./raw/", "--tier1", "./other/", "--out", "init.yaml"],
  ["demo", "--dir", "demo"],
  ["doctor"],
])("%s ends with its result and the exit code, or an error with its own", async (...args) => {
  const { code, result, stderr } = await here(...args, "--json");
  expect(result, stderr).toMatchObject({ type: "result", exitCode: 0 });
  expect(code).toBe(0);
  const failed = await here(...args, "--config", "none.yaml", "--no-such-flag", "--json");
  expect([failed.code, failed.result]).toMatchObject([2, { type: "error", exitCode: 2 }]);
});

it("a run that finds no objects says where some are; its result is the last line", async () => {
  const since = ["--from", "2022-07-27", "--to", "2022-08-01"];
  const newest = `the newest are in ${root}/raw/2022/07/26/00/`;
  for (const [hours, text] of [
    [[], `events: no objects in the last 48 hours; ${newest}`],
    [since, `events: no objects in 120 hours; ${newest}`],
  ] as const) {
    const { code, stderr } = await here("run", ...hours);
    expect([code, stderr.split("\n").includes(text)], stderr).toEqual([0, true]);
    const lines = (await here("run", ...hours, "--json")).stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines.slice(-2)).toMatchObject([{ type: "notice", text }, { type: "result" }]);
  }
  mkdirSync(join(root, "row"));
  const mistyped = await here(
    "run",
    ...since,
    "--raw",
    "./row/{yyyy}/{MM}/{dd}/{HH}/",
    "--dataset",
    "events",
  );
  expect(mistyped.stderr).toContain("Is raw right?");
});

const hourAgo = (hours: number) => new Date(Date.now() - hours * 3_600_000).toISOString().slice(0, 13);
const folderOf = (hour: string) => hour.replace(/[-T]/g, "/");

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

describe("query", () => {
  const rowOf = async (sql: string) => (await here("query", "--json", sql)).records[0]?.["row"];
  const hintOf = async (sql: string) => {
    const { code, stderr } = await here("query", sql);
    expect(code, stderr).toBe(2);
    return /^ {2}→ (.*)$/m.exec(stderr)?.[1] ?? "";
  };

  it("gives whole numbers as numbers at any depth, where a number holds them", async () => {
    expect(await rowOf("select id, big from events order by id limit 1")).toEqual({
      id: 1,
      big: { n: 12345678901, all: [1, "9007199254740993"] },
    });
  });

  it("says what is probably meant", async () => {
    expect(await hintOf("from evnts")).toBe("Tables are: events, events_raw.");
    expect(await hintOf("from main.evnts")).toBe("Tables are: events, events_raw.");
    const columns = "Columns are: id, big, _rescued_data, year, month, day, hour.";
    expect(await hintOf("select idd from events")).toBe(columns);
    expect(await hintOf("select e.idd from events e")).toBe(columns);
    expect(await hintOf('from events where id = "7"')).toBe(
      `A text stands in single quotes: '7'. ${columns}`,
    );
    expect(await hintOf("create table x (a int)")).toContain("only reads");
    expect(await hintOf("selec 1")).toBe("Statements are in DuckDB's SQL.");
    expect(await hintOf("select cast('a' as int)")).toBe("");
  });

  it("says what packs where no part is, and nothing of that where the statement asks for files itself", async () => {
    const remedy =
      "  → Where nothing is packed yet, `hourpack run --catalog-path ./unpacked.duckdb` packs what is due, and with --from and --to ";
    put("unpacked/2022/07/26/00/a.json", '{"id":1}\n');
    const flags = ["--raw", "./unpacked/{yyyy}/{MM}/{dd}/{HH}/", "--tier1", "./unpacked-lake/"];
    const catalog = ["--catalog-path", "./unpacked.duckdb"];
    const query = (sql: string) => here("query", ...catalog, sql);
    const before = await query("from events");
    expect([before.code, before.stderr.split("\n")]).toEqual([
      2,
      [
        expect.stringMatching(/^error: query the catalog .*: there is no such file yet$/),
        expect.any(String),
        "",
      ],
    ]);
    expect(before.stderr).toContain(remedy);
    const ran = await here("run", ...flags, ...catalog, "--columns", "id:bigint", "--hour", HOUR);
    expect(ran.code, ran.stderr).toBe(0);
    rmSync(join(root, "unpacked-lake"), { recursive: true });
    const { code, stderr } = await query("select count(*) from events");
    const [message, at, hint] = stderr.split("\n");
    expect([code, message]).toEqual([2, "error: query events: nothing is packed where its parts are to be"]);
    expect(at).toMatch(/^ {2}at .*unpacked-lake\/year=\*/);
    expect(hint).toContain(remedy);
    expect((await query("from 'none/*.parquet'")).stderr).toContain("No files found that match the pattern");
  });

  it("says that a column with a name of SQL's is quoted, and refuses an unknown dataset", async () => {
    put("words/2022/07/26/00/a.json", '{"at":1,"id":2}\n');
    const flags = ["--raw", "./words/{yyyy}/{MM}/{dd}/{HH}/", "--tier1", "./words-lake/", "--table", "words"];
    const catalog = ["--catalog-path", "./words.duckdb"];
    await here("run", ...flags, ...catalog, "--columns", "at:bigint,id:bigint", "--hour", HOUR);
    const query = (...args: string[]) => here("query", ...catalog, ...args);
    expect((await query("select at, id from words")).stderr).toMatch(
      / {2}→ Statements are in DuckDB's SQL\. A column whose name is a word of SQL stands in double quotes: "at"\.\n/,
    );
    expect((await query('select "at", id from words wher id > 1')).stderr).toMatch(/DuckDB's SQL\.\n/);
    expect((await query('select "at" from words')).code).toBe(0);
    const other = await query("--dataset", "nope", 'select "at" from words');
    expect([other.code, other.stdout]).toEqual([2, ""]);
    expect(other.stderr).toContain('there is no dataset "nope"\n  → Datasets are: events.\n');
    const bare = await hourpack(
      ["query", "--catalog-path", join(root, "words.duckdb"), "--dataset", "x", "from words"],
      {
        cwd: tmpdir(),
      },
    );
    expect(bare.stderr).toContain('there is no dataset "x"\n  → None is configured.\n');
  });

  it("answers one statement, and refuses several rather than lose the answers of some", async () => {
    for (const [sql, statements] of [
      ["select 1; select 2", "2 statements"],
      [" ; -- nothing", "0 statements"],
    ] as const) {
      const { code, stdout, stderr } = await here("query", sql);
      expect([code, stdout]).toEqual([2, ""]);
      expect(stderr).toMatch(new RegExp(`^error: query: ${statements}, where one is asked for\n  → `));
    }
    expect(await rowOf("select ';' as x; -- one")).toEqual({ x: ";" });
  });

  it("finds the tables of a file that another configuration made", async () => {
    const made = ["--catalog-path", "./other.duckdb", "--catalog-database", "lake"];
    expect((await here("register", ...made)).code).toBe(0);
    const elsewhere = mkdtempSync(join(root, "elsewhere-"));
    const { code, stdout, stderr } = await hourpack(
      ["query", "--catalog-path", "../other.duckdb", "select count(*) as n from events"],
      { cwd: elsewhere },
    );
    expect(code, stderr).toBe(0);
    expect(stdout).toContain("│ 2 │");
  });
});

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
