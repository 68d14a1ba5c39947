/** What the machine may refuse a process: room for its output, and anything beyond its limits. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { cleanEnv, HOURPACK } from "../support/cli.js";
import { verdictOf } from "../support/linters.js";

const RUN = `run --hour 2022-07-26T00 --raw ./raw/{yyyy}/{MM}/{dd}/{HH}/ --table events --catalog none`;

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "hourpack-machine-"));
  mkdirSync(join(root, "raw/2022/07/26/00"), { recursive: true });
  writeFileSync(join(root, "raw/2022/07/26/00/a.json"), `{"id":1,"text":"${"long ".repeat(20_000)}"}\n`);
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** In a shell, where `hourpack` is the built one. */
async function shell(script: string): Promise<{ exitCode: number | null; output: string }> {
  const named = `hourpack() { "${process.execPath}" "${HOURPACK}" "$@"; }; cd "${root}"; ${script}`;
  return verdictOf("bash", ["-c", named], { env: cleanEnv() });
}

describe("output that cannot be written", () => {
  it("is told, and the hour is packed nevertheless", async () => {
    const full = await shell(`hourpack ${RUN} --tier1 ./full/ --json > /dev/full`);
    expect(full).toEqual({
      exitCode: 10,
      output: expect.stringMatching(
        /^error: write the output: no space left on device\n {2}→ What was printed is not whole: .*\n$/,
      ),
    });
    const again = await shell(`hourpack ${RUN} --tier1 ./full/`);
    expect(again.output).toContain("1 hour up to date");
  });

  it.each(["--help", "--version"])("is told of %s", async (flag) => {
    const { exitCode, output } = await shell(`hourpack ${flag} > /dev/full`);
    expect([exitCode, output.split("\n")[0]]).toEqual([
      10,
      "error: write the output: no space left on device",
    ]);
  });

  it("is no loss where somebody stopped reading", async () => {
    const { exitCode, output } = await shell(
      `hourpack ${RUN} --tier1 ./piped/ --json --rebuild | true; exit \${PIPESTATUS[0]}`,
    );
    expect([exitCode, output]).toEqual([0, ""]);
  });
});

it("a file above the limit of a process's files is told as that, and nothing is published", async () => {
  const { exitCode, output } = await shell(
    `ulimit -f 20; hourpack ${RUN} --tier1 ./limited/ 2>&1 | cat; exit \${PIPESTATUS[0]}`,
  );
  expect(exitCode).toBe(2);
  expect(output).toMatch(
    /^error: write the spool file \S+: EFBIG: file too large, write\n {2}→ Raise .*ulimit -f/,
  );
  expect(output).not.toContain("bug");
});

describe("a query", () => {
  const query = "query --json --catalog-path ./c.duckdb";
  beforeAll(async () => {
    const { exitCode, output } = await shell(
      `hourpack ${RUN.replace("--catalog none", "--catalog-path ./c.duckdb")} --tier1 ./queried/`,
    );
    expect(exitCode, output).toBe(0);
  });

  it("of many rows holds few of them at a time", async () => {
    const { exitCode, output } = await shell(
      `export NODE_OPTIONS=--max-old-space-size=40; hourpack ${query} "select * from range(500000)" | tail -1; exit \${PIPESTATUS[0]}`,
    );
    expect(output).toBe(
      '{"type":"result","rows":500000,"columns":[{"name":"range","type":"BIGINT"}],"exitCode":0}\n',
    );
    expect(exitCode).toBe(0);
  });

  it("of more rows than anybody reads ends when nobody does", async () => {
    const { exitCode, output } = await shell(
      `hourpack ${query} "select * from range(1000000000000)" | head -1; exit \${PIPESTATUS[0]}`,
    );
    expect([exitCode, output]).toEqual([0, '{"type":"row","row":{"range":0}}\n']);
  });

  it("writes the file that a copy names, and never the catalog", async () => {
    const copied = await shell(
      `hourpack ${query} "copy (select id from events) to 'ids.csv'" && cat ids.csv`,
    );
    expect(copied).toEqual({ exitCode: 0, output: expect.stringMatching(/\nid\n1\n$/) });
    const refused = await shell(`hourpack ${query} "drop view events"`);
    expect([refused.exitCode, refused.output]).toEqual([2, expect.stringContaining("query only reads")]);
  });
});

