import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { parseHour } from "../../src/hour.js";
import { Listing } from "../../src/listing.js";
import type { GetOptions, Store } from "../../src/store/store.js";
import { type JournalEntry, type JournalHeader, Journals, readJournals } from "../../src/tier1/journal.js";
import type { ManifestHeader } from "../../src/tier1/manifest.js";

const headerOf = (attempt: string): JournalHeader => ({
  ...{ format: 1, dataset: "d", hour: parseHour("2022-07-26T00"), at: "2022-08-30T00:00:00Z", objects: 2 },
  part: { attempt, etag: "e", rows: 3 },
});
const entriesOf = (objects: Record<string, string>) =>
  async function* (): AsyncGenerator<JournalEntry> {
    for (const [key, etag] of Object.entries(objects)) yield { key, etag, sizeBytes: 10 };
  };

const journalsOf = (attempts: string[], entries: ReturnType<typeof entriesOf>[]) =>
  new Journals(
    attempts.map((attempt, i) => ({
      id: `of ${attempt}`,
      header: headerOf(attempt),
      entries: entries[i] as (typeof entries)[0],
    })),
  );

describe("a journal of many objects", () => {
  const lines = Array.from({ length: 50_000 }, (_, i) => {
    const key = String(i).padStart(80, "0");
    return `{"key":"${key}","etag":"e","sizeBytes":1}\n`;
  });
  const header = { ...headerOf("A"), objects: lines.length };
  const bytes = gzipSync(`${JSON.stringify(header)}\n`.concat(...lines), { level: 0 });
  const asked: number[] = [];
  const store = {
    uri: "s3://b/",
    list: async function* () {
      yield [{ key: "j", etag: "v", sizeBytes: bytes.length }];
    },
    get: async (_: string, { range = { start: 0, end: bytes.length }, etag }: GetOptions) => {
      expect(etag).toBe("v");
      asked.push(range.end - range.start);
      return bytes.subarray(range.start, range.end);
    },
  } as unknown as Store;
  const askedBytes = () => asked.splice(0).reduce((sum, some) => sum + some, 0);

  it("is read as far as it is needed: its beginning tells what it is of, and whether anything is gone", async () => {
    const journals = await readJournals(store, "", parseHour("2022-07-26T00"));
    expect(journals.headers).toEqual([header]);
    expect((await journals.goneFrom(new Listing())).isEmpty).toBe(false);
    expect(askedBytes()).toBeLessThan(bytes.length);
    expect(await journals.names({ key: "9".padStart(80, "0"), etag: "e", sizeBytes: 1 })).toBe(true);
    expect(await journals.names({ key: "49999".padStart(80, "0"), etag: "e", sizeBytes: 1 })).toBe(true);
    expect(askedBytes()).toBe(bytes.length);
  });
});

