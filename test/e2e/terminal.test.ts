/** The built command line in a real terminal: pictures of it, at three widths, and Ctrl-C. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { HOURPACK, hourpack } from "../support/cli.js";
import { verdictOf, zsh } from "../support/linters.js";
import { createBucket, credentialsEnv, type S3Server, startMinio } from "../support/minio.js";
import { S3Proxy } from "../support/proxy.js";
import { Bucket } from "../support/s3.js";
import { Terminal } from "../support/terminal.js";

const RANGE = "--from 2022-07-26T00 --to 2022-07-26T04";
const OBJECTS = 4;

let minio: S3Server;
let proxy: S3Proxy;
let bucket: Bucket;
let root: string;
const terminals: Terminal[] = [];

beforeAll(async () => {
  minio = await startMinio();
  proxy = await S3Proxy.start(minio);
  bucket = new Bucket(minio, await createBucket(minio));
  root = mkdtempSync(join(tmpdir(), "hourpack-terminal-"));
  mkdirSync(join(root, "bin"));
  symlinkSync(HOURPACK, join(root, "bin/hourpack"));
  for (let hour = 0; hour < 4; hour++)
    for (let i = 0; i < OBJECTS; i++)
      await bucket.put(`raw/2022/07/26/0${hour}/${i}.json`, `{"id":${i},"text":"${"long ".repeat(40)}"}\n`);
  writeFileSync(
    join(root, "hourpack.yaml"),
    `s3: { endpoint: "${proxy.endpoint}", forcePathStyle: true }
datasets:
  mobile-events: { raw: "s3://${bucket.name}/raw/{yyyy}/{MM}/{dd}/{HH}/", tier1: "s3://${bucket.name}/lake/", table: events }
catalog: { type: local, path: ./catalog.duckdb }
run: { hoursInFlight: 1, spoolDir: ./spool }
`,
  );
  const packed = await hourpack(["run", ...RANGE.split(" ")], { cwd: root, env: credentialsEnv(minio) });
  expect(packed.code, packed.stderr).toBe(0);
});
afterAll(async () => {
  bucket?.close();
  await proxy?.stop();
  await minio?.stop();
  rmSync(root, { recursive: true, force: true });
});
afterEach(() => {
  for (const terminal of terminals.splice(0)) terminal.close();
  release();
});

async function open(columns: number): Promise<Terminal> {
  const path = `${join(root, "bin")}${delimiter}${process.env["PATH"]}`;
  const terminal = await Terminal.open(columns, root, { ...credentialsEnv(minio), PATH: path });
  terminals.push(terminal);
  return terminal;
}

const held: (() => void)[] = [];

/** After so many raw objects no more is answered until `release`. */
function holdAfter(objects: number): void {
  let gets = 0;
  proxy.hooks.before = ({ operation, path }) => {
    if (operation !== "GetObject" || !path.includes("/raw/") || ++gets <= objects) return undefined;
    return new Promise<void>((resolve) => held.push(resolve));
  };
}

function release(): void {
  proxy.hooks.before = undefined;
  for (const answer of held.splice(0)) answer();
}

/** Sizes and durations differ from run to run. */
const masked = (line: string) => line.replaceAll(/\b[\d.,]+ (?:KB|MB|B|s)\b(?:\/s)?/g, "#");

const isWiderThan = (columns: number) => (line: string) => line.length > columns;

const RESULTS = [0, 1, 2, 3].map(
  (hour) => `mobile-events 2022-07-26T0${hour}  packed: rebuild asked for, 4 objects (#) → 4 rows (#), #`,
);

/** Of hours that were registered before: their partitions are there. */
const PRINTED = [...RESULTS, "4 hours packed: 16 objects → 4 files, # → #, 16 rows, #"];

describe("run", () => {
  const command = `hourpack run ${RANGE} --rebuild`;

  it.each([
    [60, "██████████", "█████░░░░░"],
    [80, "█████████████", "███████░░░░░░"],
    [160, "████████████████████████", "████████████░░░░░░░░░░░░"],
  ])("in %s columns has bars that fit, and leaves nothing of them behind", async (columns, whole, half) => {
    const shell = await open(columns);
    // One hour is done, and another read to a half.
    holdAfter(OBJECTS + OBJECTS / 2);
    shell.type(command);
    // The first hour was once at its half, too.
    const isAtHalf = (line: string) => line.includes("2022-07-26T01") && line.includes("2/4 objects");
    const during = await shell.waitFor((lines) => lines.some(isAtHalf));
    const [done, range = "", hour = "", ...others] = during.map(masked);
    expect([done, others]).toEqual([RESULTS[0], []]);
    const quarter = whole.length / 4;
    expect(range).toBe(
      `mobile-events  ${"█".repeat(Math.round(quarter))}${"░".repeat(whole.length - Math.round(quarter))}  1/4 hours`,
    );
    expect(hour).toMatch(new RegExp(`^2022-07-26T01  ${half}  reading 2/4 objects`));
    expect([range, hour].filter(isWiderThan(columns - 1))).toEqual([]);
    release();
    const { exitCode, lines } = await shell.end();
    expect([exitCode, lines.map(masked)]).toEqual([0, PRINTED]);
    expect([shell.isCursorShown, shell.isWrapping]).toEqual([true, true]);
  });

  it.each([60, 80, 160])("in %s columns answers Ctrl-C, whatever the store does", async (columns) => {
    const shell = await open(columns);
    holdAfter(0);
    shell.type(command);
    await shell.waitFor((lines) => lines.some((line) => line.includes("4 objects, ")));
    shell.press("C-c");
    const { exitCode, lines } = await shell.end();
    expect([exitCode, lines.map(masked)]).toEqual([
      130,
      [
        "stopping … (once more to stop at once)",
        "mobile-events 2022-07-26T00  interrupted",
        "interrupted, #",
        "  → Nothing is half published; run the same command again.",
      ],
    ]);
    expect([shell.isCursorShown, shell.isWrapping]).toEqual([true, true]);
  });
});

