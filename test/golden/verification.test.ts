/** What verification says about hours whose raw objects are gone, that are damaged, or packed under other columns. */
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { addHours } from "../../src/hour.js";
import { COLUMNS, HOUR, Lake } from "../support/lake.js";

describe("raw objects that are not there any more", () => {
  const packed = async () => {
    const lake = new Lake();
    for (const name of ["a", "b", "c", "d", "e"]) lake.put(`${name}.json`, '{"id":1}\n');
    await lake.pack();
    return lake;
  };

  it("are named, the first of each kind, with what to do next", async () => {
    const lake = await packed();
    for (const name of ["b", "c", "d", "e"]) lake.remove(`${name}.json`);
    lake.put("a.json", '{"id":22}\n');
    const { state, problems } = await lake.verify();
    const key = (name: string) => `2022/07/26/00/${name}.json`;
    const gone = `gone: ${key("b")}, ${key("c")}, ${key("d")} and 1 more; overwritten: ${key("a")}`;
    expect({ state, problems }).toEqual({
      state: "wrong",
      problems: [
        `5 of its objects are gone or overwritten (${gone}), so 5 rows cannot be proved again. The part has the only rows of what is gone: keep it. \`hourpack plan --hour ${HOUR}\` says what a run would do about it`,
      ],
    });
  });

  it("alone: the part is kept, by a run, too", async () => {
    const lake = await packed();
    lake.remove("a.json");
    const { problems } = await lake.verify();
    expect(problems).toEqual([
      "1 of its objects is gone (2022/07/26/00/a.json), so 1 row cannot be proved again. The part has the only rows of what is gone: keep it, as a run does",
    ]);
    expect(await lake.pack()).toMatchObject({ action: "upToDate" });
  });

  it("and were renamed: that is told, as a run does, and not that the part has the only rows", async () => {
    const lake = await packed();
    lake.linkAside("a.json").putBack("moved.json");
    lake.remove("a.json");
    const refusal = await lake.pack().catch((error) => error);
    expect(refusal.message).toMatch(/1 late object of it has the size and ETag of others that are gone/);
    const { problems } = await lake.verify();
    const told = refusal.message.replace(/^plan t \S+: /, "");
    expect(problems).toEqual([
      `1 of its objects is gone (2022/07/26/00/a.json), so 1 row cannot be proved again. ${told}. ${refusal.hint}`,
    ]);
    expect(refusal.hint).not.toContain("gives up");
    lake.remove("b.json");
    const both = (await lake.verify()).problems.join();
    expect(both).toContain("(right where they were moved), and gives up the rows of 1 more that is gone;");
    expect(both).not.toContain("keep it");
    lake.remove("moved.json");
    lake.put("copy.json", '{"id":1}\n');
    const copied = (await lake.verify()).problems.join();
    expect(copied).toContain(
      "keep it, unless late objects have the same records under other names. `hourpack plan",
    );
  });

  it("with their folder: so they are", async () => {
    const lake = await packed();
    rmSync(join(lake.root, "raw/2022"), { recursive: true });
    expect(await lake.verify()).toMatchObject({
      state: "wrong",
      problems: [expect.stringMatching(/^5 of its objects are gone \(/)],
    });
  });

  it("with the whole directory: nothing can be compared, as a run says; what tier 1 shows is told all the same", async () => {
    const lake = await packed();
    rmSync(join(lake.root, "raw"), { recursive: true });
    await expect(lake.verify()).rejects.toMatchObject({
      kind: "invalid",
      message: `list the raw objects of t: there is no directory ${lake.root}/raw/`,
      hint: expect.stringMatching(/^Is raw mistyped, or a disk not mounted\?/),
    });
    writeFileSync(lake.partPath, readFileSync(lake.partPath).subarray(0, -100));
    expect((await lake.verify()).state).toBe("wrong");
  });

  it("with the whole directory, after they expired: the hour is expired", async () => {
    const lake = await packed();
    await lake.expire();
    rmSync(join(lake.root, "raw"), { recursive: true });
    expect(await lake.verify()).toMatchObject({ state: "expired", problems: [] });
  });
});

it("an hour that is packed again meanwhile is a conflict, and not one whose manifest is missing", async () => {
  const lake = new Lake().put("a.json", '{"id":1}\n');
  await lake.pack();
  const manifests = join(lake.root, "lake/_hourpack/manifests/2022/07/26/00");
  const packAgainAndSweep = async () => {
    const [old] = readdirSync(manifests);
    await lake.pack({ rebuild: true });
    rmSync(join(manifests, old as string), { force: true });
  };
  await expect(lake.verify(false, packAgainAndSweep)).rejects.toMatchObject({ kind: "conflict" });
  expect(await lake.verify()).toMatchObject({ state: "sound", problems: [] });
});

it("a quarantine file that is missing is named, and so is what should be in it", async () => {
  const lake = new Lake().put("a.json", '{"id":1}\nno json\n');
  await lake.pack();
  rmSync(join(lake.root, "lake/_hourpack/quarantine"), { recursive: true });
  const { state, problems, deep } = await lake.verify();
  expect(state).toBe("wrong");
  expect(problems[0]).toMatch(/^the quarantine file .*ndjson\.gz is missing$/);
  expect(deep?.differences.map(({ kind, offset }) => [kind, offset])).toEqual([
    ["quarantine", 9],
    ["count", undefined],
  ]);
});

describe("a damaged part", () => {
  it("is named by where it lies, with the remedy", async () => {
    const lake = new Lake().put("a.json", `{"id":1,"s":"${"xyz".repeat(100)}"}\n`);
    await lake.pack();
    const bytes = readFileSync(lake.partPath);
    // Zeros over the first page; the footer is whole.
    writeFileSync(lake.partPath, bytes.fill(0, 4, 60));
    const { state, problems } = await lake.verify();
    expect(state).toBe("wrong");
    expect(problems.join()).toMatch(
      `read the part ${lake.partPath}: it is damaged, and what is in its rows 0 to 1 cannot be read. `,
    );
    expect(problems.join()).toContain("`hourpack run --hour 2022-07-26T00 --rebuild` rebuilds the part");
    expect(problems.join()).not.toMatch(/hourpack-\d+\//);
    await lake.pack({ rebuild: true });
    expect(await lake.verify()).toMatchObject({ state: "sound" });
  });
});

it("an older part in place of the one whose raw objects expired is found, and no late object is merged into it", async () => {
  const lake = new Lake().put("a.json", '{"id":1}\n');
  await lake.pack();
  const older = readFileSync(lake.partPath);
  lake.put("b.json", '{"id":2}\nno json\n');
  await lake.pack();
  const newer = readFileSync(lake.partPath);
  await lake.expire();
  writeFileSync(lake.partPath, older);
  const olderPart = expect.stringContaining("an older one lies in its place");
  const { state, problems } = await lake.verify();
  expect([state, problems]).toEqual(["wrong", expect.arrayContaining([olderPart])]);
  lake.put("c.json", '{"id":3}\n');
  await expect(lake.pack()).rejects.toMatchObject({ kind: "data", message: olderPart });
  writeFileSync(lake.partPath, newer);
  expect(await lake.pack()).toMatchObject({ part: { rows: 3 } });
  expect(await lake.verify()).toMatchObject({ state: "expired" });
});

it("a quarantine file of other bytes is found, and neither restored nor merged, also where raw is gone", async () => {
  const lake = new Lake().put("a.json", '{"id":1}\nprecious\n');
  await lake.pack();
  await lake.expire();
  const folder = join(lake.root, "lake/_hourpack/quarantine/2022/07/26/00");
  const path = join(folder, readdirSync(folder)[0] as string);
  const whole = readFileSync(path);
  writeFileSync(path, gzipSync(gunzipSync(whole).toString().replace("precious", "previous")));
  const otherBytes = expect.stringMatching(/quarantine file, and it is damaged \(its bytes are not those/);
  expect(await lake.verify()).toMatchObject({ state: "wrong", problems: [otherBytes] });
  lake.put("c.json", '{"id":3}\n');
  await expect(lake.pack()).rejects.toMatchObject({ kind: "data", message: otherBytes });
  writeFileSync(path, whole);
  expect(await lake.pack()).toMatchObject({ part: { rows: 2 } });
});

describe("a value that was damaged where the part lies, and can be read", () => {
  async function damaged(): Promise<Lake> {
    const lake = new Lake().put("a.json", '{"id":1,"at":"precious"}\n');
    await lake.pack();
    return lake;
  }
  const damage = ({ partPath }: Lake) => {
    const bytes = readFileSync(partPath).toString("latin1");
    expect(bytes).toContain("precious");
    writeFileSync(partPath, bytes.replace("precious", "previous"), "latin1");
  };

  it("is found also where its raw object is gone", async () => {
    const lake = await damaged();
    await lake.expire();
    expect(await lake.verify()).toMatchObject({ state: "expired" });
    damage(lake);
    expect(await lake.verify()).toMatchObject({
      state: "wrong",
      problems: [
        expect.stringMatching(/its bytes are not those that were published\. .*bring back an older version/),
      ],
    });
  });

  it("is not merged with late objects into a part that would vouch for it", async () => {
    const lake = await damaged();
    damage(lake);
    const before = readFileSync(lake.partPath);
    lake.put("b.json", '{"id":2}\n');
    await expect(lake.pack()).rejects.toMatchObject({
      kind: "data",
      message: expect.stringMatching(/its bytes are not those that were published$/),
      hint: expect.stringMatching(/--rebuild/),
    });
    expect(readFileSync(lake.partPath)).toEqual(before);
    expect(await lake.pack({ rebuild: true })).toMatchObject({ part: { rows: 2 } });
    expect(await lake.verify()).toMatchObject({ state: "sound" });
  });
});

describe("a derived column that the schema has and a configuration lacks", () => {
  const derived = {
    ...COLUMNS,
    m_b: { type: "string", from: "m.b" },
    at_at: { type: "timestamp", from: "at" },
  };
  const record = (id: number) => `{"id":${id},"m":{"b":"x"},"at":"2022-07-26 00:00:00.123456"}\n`;
  const NEXT = addHours(HOUR, 1);

  /** The first hour is packed before the column is there, and a late object comes after. */
  async function late(): Promise<Lake> {
    const lake = new Lake().put("a.json", `${record(1)}{"id":2}\n`).put("a.json", '{"id":2}\n', NEXT);
    await lake.pack();
    await lake.pack({ hour: NEXT, columns: derived });
    return lake.put("b.json", record(3));
  }

  it("is filled all the same, also in the rows that were there before a late object", async () => {
    const lake = await late();
    expect(await lake.pack()).toMatchObject({ action: "packed", part: { rows: 3 } });
    expect(await lake.verify()).toMatchObject({ state: "sound", deep: { unfilled: [] } });
  });

  it("is NULL in rows beside those of objects that expired: no finding, and no objection to another expiry", async () => {
    const lake = new Lake().put("a.json", `${record(1)}{"id":2}\n`).put("a.json", '{"id":2}\n', NEXT);
    await lake.pack();
    await lake.expire();
    lake.put("c.json", record(4));
    await lake.pack();
    await lake.pack({ hour: NEXT, columns: derived });
    lake.put("b.json", record(3));
    await lake.pack();
    expect(await lake.verify()).toMatchObject({
      ...{ state: "expired", problems: [] },
      deep: { rows: 4, expired: { rows: 2 }, differences: [], unfilled: [{ column: "m_b", rows: 1 }, {}] },
    });
    expect(await lake.expire()).toMatchObject({ objects: 2 });
    expect(await lake.verify()).toMatchObject({ state: "expired", problems: [] });
  });

  it("reads its member otherwise than the column that gives it back: no finding, nor when raw is gone", async () => {
    const columns = {
      t: { type: "timestamp", epoch: "s" },
      t_ms: { type: "timestamp", epoch: "ms", from: "t" },
      l: "string",
      l_list: { type: "array<int>", from: "l" },
    };
    const lake = new Lake().put("a.json", '{"t":1700000000,"l":[1,2]}\n');
    await lake.pack({ columns });
    expect(await lake.verify()).toMatchObject({ state: "sound", deep: { unfilled: [] } });
    expect(await lake.expire()).toMatchObject({ objects: 1 });
    expect(await lake.verify()).toMatchObject({ state: "expired", problems: [] });
  });

  it("is NULL in rows that were to be kept as they are: that is found, and nothing is said to be lost", async () => {
    const lake = await late();
    expect(await lake.pack({ keepOld: true })).toMatchObject({ action: "packed", part: { rows: 3 } });
    const { state, problems, deep } = await lake.verify();
    expect(state).toBe("wrong");
    expect(deep).toMatchObject({
      differences: [],
      unfilled: [{ column: "m_b", rows: 1 }, { column: "at_at" }],
    });
    expect(problems[0]).toBe(
      "the column m_b is NULL in 1 row whose record has a value for it. Nothing is lost: `hourpack run --hour 2022-07-26T00 --rebuild` fills it",
    );
    await lake.pack({ rebuild: true, columns: derived });
    expect(await lake.verify()).toMatchObject({ state: "sound" });
  });
});

describe("a column that was added after rows were made", () => {
  const record = (id: number) => `{"id":${id},"z":"2022-07-26 00:00:00.123456","zz":${id}}\n`;
  const grown = { id: "bigint", z: "timestamp", zz: "bigint" };

  it("is NULL in them, and no finding: their members are rescued", async () => {
    const lake = new Lake().put("a.json", record(1));
    await lake.pack({ columns: { id: "bigint" } });
    lake.put("b.json", record(2));
    expect(await lake.pack({ columns: grown, keepOld: true })).toMatchObject({ part: { rows: 2 } });
    expect(await lake.verify(true, undefined, { columns: grown })).toMatchObject({
      ...{ state: "sound", problems: [] },
      deep: { rows: 2, differences: [], unfilled: [] },
    });
  });
});

describe("rows that were kept as another zone had made them", () => {
  const columns = { id: "bigint", at: "timestamp" };
  const record = (id: number) => `{"id":${id},"at":"2022-07-26 00:00:00"}\n`;
  const here = { columns, zone: "Europe/Paris" };
  const why =
    /^rows that other settings \(raw, records, unknown or zone\) had made were kept with --keep-old: .* nothing of them is lost\. /;

  it("differ from their records under either one: that is said, and what to do while raw is whole", async () => {
    const lake = new Lake().put("a.json", record(1));
    await lake.pack({ columns });
    lake.put("b.json", record(2));
    expect(await lake.pack({ ...here, keepOld: true })).toMatchObject({ part: { rows: 2 } });
    for (const zone of [here.zone, "UTC"]) {
      const { state, problems } = await lake.verify(true, undefined, { columns, zone });
      expect([state, problems]).toEqual([
        "wrong",
        ["1 difference between the raw records and the rows", expect.stringMatching(why)],
      ]);
      expect(problems[1]).toMatch(new RegExp(`\`hourpack run --hour ${HOUR} --rebuild\` rebuilds all$`));
    }
    expect(await lake.expire({ columns })).toMatchObject({
      refused: expect.stringMatching(/^1 difference between .*; rows that other settings .* rebuilds all$/),
    });
    await lake.pack({ ...here, rebuild: true });
    expect(await lake.verify(true, undefined, here)).toMatchObject({ state: "sound" });
  });

  it("not kept, a part that is verified under other settings: they are named, and both remedies", async () => {
    const lake = new Lake().put("a.json", [1, 2, 3, 4, 5].map(record).join(""));
    await lake.pack({ columns });
    const { problems, deep } = await lake.verify(true, undefined, here);
    // All may differ, and a few show how.
    expect([deep?.differences.length, problems[0]]).toEqual([3, expect.stringMatching(/^3 or more diff/)]);
    expect(problems.at(-1)).toBe(
      `it was packed under other settings (zone was UTC and is Europe/Paris): verify it with those, or pack it again with \`hourpack run --hour ${HOUR} --rebuild\``,
    );
  });

  it("so are pieces that were none of the records then, where that part had no row", async () => {
    const lake = new Lake().put("a.json", record(1));
    await lake.pack({ columns, records: "Records[*]" });
    lake.put("b.json", record(2));
    expect(await lake.pack({ columns, keepOld: true })).toMatchObject({ part: { rows: 1, quarantined: 1 } });
    const { problems } = await lake.verify(true, undefined, { columns });
    expect(problems.at(-1)).toMatch(why);
  });

  it("so it is where raw objects are gone, also after late ones under the same: nothing makes them anew", async () => {
    const lake = new Lake().put("a.json", record(1)).put("b.json", record(2));
    await lake.pack({ columns });
    lake.remove("a.json");
    lake.put("c.json", record(3));
    await lake.pack({ ...here, keepOld: true });
    lake.put("d.json", record(4));
    expect(await lake.pack(here)).toMatchObject({ part: { rows: 4 } });
    const { problems } = await lake.verify(true, undefined, here);
    expect(problems[1]).toMatch(why);
    expect(problems[1]).toMatch(/they cannot be rebuilt: keep the part$/);
  });
});
