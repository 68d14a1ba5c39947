/** What must never stand in a line. */
import { expect, it } from "vitest";
import { withoutCredentials } from "../../src/log.js";

it.each([
  ["http://user:s3cr3t@host:9000/x", "http://user:[redacted]@host:9000/x"],
  [
    "no connection to http://user:s3cr@tpass@127.0.0.1:1.",
    "no connection to http://user:[redacted]@127.0.0.1:1.",
  ],
  ["http://127.0.0.1:9000/a@b", "http://127.0.0.1:9000/a@b"],
])("%s", (text, told) => {
  expect(withoutCredentials(text)).toBe(told);
});
