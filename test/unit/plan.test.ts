import { describe, expect, it } from "vitest";
import type { Dataset } from "../../src/config/settings.js";
import { parseHour } from "../../src/hour.js";
import { Listing } from "../../src/listing.js";
import { type ColumnsSince, type PlanInput, planHour } from "../../src/plan.js";
import { type JournalEntry, type JournalHeader, Journals } from "../../src/tier1/journal.js";
import type { ManifestEntry, ManifestHeader, Published } from "../../src/tier1/manifest.js";

const hour = parseHour("2022-07-26T00");
const ROW_SETTINGS = { raw: "{HH}/", records: "Records[*]", unknown: "rescue", zone: "UTC" };
/** Of what was packed; seen only where the recipe is another. */
const OTHERS = "zone was Asia/Tokyo and is UTC";
const MADE = { recipe: "r1-c1", settings: { ...ROW_SETTINGS, zone: "Asia/Tokyo" } };

function listing(objects: Record<string, string>): Listing {
  const made = new Listing();
  for (const [key, etag] of Object.entries(objects)) made.add({ key, etag, sizeBytes: 10 });
  return made;
}

/** Before, `1/2` is an object in version 1 whose version 2 was passed over. */
function input(
  before: Record<string, string> | undefined,
  now: Record<string, string>,
  more: Partial<PlanInput> = {},
): PlanInput {
  const entries: ManifestEntry[] = Object.entries(before ?? {}).map(([key, versions]) => {
    const [etag = "", other] = versions.split("/");
    const passedOver = other === undefined ? undefined : { etag: other, sizeBytes: 10 };
    return { key, etag, sizeBytes: 10, records: 1, quarantined: 0, passedOver };
  });
  const published: Published | undefined = before && {
    attempt: "A",
    inputs: listing(before).digest(),
    objects: entries.length,
    rows: entries.length,
    quarantined: 0,
    quarantinedBytes: 0,
    rescued: 0,
    schemaVersion: 1,
    recipe: "r1-c1",
    key: "part",
    etag: "e",
    sizeBytes: 1,
    lastModifiedMs: 0,
  };
  return {
    dataset: "mmp",
    hour,
    settings: { datasets: [] },
    listing: listing(now),
    published,
    manifest: async () => ({
      header: { attempt: "A", ...MADE } as ManifestHeader,
      entries: async function* () {
        yield* entries;
      },
    }),
    recipe: "r1-c1",
    rowSettings: ROW_SETTINGS,
    request: {},
    journals: async () => new Journals([]),
    journalIds: async () => [],
    columnsSince: () => expect.fail("the columns were compared"),
    nowMs: 0,
    ...more,
  };
}

/** As `expire` writes them, of the part that the inputs have. */
function expired(objects: Record<string, string>, part = { attempt: "A" }): () => Promise<Journals> {
  const header = { at: "2022-08-30T00:00:00Z", part } as JournalHeader;
  return async () => {
    const entries = async function* (): AsyncGenerator<JournalEntry> {
      for (const [key, etag] of Object.entries(objects)) yield { key, etag, sizeBytes: 10 };
    };
    return new Journals([{ id: `of ${header.part.attempt}`, header, entries }]);
  };
}

const keysOf = (plan: Awaited<ReturnType<typeof planHour>>) =>
  "fetch" in plan ? [...plan.fetch].map(({ key }) => key) : [];

