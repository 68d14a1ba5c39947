/** Ranges of an object arrive whole and in the right place, however a store or a proxy in front of it answers. */
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { openS3Store } from "../../src/store/s3/s3.js";
import type { Store } from "../../src/store/store.js";
import { createBucket, credentialsEnv, type S3Server, s3Settings, startMinio } from "../support/minio.js";
import { type Answer, type Fault, S3Proxy } from "../support/proxy.js";

let minio: S3Server;
let proxy: S3Proxy;
let store: Store;
const object = randomBytes(300_000);
const KEY = "large.json";

beforeAll(async () => {
  minio = await startMinio();
  Object.assign(process.env, credentialsEnv(minio));
  proxy = await S3Proxy.start(minio);
  const settings = { ...s3Settings({ ...minio, endpoint: proxy.endpoint }), retryBudgetMs: 2_000 };
  store = await openS3Store(await createBucket(minio), settings);
  await store.put(KEY, object);
});
afterAll(async () => {
  await store?.close();
  await proxy?.stop();
  await minio?.stop();
});
beforeEach(() => {
  proxy.hooks = {};
});

/** Each GET is answered so; `n` from 1 on. */
function answered(change: (answer: Answer, n: number) => Answer): void {
  let gets = 0;
  const fault: Fault = async (_exchange, forward) => {
    gets++;
    return { kind: "answer", answer: change(await forward(), gets) };
  };
  proxy.hooks = { fault: ({ operation }) => (operation === "GetObject" ? fault : undefined) };
}

function without(name: string, { headers, ...answer }: Answer): Answer {
  const kept = headers.filter((_, i) => headers[i - (i % 2)]?.toLowerCase() !== name);
  return { ...answer, headers: kept };
}

async function get(start: number, end: number): Promise<Buffer> {
  const into = Buffer.alloc(end - start, "x");
  const got = await store.get(KEY, { range: { start, end }, sizeBytes: into.length, allocate: () => into });
  expect(got.buffer).toBe(into.buffer);
  expect(got.equals(into)).toBe(true);
  return into;
}

const WAYS: [string, (answer: Answer, n: number) => Answer][] = [
  ["as it is", (answer) => answer],
  ["in chunks", (answer) => without("content-length", answer)],
  [
    "by a refusal first",
    (answer, n) => (n === 1 ? { status: 403, headers: [], body: Buffer.alloc(0) } : answer),
  ],
];

describe.each(WAYS)("answered %s", (_, change) => {
  it.each([
    [0, 100_000],
    [100_000, 250_000],
    [250_000, 300_000],
    [0, 300_000],
  ])("bytes %i to %i", async (start, end) => {
    answered(change);
    expect((await get(start, end)).equals(object.subarray(start, end))).toBe(true);
  });
});

describe.each([
  ["with its length", (answer: Answer) => answer],
  ["in chunks", (answer: Answer) => without("content-length", answer)],
])("the whole object in place of a range, %s", (_, change) => {
  const whole = (answer: Answer): Answer => {
    const headers = without("content-range", without("content-length", answer)).headers;
    return { status: 200, headers: [...headers, "Content-Length", String(object.length)], body: object };
  };

  it.each([
    [0, 100_000],
    [100_000, 250_000],
  ])("is refused: bytes %i to %i", async (start, end) => {
    answered((answer) => change(whole(answer)));
    await expect(get(start, end)).rejects.toThrow(
      /more bytes came than were asked for|the whole object came/,
    );
  });

  it("is taken where it is the range", async () => {
    answered((answer) => change(whole(answer)));
    expect((await get(0, 300_000)).equals(object)).toBe(true);
  });
});

it("another range than was asked for is refused", async () => {
  answered((answer) => {
    const headers = without("content-range", answer).headers;
    return { ...answer, headers: [...headers, "Content-Range", "bytes 0-149999/300000"] };
  });
  await expect(get(100_000, 250_000)).rejects.toThrow("were asked for, and bytes 0-149999/300000 came");
});
