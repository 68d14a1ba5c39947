/**
 * The lines of a UTF-8 stream, split at LF only. (node:readline also splits at U+2028 and U+2029, which JSON leaves
 * unescaped in strings.)
 */
export async function* linesOf(input: AsyncIterable<Buffer>): AsyncGenerator<string> {
  // The line that has not ended yet. It is joined once, since it may span thousands of chunks, and kept as bytes: joined
  // strings took two more bytes for each byte of a long line.
  let begun: Buffer[] = [];
  const decoded = () => Buffer.concat(begun).toString("utf8");
  for await (const chunk of input) {
    const end = chunk.lastIndexOf(0x0a);
    begun.push(end < 0 ? chunk : chunk.subarray(0, end));
    if (end < 0) continue;
    const lines = decoded().split("\n");
    begun = [chunk.subarray(end + 1)];
    yield* lines;
  }
  const last = decoded();
  if (last !== "") yield last;
}

export async function firstOf<T>(stream: AsyncIterable<T>): Promise<T | undefined> {
  for await (const one of stream) return one;
  return undefined;
}
