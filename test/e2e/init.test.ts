/** A first day: `init` looks at a raw folder, and what it writes is what `run` and `query` need. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { addHours, type Hour, hourOfMs, partsOf } from "../../src/hour.js";
import { hourpack } from "../support/cli.js";

const RECENT = addHours(hourOfMs(Date.now()), -3);

let dir: string;
let root: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "hourpack-init-"));
});
beforeEach(() => {
  root = mkdtempSync(join(dir, "case-"));
});
afterEach(() => rmSync(root, { recursive: true }));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

function put(path: string, text: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
}

function folderOf(hour: Hour): string {
  const { yyyy, MM, dd, HH } = partsOf(hour);
  return `year=${yyyy}/month=${MM}/day=${dd}/hour=${HH}`;
}

/** Three objects of two records each. */
function putHour(folder: string, hour: Hour): void {
  for (let i = 0; i < 3; i++)
    put(`${folder}/${folderOf(hour)}/${i}.json`, `{"id":${i},"kind":"a"}\n{"id":${i + 10},"kind":"b"}\n`);
}

const init = (...args: string[]) => hourpack(["init", ...args], { cwd: root });
const written = () => readFileSync(join(root, "hourpack.yaml"), "utf8");

describe("hourpack init", () => {
  it.each([
    [
      ["--tier1", "./raw/events/parquet/"],
      /tier 1 of events, .* lie in one another\n {2}→ Give tier 1 a prefix/,
    ],
    [["--table", "my-events"], /my-events.*\n {2}→ .*underscores/],
  ])("refuses what run would refuse, and writes nothing: %j", async (flags, message) => {
    putHour("raw/events", RECENT);
    const { code, stderr } = await init("raw/events", ...flags);
    expect(code).toBe(2);
    expect(stderr).toMatch(message);
    expect(existsSync(join(root, "hourpack.yaml"))).toBe(false);
  });

  it("names the folders that are in no dataset, and the one that is", async () => {
    for (const part of ["android", "ios"]) putHour(`raw/${part}`, RECENT);
    put("raw/trail/2022/07/26/00/a.json", '{"id":1}\n');
    put("raw/web/2022/07/26/a.json", '{"id":1}\n');
    put("raw/code/README", "no data\n");
    put(`raw/lake/${folderOf(RECENT)}/part.parquet`, `PAR1${"\0".repeat(100)}PAR1`);
    put("raw/lake/_hourpack/schema.json", '{"version":1}\n');
    const { code, stderr } = await init("raw");
    expect(code, stderr).toBe(0);
    expect(written()).toContain('for: { part: ["android", "ios"] }');
    expect(stderr).toMatch(/^in it: \S+\/raw\/\{part\}\/year=\{yyyy\}\/.*\nnot in it/m);
    expect(stderr).toMatch(/^not in it, since .* otherwise: \S+\/raw\/trail\/$/m);
    expect(stderr).toMatch(
      /^not in it, since there are no folders of hours: \S+\/raw\/web\/; `hourpack init <prefix>/m,
    );
    // As it says: the dataset is pasted into the file, which was left as it is.
    expect(stderr).toMatch(/looks at each, and prints what to paste below `datasets:`$/m);
    const before = written();
    const trail = await init("raw/trail");
    expect([trail.code, written()]).toEqual([2, before]);
    expect(trail.stderr).toMatch(
      /^the dataset trail: .*\nerror: hourpack\.yaml is there already, and nothing was written\n {2}→ Paste the dataset that is printed /,
    );
    expect(trail.stdout).toMatch(/^ {2}trail:\n( {4}.*\n)+$/);
    writeFileSync(join(root, "both.yaml"), written().replace("datasets:\n", `datasets:\n${trail.stdout}`));
    const both = await hourpack(["run", "--config", "both.yaml", "--json"], { cwd: root });
    expect(both.code, both.stderr).toBe(0);
    expect(both.result).toMatchObject({ packed: 2 });
    const trailOnly = await hourpack(
      ["run", "--config", "both.yaml", "--dataset", "trail", "--hour", "2022-07-26T00", "--json"],
      { cwd: root },
    );
    expect(trailOnly.result, trailOnly.stderr).toMatchObject({ packed: 1, rows: 1 });
    const alone = await init("raw/android", "--force");
    expect(alone.stderr).not.toContain("in it");
    // One that has hours, beside one that has none.
    rmSync(join(root, "raw/ios"), { recursive: true });
    rmSync(join(root, "raw/trail"), { recursive: true });
    const one = await init("raw", "--force");
    expect(one.stderr).toMatch(/^in it: \S+\/raw\/android\/year=.*\nnot in it, .* hours: \S+\/raw\/web\/;/m);
  });

  it("gives what is to be pasted into a file a name that none of its datasets has", async () => {
    for (const folder of ["raw/events", "more/events"]) putHour(folder, RECENT);
    expect((await init("raw/events")).code).toBe(0);
    const { code, stdout } = await init("more/events");
    expect([code, stdout]).toEqual([
      2,
      expect.stringMatching(/^ {2}events_2:\n(.*\n)*^ {4}table: "events_2"$/m),
    ]);
    writeFileSync(join(root, "hourpack.yaml"), "datasets: [\n");
    expect((await init("more/events")).stderr).toMatch(/^error: read the configuration: /);
  });

  it("says of a dataset to paste that its raw, or its tier1, is another's, and indents it as the file does", async () => {
    for (const folder of ["raw/events", "raw/more"]) putHour(folder, RECENT);
    expect((await init("raw/events")).code).toBe(0);
    const events = written();
    writeFileSync(join(root, "hourpack.yaml"), events.replace(/^(?= )/gm, "  "));
    const more = await init("raw/more");
    expect([more.code, more.stdout]).toEqual([2, expect.stringMatching(/^ {4}more:\n( {6}.*\n)+$/)]);
    expect(more.stderr).not.toMatch(/already, by|in use/);
    const pasted = written().replace("datasets:\n", `datasets:\n${more.stdout}`);
    writeFileSync(join(root, "hourpack.yaml"), pasted);
    const planned = await hourpack(["run", "--json"], { cwd: root });
    expect(planned.result, planned.stderr).toMatchObject({ packed: 2, exitCode: 0 });
    const again = await init("raw/events");
    expect(again.stderr).toContain(
      "\nthe same raw is read already, by events of hourpack.yaml: pasted beside it, all is packed twice\n",
    );
    expect(again.stderr).toContain("\nits tier1 is in use, by events of hourpack.yaml: a run refuses two ");
    const moved = await init("raw/more", "--tier1", "./raw/events-parquet/sub/");
    expect(moved.stderr).toMatch(
      /already, by more of (.*\n)+its tier1 is in use, by events of hourpack\.yaml: /,
    );
  });

  it("reads nothing of a broken file that it is to write over, or beside", async () => {
    putHour("raw/events", RECENT);
    const broken = "broken: [\n";
    writeFileSync(join(root, "hourpack.yaml"), broken);
    const ignored = /^hourpack\.yaml:\d is ignored, and what it says of S3: read the configuration: /m;
    for (const flags of [["--out", "other.yaml"], ["--dry-run"], ["--force"]]) {
      expect(readFileSync(join(root, "hourpack.yaml"), "utf8")).toBe(broken);
      const made = await init("raw/events", ...flags);
      expect([made.code, made.stderr]).toEqual([0, expect.stringMatching(ignored)]);
    }
    expect(written()).toBe(readFileSync(join(root, "other.yaml"), "utf8"));
    // What somebody named by a flag or a variable is meant.
    const env = { HOURPACK_CONFIG: "none.yaml" };
    for (const end of [
      await init("raw/events", "--force", "--s3-timeout", "never"),
      await hourpack(["init", "raw/events", "--force"], { cwd: root, env }),
    ])
      expect([end.code, end.stdout], end.stderr).toEqual([2, ""]);
  });

  it("refuses a file in a folder that is not there", async () => {
    putHour("raw/events", RECENT);
    const { code, stderr } = await init("raw/events", "--out", "nodir/hourpack.yaml");
    expect(code).toBe(2);
    expect(stderr).toBe(
      "error: write nodir/hourpack.yaml: there is no folder nodir\n  → Make it first, or name a file in another folder with --out.\n",
    );
  });

  it("writes a file with which run packs and query answers", async () => {
    putHour("raw/events", RECENT);
    const made = await init("raw/events");
    expect(made.code, made.stderr).toBe(0);
    expect(made.stderr).toContain("6 records in 3 objects of the hour ");
    expect(made.stderr).toContain("`hourpack run`");
    const ran = await hourpack(["run", "--json"], { cwd: root });
    expect(ran.code, ran.stderr).toBe(0);
    expect(ran.result).toMatchObject({ packed: 1, rows: 6, quarantined: 0 });
    const asked = await hourpack(
      ["query", "--json", "select kind, count(*) as n from events group by 1 order by 1"],
      {
        cwd: root,
      },
    );
    expect(asked.records.slice(0, -1)).toEqual([
      { type: "row", row: { kind: "a", n: 3 } },
      { type: "row", row: { kind: "b", n: 3 } },
    ]);
  });

  it("names no place of this machine, and says that an old hour must be asked for", async () => {
    putHour("raw/events", "2015-01-01T01" as Hour);
    const { stderr } = await init("./raw/events/");
    expect(written()).not.toContain(root);
    expect(written()).toContain("# Inferred from 6 records in 3 objects of the hour 2015-01-01T01.\n");
    expect(stderr).toContain("`hourpack run --hour 2015-01-01T01`");
    expect((await hourpack(["run", "--hour", "2015-01-01T01"], { cwd: root })).code).toBe(0);
  });

  it("names the file in the next commands where it is not the one that they find", async () => {
    putHour("raw/events", RECENT);
    mkdirSync(join(root, "my lake"));
    for (const [out, named] of [
      ["clicks.yaml", " --config clicks.yaml"],
      ["my lake/hourpack.yaml", " --config 'my lake/hourpack.yaml'"],
      ["./hourpack.yaml", ""],
    ] as const) {
      const { stderr } = await init("raw/events", "--out", out);
      expect(stderr).toContain(`then \`hourpack plan${named}\` and \`hourpack run${named}\`\n`);
    }
    expect((await hourpack(["plan", "--config", "clicks.yaml"], { cwd: root })).code).toBe(0);
  });

  it("sees the columns of hours all over the range, and says which it looked at", async () => {
    for (let month = 1; month <= 12; month++) {
      const MM = String(month).padStart(2, "0");
      for (const platform of ["android", "ios"]) {
        const only = `"${platform}_${Math.ceil(month / 4)}":1`;
        put(`raw/${platform}/2022/${MM}/10/05/a.json`, `{"id":1,${only}}\n`);
      }
    }
    const made = await init("raw", "--json");
    expect(made.code, made.stderr).toBe(0);
    expect(made.result).toMatchObject({ template: "{part}/{yyyy}/{MM}/{dd}/{HH}/", hours: 8, objects: 8 });
    const text = String(made.result["text"]);
    for (const third of [1, 2, 3]) {
      expect(text).toContain(`      android_${third}: bigint`);
      expect(text).toContain(`      ios_${third}: bigint`);
    }
    expect(text).toMatch(
      /# Inferred from 8 records in 8 objects of 4 hours from 2022-0\d-10T05 to 2022-12-10T05\./,
    );
  });

  it("says of a column that is text what most values are, and which object has another", async () => {
    for (const [name, user] of Object.entries({ a: 1, b: '"n/a\\n"', c: 3, d: 4 }))
      put(`raw/2022/07/26/00/${name}.json`, `{"User":${user},"kind":"x"}\n`);
    const made = await init("raw");
    expect(made.code, made.stderr).toBe(0);
    expect(written()).toContain(
      '      User: string # bigint in 3 of 4 values; string in "2022/07/26/00/b.json"\n',
    );
    expect(written()).toContain("      kind: string\n");
    writeFileSync(join(root, "hourpack.yaml"), written().replace("User: string #", "User: bigint #"));
    const ran = await hourpack(["run", "--hour", "2022-07-26T00", "--json"], { cwd: root });
    expect(ran.result).toMatchObject({ packed: 1, rows: 4, rescued: 1 });
  });

  it("says of integers that may be times how they are shown as such, and what little else it saw", async () => {
    const day = Date.UTC(2022, 6, 26);
    const records = [0, 1].map((i) => ({
      "Sent-At": day / 1000 + i,
      seen: day + i,
      id: i * 946684800,
      tags: i ? [] : [null],
      ...(i ? { late: "x" } : {}),
    }));
    put("raw/2022/07/26/00/a.json", records.map((record) => JSON.stringify(record)).join("\n"));
    const made = await init("raw");
    expect(made.code, made.stderr).toBe(0);
    expect(written()).toContain(`
      sent_at: { type: "bigint", from: "Sent-At" } # seconds since 1970? { type: timestamp, epoch: s, from: "Sent-At" } shows them as times
      seen: bigint # milliseconds since 1970? { type: timestamp, epoch: ms } shows them as times
      id: bigint
      tags: "array<string>" # from empty arrays alone
      late: string # from a single value
`);
    const told = written().replace(/: .* # .*since 1970\? (\{.*\}) shows.*/g, ": $1");
    writeFileSync(join(root, "hourpack.yaml"), told);
    const ran = await hourpack(["run", "--hour", "2022-07-26T00", "--json"], { cwd: root });
    expect(ran.result, ran.stderr).toMatchObject({ packed: 1, rows: 2, rescued: 0 });
    const asked = await hourpack(
      ["query", "--json", "select epoch_ms(sent_at) as s, epoch_ms(seen) as ms from raw order by seen"],
      { cwd: root },
    );
    expect(asked.records.slice(0, -1).map(({ row }) => row)).toEqual([
      { s: day, ms: day },
      { s: day + 1000, ms: day + 1 },
    ]);
  });

  it("writes no struct that would miss members, and columns of them that pack with nothing rescued", async () => {
    const records = [1, 2].map((ok) => ({
      nested: { "Content-Type": "json", ok, deep: { "x y": { "a.b": [ok] } } },
      list: [{ Fine: ok }, { "a-b": ok, n: null }],
      fine: { Ok: { ok } },
      "Top-Key": { é: `${ok}` },
      mixed: ok === 1 ? { "a-b": 1 } : { "a-b": 2, c: 1.5 },
    }));
    put("raw/2022/07/26/00/a.json", records.map((record) => JSON.stringify(record)).join("\n"));
    put(
      "raw/2022/07/26/00/b.json",
      '{"nested":{"Content-Type":"x"},"usual":{"a-b":1}}\n{"usual":{"a-b":1}}{"usual":1}',
    );
    const made = await init("raw");
    expect(made.code, made.stderr).toBe(0);
    const text = written();
    expect(
      text,
    ).toContain(`      # JSON text: a struct<…> names its members in a-z, 0-9 and _ alone, and would miss "Content-Type". As a column:
      # nested_content_type: { type: "string", from: "nested.Content-Type" }
      nested: string
      usual: string
      # JSON text: a struct<…> names its members in a-z, 0-9 and _ alone, and would miss "a-b".
      list: string
      fine: "struct<ok:struct<ok:bigint>>"
`);
    expect(text).toContain('      top_key: { type: "string", from: "Top-Key" }\n');
    expect(text).not.toContain("most values");
    // The columns that it offers are taken at its word.
    writeFileSync(join(root, "hourpack.yaml"), text.replace(/^( {6})# (?=\w+: \{)/gm, "$1"));
    const ran = await hourpack(["run", "--hour", "2022-07-26T00", "--json"], { cwd: root });
    expect(ran.result, ran.stderr).toMatchObject({ packed: 1, rows: 5, rescued: 0, quarantined: 0 });
    const asked = await hourpack(
      [
        "query",
        "--json",
        "select nested, nested_content_type as t, mixed_a_b as n from raw where n is not null order by n",
      ],
      { cwd: root },
    );
    expect(asked.records.slice(0, -1)).toEqual(
      records.map(({ nested }, i) => ({
        type: "row",
        row: { nested: JSON.stringify(nested), t: "json", n: i + 1 },
      })),
    );
    const deep = await hourpack(["verify", "--deep", "--hour", "2022-07-26T00"], { cwd: root });
    expect(deep.code, deep.stdout + deep.stderr).toBe(0);
  });

  it("writes columns that say what an hour has pinned already, whatever the members' keys", async () => {
    const record = '{"Event Name":"x","userId":1,"hour":3,"a.b":1.5,"In":{"Ok":true}}\n';
    put("raw/2022/07/26/00/a.json", record);
    put("raw/2022/07/26/01/a.json", record);
    await init("raw");
    const drafted = written();
    // Without columns, the first hour's are pinned.
    const bare = drafted.replace(/ {4}columns:\n( {6}.*\n)+/, "");
    expect(bare).not.toContain("columns:");
    writeFileSync(join(root, "hourpack.yaml"), bare);
    expect((await hourpack(["run", "--hour", "2022-07-26T00"], { cwd: root })).code).toBe(0);
    writeFileSync(join(root, "hourpack.yaml"), drafted);
    const ran = await hourpack(["run", "--hour", "2022-07-26T01", "--json"], { cwd: root });
    expect(ran.result, ran.stderr).toMatchObject({ packed: 1, rows: 1, rescued: 0 });
    const schema = await hourpack(["schema", "--json"], { cwd: root });
    expect(schema.records[0]?.["versions"]).toHaveLength(1);
  });

  it("passes over what is packed already, ours and that of others", async () => {
    putHour("raw/events", RECENT);
    await init("raw/events");
    expect((await hourpack(["run"], { cwd: root })).code).toBe(0);
    // Sorts before raw, and has newer hours.
    put(`old/${folderOf(addHours(RECENT, 1))}/part.parquet`, `PAR1${"\0".repeat(100)}PAR1`);
    const again = await init(".", "--force");
    expect(again.code, again.stderr).toBe(0);
    expect(written()).toContain('raw: "./raw/events/year={yyyy}');
    for (const folder of ["raw/events-parquet", "old"]) {
      const refused = await init(folder, "--force");
      expect(refused.code).toBe(2);
      expect(refused.stderr).toMatch(/no folders of hours/);
    }
  });

  it("says what there is instead of hours", async () => {
    put("unpadded/2022/7/26/0/a.json", '{"id":1}\n');
    const { code, stderr } = await init("unpadded");
    expect(code).toBe(2);
    expect(stderr).toContain("no folders of hours, but 2022/7/26/0/\n");
    expect(stderr).toContain("two digits for month, day and hour");
  });

  it.each([
    ["2022-07-26/", "{yyyy}-{MM}-{dd}/"],
    ["2022/07/26/", "{yyyy}/{MM}/{dd}/"],
    ["us-east-1/2022/07/26/", "us-east-1/{yyyy}/{MM}/{dd}/"],
  ])("says how a template is written where folders are days: %s", async (path, template) => {
    put(`days/${path}events-20220726T0005Z.json`, '{"id":1}\n');
    const { code, stderr } = await init("days");
    expect(code).toBe(2);
    expect(stderr).toContain(`no folders of hours, but ${path}\n`);
    const said = /such as (\S+) /.exec(stderr)?.[1] ?? "";
    expect(said).toBe(`days/${template}events-{yyyy}{MM}{dd}T{HH}`);
    const made = await init(said);
    expect(made.code, made.stderr).toBe(0);
    expect(made.stderr).toContain(`1 record in 1 object of the day ${path.replace("us-east-1/", "")}\n`);
    const ran = await hourpack(["run", "--hour", "2022-07-26T00", "--json"], { cwd: root });
    expect(ran.result, ran.stderr).toMatchObject({ packed: 1, rows: 1 });
  });

  it.each([
    ["raw/2022/{MM}/", "raw/{yyyy}/{MM}/e-{dd}{HH}", "raw/2022/07/e-2600.json", "the month 2022/07/"],
    ["raw/", "raw/e-{yyyy}{MM}{dd}{HH}", "raw/e-2022072600.json", "the folder ./"],
  ])("says what it looked at where the hour is in names below %s", async (_, template, path, what) => {
    put(path, '{"id":1}\n');
    const made = await init(template);
    expect(made.code, made.stderr).toBe(0);
    expect(made.stderr).toContain(`1 record in 1 object of ${what}\n`);
  });

  it("puts the Parquet beside the folder that it stands in", async () => {
    putHour("events", RECENT);
    const made = await hourpack(["init", "."], { cwd: join(root, "events") });
    expect(made.code, made.stderr).toBe(0);
    expect(readFileSync(join(root, "events/hourpack.yaml"), "utf8")).toContain('tier1: "../events-parquet/"');
    expect((await hourpack(["run"], { cwd: join(root, "events") })).code).toBe(0);
  });

  it.each<[string, string, string[], RegExp]>([
    ["objects that are no JSON", "id;kind\n1;a\n", [], /1 object read, and no JSON record found at \$/],
    ["Parquet under a template", "PAR1..PAR1", [`{yyyy}/{MM}/{dd}/{HH}/`], /what was read is Parquet/],
    ["records elsewhere", '{"id":1}', ["--records", "Records[*]"], /no JSON record found at Records\[\*\]/],
  ])("refuses %s, and writes nothing", async (_, body, more, message) => {
    put("raw/2022/07/26/00/a", body);
    const [template = "", ...flags] = more[0]?.startsWith("{") ? more : ["", ...more];
    const end = await init(`raw/${template}`, ...flags);
    expect(end.code).toBe(2);
    expect(end.stderr).toMatch(message);
    expect(() => written()).toThrow(/ENOENT/);
  });

  it("says that a folder is not there", async () => {
    const end = await init("rwa/events");
    expect(end.code).toBe(2);
    expect(end.stderr).toMatch(/look at rwa\/events: there is no such directory/);
  });
});
