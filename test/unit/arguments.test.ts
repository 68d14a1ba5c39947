import { describe, expect, it } from "vitest";
import { readArguments, unknownCommand } from "../../src/commands/arguments.js";
import type { Options } from "../../src/commands/command.js";
import type { Entry } from "../../src/commands/entries.js";
import { commandHelp } from "../../src/commands/help.js";
import { HourpackError } from "../../src/errors.js";

const OPTIONS: Options = {
  json: { type: "boolean", describe: "JSON lines" },
  ahead: { type: "boolean", describe: "One more hour" },
  hour: { type: "string", describe: "One hour" },
  dataset: { type: "string", array: true, describe: "Only this dataset" },
  limit: { type: "number", default: 100, describe: "Rows at most" },
  level: { type: "string", choices: ["debug", "info"], describe: "How much is told" },
};

const load = () => Promise.reject(new Error("not loaded"));
const query: Entry = { name: "query", operand: "sql", describe: "Run SQL", load };
const run: Entry = { name: "run", describe: "Pack", load };

const read = (...argv: string[]) => readArguments(argv, run, OPTIONS);

function refusal(task: () => unknown): Pick<HourpackError, "kind" | "message" | "location" | "hint"> {
  try {
    task();
  } catch (error) {
    if (error instanceof HourpackError) {
      const { kind, message, location, hint } = error;
      return { kind, message, location, hint };
    }
    throw error;
  }
  throw new Error("it was not refused");
}

describe("arguments", () => {
  it("are flags with their values, and defaults", () => {
    expect(read("--json", "--hour", "2022-07-26T00", "--limit=5")).toEqual({
      json: true,
      hour: "2022-07-26T00",
      limit: 5,
    });
    expect(read("--hour=a=b")).toEqual({ hour: "a=b", limit: 100 });
    expect(read("--limit", "-5", "--hour", "")).toEqual({ limit: -5, hour: "" });
  });

  it("say no to a boolean in two ways", () => {
    expect(read("--no-ahead")).toMatchObject({ ahead: false });
    expect(read("--ahead=false", "--json=true")).toMatchObject({ ahead: false, json: true });
  });

  it("repeat a flag that can be, and no other", () => {
    expect(read("--dataset", "a", "--dataset=b")).toMatchObject({ dataset: ["a", "b"] });
    expect(refusal(() => read("--hour", "a", "--hour", "a"))).toEqual({
      kind: "invalid",
      message: "--hour is given more than once",
      location: "--hour",
      hint: "Give it once.",
    });
  });

  it("have an operand where the command wants one, after -- too", () => {
    const sql = (...argv: string[]) => readArguments(argv, query, OPTIONS)["sql"];
    expect(sql("--json", "select 1")).toBe("select 1");
    expect(sql("--", "--json")).toBe("--json");
    expect(refusal(() => sql())).toMatchObject({
      message: "query needs <sql>",
      hint: "Write `hourpack query <sql>`; `hourpack query --help` has examples.",
    });
    expect(refusal(() => sql("a", "b")).message).toBe('unknown argument "b"');
    expect(refusal(() => read("false")).message).toBe('unknown argument "false"');
  });

  it.each([
    [["--huor", "x"], "unknown flag --huor", "Did you mean --hour?"],
    [["--no-aheed"], "unknown flag --no-aheed", "Did you mean --ahead?"],
    [["--no-hour"], "unknown flag --no-hour", "Did you mean --hour?"],
    [["-hour", "x"], "unknown flag -hour", "Did you mean --hour?"],
    [["--constructor"], "unknown flag --constructor", "`hourpack run --help` shows what there is."],
    [["--hour"], "--hour needs a value", "Write --hour <text>."],
    [["--hour", "--json"], "--hour needs a value", "Write --hour <text>."],
    [["--limit", "many"], '--limit must be a number, not "many"', "Rows at most."],
    [["--limit="], '--limit must be a number, not ""', "Rows at most."],
    [["--level", "debgu"], '--level cannot be "debgu"', "Did you mean debug?"],
    [["--level", "loud"], '--level cannot be "loud"', "It is one of debug, info."],
    [["--json=maybe"], '--json must be true or false, not "maybe"', "JSON lines."],
  ])("%j is refused", (argv, message, hint) => {
    const location = argv[0]?.replace(/=.*/, "");
    expect(refusal(() => read(...argv))).toEqual({ kind: "invalid", message, location, hint });
  });

  it("lack a flag that the command is nothing without", () => {
    const options: Options = { age: { type: "string", isRequired: true, describe: "How old" } };
    expect(refusal(() => readArguments([], run, options))).toEqual({
      kind: "invalid",
      message: "run needs --age",
      location: "--age",
      hint: "How old.",
    });
  });

  it("name a command that there is", () => {
    const told = (...argv: string[]) => unknownCommand(argv, OPTIONS);
    expect(told("--json", "pln")).toMatchObject({
      message: 'unknown command "pln"',
      hint: "Did you mean `hourpack plan`?",
    });
    expect(told("--json").message).toBe("name a command");
    expect(told("--raw=1").message).toBe("name a command");
    expect(told("-x")).toMatchObject({ message: "unknown flag -x", hint: expect.stringContaining("--help") });
    expect(told("--jsno")).toMatchObject({ message: "unknown flag --jsno", hint: "Did you mean --json?" });
  });
});

describe("the help of a command", () => {
  const options: Options = {
    limit: { type: "number", default: 100, describe: "Rows of the table at most; all of them with --json" },
    "from-this-or-that-one": { type: "boolean", describe: "A long name" },
    "s3-endpoint": { type: "string", group: "S3:", describe: "Where S3 is" },
    settle: { type: "string", group: "Run:", describe: "How long an hour is open" },
  };
  const command = { options, examples: [["$0 query 1", "one"] as [string, string]], handler: async () => 0 };

  it("is laid out for the width, and says what it leaves out", async () => {
    const page = await commandHelp({ ...query, name: "schema" }, command, { width: 40, showHidden: false });
    expect(page).toContain(`schema <sql>

Run SQL.

Flags:
  --limit <number>  Rows of the table at
                    most; all of them
                    with --json
                    [default: 100]
  --from-this-or-that-one
                    A long name

S3:
  --s3-endpoint <text>  Where S3 is

Options:`);
    expect(page).toContain("Examples:\n  hourpack query 1  one\n\n--show-hidden lists");
  });

  it("leaves nothing out where all is asked for", async () => {
    const page = await commandHelp(query, command, { width: 100, showHidden: true });
    expect(page).toMatch(/--s3-endpoint.*--settle/s);
    expect(page).not.toContain("--show-hidden lists");
  });
});
