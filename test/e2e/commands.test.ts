/** The commands in messages, pasted into a shell: each does what its message says, even if only flags configure it. */
import { execFile } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { cleanEnv, HOURPACK, hourpack } from "../support/cli.js";

const HOUR = "2022-07-26T00";
/** What a shell would take apart. */
const FLAGS = [
  ...["--raw", "./it's raw/$HOME/{yyyy}/{MM}/{dd}/{HH}/", "--tier1", "./lake of `x`/", "--table", "events"],
  ...["--zone", "Europe/Paris", "--columns", "id:bigint,st:struct<a:string>", "--catalog", "none"],
  ...["--no-ahead", "--spool-dir=-spool", "--at", "7"],
];

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "hourpack-commands-"));
  put(`${HOUR}/a`, '{"id":1}\n');
  put(`${HOUR}/b`, '{"id":2}\n');
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const rawPath = (object: string) => join(root, "it's raw/$HOME", `${object.replace(/[-T]/g, "/")}.json`);
const partPath = () => {
  const lake = join(root, "lake of `x`");
  return join(
    lake,
    readdirSync(lake, { recursive: true, encoding: "utf8" }).find((name) => /\.parquet$/.test(name)) ?? "",
  );
};

function put(object: string, text: string): void {
  mkdirSync(dirname(rawPath(object)), { recursive: true });
  writeFileSync(rawPath(object), text);
}

const here = (...args: string[]) => hourpack(args, { cwd: root });
const packed = async (...args: string[]) => {
  const ran = await here("run", ...args, ...FLAGS);
  expect(ran.code, ran.stderr).toBe(0);
};