describe("restore that nobody reads on", () => {
  const HOURS = "--from 2022-07-26T00 --to 2022-07-26T02";
  const [run, restore] = ["run", "restore"].map(
    (verb) => `${RUN.replace("run --hour 2022-07-26T00", `${verb} ${HOURS}`)} --tier1 ./unread/`,
  );
  beforeAll(async () => {
    const next = join(root, "raw/2022/07/26/01");
    mkdirSync(next, { recursive: true });
    writeFileSync(join(next, "a.json"), '{"id":3}\n');
    const long = join(root, "raw/2022/07/26/00/long.json");
    writeFileSync(long, `{"id":2,"text":"${"long ".repeat(200)}"}\n`.repeat(20_000));
    const { exitCode, output } = await shell(`hourpack ${run}`);
    for (const path of [long, next]) rmSync(path, { recursive: true });
    expect(exitCode, output).toBe(0);
    const folder = join(root, "unread/year=2022/month=07/day=26/hour=01");
    writeFileSync(join(folder, readdirSync(folder)[0] ?? ""), "no Parquet");
  });

  it.each(["--no-color", "--json"])("ends, and opens no later hour: %s", async (flag) => {
    const { exitCode, output } = await shell(
      `hourpack ${restore} ${flag} | head -c 1 >&2; exit \${PIPESTATUS[0]}`,
    );
    expect([exitCode, output]).toEqual([0, "{"]);
  });

  it("opens the later hour where somebody does", async () => {
    expect((await shell(`hourpack ${restore} > /dev/null`)).exitCode).toBe(12);
  });
});

describe("restore --out", () => {
  const RESTORE = `${RUN.replace("run", "restore")} --tier1 ./restorable/ --out ./restored`;
  const OUT = ["events-2022-07-26T00.ndjson", "events-2022-07-26T00.quarantine.ndjson"];
  const restored = () => OUT.map((name) => readFileSync(join(root, "restored", name), "utf8"));
  let before: string[];
  beforeAll(async () => {
    const raw = join(root, "raw/2022/07/26/00/damaged.json");
    writeFileSync(raw, "no json\nnor this\n");
    const { exitCode, output } = await shell(`hourpack ${RUN} --tier1 ./restorable/ && hourpack ${RESTORE}`);
    rmSync(raw);
    expect(exitCode, output).toBe(0);
    before = restored();
  });

  it("into a full disk leaves the good file that is there, and says where else to write", async () => {
    // The file that is written has the number of the process in its name: the shell's, which gives its place to it.
    const { exitCode, output } = await shell(
      `ln -s /dev/full "restored/${OUT[0]}.$$.new"; exec "${process.execPath}" "${HOURPACK}" ${RESTORE}`,
    );
    expect(output).toMatch(
      /^error: write restored\S*\.ndjson: ENOSPC: .*\n {2}→ Choose another folder with --out\.$/m,
    );
    expect(exitCode).toBe(10);
    expect(readdirSync(join(root, "restored")).sort()).toEqual(OUT);
    expect(restored()).toEqual(before);
  });

  it("takes away the quarantine that an earlier one wrote of an hour that has none any more", async () => {
    const [records = "", quarantine = ""] = OUT;
    const whole = "--tier1 ./whole/ --out ./again";
    mkdirSync(join(root, "again"));
    writeFileSync(join(root, "again", quarantine), "{}\n");
    const { exitCode, output } = await shell(
      `hourpack ${RUN} --tier1 ./whole/ && hourpack ${RUN.replace("run", "restore")} ${whole}`,
    );
    expect([exitCode, readdirSync(join(root, "again"))], output).toEqual([0, [records]]);
  });

  it("has a file for each dataset, however alike their names are", async () => {
    const raw = "./raw/{yyyy}/{MM}/{dd}/{HH}/";
    const dataset = (name: string, more: string) =>
      `  ${name}: { ${more}raw: "${raw}", tier1: "./${name}/", table: "${name.replace("-", "_")}" }\n`;
    writeFileSync(
      join(root, "two.yaml"),
      `datasets:\n${dataset("a", "for: { p: [b] }, ").replace("./a/", "./a-{p}/").replace('"a"', '"t_{p}"')}${dataset("a-b", "").replace("./a-b/", "./second/")}`,
    );
    const hour = "--config two.yaml --hour 2022-07-26T00";
    const { exitCode, output } = await shell(`hourpack run ${hour} && hourpack restore ${hour} --out ./two`);
    expect(exitCode, output).toBe(0);
    expect(readdirSync(join(root, "two"), { recursive: true }).sort()).toEqual([
      "a",
      "a-b-2022-07-26T00.ndjson",
      "a/b-2022-07-26T00.ndjson",
    ]);
  });

  it("of damaged quarantine leaves it, too, and does not send anybody to another folder", async () => {
    const folder = join(root, "restorable/_hourpack/quarantine/2022/07/26/00");
    const path = join(folder, readdirSync(folder)[0] ?? "");
    writeFileSync(path, gzipSync(`${before[1]?.split("\n")[0]}\n{"key":\n`));
    const { exitCode, output } = await shell(`hourpack ${RESTORE}`);
    expect(output).toMatch(
      /^error: read \S*quarantine\S*: the part names this quarantine file, and it is damaged \(/m,
    );
    expect(output).not.toContain("--out");
    expect(exitCode).toBe(12);
    expect(readdirSync(join(root, "restored")).sort()).toEqual(OUT);
    expect(restored()).toEqual(before);
  });
});
