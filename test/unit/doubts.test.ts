import { expect, it } from "vitest";
import { Doubts } from "../../src/record/doubts.js";
import { Shape } from "../../src/record/inference.js";
import { type JsonObject, parseJson } from "../../src/record/json.js";

/** Of a column `A` of these values, each in a record of its own. */
function doubtOf(...values: string[]) {
  const records = values.map((text) => parseJson(`{"A":${text},"b":1}`).value as JsonObject);
  const shape = new Shape();
  for (const record of records) shape.observe(record);
  const doubts = new Doubts(shape.columns());
  for (const record of records) doubts.observe(record);
  return doubts.found().get("a");
}

it.each([
  ["seconds", ["946684800", "null", "4102444799"], "s"],
  ["a second before 2000", ["946684799", "1658793600"], undefined],
  ["the first of 2100", ["4102444800", "1658793600"], undefined],
  ["milliseconds", ["1658793600123", "1658793600124"], "ms"],
  ["seconds and milliseconds", ["1658793600", "1658793600123"], undefined],
  ["microseconds", ["1658793600123456", "1658793600123457"], undefined],
  ["seconds with fractions", ["1658793600.5", "1658793600"], undefined],
  ["texts of seconds", ['"1658793600"', '"1658793601"'], undefined],
  ["empty arrays", ["[]", "[]"], "empty"],
  ["an array with an element", ["[]", "[1]"], undefined],
  ["one value of two", ['"x"', "null"], "single"],
  ["one record", ['"x"'], undefined],
  ["two values", ['"x"', '"x"'], undefined],
  ["nothing", ["null", "null"], undefined],
  ["a number beyond 64 bits among ids", ["7", "-8", "99999999999999999999"], "large"],
  ["as many of either", ["7", "99999999999999999999"], undefined],
])("%s", (_what, values, wanted) => {
  expect(doubtOf(...values)).toBe(wanted);
});
