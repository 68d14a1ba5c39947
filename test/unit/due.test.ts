/** Which hours of a long range may have objects, by the folders that exist. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { hoursBetween, parseHour, parseHourOrDay } from "../../src/hour.js";
import { RawFolders } from "../../src/hours/discovery.js";
import { hoursWithFolders } from "../../src/hours/folders.js";
import { parseLocation, rawPrefix } from "../../src/layout.js";
import { LocalStore } from "../../src/store/local.js";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "hourpack-due-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** What is found of 2022 to 2024, and how many listings it took. */
async function found(template: string, hours: string[]) {
  // The template of a bucket, whose fixed folders are part of it.
  const raw = { location: parseLocation(root), template };
  for (const hour of hours) mkdirSync(join(root, rawPrefix(raw, parseHour(hour))), { recursive: true });
  const store = new LocalStore(root);
  const listed: string[] = [];
  const counting = new Proxy(store, {
    get: (target, name) =>
      name === "listPrefixes"
        ? (prefix: string) => {
            listed.push(prefix);
            return target.listPrefixes(prefix);
          }
        : Reflect.get(target, name),
  });
  const all = hoursBetween(parseHourOrDay("2022-01-01"), parseHourOrDay("2025-01-01"));
  return { hours: await hoursWithFolders(counting, raw, all), listings: listed.length };
}

describe("hours that may have objects", () => {
  it("are those whose folders are there; a listing a folder on the way", async () => {
    const hours = ["2022-03-01T05", "2022-03-01T06", "2024-12-31T23"];
    const { hours: seen, listings } = await found("e/year={yyyy}/month={MM}/day={dd}/hour={HH}/", hours);
    expect(seen).toEqual(hours);
    // Two years, in each a month, in each a day.
    expect(listings).toBe(1 + 2 + 2 + 2);
  });

  it("are none where nothing is there, for one listing", async () => {
    expect(await found("e/{yyyy}/{MM}/{dd}/{HH}/", [])).toEqual({ hours: [], listings: 1 });
  });

  it("come in order, whatever order the folders have", async () => {
    const hours = ["2022-01-01T07", "2022-01-02T03", "2023-05-05T00"];
    expect((await found("{HH}/{dd}-{MM}/{yyyy}/", hours)).hours).toEqual(hours);
  });

  it("are all of a day where the hour is within the names of objects", async () => {
    mkdirSync(join(root, "logs/2023/02/03"), { recursive: true });
    const { hours } = await found("logs/{yyyy}/{MM}/{dd}/trail_{yyyy}{MM}{dd}T{HH}", []);
    expect(hours).toEqual(hoursBetween(parseHourOrDay("2023-02-03"), parseHourOrDay("2023-02-04")));
  });

  it("are found past folders of one name", async () => {
    const hours = ["2022-07-26T00"];
    expect((await found("a/dt={yyyy}-{MM}-{dd}/events/hour={HH}/", hours)).hours).toEqual(hours);
  });
});

describe("from the oldest to the newest hour", () => {
  const range = async (template: string, folders: string[]) => {
    for (const folder of folders) mkdirSync(join(root, folder), { recursive: true });
    return new RawFolders(new LocalStore(root)).range({ template });
  };

  it.each([
    [
      "e/year={yyyy}/month={MM}/day={dd}/hour={HH}/",
      ["e/year=2022/month=07/day=26/hour=03"],
      ["2022-07-26T03", "2022-07-26T04"],
    ],
    // Of a day's folder nothing tells which of its hours have objects.
    ["logs/{yyyy}/{MM}/{dd}/x_{yyyy}{MM}{dd}T{HH}", ["logs/2022/07/26"], ["2022-07-26T00", "2022-07-27T00"]],
    // An older year has no hours, and other folders lie beside.
    [
      "{yyyy}/{MM}/{dd}/{HH}/",
      ["2019/01", "2022/07/26/23", "2022/07/27/00", "0old"],
      ["2022-07-26T23", "2022-07-27T01"],
    ],
    [
      "a/dt={yyyy}-{MM}-{dd}/events/hour={HH}/",
      ["a/dt=2022-07-26/events/hour=09"],
      ["2022-07-26T09", "2022-07-26T10"],
    ],
    ["{yyyy}/{MM}/{dd}/{HH}/", ["2022/07", "other"], undefined],
  ])("of %s", async (template, folders, hours) => {
    const found = await range(template, folders);
    expect(found && [found.from, found.to]).toEqual(hours);
  });
});
