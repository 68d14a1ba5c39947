import { describe, expect, it } from "vitest";
import { HourLines } from "../../src/commands/hour-lines.js";

/** The hours of each line, where `of` is what is told of them one by one: `-` is like no other. */
function lines(of: string, hours = of.length): string[] {
  const told: string[] = [];
  const all = new HourLines<string>(hours, (alike) => told.push(alike.join("")));
  for (const hour of of) all.add(hour, hour === "-" ? undefined : hour);
  all.end();
  return told;
}

describe("lines of hours", () => {
  it("are one an hour for a day's hours", () => {
    expect(lines("a".repeat(24))).toEqual(Array.from({ length: 24 }, () => "a"));
  });

  it("are one for those in a row that are alike, where there are more", () => {
    expect(lines("a".repeat(25))).toEqual(["a".repeat(25)]);
    expect(lines("aab--aa", 25)).toEqual(["aa", "b", "-", "-", "aa"]);
  });
});