describe("planHour", () => {
  it("does nothing for an hour without objects", async () => {
    expect(await planHour(input(undefined, {}))).toMatchObject({ action: "empty" });
  });

  it("packs a new hour from all its objects", async () => {
    const plan = await planHour(input(undefined, { a: "1", b: "1" }));
    expect(plan).toMatchObject({ action: "scratch", reason: "new hour" });
    expect(keysOf(plan)).toEqual(["a", "b"]);
  });

  it("finds an hour up to date by its digest alone", async () => {
    const unread = input({ a: "1" }, { a: "1" }, { manifest: () => expect.fail("the manifest was read") });
    expect(await planHour(unread)).toMatchObject({ action: "upToDate" });
  });

  it("merges late objects into the part, wherever their keys sort", async () => {
    const plan = await planHour(input({ b: "1", d: "1" }, { a: "1", b: "1", c: "1", d: "1", e: "1" }));
    expect(plan).toMatchObject({ action: "merge", changes: { added: 3, overwritten: 0, gone: 0 } });
    expect(keysOf(plan)).toEqual(["a", "c", "e"]);
  });

  it("counts one object as one, and more as more", async () => {
    const reason = async (...args: Parameters<typeof input>) => (await planHour(input(...args))).reason;
    expect(await reason({ a: "1" }, { a: "1", b: "1" })).toBe("1 late object");
    expect(await reason({ a: "1" }, { a: "1", b: "1", c: "1" })).toBe("2 late objects");
    expect(await reason({ a: "1", b: "1" }, { a: "2", b: "1" })).toBe("1 object overwritten");
    expect(await reason({ a: "1", b: "1" }, { b: "1" })).toBe("1 object gone: its rows stay");
  });

  it("starts from scratch where late objects meet a changed recipe", async () => {
    const plan = await planHour(input({ a: "1" }, { a: "1", b: "1" }, { recipe: "r2-c1" }));
    expect(plan).toMatchObject({
      action: "scratch",
      reason: `1 late object: rebuilt, as it was packed under other settings (${OTHERS})`,
    });
    expect(keysOf(plan)).toEqual(["a", "b"]);
  });

  it("starts from scratch where an object was overwritten", async () => {
    expect(await planHour(input({ a: "1", b: "1" }, { a: "2", b: "1" }))).toMatchObject({
      action: "scratch",
    });
  });

  it("keeps the rows of objects that are gone", async () => {
    expect(await planHour(input({ a: "1", b: "1" }, { b: "1" }))).toMatchObject({ action: "upToDate" });
    const plan = await planHour(input({ a: "1", b: "1" }, { b: "1", c: "2" }));
    expect(plan.action).toBe("merge");
    expect(keysOf(plan)).toEqual(["c"]);
  });

  it.each([
    ["gone and overwritten", input({ a: "1", b: "1" }, { b: "2" })],
    ["gone and added under a changed recipe", input({ a: "1" }, { b: "1" }, { recipe: "r2-c1" })],
    ["gone and rebuilt", input({ a: "1", b: "1" }, { b: "1" }, { request: { rebuild: true } })],
  ])("refuses what is %s", async (_, refused) => {
    await expect(planHour(refused)).rejects.toMatchObject({
      kind: "data",
      hint: /--keep-old.*--from-remainder/,
    });
  });

  it("merges into rows that cannot be rebuilt under other columns, where these say the same and have all that is asked for", async () => {
    const late = (since: ColumnsSince, request = {}) =>
      planHour(input({ a: "1" }, { b: "2" }, { recipe: "r1-c2", columnsSince: async () => since, request }));
    expect(await late({ areReadAlike: true, lacking: [] })).toMatchObject({ action: "merge" });
    const lacking = { areReadAlike: true, lacking: ["x", "y"] };
    await expect(late(lacking)).rejects.toMatchObject({
      kind: "data",
      message: `plan mmp ${hour}: 1 late object came, 1 of its 1 object is gone, and its rows were made before x, y: they can be kept, but not rebuilt to have a value there (gone: a)`,
      hint: expect.stringMatching(/--keep-old` keeps them, with NULL in what they lack/),
    });
    expect(await late(lacking, { keepOld: true })).toMatchObject({ action: "merge" });
    for (const request of [{}, { keepOld: true }])
      await expect(late({ areReadAlike: false, lacking: [] }, request)).rejects.toThrow(
        "a column of today would take the place of one",
      );
    // Where all are there they are rebuilt.
    const both = input({ a: "1" }, { a: "1", b: "1" }, { recipe: "r1-c2" });
    expect(await planHour(both)).toMatchObject({ action: "scratch" });
  });

  it("names the objects that are in the way, the first of many", async () => {
    const five = { a: "1", b: "1", c: "1", d: "1", e: "1", f: "1" };
    await expect(planHour(input(five, { e: "2", f: "2" }))).rejects.toThrow(
      "4 of its 6 objects are gone and others were overwritten, so its rows can neither be kept nor rebuilt without loss (gone: a, b, c and 1 more; overwritten: e, f)",
    );
  });

  it("does as it is told about objects that are gone", async () => {
    const before = { a: "1", b: "1" };
    const now = { b: "2", c: "1" };
    const kept = await planHour(input(before, now, { request: { keepOld: true } }));
    expect([kept.action, keysOf(kept)]).toEqual(["merge", ["c"]]);
    const remainder = await planHour(input(before, now, { request: { fromRemainder: true } }));
    expect([remainder.action, keysOf(remainder)]).toEqual(["scratch", ["b", "c"]]);
  });

  it("takes what was passed over for no change, and asks about yet another version", async () => {
    const passed = { a: "1", b: "1/2" };
    const unchanged = { action: "upToDate", reason: "inputs unchanged" };
    for (const now of [
      { a: "1", b: "2" },
      { a: "1", b: "1" },
    ])
      expect(await planHour(input(passed, now))).toMatchObject(unchanged);
    expect(await planHour(input(passed, { b: "2" }))).toMatchObject({
      ...{ action: "upToDate", reason: "1 object gone: its rows stay" },
      changes: { added: 0, overwritten: 0, gone: 1 },
    });
    const late = await planHour(input(passed, { a: "1", b: "2", c: "1" }));
    expect(late).toMatchObject({ action: "merge", areRowsKept: true, changes: { overwritten: 0 } });
    expect(keysOf(late)).toEqual(["c"]);
    await expect(planHour(input(passed, { a: "1", b: "3" }))).rejects.toMatchObject({
      kind: "data",
      message: expect.stringContaining(
        "1 of its 2 objects was passed over and objects were overwritten since, so its rows can neither be kept nor rebuilt without loss (passed over: b; overwritten: b)",
      ),
      hint: expect.stringMatching(/--keep-old` keeps the published rows, passes over .*; .*--from-remainder/),
    });
    // What is rebuilt of what is listed would not have the rows of before.
    await expect(planHour(input(passed, { a: "2", b: "2" }))).rejects.toThrow(
      "objects were overwritten since",
    );
    await expect(planHour(input(passed, { a: "1", b: "2", c: "1" }, { recipe: "r2-c1" }))).rejects.toThrow(
      `1 of its 2 objects was passed over, and it was packed under other settings (${OTHERS})`,
    );
    expect(await planHour(input(passed, { a: "1", b: "2" }, { request: { rebuild: true } }))).toMatchObject({
      reason: "rebuild asked for: what is listed of an object (b) takes the place of rows that were kept",
    });
    for (const more of [{ request: { rebuild: true } }, { request: { fromRemainder: true } }])
      expect(await planHour(input(passed, { a: "1", b: "2", c: "1" }, more))).toMatchObject({
        action: "scratch",
      });
  });

  it("publishes a decision about what is overwritten, though nothing is added, and no decision twice", async () => {
    const request = { keepOld: true };
    const decided = await planHour(input({ a: "1", b: "1" }, { b: "2" }, { request, recipe: "r2-c1" }));
    const reason = "1 object overwritten, 1 object gone: published rows stay";
    expect(decided).toMatchObject({ action: "merge", reason, areRowsKept: true });
    expect(keysOf(decided)).toEqual([]);
    const again = input({ a: "1", b: "1/2" }, { b: "3" }, { request });
    expect(await planHour(again)).toMatchObject({ action: "merge" });
    for (const now of [{ b: "2" }, { b: "1" }])
      expect(await planHour(input({ a: "1", b: "1/2" }, now, { request }))).toMatchObject({
        action: "upToDate",
      });
  });

  it("never makes anew of what is listed what was passed over, where objects expired", async () => {
    const journals = expired({ a: "1" });
    for (const request of [{ rebuild: true }, { rebuild: true, noMerge: true }])
      await expect(planHour(input({ a: "1/2" }, { a: "2" }, { request, journals }))).rejects.toMatchObject({
        kind: "data",
        message: expect.stringContaining(
          "1 object of it expired or was overwritten after having been packed, and the part has the only rows of them",
        ),
      });
    const late = input({ a: "1/2" }, { a: "2", b: "1" }, { journals });
    expect(await planHour(late)).toMatchObject({ action: "merge" });
    expect(await planHour({ ...late, request: { fromRemainder: true, rebuild: true } })).toMatchObject({
      action: "scratch",
    });
    const other = input({ a: "1/2" }, { a: "3" }, { journals });
    await expect(planHour(other)).rejects.toThrow("has other content than when it was packed");
  });

  it("gives up no rows of objects that were expired, unless it is said twice", async () => {
    const more = { request: { fromRemainder: true }, journals: expired({ a: "1" }) };
    await expect(planHour(input({ a: "1", b: "1" }, { b: "1" }, more))).rejects.toMatchObject({
      kind: "data",
      message: expect.stringContaining("expired"),
    });
    const twice = { ...more, request: { fromRemainder: true, rebuild: true } };
    expect(await planHour(input({ a: "1", b: "1" }, { b: "1" }, twice))).toMatchObject({ action: "scratch" });
  });

  it("gives up no rows of an expired object whose name was used again", async () => {
    const journals = expired({ a: "1" });
    for (const request of [{}, { rebuild: true }, { fromRemainder: true }, { noMerge: true }]) {
      await expect(planHour(input({ a: "1" }, { a: "2" }, { request, journals }))).rejects.toMatchObject({
        kind: "data",
        message: expect.stringContaining("the part has the only rows"),
        hint: expect.stringContaining("Copy what is new to a name"),
      });
    }
    // Copied to another name it is a late object; the one that is in its way is passed over.
    const more = { request: { keepOld: true }, journals };
    expect(keysOf(await planHour(input({ a: "1" }, { a: "2", b: "2" }, more)))).toEqual(["b"]);
  });

  it("takes no older part for the one that had the rows of expired objects, unless they were given up", async () => {
    const journals = expired({ a: "1", c: "1" }, { attempt: "B" });
    const late = (before: Record<string, string>) => input(before, { b: "9" }, { journals });
    const older = late({ a: "1" });
    await expect(planHour(older)).rejects.toMatchObject({
      kind: "data",
      message: expect.stringMatching(/an older one lies in its place \(part, which was not made of c\)$/),
    });
    await expect(planHour(late({ a: "1", c: "2" }))).rejects.toThrow("not made of c");
    // What late objects have joined since has all of them.
    expect(await planHour(late({ a: "1", aa: "1", c: "1", d: "1" }))).toMatchObject({ action: "merge" });
    const remainder = async () => ({
      ...(await older.manifest()),
      header: { attempt: "D", givenUp: ["of B"], ...MADE } as ManifestHeader,
    });
    expect(await planHour({ ...older, manifest: remainder })).toMatchObject({ action: "merge" });
    // What expired after that was not given up.
    const since = { ...older, journals: expired({ a: "1", c: "1" }, { attempt: "E" }), manifest: remainder };
    await expect(planHour(since)).rejects.toThrow("not made of c");
  });

  it("takes no object for a late one that has the content of one that is gone, unless it is said", async () => {
    const moved = [
      { "x/a": "1", "x/b": "2" },
      { "y/a": "1", "y/b": "2", "y/c": "3" },
    ] as const;
    await expect(planHour(input(...moved))).rejects.toMatchObject({
      kind: "data",
      message: expect.stringContaining("2 late objects of it have the size and ETag of others that are gone"),
      hint: /--from-remainder.*--keep-old/,
    });
    const remainder = await planHour(input(...moved, { request: { fromRemainder: true } }));
    expect([remainder.action, keysOf(remainder)]).toEqual(["scratch", ["y/a", "y/b", "y/c"]]);
    expect(await planHour(input(...moved, { request: { keepOld: true } }))).toMatchObject({
      action: "merge",
    });
    const [gone, twice] = [
      { a: "1", b: "1", c: "2" },
      { x: "1", y: "1", z: "1" },
    ];
    await expect(planHour(input(gone, twice))).rejects.toThrow("2 late objects of it have");
    // What expire deleted was not moved, and a copy of what is still there is nothing but late.
    const both = expired({ "x/a": "1", "x/b": "2" });
    expect(await planHour(input(...moved, { journals: both }))).toMatchObject({ action: "merge" });
    const one = planHour(input(...moved, { journals: expired({ "x/a": "1" }) }));
    await expect(one).rejects.toThrow("1 late object of it has the size and ETag of others that are gone");
    expect(await planHour(input({ a: "1", b: "2" }, { b: "2", c: "2" }))).toMatchObject({ action: "merge" });
  });

  it("makes rows anew that a merge would change, or refuses where they cannot be", async () => {
    const request = { noMerge: true };
    const late = await planHour(input({ a: "1" }, { a: "1", b: "1" }, { request }));
    expect([late.action, keysOf(late)]).toEqual(["scratch", ["a", "b"]]);
    for (const more of [{ request }, { request: { ...request, keepOld: true } }])
      await expect(planHour(input({ a: "1" }, { b: "1" }, more))).rejects.toMatchObject({ kind: "data" });
  });

  it("lets a late recompaction wait, but not one that was asked for", async () => {
    const late = [{ a: "1" }, { a: "1", b: "1" }] as const;
    const notBeforeMs = Date.UTC(2022, 6, 26, 1, 29, 1);
    expect(await planHour(input(...late, { notBeforeMs, nowMs: notBeforeMs - 1 }))).toMatchObject({
      action: "waiting",
      reason: `1 late object: waits for lateSettle until 2022-07-26T01:30Z; \`hourpack run --hour ${hour}\` takes it now`,
    });
    const two = { settings: { datasets: [{}, {}] as Dataset[] }, notBeforeMs, nowMs: notBeforeMs - 1 };
    expect((await planHour(input(...late, two))).reason).toContain(
      `; \`hourpack run --dataset mmp --hour ${hour}\` takes it now`,
    );
    expect(await planHour(input(...late, { notBeforeMs: 5, nowMs: 5 }))).toMatchObject({ action: "merge" });
    expect(await planHour(input(...late))).toMatchObject({ action: "merge" });
  });

  it("is not made due by a changed recipe, only by a rebuild", async () => {
    const same = [{ a: "1" }, { a: "1" }] as const;
    expect(await planHour(input(...same, { recipe: "r2-c1" }))).toMatchObject({ action: "upToDate" });
    expect(await planHour(input(...same, { recipe: "r2-c1", request: { rebuild: true } }))).toMatchObject({
      action: "scratch",
      reason: "rebuild asked for",
    });
  });
});
