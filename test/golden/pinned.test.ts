/** If schema.json is not the one that published parts were written under, a run does nothing to their rows. */
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Components, openComponents } from "../../src/components.js";
import { loadSettings } from "../../src/config/load.js";
import type { Dataset } from "../../src/config/settings.js";
import { addHours, HOUR_MS, type Hour, parseHour } from "../../src/hour.js";
import { planRun, type RunRequest, run } from "../../src/run.js";
import type { Store } from "../../src/store/store.js";
import { expireHour } from "../../src/upkeep/expire.js";
import { openRestoration } from "../../src/upkeep/restore.js";
import { verifyHour } from "../../src/upkeep/verification.js";

const FIRST = parseHour("2022-07-26T00");
const SECOND = addHours(FIRST, 1);
let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "hourpack-pinned-"));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

class Lake {
  readonly root = mkdtempSync(join(dir, "lake-"));
  readonly schemaPath = join(this.root, "lake/_hourpack/schema.json");
  private readonly unknown: string;

  constructor(unknown = "add") {
    this.unknown = unknown;
  }

  put(name: string, text: string, hour = FIRST): this {
    const path = join(this.root, "raw", hour.replace(/[-T]/g, "/"), name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
    return this;
  }

  remove(name: string): void {
    rmSync(join(this.root, "raw/2022/07/26/00", name));
  }

  /** Keeps the schema.json of now, to be put back. */
  keepSchema(): () => void {
    const bytes = readFileSync(this.schemaPath);
    return () => writeFileSync(this.schemaPath, bytes);
  }

  /** All parts with their bytes, and schema.json. */
  published(): Record<string, string> {
    const folder = join(this.root, "lake");
    const files = readdirSync(folder, { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".parquet") || name.endsWith("schema.json"))
      .sort();
    return Object.fromEntries(files.map((name) => [name, readFileSync(join(folder, name), "base64")]));
  }

  /** Some days after its hours. */
  async at<T>(does: (components: Components, dataset: Dataset) => Promise<T>, table = "t"): Promise<T> {
    const { root: cwd, unknown } = this;
    const flags = { raw: "./raw/{yyyy}/{MM}/{dd}/{HH}/", tier1: "./lake/", table, unknown, catalog: "none" };
    const settings = await loadSettings({ flags, cwd, env: {} });
    const components = openComponents(settings, { nowMs: () => Date.now() + 48 * HOUR_MS });
    try {
      return await does(components, settings.datasets[0] as Dataset);
    } finally {
      await components.close();
    }
  }

  /** `onTier1` is given the store before anything is done. */
  async pack(
    hour = FIRST,
    request: RunRequest = {},
    { table = "t", onTier1 = (_: Store) => {} } = {},
  ): Promise<{ action?: string; rows?: number | undefined; error?: unknown }> {
    return this.at(async (components, dataset) => {
      onTier1(await components.tier1(dataset));
      const { hours, failures } = await run(components, { hours: hourOnly(hour), ...request });
      if (failures[0]) return { error: failures[0].error };
      return { action: hours[0]?.action as string, rows: hours[0]?.part?.rows };
    }, table);
  }

  plan(hour = FIRST, request: RunRequest = {}) {
    return this.at((components) => planRun(components, { hours: hourOnly(hour), ...request }));
  }

  expire() {
    return this.at((components, dataset) =>
      expireHour(taskOf(components, dataset, FIRST), { dryRun: false, rawIsImmutable: true }),
    );
  }

  verify(deep: boolean, hour = FIRST) {
    return this.at((components, dataset) => verifyHour(taskOf(components, dataset, hour), { deep }));
  }

  async expectSound(...hours: Hour[]): Promise<void> {
    for (const hour of hours) expect((await this.verify(true, hour)).state).toBe("sound");
  }

  records(hour = FIRST): Promise<string[]> {
    return this.at(async (components, dataset) => {
      const restoration = await openRestoration({ components, dataset, hour });
      const records: string[] = [];
      try {
        for await (const record of restoration.records()) records.push(record);
      } finally {
        await restoration.close();
      }
      return records.sort();
    });
  }

  /** Nothing that there is is merged, read or changed. */
  async expectRefused(why: RegExp): Promise<void> {
    const before = this.published();
    const hint = expect.stringMatching(
      /^Bring back the schema.json .* `hourpack run --hour 2022-07-26T00 --rebuild --raw /,
    );
    const refusal = { kind: "data", message: expect.stringMatching(why), location: this.schemaPath, hint };
    // A run looks for the columns before it looks at an hour.
    const isGone = !existsSync(this.schemaPath);
    const begun = {
      kind: "data",
      message: expect.stringContaining("pin the columns in"),
      location: this.schemaPath,
    };
    expect((await this.pack()).error).toMatchObject(isGone ? begun : refusal);
    expect(this.published()).toEqual(before);
    await expect(this.records()).rejects.toMatchObject(refusal);
    for (const deep of [false, true]) {
      const { state, problems } = await this.verify(deep);
      expect({ state, problems }).toEqual({ state: "wrong", problems: [expect.stringMatching(why)] });
    }
  }
}

function hourOnly(hour: Hour) {
  return { from: hour, to: addHours(hour, 1) };
}

function taskOf(components: Components, dataset: Dataset, hour: Hour) {
  return { dataset, hour, components, request: {}, isAsked: true, observe: () => {} };
}

const OLD = '{"id":1,"name":"x","amount":12}';
const LATE = '{"id":3,"AMOUNT":"n/a"}';

describe("schema.json is gone", () => {
  it("no late object is merged, and no record given back, until it is there again", async () => {
    const lake = new Lake().put("a.json", OLD);
    await lake.pack();
    const putBack = lake.keepSchema();
    rmSync(lake.schemaPath);
    // A late object without a record is merged under no column at all.
    for (const text of [LATE, ""]) {
      lake.put("late.json", text);
      await lake.expectRefused(/version 1 of its columns is not pinned in .*schema.json/);
    }
    lake.put("late.json", LATE);
    putBack();
    expect(await lake.pack()).toEqual({ action: "packed", rows: 2 });
    expect(await lake.records()).toEqual([OLD, LATE].sort());
    await lake.expectSound(FIRST);
  });

  it("no other hour pins columns anew", async () => {
    const lake = new Lake().put("a.json", OLD).put("b.json", '{"other":true}', SECOND);
    await lake.pack();
    rmSync(lake.schemaPath);
    const before = lake.published();
    const refusal = {
      kind: "data",
      message: expect.stringMatching(
        /schema.json: it is not there, and it named the columns of parts .*hour=00/,
      ),
      hint: expect.stringMatching(/--rebuild/),
    };
    expect((await lake.pack(SECOND)).error).toMatchObject(refusal);
    await expect(lake.plan(SECOND)).rejects.toMatchObject(refusal);
    expect(lake.published()).toEqual(before);
  });

  it("another table stays out of the folder", async () => {
    const lake = new Lake().put("a.json", OLD);
    await lake.pack();
    rmSync(lake.schemaPath);
    for (const request of [{}, { rebuild: true }])
      expect((await lake.pack(FIRST, request, { table: "other" })).error).toMatchObject({
        kind: "invalid",
        message: expect.stringContaining("it holds the table t, and other is another"),
      });
    expect(existsSync(lake.schemaPath)).toBe(false);
  });

  it("a rebuild pins anew and makes its hours' parts; another's are refused until they are rebuilt, too", async () => {
    const lake = new Lake().put("a.json", OLD).put("b.json", '{"amount":1.5}', SECOND);
    await lake.pack();
    await lake.pack(SECOND);
    rmSync(lake.schemaPath);
    lake.put("late.json", LATE);
    expect(await lake.plan(SECOND, { rebuild: true })).toHaveLength(1);
    expect(await lake.pack(SECOND, { rebuild: true })).toEqual({ action: "packed", rows: 1 });
    await lake.expectRefused(/version 1 of its columns is pinned with other columns than the part has/);
    expect(await lake.pack(FIRST, { rebuild: true })).toEqual({ action: "packed", rows: 2 });
    expect((await lake.records()).map((text) => JSON.parse(text))).toEqual([
      JSON.parse(OLD),
      JSON.parse(LATE),
    ]);
    expect(await lake.records(SECOND)).toEqual(['{"amount":1.5}']);
    await lake.expectSound(FIRST, SECOND);
  });

  it("a rebuild gives up no rows whose raw objects are gone", async () => {
    const lake = new Lake().put("a.json", OLD).put("b.json", OLD);
    await lake.pack();
    rmSync(lake.schemaPath);
    lake.remove("b.json");
    const before = lake.published();
    expect((await lake.pack(FIRST, { rebuild: true })).error).toMatchObject({ kind: "data" });
    expect(lake.published()).toEqual(before);
  });

  it("so it is where nothing was pinned yet, as parts of hours without a column are no hindrance", async () => {
    const lake = new Lake().put("a.json", "no json\n").put("b.json", '{"id":1}', SECOND);
    expect(await lake.pack()).toEqual({ action: "packed", rows: 0 });
    expect(existsSync(lake.schemaPath)).toBe(false);
    expect(await lake.plan(SECOND)).toHaveLength(1);
    expect(await lake.pack(SECOND)).toEqual({ action: "packed", rows: 1 });
    lake.put("late.json", OLD);
    expect(await lake.pack()).toEqual({ action: "packed", rows: 1 });
    expect(await lake.records()).toEqual([OLD]);
    await lake.expectSound(FIRST, SECOND);
  });

  it("what another worker pins and publishes while the parts are looked at is gone by", async () => {
    const lake = new Lake().put("a.json", OLD).put("b.json", '{"id":2,"amount":"x"}', SECOND);
    let others = 0;
    const onTier1 = (store: Store) => {
      const list = store.list.bind(store);
      store.list = async function* (prefix, options) {
        if (prefix === "year=" && others++ === 0)
          expect(await lake.pack()).toMatchObject({ action: "packed" });
        yield* list(prefix, options);
      };
    };
    expect(await lake.pack(SECOND, {}, { onTier1 })).toEqual({ action: "packed", rows: 1 });
    expect(others).toBe(1);
    expect(await lake.records(SECOND)).toEqual(['{"id":2,"amount":"x"}']);
    await lake.expectSound(FIRST, SECOND);
  });
});

describe("an older schema.json is put back", () => {
  /** A part of version 2; `rollBack` puts that of version 1 back, and `bringBack` this one again. */
  const grown = async () => {
    const lake = new Lake().put("a.json", '{"id":1}');
    await lake.pack();
    const rollBack = lake.keepSchema();
    lake.put("b.json", '{"id":2,"name":"x"}');
    await lake.pack();
    return { lake, rollBack, bringBack: lake.keepSchema() };
  };

  it.each([[false], [true]])("no late object is merged; expired: %s", async (isExpired) => {
    const { lake, rollBack, bringBack } = await grown();
    if (isExpired) expect(await lake.expire()).toMatchObject({ objects: 2 });
    rollBack();
    // Nor does a member that is new let the schema grow another way.
    for (const late of ['{"id":3}', '{"id":3,"other":5}']) {
      lake.put("late.json", late);
      await lake.expectRefused(/version 2 of its columns is not pinned in .*schema.json/);
    }
    bringBack();
    expect(await lake.pack()).toEqual({ action: "packed", rows: 3 });
    expect(await lake.records()).toEqual(['{"id":1}', '{"id":2,"name":"x"}', '{"id":3,"other":5}']);
    expect((await lake.verify(true)).state).toBe(isExpired ? "expired" : "sound");
  });

  it("a rebuild rebuilds the part under it", async () => {
    const { lake, rollBack } = await grown();
    rollBack();
    lake.put("late.json", '{"id":3,"other":5}');
    expect(await lake.pack(FIRST, { rebuild: true })).toEqual({ action: "packed", rows: 3 });
    expect(await lake.records()).toEqual(['{"id":1}', '{"id":2,"name":"x"}', '{"id":3,"other":5}']);
    await lake.expectSound(FIRST);
  });

  it("no run of what is due publishes beside its newest part, or pins another version of that number", async () => {
    const { lake, rollBack, bringBack } = await grown();
    lake.put("c.json", '{"id":3,"other":5}', SECOND);
    const due = () => lake.at((components) => run(components, {}));
    rollBack();
    const before = lake.published();
    const refusal = {
      kind: "data",
      message: expect.stringMatching(/hour=00.* version 2 of its columns is not pinned in .*schema.json/),
      hint: expect.stringMatching(
        /^Bring back the schema.json .* `hourpack run --hour 2022-07-26T00 --rebuild --raw /,
      ),
    };
    expect(await due()).toMatchObject({ hours: [], failures: [{ error: refusal }] });
    await expect(lake.at((components) => planRun(components, {}))).rejects.toMatchObject(refusal);
    expect(lake.published()).toEqual(before);
    bringBack();
    const { hours, failures } = await due();
    expect([hours.filter(({ action }) => action === "packed").map(({ hour }) => hour), failures]).toEqual([
      [SECOND],
      [],
    ]);
    await lake.expectSound(FIRST, SECOND);
  });

  it("a run of what is due goes on where the newest part says nothing of itself", async () => {
    const lake = new Lake().put("a.json", '{"id":1}').put("b.json", '{"id":2}', SECOND);
    await lake.pack();
    writeFileSync(
      join(lake.root, "lake/year=2022/month=07/day=26/hour=00/t-2022072600.snappy.parquet"),
      "PAR1",
    );
    const { hours } = await lake.at((components) => run(components, {}));
    expect(hours.filter(({ action }) => action === "packed").map(({ hour }) => hour)).toEqual([SECOND]);
  });

  it("and another version of the number grew since: a part of the first one is told from those", async () => {
    const { lake, rollBack, bringBack } = await grown();
    rollBack();
    lake.put("c.json", '{"id":3,"other":5}', SECOND);
    expect(await lake.pack(SECOND)).toMatchObject({ action: "packed" });
    lake.put("late.json", '{"id":4}');
    await lake.expectRefused(/version 2 of its columns is pinned with other columns than the part has/);
    // Now those of the other hour are away, until it is rebuilt.
    bringBack();
    expect(await lake.pack()).toEqual({ action: "packed", rows: 3 });
    await expect(lake.records(SECOND)).rejects.toMatchObject({
      message: expect.stringMatching(
        /version 2 of its columns is pinned with other columns than the part has/,
      ),
      hint: expect.stringContaining("`hourpack run --hour 2022-07-26T01 --rebuild --raw "),
    });
    expect((await lake.verify(false, SECOND)).state).toBe("wrong");
    expect(await lake.pack(SECOND, { rebuild: true })).toEqual({ action: "packed", rows: 1 });
    expect(await lake.records(SECOND)).toEqual(['{"id":3,"other":5}']);
    await lake.expectSound(FIRST, SECOND);
  });
});

