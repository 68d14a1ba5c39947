import { describe, expect, it } from "vitest";
import { packed } from "../../src/store/local-names.js";

describe("the names of a folder", () => {
  it.each([0, 1, 1000, 1001, 2500])("come back as they were: %i of them", (count) => {
    const names = Array.from({ length: count }, (_, i) => `${i}-\n é\u{1F680}${i % 3 ? "" : "/"}`);
    expect([...packed([...names])]).toEqual(names);
  });

  it("are not held twice where there are many", () => {
    const names = Array.from({ length: 1001 }, (_, i) => `${i}`);
    const result = packed(names);
    expect(names).toEqual([]);
    expect([...result]).toHaveLength(1001);
  });
});
