/**
 * Values too large to be held are read in another way, which must give the same result: a value kept as its text converts to
 * what its tree converts to.
 *
 * HOURPACK_PROPERTY_RUNS: how many records, in thousandths of the ordinary run (1,000 means 3,000 records).
 * HOURPACK_PROPERTY_SEED: repeats a run that failed.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { resolveColumns } from "../../src/config/columns.js";
import { compileSchema } from "../../src/record/convert.js";
import { Shape } from "../../src/record/inference.js";
import {
  asObject,
  DEPTH_MAX,
  isFiniteJson,
  isWellFormed,
  type JsonObject,
  type JsonValue,
  parseJson,
} from "../../src/record/json.js";
import { writeJson } from "../../src/record/write.js";
import { bytesOf, randomDataset, type Style, write } from "../support/random-records.js";

const RUNS = Number(process.env["HOURPACK_PROPERTY_RUNS"] ?? 1000);
const SEED = process.env["HOURPACK_PROPERTY_SEED"];
const parameters = (numRuns: number) => ({ numRuns, ...(SEED ? { seed: Number(SEED) } : {}) });

const records = randomDataset.chain(({ options, record }) =>
  fc.tuple(record, fc.constantFrom<Style>("compact", "spaced", "indented")).map(([value, how]) => ({
    options,
    text: bytesOf(write(value, how))
      .toString("utf8")
      .replace(/(?<=[^{\s]\s*)}$/, ",}"),
  })),
);

/** Everything that is asked of a record. */
function facts(
  record: JsonValue,
  options: { columns?: Parameters<typeof resolveColumns>[0]; zone: string },
): unknown[] {
  const object = asObject(record) as JsonObject;
  const shape = new Shape();
  shape.observe(object);
  const columns = options.columns ? resolveColumns(options.columns, [], () => "here") : shape.columns();
  const compiled = compileSchema({ version: 1, columns }, options.zone);
  const isWritten = isFiniteJson(record);
  return [
    shape.columns(),
    compiled.convert(object),
    compiled.convert(object, object),
    isWellFormed(record),
    isWritten && writeJson(record),
  ];
}

test(
  "a record kept as its text is the record",
  () => {
    const property = fc.property(records, ({ options, text }) => {
      const tree = parseJson(text);
      const asText = parseJson(text, 0, DEPTH_MAX, 0);
      expect({ ...asText, value: null }).toEqual({ ...tree, value: null });
      expect(facts(asText.value, options)).toEqual(facts(tree.value, options));
    });
    fc.assert(property, parameters(3 * RUNS));
  },
  60_000 + RUNS * 60,
);
