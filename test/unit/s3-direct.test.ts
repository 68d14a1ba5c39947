/** Requests that we sign ourselves, and what they need to know before the first one. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { S3Client } from "@aws-sdk/client-s3";
import { expect, it, onTestFinished } from "vitest";
import { DirectRequests } from "../../src/store/s3/direct.js";
import { s3Settings } from "../support/minio.js";

it("asks again for a region that could not be told", async () => {
  const server = createServer((_, response) => response.end("body"));
  await once(server.listen(0, "127.0.0.1"), "listening");
  onTestFinished(() => void server.close());
  const settings = s3Settings({ endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
  let asked = 0;
  const client = new S3Client({
    endpoint: settings.endpoint,
    forcePathStyle: true,
    credentials: { accessKeyId: "key", secretAccessKey: "secret" },
    region: async () => {
      if (++asked === 1) throw new Error("no answer from 169.254.169.254");
      return "us-east-1";
    },
  });
  const direct = new DirectRequests("bucket", settings, client);
  onTestFinished(() => direct.close());
  const request = { doing: "read", method: "GET", key: "a" } as const;
  await expect(direct.send(request)).rejects.toThrow("no answer from 169.254.169.254");
  expect(await direct.send(request)).toMatchObject({ status: 200, bytes: Buffer.from("body") });
});