/** Between the backticks of a message, some of which may stand in quotes. */
function commandsIn(text: string): string[] {
  return [...text.matchAll(/`((?:hourpack|mv) (?:'[^']*'|\\'|[^`'])*)`/g)].map(([, command = ""]) => command);
}

/** Throws where there is no such command. */
function commandIn(text: string, pattern: RegExp): string {
  return commandsIn(text).find((command) => pattern.test(command)) ?? expect.fail(`no ${pattern} in ${text}`);
}

function pasted(command: string): Promise<{ code: number; stdout: string; stderr: string }> {
  const shell = `hourpack() { "${process.execPath}" "${HOURPACK}" "$@"; }\n${command}`;
  return new Promise((done) =>
    execFile("sh", ["-c", shell], { cwd: root, env: cleanEnv() }, (error, stdout, stderr) =>
      done({ code: error ? Number(error.code) : 0, stdout, stderr }),
    ),
  );
}

describe("where flags alone say what it is about", () => {
  it.each([
    [/--keep-old/, /, 2 rows/],
    [/--from-remainder/, /, 1 row\b/],
  ])("a decision about rows whose objects are gone: %s", async (pattern, rows) => {
    await packed("--hour", HOUR);
    rmSync(rawPath(`${HOUR}/a`));
    put(`${HOUR}/b`, '{"id":22}\n');
    const refused = await here("run", "--hour", HOUR, ...FLAGS);
    expect(refused.code).toBe(12);
    const command = commandIn(refused.stderr, pattern);
    const { code, stderr } = await pasted(command);
    expect(code, `${command}\n${stderr}`).toBe(0);
    expect((await here("status", "--hour", HOUR, ...FLAGS)).stdout).toMatch(rows);
  });

  it("an hour that was left behind, and one whose part is damaged", async () => {
    for (const hour of ["01", "02"]) put(`2022-07-26T${hour}/a`, '{"id":3}\n');
    await packed("--hour", HOUR);
    await packed("--hour", "2022-07-26T02");
    const day = ["--from", "2022-07-26", "--to", "2022-07-27"];
    const passed = await here("status", ...day, ...FLAGS);
    expect((await pasted(commandIn(passed.stderr, /^hourpack run --hour 2022-07-26T01/))).code).toBe(0);
    expect((await here("status", ...day, ...FLAGS)).stdout).toContain("  2022-07-26  ███·");
    const bytes = readFileSync(partPath());
    writeFileSync(partPath(), bytes.fill(0, 4, 20));
    const wrong = await here("verify", "--deep", ...day, ...FLAGS);
    expect(wrong.code).toBe(12);
    expect((await pasted(commandIn(wrong.stdout, /--rebuild/))).code).toBe(0);
    expect((await here("verify", "--deep", ...day, ...FLAGS)).code).toBe(0);
  });

  it("older hours, and what shows what is due or published", async () => {
    const older = await here("run", ...FLAGS);
    const { code, stdout } = await pasted(commandIn(older.stderr, /^hourpack run --/));
    expect([code, stdout]).toEqual([0, expect.stringContaining("1 hour packed")]);
    const asked = await here("verify", "--hour", "2022-07-26T05", ...FLAGS);
    const shown = await pasted(commandIn(asked.stderr, /^hourpack status/));
    expect([shown.code, shown.stdout]).toEqual([0, expect.stringContaining(`events  newest ${HOUR}`)]);
    const examined = await here("doctor", ...FLAGS);
    expect((await pasted(commandIn(examined.stdout, /^hourpack plan/))).code).toBe(0);
  });

  it("the layout, which is told where raw is another", async () => {
    const elsewhere = FLAGS.with(1, "./it's raw/{yyyy}/{MM}/{dd}/{HH}/");
    const examined = await here("doctor", ...elsewhere, "--s3-endpoint", "http://127.0.0.1:9");
    const command = commandIn(examined.stdout, /^hourpack init/);
    expect(command).toMatch(/ --dry-run --s3-endpoint http:\/\/127\.0\.0\.1:9$/);
    expect((await pasted(command)).stdout).toContain('raw: "./it\'s raw/$HOME/{yyyy}/{MM}/{dd}/{HH}/"');
  });

  it("a part that was cut, which verify, a run and a query tell alike", async () => {
    const local = FLAGS.with(FLAGS.indexOf("none"), "local").concat("--catalog-path", "./catalog.duckdb");
    const ran = await here("run", "--hour", HOUR, ...local);
    expect(ran.code, ran.stderr).toBe(0);
    truncateSync(partPath(), readFileSync(partPath()).length - 9);
    const told = [
      await here("verify", "--hour", HOUR, ...local),
      await here("run", "--hour", HOUR, "--rebuild", ...local),
      await here("query", "select * from events", ...local),
    ];
    expect(told.map(({ code }) => code)).toEqual([12, 12, 12]);
    const remedies = told.map(
      ({ stdout, stderr }) => /`mv .* older version of it\./.exec(stdout + stderr)?.[0] ?? "",
    );
    expect(new Set(remedies).size, remedies.join("\n")).toBe(1);
    for (const command of [/^mv /, /^hourpack run/])
      expect((await pasted(commandIn(remedies[0] ?? "", command))).code).toBe(0);
    expect((await here("verify", "--deep", "--hour", HOUR, ...local)).code).toBe(0);
    expect((await here("query", "select * from events", ...local)).stdout).toContain("2 rows");
  });

  it("a part that a query cannot read, and a copy of one", async () => {
    const records = Array.from({ length: 300 }, (_, id) => `{"id":${id * 7919},"st":{"a":"text ${id}"}}\n`);
    put(`${HOUR}/a`, records.join(""));
    const local = FLAGS.with(FLAGS.indexOf("none"), "local").concat("--catalog-path", "./catalog.duckdb");
    const ran = await here("run", "--hour", HOUR, ...local);
    expect(ran.code, ran.stderr).toBe(0);
    const bytes = readFileSync(partPath());
    writeFileSync(partPath(), Buffer.from(bytes).fill(255, 100, 140));
    const ask = (sql = "select max(id), max(st.a) from events") => here("query", sql, ...local);
    const { code, stderr } = await ask();
    expect([code, stderr]).toEqual([12, expect.stringContaining("Snappy decompression failure")]);
    expect((await pasted(commandIn(stderr, /^hourpack verify/))).code).toBe(12);
    expect((await pasted(commandIn(stderr, /--rebuild/))).code).toBe(0);
    expect((await ask()).code).toBe(0);
    // One that the decoder does not name.
    writeFileSync(partPath(), Buffer.from(bytes).fill(255, 4, 8));
    const nameless = await ask();
    expect([nameless.code, nameless.stderr]).toEqual([12, expect.stringContaining(" may be damaged: ")]);
    expect((await pasted(commandIn(nameless.stderr, /^hourpack verify --deep/))).code).toBe(12);
    // As the catalog keeps them of parts in S3; and a file that is no part at all.
    for (const folder of ["catalog.duckdb.parts", "mine"]) {
      mkdirSync(join(root, folder));
      writeFileSync(join(root, folder, "a.parquet"), bytes.subarray(0, -9));
    }
    const copy = await ask(`from '${root}/catalog.duckdb.parts/a.parquet'`);
    expect([copy.code, copy.stderr]).toEqual([
      12,
      expect.stringMatching(/a copy .*: delete it, and `hourpack register --raw /),
    ]);
    expect((await ask(`from '${root}/mine/a.parquet'`)).code).toBe(2);
  });

  it("a local catalog that is not there yet", async () => {
    await packed("--hour", HOUR);
    const local = FLAGS.with(FLAGS.indexOf("none"), "local").concat("--catalog-path", "./my catalog.duckdb");
    const none = await here("query", "show tables", ...local);
    expect((await pasted(commandIn(none.stderr, /^hourpack register/))).code).toBe(0);
    const asked = await here("query", "", ...local);
    const shown = await pasted(commandIn(asked.stderr, /^hourpack query/));
    expect([shown.code, shown.stdout]).toEqual([0, expect.stringMatching(/events/)]);
  });
});

