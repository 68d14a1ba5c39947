/** Objects that were overwritten and whose rows somebody decided to keep (`--keep-old`). */
import { readFileSync, renameSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { describe, expect, it } from "vitest";
import { addHours } from "../../src/hour.js";
import { COLUMNS, HOUR, KEY, Lake, RAW } from "../support/lake.js";

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