describe("what a command shows", () => {
  it.each([60, 80, 160])(
    "in %s columns has no table, strip or help that goes on in the next line",
    async (columns) => {
      for (const command of [
        `plan ${RANGE} --rebuild`,
        "status --from 2022-07-26 --to 2022-07-27",
        "query 'select * exclude (text) from events'",
        "--help",
        "run --help",
      ]) {
        const shell = await open(columns);
        const { exitCode, lines } = await shell.run(`hourpack ${command}`);
        // A sentence may.
        const drawn = lines.filter((line) => !/ to pack: /.test(line));
        expect([command, exitCode, drawn.filter(isWiderThan(columns))]).toEqual([command, 0, []]);
      }
    },
  );

  it("is of an answer whole: a table where it has room, else a line a value, which the terminal breaks", async () => {
    const shell = await open(80);
    const { lines } = await shell.run("hourpack query 'select id, text from events limit 1'");
    expect(lines.map((line) => line.trimEnd())).toEqual([
      "─[ row 1 ]──────────────────────────────",
      expect.stringMatching(/^id {3}│ \d+$/),
      `text │ ${"long ".repeat(40).trim()}`,
      "1 row",
    ]);
  });

  it("is a table of the columns that there is room for, and says so; a reason is never cut", async () => {
    const shell = await open(60);
    const { lines } = await shell.run(`hourpack plan ${RANGE} --rebuild`);
    expect([...lines.slice(0, 5), ...lines.slice(11, 13)]).toEqual([
      "┌───────────────┬───────────────┬───────┬───────────────┐",
      "│ dataset       │ hour          │ would │ why           │",
      "├───────────────┼───────────────┼───────┼───────────────┤",
      "│ mobile-events │ 2022-07-26T00 │ pack  │ rebuild asked │",
      "│               │               │       │ for           │",
      "└───────────────┴───────────────┴───────┴───────────────┘",
      "4 of 8 columns fit the terminal; --json has all",
    ]);
  });

  it("is in a plan what is to be done, why, and how much it is, in 80 columns", async () => {
    const shell = await open(80);
    const { lines } = await shell.run(`hourpack plan ${RANGE} --rebuild`);
    const head = lines[1]?.split("│").map((cell) => cell.trim());
    expect(head?.filter(Boolean)).toEqual(["dataset", "hour", "would", "why", "to read", "size"]);
    expect(lines).toContain("6 of 8 columns fit the terminal; --json has all");
  });

  it("is in a demo all that is in each hour, in 80 columns", async () => {
    const shell = await open(80);
    shell.type("hourpack demo --dir shown");
    const { exitCode, lines } = await shell.end();
    expect(exitCode).toBe(0);
    const head = lines.find((line) => line.includes("Parquet")) ?? "";
    expect(head.match(/[a-z]+/gi)).toEqual([
      ...["hour", "objects", "JSON", "Parquet", "rows", "rescued", "quarantine"],
    ]);
    expect(lines.filter((line) => line.startsWith("│ mmp/android T01"))).toHaveLength(1);
  });

  it("has all stages of a profile, in a second table where one is too wide", async () => {
    const shell = await open(60);
    const { lines } = await shell.run("hourpack run --hour 2022-07-26T00 --rebuild --profile");
    const heads = lines.filter((line) => line.startsWith("│ hour"));
    expect(heads.map((head) => head.match(/[a-z]+/g)?.join(" "))).toEqual([
      "hour objects in all list",
      "hour convert merge verify",
      "hour publish",
    ]);
    expect(lines.filter((line) => line.startsWith("│ mobile-events 2022-07-26T00 │"))).toHaveLength(3);
  });

  it("is one strip a day, and the meaning of its marks", async () => {
    const shell = await open(80);
    const { lines } = await shell.run("hourpack status --from 2022-07-26 --to 2022-07-27");
    expect(lines.map(masked)).toEqual([
      expect.stringMatching(/^mobile-events {2}newest 2022-07-26T03, ended [\d,]+ days ago$/),
      "  2022-07-26  ████····················",
      "  16 objects, # → #, 16 rows",
      "█ packed   · no objects",
    ]);
  });

  it("is a note of ddl once, among its statements", async () => {
    const shell = await open(160);
    const flags = "--raw './r/{yyyy}/{MM}/{dd}/{HH}/' --tier1 ./t/ --table t --columns id:bigint";
    const { lines } = await shell.run(`hourpack ddl ${flags}`);
    const notes = lines.filter((line) => line.includes("Athena reads S3 alone"));
    expect(notes).toEqual([expect.stringMatching(/^-- /)]);
  });

  it("is what was probably meant by a wrong flag", async () => {
    const shell = await open(80);
    const { exitCode, lines } = await shell.run("hourpack run --dri-run");
    expect([exitCode, lines]).toEqual([2, ["error: unknown flag --dri-run", "  → Did you mean --dry-run?"]]);
  });
});