it("a query without a dataset says which flags the command needs that fills its catalog", async () => {
  await packed("--hour", HOUR);
  const catalog = ["--catalog-path", "./my catalog.duckdb"];
  const { code, stderr } = await here("query", "select 1", ...catalog);
  expect([code, stderr]).toEqual([
    2,
    expect.stringMatching(
      / No dataset is configured here, and that needs one: add --config .* --raw, --tier1 and --table\.\n$/,
    ),
  ]);
  const command = commandIn(stderr, /^hourpack register/);
  expect((await pasted(command)).code).toBe(2);
  expect(
    (await pasted(`${command} --raw './x/{yyyy}/{MM}/{dd}/{HH}/' --tier1 './lake of \`x\`/' --table events`))
      .code,
  ).toBe(0);
  expect((await here("query", "from events", ...catalog)).code).toBe(0);
  const knowing = await here(
    "query",
    "select 1",
    ...FLAGS.with(FLAGS.indexOf("none"), "local"),
    "--catalog-path",
    "./no.duckdb",
  );
  expect(knowing.stderr).not.toContain("No dataset");
});

it("a dataset's flag is said again of it alone, and no flag where the file says all", async () => {
  put("2022-07-26T02/a", '{"id":3}\n');
  const dataset = (name: string) =>
    `  ${name}: { raw: "./it's raw/$HOME/{yyyy}/{MM}/{dd}/{HH}/", tier1: ./${name}/, table: ${name} }\n`;
  writeFileSync(join(root, "hourpack.yaml"), `datasets:\n${dataset("one")}${dataset("two")}`);
  const flags = ["--dataset", "one", "--zone", "Europe/Paris"];
  for (const hour of [HOUR, "2022-07-26T02"]) expect((await here("run", "--hour", hour)).code).toBe(0);
  put("2022-07-26T01/a", '{"id":3}\n');
  const day = ["--from", "2022-07-26", "--to", "2022-07-27"];
  const line = (more: string) => `\`hourpack run --dataset one --hour 2022-07-26T01${more}\` packs it`;
  expect((await here("status", ...day, ...flags)).stderr).toContain(line(" --zone Europe/Paris"));
  expect((await here("status", ...day)).stderr).toContain(line(""));
});
