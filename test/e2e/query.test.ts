import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { hourpack } from "../support/cli.js";

import { packedFolder } from "../support/packed-folder.js";

const HOUR = "2022-07-26T00";
const { root, put, here } = packedFolder("query");

describe("query", () => {
  it("shows values as they are, also those that look like credentials", async () => {
    const sql = "select 'https://b.example/k?Signature=s3cr3t' as url";
    expect((await here("query", sql)).stdout).toContain("Signature=s3cr3t");
    const { records } = await here("query", sql, "--json");
    expect(records[0]).toMatchObject({ row: { url: "https://b.example/k?Signature=s3cr3t" } });
  });

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
