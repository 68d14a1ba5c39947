/** What must never appear in a line of the log. */
import { expect, it } from "vitest";
import { withoutCredentials } from "../../src/log.js";

it.each([
  ["http://user:s3cr3t@host:9000/x", "http://user:[redacted]@host:9000/x"],
  [
    "no connection to http://user:s3cr@tpass@127.0.0.1:1.",
    "no connection to http://user:[redacted]@127.0.0.1:1.",
  ],
  ["read http:/user:s3cr3t@host:9000", "read http:/user:[redacted]@host:9000"],
  ['"//user:s3cr3t@host" is no URL', '"//user:[redacted]@host" is no URL'],
  ["https://t0ken@host/x", "https://[redacted]@host/x"],
  ["s3://AKIAIOSFODNN7EXAMPLE:s3/cr/3t@bucket/a@b", "s3://[redacted]:[redacted]@b"],
  ["http://user:s3/cr3t@host:9000/x", "http://user:[redacted]@host:9000/x"],
  [
    "https://b.example/k?Signature=s3cr%2F3t%3D&Expires=1",
    "https://b.example/k?Signature=[redacted]&Expires=1",
  ],
  ["https://b.example/k?sv=1&sig=s3cr3t", "https://b.example/k?sv=1&sig=[redacted]"],
  ["s3://bucket/sig=1/12:30/a@b.json", "s3://bucket/sig=1/12:30/a@b.json"],
  ["/data/12:30@home/a.json", "/data/12:30@home/a.json"],
  ["http://127.0.0.1:9000/a@b", "http://127.0.0.1:9000/a@b"],
])("%s", (text, told) => {
  expect(withoutCredentials(text)).toBe(told);
});
