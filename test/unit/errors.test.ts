import { describe, expect, it } from "vitest";
import {
  asHourpackError,
  besideName,
  exitCodeOfAll,
  firstOfEach,
  HourpackError,
  kindOfSystemError,
  withLimitTold,
} from "../../src/errors.js";

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
  ["ELOOP", "invalid"],
  ["ENOSPC", "unavailable"],
  [undefined, "unavailable"],
])("what the file system refuses with %s is %s", (code, kind) => {
  expect(kindOfSystemError(Object.assign(new Error("refused"), { code }))).toBe(kind);
});

describe("a limit of the process", () => {
  it.each([
    [new Error("EMFILE: too many open files, open '/dist/sweep.js'"), "invalid", /ulimit -n/],
    [new HourpackError("unavailable", "list s3://raw/: connect EMFILE 10.0.0.1:443"), "invalid", /ulimit -n/],
    [new HourpackError("internal", "convert: IO Error: File too large"), "invalid", /ulimit -f/],
  ])("is told as that: %s", (error, kind, hint) => {
    expect(withLimitTold(error)).toMatchObject({ kind, message: error.message, hint, cause: error });
  });

  it.each([
    new Error("ENOSPC: no space left on device"),
    new HourpackError("data", "record: EMFILE"),
    undefined,
  ])("is not what %s was", (error) => expect(withLimitTold(error)).toBe(error));
});

it("one bug that a month of hours has is told once, and another beside it", () => {
  const errors = ["a is not a function", "a is not a function", "b is not a function"].map((text, hour) =>
    asHourpackError(new TypeError(text), `pack events 2022-07-26T0${hour}`, undefined),
  );
  expect(firstOfEach(errors)).toEqual([errors[0], errors[2]]);
});

it.each([
  [[], 0],
  [[12], 12],
  [[2, 2], 2],
  [[2, 2, 12], 3],
])("failures of %j end as %d", (codes, code) => expect(exitCodeOfAll(codes)).toBe(code));

it.each([
  ["plan mmp 2022-07-26T00: gone", "gone"],
  ["plan mmp 2022-07-26T01: gone", "plan mmp 2022-07-26T01: gone"],
  ["list the mmp 2022-07-26T00: gone", "list the mmp 2022-07-26T00: gone"],
])("beside the hour %j is %j", (message, told) => {
  expect(besideName("mmp 2022-07-26T00", message)).toBe(told);
});

it("hours that failed alike are one cause, whatever the command that each of them needs", () => {
  const errors = ["T00", "T01"].map(
    (hour) =>
      new HourpackError("data", `read ${hour}`, { hint: `Try \`hourpack run --hour ${hour}\` again.` }),
  );
  expect(firstOfEach(errors)).toEqual([errors[0]]);
});

const WEBHOOK = "https://hooks.example/services/T000/B000/s3cr3ts3cr3ts3cr3t";

it.each([
  [`unknown argument "${WEBHOOK}"`, 'unknown argument "https://hooks.example/…"'],
  [`read ${WEBHOOK.replace("//", "/")}: no file`, "read https:/hooks.example/…: no file"],
  ["no template https://b.example:9000/k?any=s3cr3t", "no template https://b.example:9000/…"],
  ["https://user:s3/cr3t@b.example/k?any=s3cr3t", "https://b.example/…"],
  ["http://127.0.0.1:9000/a@b", "http://127.0.0.1:9000/a@b"],
  ["(HTTPS://b.example?any=s3cr3t)", "(HTTPS://b.example/…)"],
  ["nobody at http://127.0.0.1:9000.", "nobody at http://127.0.0.1:9000."],
  ["https://b.example/events/{yyyy}/", "https://b.example/events/{yyyy}/"],
  ["s3://bucket/0123456789abcdef0123/", "s3://bucket/0123456789abcdef0123/"],
])("of what somebody wrote: %s", (text, told) => {
  const { message, location, hint } = new HourpackError("invalid", text, { location: text, hint: text });
  expect([message, location, hint]).toEqual([told, told, told]);
});

it("the address of an object that failed is told whole", () => {
  expect(new HourpackError("unavailable", WEBHOOK).message).toBe(WEBHOOK);
});
