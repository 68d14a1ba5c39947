/** Signatures against the examples of "Authenticating Requests: Using the Authorization Header", S3 API Reference. */
import { expect, it } from "vitest";
import { encodePath, RequestSigner } from "../../src/store/s3/sign.js";

const NOW_MS = Date.UTC(2013, 4, 24);
const scope = { host: "examplebucket.s3.amazonaws.com", region: "us-east-1", service: "s3" };
const credentials = {
  accessKeyId: "AKIAIOSFODNN7EXAMPLE",
  secretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
};
const signer = () => new RequestSigner(scope, async () => credentials);
const lines = (head: string) => head.split("\r\n");

it("signs a GET with a header of its own", async () => {
  const headers = { range: "bytes=0-9" };
  const head = await signer().head({ method: "GET", path: "/test.txt", headers }, NOW_MS);
  expect(lines(head)[0]).toBe("GET /test.txt HTTP/1.1");
  expect(head).toContain("Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
});

it("signs a PUT with its body", async () => {
  const request = {
    method: "PUT",
    path: `/${encodePath("test$file.text")}`,
    headers: { date: "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY" },
    body: Buffer.from("Welcome to Amazon S3."),
  };
  const head = await signer().head(request, NOW_MS);
  expect(lines(head)[0]).toBe("PUT /test%24file.text HTTP/1.1");
  expect(head).toContain("Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
});

it("signs a query", async () => {
  const head = await signer().head({ method: "GET", path: "/", query: "max-keys=2&prefix=J" }, NOW_MS);
  expect(lines(head)[0]).toBe("GET /?max-keys=2&prefix=J HTTP/1.1");
  expect(head).toContain("Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
});

it("asks for credentials once a second, and sends the token that they come with", async () => {
  let asked = 0;
  const signer = new RequestSigner(scope, async () => ({ ...credentials, sessionToken: `token-${++asked}` }));
  const token = async (nowMs: number) =>
    lines(await signer.head({ method: "DELETE", path: "/a" }, nowMs)).find((line) =>
      line.startsWith("x-amz-security"),
    );
  expect(await token(NOW_MS)).toBe("x-amz-security-token:token-1");
  expect(await token(NOW_MS + 999)).toBe("x-amz-security-token:token-1");
  expect(await token(NOW_MS + 1000)).toBe("x-amz-security-token:token-2");
});
