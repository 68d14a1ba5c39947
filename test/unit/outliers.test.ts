import { expect, it } from "vitest";
import { Shape } from "../../src/record/inference.js";
import { type JsonObject, parseJson } from "../../src/record/json.js";
import { Outliers } from "../../src/record/outliers.js";

/** A column `A` of these values, each in an object of its own. */
function outlierOf(...values: string[]) {
  const records = values.map((text) => parseJson(`{"A":${text}}`).value as JsonObject);
  const shape = new Shape();
  for (const record of records) shape.observe(record);
  const outliers = new Outliers(shape.columns());
  for (const [i, record] of records.entries()) outliers.observe(record, `object ${i}`);
  return outliers.found().get("a");
}

it.each([
  ["a text among integers", ["1", '"n/a"', "2", '"-"'], undefined],
  ["a text among more integers", ["1", "2", '"n/a"', "3"], ["bigint", 3, 4, "string", "object 2"]],
  ["a text among numbers", ["1", "2.5", "3", '"n/a"'], ["double", 3, 4, "string", "object 3"]],
  ["an integer among texts", ['"a"', '"b"', "1"], undefined],
  ["a list among structs", ['{"x":1}', "null", '{"x":2}', "[]"], ["struct", 2, 3, "array", "object 3"]],
  [
    "a word among times",
    ['"2022-07-26T00:00:01Z"', '"2022-07-26T00:00:02Z"', '"now"'],
    ["timestamp", 2, 3, "string", "object 2"],
  ],
  [
    "a day among times",
    ['"2022-07-26T00:00:01Z"', '"2022-07-26T00:00:02Z"', '"2022-07-26"'],
    ["timestamp", 2, 3, "date", "object 2"],
  ],
  ["values of one type", ["1", "2"], undefined],
  ["numbers that no type takes together", ["0.1", "12345678901234567890"], undefined],
])("%s", (_what, values, wanted) => {
  const found = outlierOf(...values);
  expect(found && [found.usual.kind, found.count, found.of, found.kind, found.object]).toEqual(wanted);
});
