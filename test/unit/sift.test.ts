/** What goes the exact way comes in chunks, whatever it is: nothing of a damaged object is held whole. */
import { expect, it } from "vitest";
import { Sifter } from "../../src/record/sift.js";
import { parseRecordPath } from "../../src/schema/path.js";

const schema = { version: 1, columns: [] };
const limits = { maxRecordBytes: 1 << 20 };

function chunksOf(text: string, path = "$") {
  const sifter = new Sifter(schema, parseRecordPath(path), "UTC", limits);
  return [...sifter.exactChunks(Buffer.from(text))];
}

it("also pieces of quarantine", () => {
  const chunks = chunksOf(`{"a":1}\n${"x\n".repeat(10_000)}`);
  expect(Math.max(...chunks.map(({ quarantine }) => quarantine.length))).toBeLessThanOrEqual(1000);
  expect(chunks.reduce((sum, { quarantine }) => sum + quarantine.length, 0)).toBe(10_000);
  expect(chunks.reduce((sum, { exact }) => sum + exact.length, 0)).toBe(1);
});

it("but not an envelope of which no record is a row so far: it is one piece of quarantine, or many", () => {
  const damage = Array(3000).fill("1").join(",");
  expect(chunksOf(`{"e":1,"r":[${damage}]}`, "r[*]").flatMap(({ quarantine }) => quarantine)).toHaveLength(1);
  const late = chunksOf(`{"e":1,"r":[${damage},{"a":1}]}`, "r[*]").flatMap(({ quarantine }) => quarantine);
  expect(late).toHaveLength(3000);
});
