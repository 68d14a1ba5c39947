import { resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { firstOpenHour, type Hour, hoursBetween, parseHour } from "../../src/hour.js";
import {
  attemptOfKey,
  isSkippedKey,
  manifestKey,
  manifestsPrefix,
  parseLocation,
  parseRawTemplate,
  partitionPrefix,
  partitionValues,
  partKey,
  partOfKey,
  rawBasePrefix,
  rawPrefix,
} from "../../src/layout.js";

const hour = parseHour("2022-07-26T00");

describe("hours", () => {
  it.each([
    "0001-01-01T00",
    "9999-12-31T23",
    "2022-07-26T24",
    "2022-02-30T00",
    "2022-7-26T00",
    "yesterday",
    "",
  ])("refuses %s", (text) => {
    expect(() => parseHour(text)).toThrow(
      expect.objectContaining({ kind: "invalid", hint: expect.any(String) }),
    );
  });

  it("counts over the end of a year, without the end", () => {
    expect(hoursBetween(parseHour("2022-12-31T22"), parseHour("2023-01-01T01"))).toEqual([
      "2022-12-31T22",
      "2022-12-31T23",
      "2023-01-01T00",
    ]);
  });

  it("closes an hour `settle` after its end", () => {
    const at = (text: string) => firstOpenHour(Date.parse(text), 300_000);
    expect(at("2022-07-26T01:04:59Z")).toBe("2022-07-26T00");
    expect(at("2022-07-26T01:05:00Z")).toBe("2022-07-26T01");
  });
});

describe("tier 1", () => {
  it("has one deterministic key an hour", () => {
    const key = partKey("mmp/", "mmp_android", hour);
    expect(key).toBe("mmp/year=2022/month=07/day=26/hour=00/mmp_android-2022072600.snappy.parquet");
    expect(partOfKey("mmp/", key)).toEqual({ table: "mmp_android", hour });
    expect(partOfKey("mmp/", key.replace("hour=00", "hour=01"))).toBeUndefined();
    expect(partOfKey("", key)).toBeUndefined();
  });

  it.each(["2022-13-01T00", "2022-02-30T00", "2022-07-26T24", "0001-01-01T00", "9999-12-31T23"])(
    "takes no key for one of an hour that cannot be: %s",
    (text) => {
      const no = text as Hour;
      expect(partOfKey("", partKey("", "t", no))).toBeUndefined();
      const attempt = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
      expect(attemptOfKey(manifestsPrefix(""), manifestKey("", no, attempt))).toBeUndefined();
      expect(attemptOfKey(manifestsPrefix(""), manifestKey("", hour, attempt))).toEqual({ hour, attempt });
    },
  );

  it("takes no name for an attempt whose time no clock shows", () => {
    const key = manifestKey("", hour, "Z".repeat(26));
    expect(attemptOfKey(manifestsPrefix(""), key)).toBeUndefined();
  });

  it("spells partitions as Glue holds them, and locations with two digits", () => {
    expect(partitionValues(hour)).toEqual(["2022", "7", "26", "0"]);
    expect(partitionPrefix(hour)).toBe("year=2022/month=07/day=26/hour=00/");
  });

  it.each(["a/_SUCCESS", "a/.crc", "a/"])("skips %s", (key) => expect(isSkippedKey(key)).toBe(true));
  it.each(["a/b", "_a/b", ".a/b"])("takes %s", (key) => expect(isSkippedKey(key)).toBe(false));
});

describe("raw templates", () => {
  it("takes Hive style and Firehose's plain dates", () => {
    const hive = parseRawTemplate("s3://lake-raw/mmp/year={yyyy}/month={MM}/day={dd}/hour={HH}/");
    expect(hive.location).toEqual({ scheme: "s3", root: "lake-raw", prefix: "" });
    expect(rawPrefix(hive, hour)).toBe("mmp/year=2022/month=07/day=26/hour=00/");
    expect(rawBasePrefix(hive)).toBe("mmp/");
    expect(rawPrefix(parseRawTemplate("s3://lake-raw/{yyyy}/{MM}/{dd}/{HH}/"), hour)).toBe("2022/07/26/00/");
  });

  it("takes a directory, with a file prefix behind the hour", () => {
    const raw = parseRawTemplate("./raw/a/{yyyy}-{MM}-{dd}/{HH}");
    expect(raw.location).toEqual({ scheme: "file", root: resolve("raw/a"), prefix: "" });
    expect(rawPrefix(raw, hour)).toBe("2022-07-26/00");
  });

  it.each([
    ["s3://lake-raw/{yyyy}/{MM}/{dd}/", /lacks \{HH\}/],
    ["s3://lake-raw/{yyyy}/{MM}/{dd}/{hour}/", /unknown placeholder \{hour\}/],
    ["gs://lake-raw/{yyyy}/{MM}/{dd}/{HH}/", /neither/],
    ["s3://Lake_Raw/{yyyy}/{MM}/{dd}/{HH}/", /no valid bucket/],
  ])("refuses %s", (uri, message) => expect(() => parseRawTemplate(uri)).toThrow(message));

  it("adds the slash that a prefix lacks", () => {
    expect(parseLocation("s3://lake/a/b").prefix).toBe("a/b/");
    expect(parseLocation("s3://lake").prefix).toBe("");
  });
});
