import type { Readable } from "node:stream";

/**
 * The lines of a stream of UTF-8, split at LF alone. (node:readline also splits at U+2028 and U+2029, which JSON leaves
 * unescaped in strings.)
 */
export async function* linesOf(input: Readable): AsyncGenerator<string> {
  // Of the line that has not ended yet: joined once, since a line may be as long as thousands of chunks.
  let begun: string[] = [];
  input.setEncoding("utf8");
  for await (const chunk of input) {
    const lines = (chunk as string).split("\n");
    const rest = lines.pop();
    if (lines.length > 0) {
      lines[0] = begun.join("") + lines[0];
      begun = [];
      yield* lines;
    }
    if (rest) begun.push(rest);
  }
  if (begun.length > 0) yield begun.join("");
}
