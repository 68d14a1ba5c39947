/** What verification says of hours that are as they should be, expired, damaged, or packed under other columns. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { openComponents } from "../../src/components.js";
import { loadSettings } from "../../src/config/load.js";
import { expireHour } from "../../src/expire.js";
import { addHours, HOUR_MS, type Hour, parseHour } from "../../src/hour.js";
import { run } from "../../src/run.js";
import type { HourTask } from "../../src/task.js";
import { verifyHour } from "../../src/verification.js";

const HOUR = parseHour("2022-07-26T00");
let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "hourpack-verification-"));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const COLUMNS = { id: "bigint", m: "struct<b:string>", at: "string" };

/** A dataset in a folder of its own, some days after its hours. */
class Lake {
  readonly root = mkdtempSync(join(dir, "lake-"));
  private readonly folder = (hour = HOUR) => join(this.root, "raw", hour.replace(/[-T]/g, "/"));

  put(name: string, text: string, hour = HOUR): this {
    mkdirSync(this.folder(hour), { recursive: true });
    writeFileSync(join(this.folder(hour), name), text);
    return this;
  }

  remove(name: string): void {
    rmSync(join(this.folder(), name));
  }

  get partPath(): string {
    const folder = join(this.root, "lake/year=2022/month=07/day=26/hour=00");
    return join(folder, readdirSync(folder)[0] as string);
  }

  private async at<T>(does: (task: HourTask) => Promise<T>, columns: object = COLUMNS): Promise<T> {
    const dataset = { raw: "./raw/{yyyy}/{MM}/{dd}/{HH}/", tier1: "./lake/", table: "t", columns };
    writeFileSync(join(this.root, "hourpack.yaml"), stringify({ datasets: { t: dataset } }));
    const settings = await loadSettings({ cwd: this.root, env: {} });
    const components = openComponents(settings, { nowMs: () => Date.now() + 48 * HOUR_MS });
    const task = { hour: HOUR, request: {}, isAsked: true, components, observe: () => {} };
    try {
      return await does({ ...task, dataset: settings.datasets[0] as HourTask["dataset"] });
    } finally {
      await components.close();
    }
  }

  async pack(more: { columns?: object; hour?: Hour; rebuild?: boolean; keepOld?: boolean } = {}) {
    const { columns, hour = HOUR, rebuild, keepOld } = more;
    return this.at(async ({ components }) => {
      const hours = { from: hour, to: addHours(hour, 1) };
      const { failures, hours: packed } = await run(components, { hours, rebuild, keepOld });
      expect(failures).toEqual([]);
      return packed[0];
    }, columns);
  }

  expire() {
    return this.at((task) => expireHour(task, { dryRun: false, rawIsImmutable: true }));
  }

  /** `beforeManifest` runs when the part has been looked at, and its manifest has not. */
  verify(deep = true, beforeManifest: () => Promise<unknown> = async () => {}) {
    return this.at(async (task) => {
      const tier1 = await task.components.tier1(task.dataset);
      const get = tier1.get.bind(tier1);
      tier1.get = async (key, options) => {
        if (key.includes("/manifests/")) await beforeManifest();
        return get(key, options);
      };
      return verifyHour(task, { deep });
    });
  }
}

describe("raw objects that expire deleted", () => {
  it("all of them: the hour is expired, and not wrong", async () => {
    const lake = new Lake().put("a.json", '{"id":1}\n').put("b.json", '{"id":2}\nno json\n');
    await lake.pack();
    expect(await lake.expire()).toMatchObject({ objects: 2 });
    expect(await lake.verify()).toMatchObject({
      state: "expired",
      problems: [],
      expiredAt: expect.stringMatching(/^20\d\d-/),
      deep: { rows: 2, expired: { count: 2, rows: 2 }, gone: { count: 0 }, differences: [] },
    });
    expect(await lake.verify(false)).toMatchObject({ state: "sound" });
  });

  it("and a late object since: its records are compared, and a second expiry is told as well", async () => {
    const lake = new Lake().put("a.json", '{"id":1}\n{"id":1}\n');
    await lake.pack();
    await lake.expire();
    lake.put("b.json", '{"id":2}\n');
    await lake.pack();
    expect(await lake.verify()).toMatchObject({
      state: "expired",
      problems: [],
      deep: { objects: 1, records: 1, rows: 3, expired: { count: 1, rows: 2 } },
    });
    await lake.expire();
    expect(await lake.verify()).toMatchObject({ state: "expired", deep: { expired: { count: 2, rows: 3 } } });
  });

  it("what is newer than the part is kept, and an hour that has nothing else is refused with the reason", async () => {
    const lake = new Lake().put("a.json", '{"id":1}\n').put("b.json", '{"id":2}\n');
    await lake.pack();
    lake.put("b.json", '{"id":22}\n');
    const first = await lake.expire();
    expect(first).toMatchObject({ objects: 1, newer: 1 });
    expect(first.refused).toBeUndefined();
    expect(await lake.expire()).toMatchObject({
      ...{ objects: 0, newer: 1 },
      refused: `what is listed of it (1 object) is newer than the part: late, or overwritten; \`hourpack run --hour ${HOUR}\` looks at it`,
    });
  });

  it("what is missing and in no journal is a finding", async () => {
    const lake = new Lake().put("a.json", '{"id":1}\n').put("b.json", '{"id":2}\n');
    await lake.pack();
    lake.remove("a.json");
    await lake.expire();
    const { state, problems, deep } = await lake.verify();
    expect(state).toBe("wrong");
    expect(problems).toEqual([expect.stringMatching(/^1 of its objects is gone or overwritten/)]);
    expect(deep).toMatchObject({ gone: { count: 1 }, expired: { count: 1 } });
  });

  it("a part with fewer rows than had been proved", async () => {
    const lake = new Lake().put("a.json", '{"id":1}\n{"id":2}\n');
    await lake.pack();
    await lake.expire();
    const journals = join(lake.root, "lake/_hourpack/expired/2022/07/26/00");
    const journal = join(journals, readdirSync(journals)[0] as string);
    const text = gunzipSync(readFileSync(journal)).toString();
    writeFileSync(journal, gzipSync(text.replace('"rows":2', '"rows":3')));
    const { state, problems } = await lake.verify();
    expect(state).toBe("wrong");
    expect(problems).toEqual([expect.stringMatching(/^the part has 2 rows; .*, 3 had been proved$/)]);
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
    expect(problems.join()).toContain("`hourpack run --hour 2022-07-26T00 --rebuild` makes the part anew");
    expect(problems.join()).not.toContain("hourpack-verify-");
    await lake.pack({ rebuild: true });
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
