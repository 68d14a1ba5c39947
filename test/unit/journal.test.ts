import { describe, expect, it } from "vitest";
import { type JournalEntry, type JournalHeader, Journals } from "../../src/journal.js";
import { Listing } from "../../src/listing.js";

const headerOf = (attempt: string) => ({ part: { attempt } }) as JournalHeader;
const entriesOf = (objects: Record<string, string>) =>
  async function* (): AsyncGenerator<JournalEntry> {
    for (const [key, etag] of Object.entries(objects)) yield { key, etag, sizeBytes: 10 };
  };

describe("journals against what is listed", () => {
  it("name what is not there in that version, and are none where all of it is", async () => {
    const listing = new Listing();
    for (const [key, etag] of Object.entries({ a: "1", b: "2", bb: "1", d: "1", x: "1" }))
      listing.add({ key, etag, sizeBytes: 10 });
    const journals = new Journals(["A", "B"].map(headerOf), [
      entriesOf({ a: "1", b: "1", c: "1", d: "1" }),
      entriesOf({ x: "1" }),
    ]);
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
    const journals = new Journals([headerOf("A")], [entriesOf({ a: "1" })]);
    expect((await journals.goneFrom(listing)).isEmpty).toBe(true);
  });
});
