import { describe, expect, it } from "vitest";
import { commandText } from "../../src/command-text.js";
import { type Hour, hoursText, parseHour } from "../../src/hour.js";
import { agreeing, count, counted } from "../../src/words.js";

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
    expect([agreeing(1, "is"), agreeing(0, "is"), agreeing(3, "has")]).toEqual(["is", "are", "have"]);
    expect([counted(2, "query"), counted(2, "day")]).toEqual(["2 queries", "2 days"]);
  });
});

describe("a command to type", () => {
  const hour = parseHour("2022-07-26T00");
  const [one, two] = [
    { datasets: [{ name: "mmp/android" }] },
    { datasets: [{ name: "a" }, { name: "b/eu west" }] },
  ];

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
    [{ ...two, file: "hourpack.yaml" }, { dataset: "a" }, "`hourpack run --dataset a`"],
    [
      { ...two, file: "conf/lake.yaml" },
      { dataset: "a", hours: hour },
      `\`hourpack run --config conf/lake.yaml --dataset a --hour ${hour}\``,
    ],
    [
      { file: "my lake's.yaml", datasets: one.datasets },
      { dataset: "a" },
      "`hourpack run --config 'my lake'\\''s.yaml'`",
    ],
    [two, { dataset: "b/eu west" }, "`hourpack run --dataset 'b/eu west'`"],
    [
      { ...two, flags: [{ text: "--ahead" }, { text: "--zone ''", dataset: "b" }] },
      { dataset: "b/eu west", hours: hour },
      `\`hourpack run --dataset 'b/eu west' --hour ${hour} --ahead --zone ''\``,
    ],
    [
      { ...two, flags: [{ text: "--ahead" }, { text: "--zone ''", dataset: "b" }] },
      {},
      "`hourpack run --ahead`",
    ],
    [
      { ...one, flags: [{ text: "--max-quarantine 0" }, { text: "--spool-dir=-a" }] },
      { dataset: "mmp/android", flags: "--rebuild --max-quarantine 1" },
      "`hourpack run --rebuild --max-quarantine 1 --spool-dir=-a`",
    ],
    [{ file: "/dev/fd/63", datasets: one.datasets }, { dataset: "a" }, "`hourpack run`"],
  ])(
    "names the dataset only where others are configured, and the file where it is not found by itself, %#",
    (settings, of, text) => {
      expect(commandText("run", settings, of)).toBe(text);
    },
  );
});

it("hours in a row are told from the first to the last, and others between them", () => {
  const [first, second, third] = ["2022-07-26T00", "2022-07-26T01", "2022-07-26T02"].map(parseHour) as [
    Hour,
    Hour,
    Hour,
  ];
  expect(hoursText([first])).toBe(first);
  expect(hoursText([first, second, third])).toBe(`3 hours from ${first} to ${third}`);
  expect(hoursText([first, third])).toBe(`2 hours between ${first} and ${third}`);
});
