/** A gzip read in stretches gives the same bytes, and the same damage, as one read from memory. */
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { expect, it } from "vitest";
import { gunzipStream, gunzipWithin } from "../../src/record/gunzip.js";
import { inMemory, stretchesOf } from "../../src/record/window.js";

const LIMITS = { maxRatio: 200, maxBytes: 512 << 20 };

async function streamed(stored: Buffer, stretchBytes: number, limits = LIMITS) {
  const chunks = gunzipStream(stretchesOf(inMemory(stored), stretchBytes), stored.length, limits);
  const bytes: Buffer[] = [];
  for (;;) {
    const next = await chunks.next();
    if (!next.done) bytes.push(Buffer.from(next.value));
    else return next.value === undefined ? { bytes: Buffer.concat(bytes) } : { damage: next.value };
  }
}

const member = fc.uint8Array({ maxLength: 50 }).map((bytes) => gzipSync(bytes));
const zeros = fc.integer({ min: 1, max: 40 }).map((count) => Buffer.alloc(count));
const anything = fc.uint8Array({ minLength: 1, maxLength: 20 }).map((bytes) => Buffer.from(bytes));
const stored = fc
  .tuple(
    fc.array(member, { minLength: 1, maxLength: 3 }),
    fc.array(fc.oneof(member, zeros, anything), { maxLength: 2 }),
    fc.nat(20),
    fc.nat(),
  )
  .map(([members, more, dice, place]) => {
    const bytes = Buffer.concat([...members, ...more]);
    const at = place % bytes.length;
    if (dice < 3) return bytes.subarray(0, at);
    if (dice === 3) bytes[at] = (bytes[at] as number) ^ 1;
    return bytes;
  });

it("whole members, padding, cut ones, wrong checksums and what follows the end", async () => {
  const property = fc.asyncProperty(stored, fc.integer({ min: 1, max: 60 }), async (bytes, stretchBytes) => {
    expect(await streamed(bytes, stretchBytes)).toEqual(await gunzipWithin(bytes, LIMITS));
  });
  await fc.assert(property, { numRuns: 2000 });
});

it("what grows beyond the limits is damage, and is not read on", async () => {
  const bytes = gzipSync(Buffer.alloc(65 << 20));
  const limits = { maxRatio: 1, maxBytes: 1 };
  const source = inMemory(bytes);
  let readBytes = 0;
  async function* counted() {
    for await (const stretch of stretchesOf(source, 1000)) {
      readBytes += stretch.length;
      yield stretch;
    }
    // Endless, if it were read on.
    for (;;) yield Buffer.alloc(1 << 20);
  }
  const chunks = gunzipStream(counted(), bytes.length, limits);
  let next = await chunks.next();
  while (!next.done) next = await chunks.next();
  expect(next.value).toBe("gzip grows beyond 1 times its size or 1 bytes");
  expect(await gunzipWithin(bytes, limits)).toEqual({ damage: next.value });
  expect(readBytes).toBeLessThanOrEqual(bytes.length);
});

it("an error of whoever brings the bytes is no damage", async () => {
  async function* failing() {
    yield gzipSync("{}").subarray(0, 10);
    throw new Error("changed since it was listed");
  }
  await expect(gunzipStream(failing(), 100, LIMITS).next()).rejects.toThrow("changed since it was listed");
});
