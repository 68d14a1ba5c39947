import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compareUtf8, Listing } from "../../src/listing.js";

describe("compareUtf8", () => {
  it("orders as the UTF-8 bytes do", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.string({ unit: "binary" }), (a, b) => {
        expect(Math.sign(compareUtf8(a, b))).toBe(Buffer.compare(Buffer.from(a), Buffer.from(b)));
      }),
    );
  });

  it("puts an emoji after the end of the basic plane", () => {
    expect(compareUtf8("\uffee", "😀")).toBeLessThan(0);
  });
});

describe("Listing", () => {
  const objects = Array.from({ length: 2500 }, (_, i) => ({
    key: `year=2022/é/${String(i).padStart(6, "0")}.json`,
    sizeBytes: i,
    etag: `etag-${i}`,
  }));

  it("gives back what was added, more than once", () => {
    const listing = new Listing();
    for (const object of objects) listing.add(object);
    expect([...listing]).toEqual(objects);
    expect([...listing]).toEqual(objects);
    expect(listing.count).toBe(2500);
    expect(listing.sizeBytes).toBe((2499 * 2500) / 2);
  });

  it("tells the object at a position, in any order, whether more may come or not", () => {
    const listing = new Listing();
    for (const object of objects) listing.add(object);
    const places = [2499, 0, 1000, 999, 2000, 1];
    expect(places.map((place) => listing.at(place))).toEqual(places.map((place) => objects[place]));
    listing.digest();
    expect(places.map((place) => listing.at(place))).toEqual(places.map((place) => objects[place]));
    expect(() => listing.at(2500)).toThrow(/no object 2500/);
  });

  it("has a digest that changes with any key, size or ETag", () => {
    const digestOf = (list: typeof objects) => {
      const listing = new Listing();
      for (const object of list) listing.add(object);
      return listing.digest();
    };
    const digest = digestOf(objects);
    expect(digestOf([...objects])).toBe(digest);
    expect(digestOf(objects.slice(1))).not.toBe(digest);
    expect(digestOf(objects.with(7, { ...objects[7]!, sizeBytes: 8 }))).not.toBe(digest);
    expect(digestOf(objects.with(7, { ...objects[7]!, etag: "other" }))).not.toBe(digest);
  });

  it("refuses keys that are out of order", () => {
    const listing = new Listing();
    listing.add({ key: "b", sizeBytes: 1, etag: "1" });
    expect(() => listing.add({ key: "a", sizeBytes: 1, etag: "1" })).toThrow(/out of order/);
  });

  it("that has a key twice is one that the store repeated: another may be whole", () => {
    const listing = new Listing();
    const object = { key: "b", sizeBytes: 1, etag: "1" };
    listing.add(object);
    expect(() => listing.add(object)).toThrow(expect.objectContaining({ kind: "unavailable" }));
  });

  it("takes no object after its digest, which would not have it", () => {
    const listing = new Listing();
    listing.digest();
    expect(() => listing.add({ key: "b", sizeBytes: 1, etag: "1" })).toThrow(/after the listing's digest/);
  });
});
