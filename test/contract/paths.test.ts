/** Keys whose paths can be written in two ways: S3 signs what the path means, a look-alike what it received. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openS3Store } from "../../src/store/s3/s3.js";
import type { Store } from "../../src/store/store.js";
import {
  createBucket,
  credentialsEnv,
  type S3Server,
  s3Settings,
  startMinio,
  startVersitygw,
} from "../support/minio.js";
import { type Exchange, type Fault, S3Proxy } from "../support/proxy.js";

const KEYS = ["year=2022/month=07/a=b.json", "year=2022/%3D = +&é.json", "plain.json"];

const mismatch: Fault = async ({ method }) => {
  const xml = "<Error><Code>SignatureDoesNotMatch</Code><Message>It does not match.</Message></Error>";
  const body = Buffer.from(method === "HEAD" ? "" : xml);
  return { kind: "answer", answer: { status: 403, headers: [], body } };
};

describe.each([
  ["MinIO", startMinio],
  ["versitygw", startVersitygw],
])("over %s", (_, start) => {
  let server: S3Server;
  let proxy: S3Proxy;
  let store: Store;
  beforeEach(async () => {
    server = await start();
    Object.assign(process.env, credentialsEnv(server));
    proxy = await S3Proxy.start(server);
    const settings = s3Settings({ ...server, endpoint: proxy.endpoint });
    store = await openS3Store(await createBucket(server), { ...settings, retryBudgetMs: 2_000 });
  });
  afterEach(async () => {
    await store?.close();
    await proxy?.stop();
    await server?.stop();
  });

  async function thereAndBack(): Promise<void> {
    for (const key of KEYS) {
      const bytes = Buffer.from(key);
      expect(await store.put(key, bytes, { condition: { absent: true } })).toMatchObject({
        outcome: "written",
      });
      const head = await store.head(key);
      expect(head).toMatchObject({ key, sizeBytes: bytes.length });
      expect((await store.get(key, { etag: head?.etag })).toString()).toBe(key);
    }
    const listed: string[] = [];
    for await (const page of store.list("year=2022/")) listed.push(...page.map(({ key }) => key));
    expect(listed.toSorted()).toEqual(KEYS.slice(0, 2).toSorted());
    for (const key of KEYS) await store.delete(key);
    expect(await store.head(KEYS[0] as string)).toBeUndefined();
  }

  it("an = is sent as it is, and every request is made once", async () => {
    await thereAndBack();
    const objects = proxy.exchanges.filter(({ path }) => path.includes("year=2022/"));
    expect(objects.length).toBe(2 * 4 + 1);
    for (const { target } of objects) expect(target).toContain("/year=2022/");
    expect(objects.filter(({ target }) => target.includes("%253D")).length).toBe(4);
  });

  it("an = is escaped for a store that signs what it was sent, from the first refusal on", async () => {
    const hasPlain = ({ target }: Exchange) => target.split("?", 1)[0]?.includes("=") === true;
    proxy.hooks.fault = (exchange) => (hasPlain(exchange) ? mismatch : undefined);
    await thereAndBack();
    expect(proxy.exchanges.filter(hasPlain).length).toBe(1);
  });
});
