import type { Readable } from "node:stream";

/**
 * The lines of a stream of UTF-8, split at LF alone. (node:readline also splits at U+2028 and U+2029, which JSON leaves
 * unescaped in strings.)
 */
export async function* linesOf(input: Readable): AsyncGenerator<string> {
  let rest = "";
  input.setEncoding("utf8");
  for await (const chunk of input) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
  if (rest !== "") yield rest;
}
