/** Answers that a store does not give, but something before it may: none of them is taken for the store's. */
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, it, onTestFinished } from "vitest";
import { openS3Store } from "../../src/store/s3/s3.js";
import { s3Settings } from "../support/minio.js";

async function storeThat(answers: (request: IncomingMessage, response: ServerResponse) => void) {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    request.resume().on("end", () => answers(request, response));
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  Object.assign(process.env, {
    AWS_ACCESS_KEY_ID: "key",
    AWS_SECRET_ACCESS_KEY: "secret",
    AWS_REGION: "us-east-1",
  });
  const store = await openS3Store("lake", { ...s3Settings({ endpoint }), retryBudgetMs: 1_000 });
  onTestFinished(async () => {
    await store.close();
    server.closeAllConnections();
    server.close();
  });
  return { store, asked };
}

const page = (rest: string) =>
  `<?xml version="1.0" encoding="UTF-8"?><ListBucketResult><Name>lake</Name><EncodingType>url</EncodingType>${rest}</ListBucketResult>`;

async function listed(xml: string) {
  const { store, asked } = await storeThat((_, response) => response.end(xml));
  const pages = (async () => {
    for await (const _ of store.list("a/"));
  })();
  return { pages, asked };
}

it.each([
  ["nothing", "", /no IsTruncated/],
  ["a page of HTML", "<html><body>busy</body></html>", /no IsTruncated/],
  ["a listing that does not say whether it ends", page(""), /no IsTruncated/],
  [
    "a page without the next one's token",
    page("<IsTruncated>true</IsTruncated>"),
    /no NextContinuationToken/,
  ],
  ["half a listing", page("<IsTruncated>false</IsTruncated>").slice(0, -20), /parse error/],
])("%s is no listing", async (_, xml, message) => {
  const { pages } = await listed(xml);
  await expect(pages).rejects.toMatchObject({ kind: "unavailable", message: expect.stringMatching(message) });
});

it("a listing whose pages all lead to the same next one ends", async () => {
  const next = "<NextContinuationToken>t</NextContinuationToken><IsTruncated>true</IsTruncated>";
  const { pages, asked } = await listed(page(next));
  await expect(pages).rejects.toMatchObject({
    kind: "unavailable",
    message: expect.stringMatching(/same next page/),
  });
  expect(asked.length).toBe(2);
});

it("a write whose answer names no version may not have been stored", async () => {
  const { store } = await storeThat((_, response) => response.end("<html>busy</html>"));
  await expect(store.put("a", Buffer.from("x"))).rejects.toMatchObject({
    kind: "unavailable",
    message: expect.stringContaining("no ETag"),
  });
});

it("of an answer that does not end no more is read than was listed", async () => {
  let sentBytes = 0;
  const { store } = await storeThat((_, response) => {
    response.setHeader("ETag", '"e"');
    const chunk = Buffer.alloc(1 << 16);
    const more = () => {
      while (!response.destroyed && response.write(chunk)) sentBytes += chunk.length;
    };
    response.on("drain", more);
    more();
  });
  await expect(store.get("a", { etag: "e", sizeBytes: 320 })).rejects.toMatchObject({
    kind: "unavailable",
    message: expect.stringContaining("of 320 bytes came"),
  });
  expect(sentBytes).toBeLessThan(256 << 20);
});
