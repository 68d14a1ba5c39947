/** What must never stand in a line. */
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
  ["/data/12:30@home/a.json", "/data/12:30@home/a.json"],
  ["http://127.0.0.1:9000/a@b", "http://127.0.0.1:9000/a@b"],
])("%s", (text, told) => {
  expect(withoutCredentials(text)).toBe(told);
});
