import { expect, it } from "vitest";
import { linesOf } from "../../src/streams.js";

it.each([1, 2, 3, 1_000])(
  "lines end at line feeds alone, whatever chunks of %i bytes cut through",
  async (sizeBytes) => {
    const text = '{"a":"é\u{1f600}"}\n\n"\u2028\u2029\r"\nthe last has no end';
    const bytes = Buffer.from(text);
    const chunks = async function* () {
      for (let at = 0; at < bytes.length; at += sizeBytes) yield bytes.subarray(at, at + sizeBytes);
    };
    const lines: string[] = [];
    for await (const line of linesOf(chunks())) lines.push(line);
    expect(lines).toEqual(text.split("\n"));
  },
);
