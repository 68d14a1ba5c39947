import { expect, it } from "vitest";
import { HourpackError, kindOfSystemError } from "../../src/errors.js";

it("an error told of another place is the same in all that is not said anew", () => {
  const cause = new Error("ENOSPC");
  const details = { stage: "spool", location: "/a", hint: "Free some space.", cause };
  const error = new HourpackError("unavailable", "write /a: full", details);
  const told = error.with({ message: "write /b: full", location: "/b" });
  expect(told).toMatchObject({ kind: "unavailable", message: "write /b: full", ...details, location: "/b" });
  expect(told.cause).toBe(cause);
  expect(error.with({ location: undefined }).location).toBeUndefined();
  expect(error.location).toBe("/a");
});

it.each([
  ["EACCES", "invalid"],
  ["ENOTDIR", "invalid"],
  ["ENOSPC", "unavailable"],
  [undefined, "unavailable"],
])("what the file system refuses with %s is %s", (code, kind) => {
  expect(kindOfSystemError(Object.assign(new Error("refused"), { code }))).toBe(kind);
});
