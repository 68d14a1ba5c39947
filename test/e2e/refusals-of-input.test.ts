import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { cleanEnv, HOURPACK } from "../support/cli.js";
import { verdictOf } from "../support/linters.js";
import { CONFIG, packedFolder } from "../support/packed-folder.js";
import { unshared } from "../support/root-filesystem.js";

const HOUR = "2022-07-26T00";
const { root, put, here } = packedFolder("refusals-of-input");

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
    const other = `  others: { raw: './raw/{yyyy}/{MM}/{dd}/{HH}/', tier1: ./others/, table: others, columns: { id: bigint } }\n`;
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