describe("Ctrl-C", () => {
  it("ends a worker that sleeps, and that is no failure", async () => {
    const shell = await open(80);
    shell.type("hourpack worker --listen off");
    await shell.waitFor((lines) => lines.some((line) => line.startsWith("asleep until")));
    shell.press("C-c");
    const { exitCode, lines } = await shell.end();
    expect([exitCode, lines.slice(2)]).toEqual([0, ["^Cstopping … (once more to stop at once)", "stopped"]]);
  });

  it("pressed twice ends a process in which DuckDB is at work", async () => {
    const database = pathToFileURL(join(HOURPACK, "../../dist/engine/duckdb/database.js"));
    const program = `
      const { openDatabase } = await import("${database}");
      const rows = (await openDatabase(":memory:")).rows("select sum(a.range * b.range) from range(1e9::bigint) a, range(1e9::bigint) b");
      rows.catch(() => {});
      setTimeout(() => process.exit(7), 500);`;
    const ended = await verdictOf(process.execPath, ["--input-type=module", "-e", program]);
    expect(ended).toEqual({ exitCode: 7, output: "" });
  });

  it("pressed twice ends it while DuckDB is where it hears no interrupt", async () => {
    const shell = await open(80);
    // Worked out while it is planned: for days.
    const endless = "levenshtein(repeat('a', 9000000), repeat('b', 9000000))";
    shell.type(`hourpack query "select ${endless}"`);
    await setTimeout(2_000);
    shell.press("C-c");
    await shell.waitFor((lines) => lines.some((line) => line.includes("stopping …")));
    shell.press("C-c");
    expect((await shell.end()).exitCode).toBe(130);
  });
});

describe("colours", () => {
  const status = "hourpack status --from 2022-07-26 --to 2022-07-27";

  it.each([
    ["are there", status, true],
    ["are not there under NO_COLOR", `NO_COLOR=1 ${status}`, false],
    ["are not there in a pipe", `${status} | cat`, false],
    ["are not there on a dumb terminal", `TERM=dumb ${status}`, false],
    ["are not there with --no-color", `${status} --no-color`, false],
    ["are there in a pipe with --color", `${status} --color | cat`, true],
  ])("%s", async (_, command, isColoured) => {
    const shell = await open(80);
    const { lines } = await shell.run(command);
    expect(lines).toContain("  2022-07-26  ████····················");
    expect(/\x1b\[\d+m/.test(shell.coloured())).toBe(isColoured);
  });

  it.each([
    ["in a pipe", `hourpack run ${RANGE} --rebuild 2>&1 | cat -v`],
    ["on a dumb terminal", `TERM=dumb hourpack run ${RANGE} --rebuild`],
  ])("and bars are not there %s", async (_, command) => {
    const shell = await open(160);
    shell.type(command);
    const { lines } = await shell.end();
    // As cat writes what is not ASCII.
    expect(lines.map((line) => masked(line.replaceAll("M-bM-^FM-^R", "→")))).toEqual(PRINTED);
  });
});

it("Tab completes in a zsh that has nothing but our script", async () => {
  const { program, lines } = await zsh();
  const script = await hourpack(["completion"], { env: { SHELL: "/bin/zsh" } });
  mkdirSync(join(root, "zsh"));
  writeFileSync(join(root, "zsh/.zshrc"), `PS1='zsh> '\n${lines}${script.stdout}`);
  const shell = await open(80);
  shell.type(`ZDOTDIR=${join(root, "zsh")} ${program} -i`);
  await shell.waitFor((shown) => shown.at(-1) === "zsh>");
  const completed = async (typed: string, wanted: string) => {
    shell.write(typed);
    shell.press("Tab");
    await shell.waitFor((shown) => shown.join("\n").includes(`zsh> ${wanted}`));
    shell.press("C-u");
  };
  await completed("hourpack stat", "hourpack status");
  await completed("hourpack plan --s3-e", "hourpack plan --s3-endpoint");
  await completed("hourpack run --catalog gl", "hourpack run --catalog glue");
  await completed("hourpack run --config hourp", "hourpack run --config hourpack.yaml");
});
