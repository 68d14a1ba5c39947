import { describe, expect, it } from "vitest";
import { count, counted } from "../../src/words.js";

describe("numbers in sentences", () => {
  it.each([
    [0, "0"],
    [999, "999"],
    [1_000, "1,000"],
    [999.5, "1,000"],
    [-36_000, "-36,000"],
    [123_456_789, "123,456,789"],
  ])("%d is %s", (number, text) => {
    expect(count(number)).toBe(text);
  });

  it("agree with their noun", () => {
    expect([counted(1, "object"), counted(3, "object")]).toEqual(["1 object", "3 objects"]);
    expect([counted(2, "query"), counted(2, "day")]).toEqual(["2 queries", "2 days"]);
  });
});
