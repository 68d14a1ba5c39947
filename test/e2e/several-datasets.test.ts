import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { ulid } from "ulid";
import { beforeEach, describe, expect, it } from "vitest";

import { packedFolder } from "../support/packed-folder.js";

const HOUR = "2022-07-26T00";
const { root, put, here } = packedFolder("several-datasets");

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
