/** What verification says about hours that are sound, expired, damaged, or packed under other columns. */
import {
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { openComponents } from "../../src/components.js";
import { loadSettings } from "../../src/config/load.js";
import { HourpackError } from "../../src/errors.js";
import { addHours, HOUR_MS, type Hour, parseHour } from "../../src/hour.js";
import { run } from "../../src/run.js";
import type { Store } from "../../src/store/store.js";
import type { HourTask } from "../../src/task.js";
import { expireHour } from "../../src/upkeep/expire.js";
import { verifyHour } from "../../src/upkeep/verification.js";

const HOUR = parseHour("2022-07-26T00");
let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "hourpack-verification-"));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const RAW = "./raw/{yyyy}/{MM}/{dd}/{HH}/";
/** What the keys of the hour begin with. */
const KEY = "2022/07/26/00/";
const COLUMNS = { id: "bigint", m: "struct<b:string>", at: "string" };

interface Configured {
  /** `null`: they are inferred. */
  columns?: object | null;
  others?: object;
  raw?: string;
  records?: string;
  zone?: string;
  maxQuarantine?: number;
}

interface PackOptions extends Configured {
  datasets?: string[];
  hour?: Hour;
  rebuild?: boolean;
  keepOld?: boolean;
  fromRemainder?: boolean;
}

/** A dataset in a folder of its own, some days after its hours. */
class Lake {
  readonly root = mkdtempSync(join(dir, "lake-"));
  private readonly folder = (hour = HOUR) => join(this.root, "raw", hour.replace(/[-T]/g, "/"));

