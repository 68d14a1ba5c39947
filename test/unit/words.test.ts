import { describe, expect, it } from "vitest";
import { commandText } from "../../src/command-text.js";
import { parseHour } from "../../src/hour.js";
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

describe("a command to type", () => {
  const hour = parseHour("2022-07-26T00");
  const [one, two] = [{ datasets: [{}] }, { datasets: [{}, {}] }];

  it.each([
    [one, { dataset: "mmp/android" }, "`hourpack run`"],
    [
      one,
      { dataset: "mmp/android", hours: hour, flags: "--rebuild" },
      `\`hourpack run --hour ${hour} --rebuild\``,
    ],
    [
      two,
      { dataset: "mmp/android", hours: hour, flags: "--rebuild" },
      `\`hourpack run --dataset mmp/android --hour ${hour} --rebuild\``,
    ],
    [two, { dataset: ["a", "b"], hours: hour }, `\`hourpack run --dataset a --dataset b --hour ${hour}\``],
    [
      two,
      { dataset: "a", hours: { from: hour, to: parseHour("2022-07-26T01") } },
      `\`hourpack run --dataset a --hour ${hour}\``,
    ],
    [
      two,
      { dataset: "a", hours: { from: hour, to: parseHour("2022-07-27T02") } },
      "`hourpack run --dataset a --from 2022-07-26 --to 2022-07-27T02`",
    ],
  ])("names the dataset only where others are configured, %#", (settings, of, text) => {
    expect(commandText("run", settings, of)).toBe(text);
  });
});
