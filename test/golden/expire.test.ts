/** Raw objects that `expire` deletes, or keeps: what is proved first, and what later runs and verifications make of it. */
import { linkSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { HourpackError } from "../../src/errors.js";
import { addHours, parseHour } from "../../src/hour.js";
import type { Store } from "../../src/store/store.js";
import { COLUMNS, type Configured, HOUR, Lake, RAW } from "../support/lake.js";

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

  it("after a remainder was packed by a machine whose clock is ahead: what expired since was not given up", async () => {
    const lake = new Lake().put("a.json", '{"id":1}\n').put("b.json", '{"id":2}\n');
    await lake.pack();
    lake.remove("b.json");
    await lake.pack({ rebuild: true, fromRemainder: true, aheadMs: 600_000 });
    await lake.put("c.json", '{"id":3}\n').pack();
    expect(await lake.expire()).toMatchObject({ objects: 2 });
    expect(await lake.verify()).toMatchObject({ state: "expired", problems: [] });
    lake.put("a.json", '{"id":10}\n').put("c.json", '{"id":30}\n');
    await expect(lake.pack()).rejects.toMatchObject({
      kind: "data",
      message: expect.stringContaining("raw objects of it expired since"),
    });
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