  put(name: string, text: string, hour = HOUR): this {
    const path = join(this.folder(hour), name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
    return this;
  }

  remove(name: string): void {
    rmSync(join(this.folder(), name));
  }

  /** Another name of the same bytes, in the same version: put back by it, an object has the ETag that it had. */
  linkAside(name: string): { putBack: (as?: string) => void } {
    const aside = join(this.root, `aside-${name}`);
    linkSync(join(this.folder(), name), aside);
    return { putBack: (as = name) => linkSync(aside, join(this.folder(), as)) };
  }

  /** Of what is there in raw. */
  names(): string[] {
    return readdirSync(this.folder()).sort();
  }

  journals(tier1: string): string[] {
    const folder = join(this.root, tier1, "_hourpack/expired/2022/07/26/00");
    return readdirSync(folder).map((name) => join(folder, name));
  }

  get partPath(): string {
    const folder = join(this.root, "lake/year=2022/month=07/day=26/hour=00");
    return join(folder, readdirSync(folder)[0] as string);
  }

  /** The newest. */
  get manifestPath(): string {
    const folder = join(this.root, "lake/_hourpack/manifests/2022/07/26/00");
    return join(folder, readdirSync(folder).sort().at(-1) as string);
  }

  manifest() {
    const lines = gunzipSync(readFileSync(this.manifestPath)).toString().trim().split("\n");
    const [header, ...entries] = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    return { header: header as Record<string, unknown>, entries };
  }

  /** `others` are configured beside the dataset. */
  private async at<T>(
    does: (task: HourTask) => Promise<T>,
    {
      columns = COLUMNS,
      others = {},
      raw = RAW,
      records = "$",
      zone = "UTC",
      maxQuarantine,
    }: Configured = {},
  ): Promise<T> {
    const dataset = { raw, tier1: "./lake/", table: "t", records, zone, ...(columns && { columns }) };
    writeFileSync(
      join(this.root, "hourpack.yaml"),
      stringify({ datasets: { t: dataset, ...others }, run: { maxQuarantine } }),
    );
    const settings = await loadSettings({ cwd: this.root, env: {} });
    const components = openComponents(settings, { nowMs: () => Date.now() + 48 * HOUR_MS });
    const task = { hour: HOUR, request: {}, isAsked: true, components, observe: () => {} };
    try {
      return await does({ ...task, dataset: settings.datasets[0] as HourTask["dataset"] });
    } finally {
      await components.close();
    }
  }

  async pack(more: PackOptions = {}) {
    const { columns, others, raw, records, zone, maxQuarantine, hour = HOUR, ...request } = more;
    return this.at(
      async ({ components }) => {
        const hours = { from: hour, to: addHours(hour, 1) };
        const { failures, hours: packed } = await run(components, { hours, ...request });
        if (failures[0]) throw failures[0].error;
        return packed[0];
      },
      { columns, others, raw, records, zone, maxQuarantine },
    );
  }

  /** `beforeRead` is given the raw store when the objects have been listed, and before they are read. */
  expire({
    others = {},
    columns = COLUMNS,
    hour = HOUR,
    dataset = "t",
    beforeRead = (_: Store) => {},
    ...configured
  }: Configured & {
    hour?: Hour;
    dataset?: string;
    beforeRead?: (raw: Store) => void;
  } = {}) {
    return this.at(
      async (task) => {
        const named = task.components.settings.datasets.find(({ name }) => name === dataset);
        beforeRead(await task.components.raw(task.dataset));
        const options = { dryRun: false, rawIsImmutable: true };
        return expireHour({ ...task, hour, dataset: named as HourTask["dataset"] }, options);
      },
      { others, columns, ...configured },
    );
  }

  /** `beforeManifest` runs when the part has been looked at, and its manifest has not. */
  verify(
    deep = true,
    beforeManifest: () => Promise<unknown> = async () => {},
    { columns, zone }: Configured = {},
  ) {
    return this.at(
      async (task) => {
        const tier1 = await task.components.tier1(task.dataset);
        const get = tier1.get.bind(tier1);
        tier1.get = async (key, options) => {
          if (key.includes("/manifests/")) await beforeManifest();
          return get(key, options);
        };
        return verifyHour(task, { deep });
      },
      { columns, zone },
    );
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

  it("one of many that could not be deleted ends it, also where it fails in the moment in which another one is done", async () => {
    const lake = new Lake();
    const names = Array.from({ length: 40 }, (_, i) => `${String(i).padStart(2, "0")}.json`);
    for (const name of names) lake.put(name, '{"id":1}\n');
    await lake.pack();
    const beforeRead = (raw: Store) => {
      const remove = raw.delete.bind(raw);
      raw.delete = async (key, options) => {
        if (key.endsWith("/01.json")) throw new HourpackError("unavailable", `delete ${key}: no answer`);
        if (key.endsWith("/00.json")) return;
        return remove(key, options);
      };
    };
    await expect(lake.expire({ beforeRead })).rejects.toMatchObject({ kind: "unavailable" });
    expect(lake.names()).toContain("01.json");
  });

  describe("and that an expiry named, and did not delete", () => {
    const failing = (raw: Store) => {
      raw.delete = async (key) => {
        throw new HourpackError("unavailable", `delete ${key}: no answer`);
      };
    };

    it("because it failed: they have not expired, and the hour is rebuilt of them where its part is missing", async () => {
      const lake = new Lake().put("a.json", '{"id":1}\n').put("b.json", '{"id":2}\n');
      await lake.pack();
      await expect(lake.expire({ beforeRead: failing })).rejects.toMatchObject({ kind: "unavailable" });
      expect(lake.journals("lake")).toHaveLength(1);
      rmSync(lake.partPath);
      expect(await lake.pack()).toMatchObject({ action: "packed", part: { rows: 2 } });
      expect(await lake.verify()).toMatchObject({ state: "sound", problems: [] });
      expect(await lake.expire()).toMatchObject({ objects: 2 });
      expect(await lake.verify()).toMatchObject({ state: "expired", problems: [] });
      rmSync(lake.partPath);
      await expect(lake.pack()).rejects.toMatchObject({
        message: expect.stringContaining("part is missing"),
      });
    });

    it("because it failed: an older part lacks nothing that is not there, and gets it as late objects", async () => {
      const lake = new Lake().put("a.json", '{"id":1}\n');
      await lake.pack();
      const older = readFileSync(lake.partPath);
      lake.put("b.json", '{"id":2}\n');
      await lake.pack();
      await expect(lake.expire({ beforeRead: failing })).rejects.toMatchObject({ kind: "unavailable" });
      writeFileSync(lake.partPath, older);
      expect(await lake.verify()).toMatchObject({
        state: "sound",
        problems: [],
        deep: { late: { count: 1 } },
      });
      expect(await lake.pack()).toMatchObject({ action: "packed", part: { rows: 2 } });
    });

    it("because it was overwritten just then: the hour is rebuilt as ever, and its journal names what did go", async () => {
      const lake = new Lake().put("a.json", '{"id":1}\n');
      await lake.pack();
      const beforeRead = (raw: Store) => {
        const remove = raw.delete.bind(raw);
        raw.delete = (key, options) => {
          if (key.endsWith("/a.json")) lake.put("a.json", '{"id":11}\n');
          return remove(key, options);
        };
      };
      expect(await lake.expire({ beforeRead })).toMatchObject({ objects: 0, kept: 1 });
      expect(lake.journals("lake")).toEqual([]);
      expect(await lake.verify()).toMatchObject({ state: "wrong", deep: { overwritten: { count: 1 } } });
      expect(await lake.pack()).toMatchObject({ action: "packed", part: { rows: 1 } });
      expect(await lake.verify()).toMatchObject({ state: "sound", problems: [] });
      lake.put("b.json", '{"id":2}\n');
      await lake.pack();
      expect(await lake.expire({ beforeRead })).toMatchObject({ objects: 1, kept: 1 });
      const [journal] = lake.journals("lake") as [string];
      const [, ...named] = gunzipSync(readFileSync(journal)).toString().trim().split("\n");
      expect(named.map((line) => JSON.parse(line).key)).toEqual(["2022/07/26/00/b.json"]);
    });
  });

  it("and that came back, of which other settings make fewer rows: they stay until somebody says so, and go then", async () => {
    const records = "Records[*]";
    const lake = new Lake().put("a.json", '{"Records":[{"id":1},{"id":2},{"id":3}]}\n');
    const { putBack } = lake.linkAside("a.json");
    await lake.pack({ records });
    expect(await lake.expire({ records })).toMatchObject({ objects: 1 });
    putBack();
    expect(await lake.pack({ rebuild: true })).toMatchObject({ part: { rows: 1 } });
    expect(await lake.verify()).toMatchObject({ state: "sound", problems: [] });
    const refused = expect.stringMatching(
      /^the part has 1 row; on .* 3 had been proved\. .*`hourpack run --hour \S+ --rebuild --from-remainder`/,
    );
    expect(await lake.expire()).toMatchObject({ objects: 0, kept: 1, refused });
    expect(lake.names()).toEqual(["a.json"]);
    await lake.pack({ rebuild: true, fromRemainder: true });
    expect(await lake.expire()).toMatchObject({ objects: 1 });
    expect(await lake.verify()).toMatchObject({ state: "expired", problems: [], rows: 1 });
  });

  it("and that came back, were packed anew from the remainder, and went without an expiry: that is found", async () => {
    const lake = new Lake().put("a.json", '{"id":1}\n').put("b.json", '{"id":2}\n');
    const { putBack } = lake.linkAside("a.json");
    await lake.pack();
    await lake.expire();
    putBack();
    await lake.pack({ rebuild: true, fromRemainder: true });
    lake.remove("a.json");
    expect(await lake.verify()).toMatchObject({
      state: "wrong",
      deep: { gone: { count: 1 }, expired: { count: 0 } },
    });
    putBack("moved.json");
    await expect(lake.pack()).rejects.toThrow(
      "1 late object of it has the size and ETag of others that are gone",
    );
  });

  it("all of them stay where one was overwritten, since a run rebuilds the part of all; then they go", async () => {
    const lake = new Lake().put("a.json", '{"id":1}\n').put("b.json", '{"id":2}\n');
    await lake.pack();
    lake.put("b.json", '{"id":22}\n');
    expect(await lake.expire()).toEqual({
      ...{ dataset: "t", hour: HOUR, objects: 0, rawBytes: 0, kept: 2 },
      notDue: `a run needs all its objects (1 object overwritten); \`hourpack run --hour ${HOUR}\` comes first, and the hour expires after that`,
    });
    expect(lake.names()).toEqual(["a.json", "b.json"]);
    expect(await lake.pack()).toMatchObject({ action: "packed", part: { rows: 2 } });
    expect(await lake.expire()).toMatchObject({ objects: 2, kept: 0 });
    expect(await lake.verify()).toMatchObject({ state: "expired", problems: [] });
  });

  it.each([
    ["an overwritten object", { rows: ['{"id":33}\n'] }],
    ["a rebuild", { rows: [], rebuild: true }],
    ["other columns", { rows: [], late: true, columns: { id: "bigint" } }],
  ])(
    "and given up for what is still listed: so they stay where that is rebuilt for %s",
    async (_, {
      rows,
      late,
      ...request
    }: { rows: string[]; late?: boolean; rebuild?: boolean; columns?: object }) => {
      const lake = new Lake().put("a.json", '{"id":1}\n').put("b.json", '{"id":2}\n');
      await lake.pack();
      await lake.expire();
      lake.put("c.json", '{"id":3}\n');
      expect(await lake.pack({ rebuild: true, fromRemainder: true })).toMatchObject({ part: { rows: 1 } });
      for (const row of rows) lake.put("c.json", row);
      if (late) lake.put("d.json", '{"id":4}\n');
      expect(await lake.pack(request)).toMatchObject({ action: "packed", part: { rows: late ? 2 : 1 } });
      const { columns } = request;
      expect(await lake.verify(true, undefined, { columns })).toMatchObject({ state: "sound", problems: [] });
      lake.put("late.json", '{"id":5}\n');
      expect(await lake.pack({ columns })).toMatchObject({ action: "packed", part: { rows: late ? 3 : 2 } });
    },
  );

  it("all of them stay where a late object would come under other columns: without them it could not be packed", async () => {
    const lake = new Lake().put("a.json", '{"id":1}\n');
    await lake.pack({ columns: { id: "bigint" } });
    lake.put("b.json", '{"id":2}\n');
    expect(await lake.expire()).toMatchObject({
      ...{ objects: 0, kept: 1 + 1 },
      notDue: expect.stringMatching(
        /^a run needs all its objects \(1 late object: rebuilt, as it was packed under other settings \(columns\)\);/,
      ),
    });
    expect(await lake.pack()).toMatchObject({ part: { rows: 2 } });
    expect(await lake.expire()).toMatchObject({ objects: 2 });
  });

  it("but for late ones, which a run merges: an hour that has nothing else is not due until then", async () => {
    const lake = new Lake().put("a.json", '{"id":1}\n');
    await lake.pack();
    lake.put("b.json", '{"id":2}\n');
    expect(await lake.expire()).toMatchObject({ objects: 1, kept: 1, unpackedBy: ["t"] });
    expect(await lake.expire()).toEqual({
      ...{ dataset: "t", hour: HOUR, objects: 0, rawBytes: 0, kept: 1 },
      notDue: `1 late object; \`hourpack run --hour ${HOUR}\` packs it, and the hour expires after that`,
    });
    expect(lake.names()).toEqual(["b.json"]);
    expect(await lake.pack()).toMatchObject({ part: { rows: 2 } });
    expect(await lake.expire()).toMatchObject({ objects: 1, kept: 0 });
  });

  it("none where one that was listed cannot be read, whatever the part holds of it", async () => {
    const lake = new Lake().put("a.json", '{"id":1}\n').put("b.json", '{"id":2}\n');
    await lake.pack();
    const beforeRead = (raw: Store) => {
      const get = raw.get.bind(raw);
      raw.get = async (key, options) => {
        if (key.endsWith("a.json")) throw new HourpackError("conflict", `read ${key}: NoSuchKey`);
        return get(key, options);
      };
    };
    await expect(lake.expire({ beforeRead })).rejects.toMatchObject({
      kind: "conflict",
      message: `expire t ${HOUR}: 1 object changed or went while the hour was verified`,
    });
    expect(lake.names()).toEqual(["a.json", "b.json"]);
  });

  it("none where the part went, or another took its place, while they were read", async () => {
    const packed = async () => {
      const lake = new Lake().put("a.json", '{"id":1}\n');
      await lake.pack();
      return lake;
    };
    const meanwhile = (change: () => void) => (raw: Store) => {
      const get = raw.get.bind(raw);
      raw.get = (key, options) => {
        change();
        return get(key, options);
      };
    };
    const changes = [
      (path: string) => rmSync(path, { force: true }),
      (path: string) => writeFileSync(path, readFileSync(path)),
    ];
    for (const change of changes) {
      const lake = await packed();
      const { partPath } = lake;
      await expect(lake.expire({ beforeRead: meanwhile(() => change(partPath)) })).rejects.toMatchObject({
        kind: "conflict",
        message: `expire t ${HOUR}: its part changed or went while the hour was verified`,
      });
      expect(lake.names()).toEqual(["a.json"]);
    }
  });

  it("a name that a producer uses again: nothing of either is given up", async () => {
    const lake = new Lake().put("a.json", '{"id":1}\n');
    await lake.pack();
    await lake.expire();
    lake.put("a.json", '{"id":2,"at":"later"}\n');
    await expect(lake.pack()).rejects.toMatchObject({
      kind: "data",
      message: expect.stringContaining("expired"),
    });
    expect(await lake.expire()).toMatchObject({ objects: 0, kept: 1, refused: expect.any(String) });
    expect(lake.names()).toEqual(["a.json"]);
    // As the message says.
    lake.put("b.json", '{"id":2,"at":"later"}\n');
    expect(await lake.pack({ keepOld: true })).toMatchObject({ part: { rows: 2 } });
  });

  it("and that another dataset reads, too: only what both have in their parts, and both know of it", async () => {
    const lake = new Lake().put("a.json", '{"id":1}\n').put("sub/b.json", '{"id":2}\n');
    const all = { wide: { raw: RAW, tier1: "./wide/", table: "wide", columns: COLUMNS } };
    const some = { sub: { raw: `${RAW}sub/`, tier1: "./sub/", table: "sub", columns: COLUMNS } };
    await lake.pack({ datasets: ["t"], others: all });
    expect(await lake.expire({ others: all })).toMatchObject({
      objects: 0,
      notDue: expect.stringMatching(
        /^wide, which reads the same objects: it is not packed; `hourpack run --dataset wide /,
      ),
    });
    expect(await lake.expire({ others: some })).toMatchObject({
      notDue: expect.stringMatching(/^sub, which/),
    });
    symlinkSync("raw", join(lake.root, "alias"));
    const linked = { linked: { ...all.wide, raw: RAW.replace("raw", "alias") } };
    expect(await lake.expire({ others: linked })).toMatchObject({
      notDue: expect.stringMatching(/^linked, which/),
    });
    symlinkSync("2022", join(lake.root, "raw/y2022"));
    const within = { within: { ...all.wide, raw: RAW.replace("{yyyy}", "y{yyyy}") } };
    expect(await lake.expire({ others: within })).toMatchObject({
      refused: expect.stringMatching(/^within reads the same objects by another path/),
    });
    await lake.pack({ datasets: ["wide"], others: all });
    lake.put("late.json", '{"id":3}\n');
    await lake.pack({ datasets: ["t"], others: all });
    expect(await lake.expire({ others: all })).toMatchObject({
      ...{ objects: 2, kept: 1 },
      unpackedBy: ["wide"],
    });
    expect(await lake.expire({ others: all })).toMatchObject({
      notDue: expect.stringMatching(
        /^wide, which reads the same objects: 1 late object; `hourpack run --dataset wide --hour/,
      ),
    });
    expect(lake.names()).toEqual(["late.json", "sub"]);
    expect(lake.journals("lake")).toHaveLength(1);
    expect(lake.journals("wide")).toHaveLength(1);
    await lake.pack({ datasets: ["wide"], others: all });
    expect(await lake.expire({ others: all, dataset: "wide" })).toMatchObject({ objects: 1, kept: 0 });
    expect(lake.names()).toEqual(["sub"]);
  });

  describe("and a late object since that comes under other columns", () => {
    const { id, m, at } = COLUMNS;
    const record = (n: number) => `{"id":${n},"m":{"b":"x"},"new":${n}}\n`;
    const expired = async (columns: Configured["columns"] = COLUMNS) => {
      const lake = new Lake().put("a.json", record(1));
      await lake.pack({ columns });
      await lake.expire({ columns });
      return lake.put("b.json", record(2));
    };
    const merged = { action: "packed", part: { rows: 2 } };

    it.each([
      ["in another order", COLUMNS, { at, m, id }],
      ["fewer", COLUMNS, { id }],
      ["inferred", COLUMNS, null],
      ["written down as they were inferred", null, { id, m, new: "bigint" }],
    ])("%s: it is merged without a question", async (_, before, columns) => {
      const lake = await expired(before);
      expect(await lake.pack({ columns })).toMatchObject(merged);
      expect(await lake.verify(true, undefined, { columns })).toMatchObject({
        state: "expired",
        problems: [],
      });
    });

    it.each([
      ["new", "bigint"],
      ["m_b", { type: "string", from: "m.b" }],
    ])("with %s, which the rows of before lack: somebody decides, once", async (name, column) => {
      const lake = await expired();
      const columns = { ...COLUMNS, [name]: column };
      await expect(lake.pack({ columns })).rejects.toMatchObject({
        kind: "data",
        message: expect.stringContaining(`its rows were made before ${name}: they can be kept, but not`),
      });
      expect(await lake.pack({ columns, keepOld: true })).toMatchObject(merged);
      expect(await lake.verify(true, undefined, { columns })).toMatchObject({
        state: "expired",
        problems: [],
      });
      lake.put("c.json", record(3));
      expect(await lake.pack({ columns })).toMatchObject({ part: { rows: 3 } });
    });

    it("with one that would take the place of another: the rows would say something else, whatever is said", async () => {
      const columns = { m_b: { type: "string", from: "m.b" } };
      const lake = await expired(columns);
      for (const keepOld of [false, true])
        await expect(lake.pack({ columns: { ...columns, m }, keepOld })).rejects.toMatchObject({
          kind: "data",
          message: expect.stringContaining("a column of today would take the place of one"),
        });
      expect(await lake.pack({ columns })).toMatchObject(merged);
    });

    it("and another zone: the question says that the rows can be kept, and --keep-old keeps them, once", async () => {
      const lake = await expired();
      const zone = "Europe/Paris";
      await expect(lake.pack({ zone })).rejects.toMatchObject({
        kind: "data",
        message: expect.stringMatching(
          /other settings \(zone was UTC and is Europe\/Paris\): its rows can be kept as they are, but not rebuilt/,
        ),
        hint: expect.stringMatching(/^Put the settings back, .*--keep-old` keeps the rows/),
      });
      expect(await lake.pack({ zone, keepOld: true })).toMatchObject(merged);
      lake.put("c.json", record(3));
      expect(await lake.pack({ zone })).toMatchObject({ part: { rows: 3 } });
    });
  });

  it.each([
    ["an hour's folder", "2022/07/26/01", "00", "2022-07-26T01"],
    ["a day's", "2022/07/27", "26", "2022-07-27T00"],
    ["an hour's of another day", "2022/07/27/05", "../26/00", "2022-07-27T05"],
  ])("%s that is a link to another: neither hour loses what both have", async (_, link, target, linked) => {
    const other = parseHour(linked);
    const lake = new Lake().put("a.json", '{"id":1}\n').put("a.json", '{"id":2}\n', addHours(HOUR, 2));
    mkdirSync(dirname(join(lake.root, "raw", link)), { recursive: true });
    symlinkSync(target, join(lake.root, "raw", link));
    // What is no hour by its name may lead there.
    symlinkSync("2022/07/26/02", join(lake.root, "raw/latest"));
    await lake.pack();
    await lake.pack({ hour: other });
    const folder = (path: string) =>
      new RegExp(`^its folder is, by a link, .*\\(${join(lake.root, path)}/\\)`);
    expect(await lake.expire()).toMatchObject({
      ...{ objects: 0 },
      refused: expect.stringMatching(folder(`raw/${link}`)),
    });
    expect(await lake.expire({ hour: other })).toMatchObject({
      ...{ objects: 0 },
      refused: expect.stringMatching(folder("raw/2022/07/26/00")),
    });
    expect(lake.names()).toEqual(["a.json"]);
    const third = addHours(HOUR, 2);
    await lake.pack({ hour: third });
    const isFree = link !== "2022/07/27";
    expect(await lake.expire({ hour: third })).toMatchObject({ objects: isFree ? 1 : 0 });
  });

  it("of folders above that are links, as long as they have no other path", async () => {
    const lake = new Lake();
    mkdirSync(join(lake.root, "raw/data/2022"), { recursive: true });
    symlinkSync("data/2022", join(lake.root, "raw/2022"));
    lake.put("a.json", '{"id":1}\n');
    await lake.pack();
    expect(await lake.expire()).toMatchObject({ objects: 1 });
    expect(lake.names()).toEqual([]);
  });

  it("of a file that another hour has, too: by a hard link it stays there, by another that hour says what is away", async () => {
    const lake = new Lake().put("a.json", '{"id":1}\n').put("b.json", '{"id":2}\n');
    const other = addHours(HOUR, 1);
    lake.put("own.json", '{"id":3}\n', other);
    linkSync(join(lake.root, "raw/2022/07/26/00/a.json"), join(lake.root, "raw/2022/07/26/01/a.json"));
    await lake.pack();
    const link = join(lake.root, "raw/2022/07/26/01/b.json");
    symlinkSync("../00/b.json", link);
    expect(await lake.expire()).toMatchObject({ objects: 2 });
    await expect(lake.pack({ hour: other })).rejects.toMatchObject({
      kind: "invalid",
      message: expect.stringMatching(/01\/b\.json: this is a link to \.\.\/00\/b\.json, where nothing is$/),
    });
    rmSync(link);
    expect(await lake.pack({ hour: other })).toMatchObject({ part: { rows: 2 } });
  });

  it("only the link, where it stands for a file of another hour", async () => {
    const lake = new Lake().put("a.json", '{"id":1}\n').put("own.json", '{"id":2}\n', addHours(HOUR, 1));
    symlinkSync("../01/own.json", join(lake.root, "raw/2022/07/26/00/b.json"));
    await lake.pack();
    expect(await lake.expire()).toMatchObject({ objects: 2 });
    expect(lake.names()).toEqual([]);
    expect(readFileSync(join(lake.root, "raw/2022/07/26/01/own.json"), "utf8")).toBe('{"id":2}\n');
  });

  it("what is missing and in no journal is a finding", async () => {
    const lake = new Lake().put("a.json", '{"id":1}\n').put("b.json", '{"id":2}\n');
    await lake.pack();
    lake.remove("a.json");
    await lake.expire();
    const { state, problems, deep } = await lake.verify();
    expect(state).toBe("wrong");
    expect(problems).toEqual([
      expect.stringMatching(/^1 of its objects is gone \(2022\/07\/26\/00\/a\.json\), so/),
    ]);
    expect(deep).toMatchObject({ gone: { count: 1 }, expired: { count: 1 } });
  });

  it("a part with fewer rows than had been proved", async () => {
    const lake = new Lake().put("a.json", '{"id":1}\n{"id":2}\n');
    await lake.pack();
    await lake.expire();
    const [journal] = lake.journals("lake") as [string];
    const text = gunzipSync(readFileSync(journal)).toString();
    writeFileSync(journal, gzipSync(text.replace('"rows":2', '"rows":3')));
    const { state, problems } = await lake.verify();
    expect(state).toBe("wrong");
    expect(problems).toEqual([
      expect.stringMatching(/^the part has 2 rows; .*, 3 had been proved\. Bring the part of then back/),
    ]);
  });
});

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

describe("objects that were overwritten and whose rows are to be kept", () => {
  const OTHERS_OVERWRITTEN = { kind: "data", message: /gone and others were overwritten/ };
  const UNCHANGED = { action: "upToDate", reason: "inputs unchanged" };
  /** One is gone, another overwritten. */
  const changed = async () => {
    const lake = new Lake().put("a.json", '{"id":1}\n').put("b.json", '{"id":2}\nno json\n');
    await lake.pack();
    lake.remove("a.json");
    return lake.put("b.json", '{"id":22}\n');
  };
  const kept = async () => {
    const lake = await changed();
    await lake.pack({ keepOld: true });
    return lake;
  };
  const factsOf = ({ header }: ReturnType<Lake["manifest"]>) => {
    const { objects, rows, records, quarantined, rescued, schemaVersion, schemaDigest, recipe } = header;
    return { objects, rows, records, quarantined, rescued, schemaVersion, schemaDigest, recipe };
  };

  it("are asked for until somebody decides, and then no more, though nothing is added", async () => {
    const lake = await changed();
    const before = lake.manifest();
    await expect(lake.pack()).rejects.toMatchObject(OTHERS_OVERWRITTEN);
    expect(await lake.pack({ keepOld: true })).toMatchObject({
      ...{ action: "packed", reason: "1 object overwritten, 1 object gone: published rows stay" },
      ...{ rows: 0, part: { rows: 2, quarantined: 1 } },
    });
    const after = lake.manifest();
    expect(factsOf(after)).toEqual(factsOf(before));
    expect(after.header["isMixed"]).toBeUndefined();
    const [a, b] = before.entries;
    const passedOver = { etag: expect.any(String), sizeBytes: 10 };
    expect(after.entries).toEqual([a, { ...b, passedOver }]);
    expect(after.entries[1]?.["passedOver"]).not.toMatchObject({ etag: b?.["etag"] });
    for (const request of [{}, { keepOld: true }]) expect(await lake.pack(request)).toMatchObject(UNCHANGED);
    expect(lake.manifest()).toEqual(after);
  });

  it("are told by verify as decided, with the rebuild where it is allowed, until yet another version comes", async () => {
    const lake = await kept();
    const told = async () => (await lake.verify()).problems;
    const b = "overwritten: 2022/07/26/00/b.json";
    expect(await told()).toEqual([
      `2 of its objects are gone or overwritten (gone: 2022/07/26/00/a.json; ${b}), so 2 rows cannot be proved again. What lies in place of those overwritten was passed over with --keep-old: nothing is to be done, and a run keeps the part`,
    ]);
    lake.put("b.json", '{"id":222}\n');
    expect(await told()).toEqual([
      expect.stringMatching(/hourpack plan .* says what a run would do about it$/),
    ]);
    const whole = new Lake().put("a.json", '{"id":1}\n');
    await whole.pack();
    whole.put("a.json", '{"id":11}\n');
    await whole.pack({ keepOld: true });
    const { problems } = await whole.verify();
    expect(problems).toEqual([
      `1 of its objects is overwritten (2022/07/26/00/a.json), so 1 row cannot be proved again. What lies in place of those overwritten was passed over with --keep-old: nothing is to be done, and a run keeps the part; \`hourpack run --hour ${HOUR} --rebuild\` takes it instead, and gives up the rows of before`,
    ]);
    expect(await whole.pack({ rebuild: true })).toMatchObject({ action: "packed", part: { rows: 1 } });
    expect((await whole.verify()).state).toBe("sound");
    const expired = new Lake().put("a.json", '{"id":1}\n');
    await expired.pack();
    await expired.expire();
    await expired.put("b.json", '{"id":2}\n').pack();
    expired.put("a.json", '{"id":11}\n').put("b.json", '{"id":22}\n');
    await expired.pack({ keepOld: true });
    expect((await expired.verify()).problems).toEqual([expect.stringMatching(/ a run keeps the part$/)]);
  });

  it("are not rebuilt where others are gone: the refusal names the command that gives these up", async () => {
    const lake = await kept();
    await expect(lake.pack({ rebuild: true })).rejects.toMatchObject({
      kind: "data",
      hint: `Leave the part as it is: without --rebuild its rows stay, and those of late objects are added. Or \`hourpack run --hour ${HOUR} --rebuild --from-remainder\` packs what is still listed, and gives up all other rows.`,
    });
    expect(await lake.pack({ fromRemainder: true })).toMatchObject(UNCHANGED);
    expect(await lake.pack({ rebuild: true, fromRemainder: true })).toMatchObject({
      ...{ action: "packed", part: { rows: 1 } },
    });
  });

  it("are found by a digest of the listing: the manifest is not read again", async () => {
    const lake = await kept();
    rmSync(lake.manifestPath);
    expect(await lake.pack()).toMatchObject(UNCHANGED);
  });

  it("are asked for again where yet another version comes, whatever is gone", async () => {
    const lake = await kept();
    lake.put("b.json", '{"id":222}\n');
    await expect(lake.pack()).rejects.toMatchObject({
      kind: "data",
      message: `plan t ${HOUR}: 1 of its 2 objects is gone, 1 was passed over and objects were overwritten since, so its rows can neither be kept nor rebuilt without loss (gone: ${KEY}a.json; passed over: ${KEY}b.json; overwritten: ${KEY}b.json)`,
    });
    expect(await lake.pack({ keepOld: true })).toMatchObject({ action: "packed", part: { rows: 2 } });
    expect(await lake.pack()).toMatchObject(UNCHANGED);
    const alone = new Lake().put("b.json", '{"id":2}\n');
    await alone.pack();
    alone.put("b.json", '{"id":22}\n');
    expect(await alone.pack({ keepOld: true })).toMatchObject({ action: "packed", part: { rows: 1 } });
    alone.put("b.json", '{"id":222}\n');
    await expect(alone.pack()).rejects.toThrow("1 of its 1 object was passed over and objects were");
    expect(await alone.pack({ fromRemainder: true })).toMatchObject({ action: "packed", part: { rows: 1 } });
    expect(alone.manifest().entries).toEqual([
      expect.not.objectContaining({ passedOver: expect.anything() }),
    ]);
  });

  it("stay passed over where late objects are merged, with the decision or after it", async () => {
    const lake = await changed();
    lake.put("late.json", '{"id":3}\n');
    expect(await lake.pack({ keepOld: true })).toMatchObject({ action: "packed", part: { rows: 3 } });
    expect(await lake.pack()).toMatchObject(UNCHANGED);
    const { passedOver } = lake.manifest().entries[1] ?? {};
    expect(passedOver).toMatchObject({ sizeBytes: 10 });
    lake.put("aa.json", '{"id":4}\n').put("later.json", '{"id":5}\n');
    expect(await lake.pack()).toMatchObject({ reason: "2 late objects, 1 object gone", part: { rows: 5 } });
    expect(await lake.pack()).toMatchObject(UNCHANGED);
    const names = lake
      .manifest()
      .entries.map((entry) => [basename(entry["key"] as string), entry["passedOver"]]);
    expect(names).toEqual([
      ...[["a.json"], ["aa.json"]].map(([name]) => [name, undefined]),
      ["b.json", passedOver],
      ...[["late.json"], ["later.json"]].map(([name]) => [name, undefined]),
    ]);
    expect(await lake.verify(false)).toMatchObject({ state: "sound", rows: 5 });
  });

  it("are as before to verification, whose records they are not", async () => {
    const lake = await changed();
    const { problems, deep } = await lake.verify();
    const unprovable = [expect.stringMatching(/^2 of its objects are gone or overwritten /)];
    expect(problems).toEqual(unprovable);
    expect(await lake.pack({ keepOld: true })).toMatchObject({ action: "packed" });
    const after = await lake.verify();
    const { partSha256: _, ...same } = deep ?? {};
    expect(after).toMatchObject({ state: "wrong", problems: unprovable, deep: same });
    expect(await lake.verify(false)).toMatchObject({ state: "sound", problems: [] });
  });

  it("keep the hour whole at expire, until what lies in their place is elsewhere", async () => {
    const lake = new Lake();
    for (const [i, name] of ["a.json", "b.json", "c.json"].entries()) lake.put(name, `{"id":${i}}\n`);
    await lake.pack();
    lake.put("b.json", '{"id":22}\n');
    await lake.pack({ keepOld: true });
    const refused = `1 object of it was overwritten and passed over, and its records are in no part (${KEY}b.json): move it to a name that the hour has not had, to be packed as late, or give it up and delete it; the hour expires after that`;
    expect(await lake.expire()).toMatchObject({ objects: 0, kept: 3, refused });
    lake.put("late.json", '{"id":3}\n');
    expect(await lake.expire()).toMatchObject({ objects: 0, kept: 4, refused });
    await lake.pack();
    expect(await lake.expire()).toMatchObject({ objects: 0, kept: 4, refused });
    expect(lake.names()).toEqual(["a.json", "b.json", "c.json", "late.json"]);
    lake.put("new.json", '{"id":22}\n').remove("b.json");
    expect(await lake.pack()).toMatchObject({ reason: "1 late object, 1 object gone", part: { rows: 5 } });
    expect(await lake.expire()).toMatchObject({ objects: 4, kept: 0 });
  });

  it("keep it whole in each dataset that reads them", async () => {
    const others = { wide: { raw: RAW, tier1: "./wide/", table: "wide", columns: COLUMNS } };
    const lake = new Lake().put("a.json", '{"id":1}\n').put("b.json", '{"id":2}\n');
    await lake.pack({ others });
    lake.put("b.json", '{"id":22}\n');
    await lake.pack({ others, datasets: ["wide"], keepOld: true });
    await lake.pack({ others, datasets: ["t"] });
    expect(await lake.expire({ others })).toMatchObject({
      ...{ objects: 0, kept: 2 },
      refused: expect.stringMatching(
        /^wide, which reads the same objects: 1 object of it was overwritten and /,
      ),
    });
    expect(lake.names()).toEqual(["a.json", "b.json"]);
  });

  it("are never rebuilt of what is listed where raw objects expired, though a rebuild is asked for", async () => {
    const lake = new Lake().put("a.json", '{"id":1}\n');
    await lake.pack();
    await lake.expire();
    lake.put("a.json", '{"id":2,"at":"later"}\n');
    expect(await lake.pack({ keepOld: true })).toMatchObject({ action: "packed", part: { rows: 1 } });
    expect(await lake.pack()).toMatchObject(UNCHANGED);
    for (const request of [{ rebuild: true }, { rebuild: true, zone: "Europe/Paris" }])
      await expect(lake.pack(request)).rejects.toMatchObject({
        kind: "data",
        message: `plan t ${HOUR}: 1 object of it expired or was overwritten after having been packed, and the part has the only rows of them`,
      });
    lake.put("a.json", '{"id":3,"at":"later still"}\n');
    await expect(lake.pack()).rejects.toThrow("has other content than when it was packed");
    expect(await lake.expire()).toMatchObject({ objects: 0, kept: 1, refused: expect.any(String) });
    await lake.pack({ keepOld: true });
    expect(await lake.expire()).toMatchObject({
      ...{ objects: 0, kept: 1 },
      refused: expect.stringMatching(/^1 object of it was overwritten and passed over/),
    });
    lake.put("b.json", '{"id":3,"at":"later still"}\n');
    expect(await lake.pack()).toMatchObject({ part: { rows: 2 } });
    expect(await lake.pack()).toMatchObject(UNCHANGED);
  });

  it("with quarantine that was allowed when they were packed do not stop a late object that adds none", async () => {
    const lake = new Lake().put("b.json", '{"id":2}\noops\n');
    await lake.pack();
    lake.put("c.json", '{"id":3}\n');
    expect(await lake.pack({ maxQuarantine: 0 })).toMatchObject({ part: { rows: 2, quarantined: 1 } });
    lake.put("d.json", "oops\n");
    await expect(lake.pack({ maxQuarantine: 0 })).rejects.toThrow("2 of 4 records would be quarantined");
  });

  it("are not rebuilt without a word where a late object comes under other settings", async () => {
    const lake = new Lake().put("b.json", '{"id":2}\n');
    await lake.pack();
    lake.put("b.json", '{"id":22}\n');
    await lake.pack({ keepOld: true });
    lake.put("c.json", '{"id":3}\n');
    await expect(lake.pack({ zone: "Europe/Paris" })).rejects.toThrow(
      `plan t ${HOUR}: 1 late object came, 1 of its 1 object was passed over, and it was packed under other settings (`,
    );
    const columns = { ...COLUMNS, late: "bigint" };
    await expect(lake.pack({ columns })).rejects.toThrow(
      `made before late: they can be kept, but not rebuilt`,
    );
    // Another hour has brought a derived column since, which nobody asks for here.
    const next = addHours(HOUR, 1);
    lake.put("a.json", '{"id":1}\n', next);
    const derived = { ...COLUMNS, m_b: { type: "string", from: "m.b" } };
    await lake.pack({ hour: next, columns: derived });
    expect(await lake.pack()).toMatchObject({ reason: "1 late object", part: { rows: 2 } });
    // Who asks for a rebuild takes what is listed.
    expect(await lake.pack({ rebuild: true })).toMatchObject({ part: { rows: 2 } });
    expect(JSON.stringify(lake.manifest().entries)).not.toContain("passedOver");
    expect(await lake.verify()).toMatchObject({
      state: "sound",
      deep: { rows: 2, overwritten: { count: 0 } },
    });
    expect(await lake.expire()).toMatchObject({ objects: 2, kept: 0 });
  });

  it("stay what they were made of, under whatever settings it is decided: no row is made", async () => {
    const lake = await changed();
    const columns = { ...COLUMNS, late: "bigint" };
    await lake.pack({ keepOld: true, zone: "Europe/Paris", columns, maxQuarantine: 0 });
    expect(lake.manifest().header["isMixed"]).toBeUndefined();
    expect(readFileSync(join(lake.root, "lake/_hourpack/schema.json"), "utf8")).not.toContain("late");
    lake.put("c.json", '{"id":3}\n');
    expect(await lake.pack()).toMatchObject({ action: "packed", part: { rows: 3 } });
  });

  it("had no row: the part has none after it either", async () => {
    const lake = new Lake().put("a.json", "no json\n").put("b.json", "nor this\n");
    await lake.pack({ columns: null });
    lake.remove("a.json");
    lake.put("b.json", '{"id":1}\n');
    await expect(lake.pack({ columns: null })).rejects.toMatchObject(OTHERS_OVERWRITTEN);
    const packed = { action: "packed", part: { rows: 0, quarantined: 2 } };
    expect(await lake.pack({ columns: null, keepOld: true })).toMatchObject(packed);
    expect(await lake.pack({ columns: null })).toMatchObject(UNCHANGED);
  });
});

it("objects whose folders were laid out anew are no late ones", async () => {
  const lake = new Lake().put("a.json", '{"id":1}\n');
  await lake.pack();
  const moved = "./raw/year={yyyy}/{MM}/{dd}/{HH}/";
  renameSync(join(lake.root, "raw/2022"), join(lake.root, "raw/year=2022"));
  await expect(lake.pack({ raw: moved })).rejects.toMatchObject({
    kind: "data",
    message: /1 late object of it has the size and ETag of others/,
  });
  expect(await lake.pack({ raw: moved, fromRemainder: true })).toMatchObject({ part: { rows: 1 } });
});
