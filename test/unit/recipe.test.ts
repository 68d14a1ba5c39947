import { describe, expect, it } from "vitest";
import type { Dataset } from "../../src/config/settings.js";
import { type Made, otherSettings, recipeOf, rowSettingsOf } from "../../src/recipe.js";

const dataset = {
  raw: { template: "e/{HH}/" },
  records: { text: "$" },
  unknown: "rescue",
  columns: undefined,
  zone: "UTC",
} as Dataset;
const columns: Dataset["columns"] = [];
const made = (of: Partial<Dataset>) => {
  const whole = { ...dataset, ...of };
  return { recipe: recipeOf(whole), settings: rowSettingsOf(whole) };
};

describe("what is another than when a part was made", () => {
  const today = { records: { text: "Records[*]", keys: ["Records"] }, zone: "Asia/Tokyo" };

  it.each<[Made, Partial<Dataset>, string]>([
    [made({}), { columns }, "columns"],
    [made({}), { unknown: "add" }, "unknown was rescue and is add"],
    [made({}), today, "records was $ and is Records[*], zone was UTC and is Asia/Tokyo"],
    [made({ raw: { ...dataset.raw, template: "f/" } }), { columns }, "raw was f/ and is e/{HH}/, columns"],
    [{ ...made({}), recipe: `0a-${made({}).recipe.split("-")[1]}` }, {}, "the version of hourpack"],
  ])("%#: is named, with both values where it is none of the columns", (then, now, text) => {
    expect(otherSettings(then, made(now))).toBe(text);
  });
});
