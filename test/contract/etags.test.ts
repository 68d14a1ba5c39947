/** ETags as MD5s: a body that does not match is damage if the store's ETags are MD5s, and no damage if a look-alike's are not. */
import { createHash } from "node:crypto";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { openS3Store } from "../../src/store/s3/s3.js";
import type { Store } from "../../src/store/store.js";
import { createBucket, credentialsEnv, type S3Server, s3Settings, startMinio } from "../support/minio.js";
import { type Answer, S3Proxy } from "../support/proxy.js";

let minio: S3Server;
let proxy: S3Proxy;
let buckets: string[];
const notices: string[] = [];
const listen = (message: unknown) => notices.push((message as { text: string }).text);

beforeAll(async () => {
  minio = await startMinio();
  Object.assign(process.env, credentialsEnv(minio));
  proxy = await S3Proxy.start(minio);
  buckets = [await createBucket(minio), await createBucket(minio)];
  subscribe("hourpack:notice", listen);
});
afterAll(async () => {
  unsubscribe("hourpack:notice", listen);
  await proxy?.stop();
  await minio?.stop();
});
beforeEach(() => {
  proxy.hooks = {};
  notices.length = 0;
});

/** Two buckets as one run has them. */
async function withStores(task: (raw: Store, tier1: Store) => Promise<void>): Promise<void> {
  const settings = { ...s3Settings({ ...minio, endpoint: proxy.endpoint }), retryBudgetMs: 1_000 };
  const [raw, tier1] = [
    await openS3Store(buckets[0] ?? "", settings),
    await openS3Store(buckets[1] ?? "", settings),
  ];
  try {
    await task(raw, tier1);
  } finally {
    for (const store of [raw, tier1]) await store.close();
  }
}

/** All answers about objects whose keys fit are changed. */
function changed(keys: RegExp, change: (answer: Answer, key: string) => Answer): void {
  proxy.hooks = {
    fault: ({ operation, path }) =>
      keys.test(path) && /Object$/.test(operation)
        ? async (_, forward) => ({ kind: "answer", answer: change(await forward(), path) })
        : undefined,
  };
}

/** A cache with a damaged copy: other bytes, the same each time, under the right length and ETag. */
const damaged = (answer: Answer): Answer => ({
  ...answer,
  body: Buffer.from(answer.body.toString().replace("1000", "9000")),
});

/** A look-alike whose ETags look like MD5s and are none. */
function ofOtherIdeas(answer: Answer, key: string): Answer {
  const etag = `"${createHash("md5").update(`no body, but ${key}`).digest("hex")}"`;
  const headers = answer.headers.map((value, i) =>
    i % 2 === 1 && answer.headers[i - 1]?.toLowerCase() === "etag" ? etag : value,
  );
  return { ...answer, headers };
}

const BODY = Buffer.from('{"amount":1000}\n');

it("the only object of a bucket, damaged the same way each time, is not taken for whole after a write elsewhere", async () => {
  await withStores((raw) => raw.put("only.json", BODY).then(() => {}));
  changed(/only/, damaged);
  await withStores(async (raw, tier1) => {
    await tier1.put("claim.json", Buffer.from("{}"));
    await expect(raw.get("only.json")).rejects.toMatchObject({
      kind: "unavailable",
      message: expect.stringMatching(/only\.json: its bytes have the MD5 [0-9a-f]{32}, its ETag says/),
      hint: expect.stringContaining("cache"),
    });
  });
  expect(notices).toEqual([]);
});

it("so it is after another object was read", async () => {
  await withStores(async (raw, tier1) => {
    await raw.put("one.json", BODY);
    await tier1.put("other.json", BODY);
  });
  changed(/one/, damaged);
  await withStores(async (raw, tier1) => {
    await tier1.get("other.json");
    await expect(raw.get("one.json")).rejects.toThrow("its bytes have the MD5");
  });
});

it("where no ETag ever was an MD5 they are given up, and that is told once", async () => {
  changed(/./, ofOtherIdeas);
  await withStores(async (raw) => {
    for (const key of ["a.json", "b.json", "c.json"]) {
      await raw.put(key, BODY);
      expect((await raw.get(key)).equals(BODY)).toBe(true);
    }
  });
  expect(notices).toEqual([expect.stringMatching(/a\.json has the MD5 .*ETags seem to be no MD5s/)]);
});