describe("other columns under the same version", () => {
  it.each([
    ['{"v":"abc"}', '{"v":7}'],
    ['{"v":1.5}', '{"v":7}'],
    ['{"v":{"a":1,"b":2}}', '{"v":{"a":1}}'],
    ['{"v":12345678901}', '{"v":1.5}'],
    ['{"v":9007199254740993}', '{"v":0.5}'],
    ['{"v":"2015-01-01T00:00:00.123Z"}', '{"v":"2015-01-01"}'],
    ['{"v":true}', '{"v":1}'],
    ['{"v":1}', '{"V":1}'],
  ])("%s is not taken for %s", async (old, other) => {
    const lake = new Lake("rescue").put("a.json", old);
    await lake.pack();
    const another = new Lake("rescue").put("a.json", other);
    await another.pack();
    cpSync(another.schemaPath, lake.schemaPath);
    lake.put("late.json", other);
    await lake.expectRefused(/version 1 of its columns is pinned with other columns than the part has/);
  });

  it("is found where they come between the look at the part and the reading of its late objects", async () => {
    const lake = new Lake("rescue").put("a.json", '{"v":1.5}');
    await lake.pack();
    const another = new Lake("rescue").put("a.json", '{"v":7}');
    await another.pack();
    lake.put("late.json", '{"v":7}');
    const before = lake.published();
    let looks = 0;
    const onTier1 = (store: Store) => {
      const head = store.head.bind(store);
      store.head = async (key, options) => {
        const found = await head(key, options);
        // The first two looks are the run's.
        if (key.endsWith("schema.json") && ++looks === 3) cpSync(another.schemaPath, lake.schemaPath);
        return found;
      };
    };
    expect((await lake.pack(FIRST, {}, { onTier1 })).error).toMatchObject({ kind: "data" });
    // The fourth pins; the hour is planned again, and the fifth is at the part's.
    expect(looks).toBe(5);
    const schema = "_hourpack/schema.json";
    expect({ ...lake.published(), [schema]: "" }).toEqual({ ...before, [schema]: "" });
  });
});