describe("a journal that is damaged", () => {
  const headerWith = (more: object) => `${JSON.stringify({ ...headerOf("A"), ...more })}\n`;
  const header = headerWith({});
  const [a, b] = ["a", "b"].map((key) => `{"key":"${key}","etag":"e","sizeBytes":1}\n`);
  const goneIn = async (text: string) => {
    const bytes = gzipSync(text);
    const store = {
      uri: "s3://b/",
      list: async function* () {
        yield [{ key: "j", etag: "v", sizeBytes: bytes.length }];
      },
      get: async (_: string, { range = { start: 0, end: bytes.length } }: GetOptions) =>
        bytes.subarray(range.start, range.end),
    } as unknown as Store;
    const journals = await readJournals(store, "", parseHour("2022-07-26T00"));
    const gone = await journals.goneFrom(new Listing());
    return Promise.all([gone.names({ key: "z", etag: "e", sizeBytes: 1 }), gone.headers.length]);
  };

  it.each([
    ["names none of two objects", header, /it names 0 of 2 objects/],
    ["names one of two objects", header + a, /it names 1 of 2 objects/],
    ["has a line that is null", `${header + a}null\n`, /a line names no object/],
    ["has a line of another kind", `${header + a}{"key":5}\n`, /a line names no object/],
    ["has a line that is no JSON", `${header + a}{\n`, /JSON/],
    ["has no header", a ?? "", /it has no whole header/],
    ["is empty", "", /it has no whole header/],
    [
      "does not say how many objects it names",
      headerWith({ objects: undefined }) + a + b,
      /it has no whole header/,
    ],
    ["is of a later format", headerWith({ format: 2 }) + a + b, /it has no whole header/],
    ["is that of another hour", headerWith({ hour: "2022-07-26T01" }) + a + b, /it is that of 2022-07-26T01/],
    ["does not say when it was written", headerWith({ at: undefined }) + a + b, /it has no whole header/],
    ["does not say of which part it is", headerWith({ part: { rows: 3 } }) + a + b, /it has no whole header/],
    [
      "does not say of how many rows",
      headerWith({ part: { attempt: "A" } }) + a + b,
      /it has no whole header/,
    ],
  ])("%s: it is told as that, and counts for nothing", async (_, text, message) => {
    await expect(goneIn(text)).rejects.toMatchObject({
      kind: "data",
      message: expect.stringMatching(message),
    });
  });

  it("is whole with as many objects as it says", async () => {
    expect(await goneIn(header + a + b)).toEqual([false, 1]);
  });
});

describe("journals against what is listed", () => {
  it("name what is not there in that version, and are none where all of it is", async () => {
    const listing = new Listing();
    for (const [key, etag] of Object.entries({ a: "1", b: "2", bb: "1", d: "1", x: "1" }))
      listing.add({ key, etag, sizeBytes: 10 });
    const journals = journalsOf(
      ["A", "B"],
      [entriesOf({ a: "1", b: "1", c: "1", d: "1" }), entriesOf({ x: "1" })],
    );
    const gone = await journals.goneFrom(listing);
    expect(gone.headers).toEqual([headerOf("A")]);
    const named: string[] = [];
    for (const key of ["a", "b", "c", "d", "x"])
      if (await gone.names({ key, etag: "1", sizeBytes: 10 })) named.push(key);
    expect(named).toEqual(["b", "c"]);
  });

  it("wait for a listing that is still growing", async () => {
    const listing = new Listing();
    listing.isGrowing = true;
    listing.whole = Promise.resolve().then(() => {
      listing.add({ key: "a", etag: "1", sizeBytes: 10 });
      listing.grown(false);
    });
    const journals = journalsOf(["A"], [entriesOf({ a: "1" })]);
    expect((await journals.goneFrom(listing)).isEmpty).toBe(true);
  });
});

describe("journals against a part", () => {
  const manifestOf = (header: Partial<ManifestHeader>, objects: Record<string, string>) => ({
    header: header as ManifestHeader,
    entries: async function* () {
      for await (const entry of entriesOf(objects)()) yield { ...entry, records: 1, quarantined: 0 };
    },
  });
  const journals = journalsOf(["A", "B"], [entriesOf({ a: "1" }), entriesOf({ b: "1" })]);

  it("of another one, name what it was not made of, though it had an expiry itself", async () => {
    expect(await journals.missingIn(manifestOf({ attempt: "B" }, { b: "1" }))).toBe("a");
    expect(await journals.missingIn(manifestOf({ attempt: "B" }, { a: "1", b: "1" }))).toBeUndefined();
    const remainder = { attempt: "B", givenUp: ["of A"] };
    expect(await journals.missingIn(manifestOf(remainder, { b: "1" }))).toBeUndefined();
    // An expiry that the remainder did not know gave nothing up, whenever it came.
    const unaware = { attempt: "C", givenUp: ["of B"] };
    expect(await journals.missingIn(manifestOf(unaware, { b: "1" }))).toBe("a");
  });
});
