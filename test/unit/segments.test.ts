import { describe, expect, it } from "vitest";
import { Segments } from "../../src/spool/segments.js";

describe("Segments", () => {
  it("gives back what was added, however many they are", () => {
    const segments = new Segments();
    const added = Array.from({ length: 1000 }, (_, i) => ({
      index: 999 - i,
      offset: i * 2 ** 23,
      sizeBytes: i === 7 ? 2 ** 33 : i,
      sourceOffset: i % 100 === 0 ? i * 2 ** 24 : 0,
      ...(i % 100 === 0 && { areLines: true }),
      ...(i === 5 && { damage: "a wrong CRC" }),
    }));
    for (const { index, offset, sizeBytes, ...details } of added)
      segments.add(index, offset, sizeBytes, details);
    expect([...segments]).toEqual(added);
    expect([...segments.close()]).toEqual(added);
    expect(segments.count).toBe(1000);
  });

  it("counts again where it is counted again", () => {
    const segments = new Segments();
    segments.add(4, 0, 10, {});
    segments.add(9, 10, 10, {});
    segments.setCounts(0, 3, 1);
    segments.setCounts(0, 2, 2);
    expect([...segments.close().counts()]).toEqual([
      { index: 4, rows: 2, quarantined: 2 },
      { index: 9, rows: 0, quarantined: 0 },
    ]);
  });
});
