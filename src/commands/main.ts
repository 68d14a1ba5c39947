/** The command line: which command, its flags, its exit code. Commands are loaded only when they are called. */
import { readFileSync } from "node:fs";
import yargs, { type Argv, type Options } from "yargs";
import { nearest } from "../config/spelling.js";
import { unreadVariables } from "../config/variables.js";
import { EXIT, exitCodeOf, HourpackError } from "../errors.js";
import { LOG_LEVELS, type LogLevel, openLog } from "../log.js";
import type { Args, Command, CommandContext } from "./command.js";
import { MORE_FLAGS, optionsInHelp } from "./help.js";
import { Output, tolerateClosedPipes } from "./output.js";
import { listenForSignals } from "./signals.js";

interface Entry {
  usage: string;
  describe: string;
  load: () => Promise<{ command: Command }>;
}

const COMMANDS: Entry[] = [
  { usage: "run", describe: "Pack the hours that are due, or those named", load: () => import("./run.js") },
  { usage: "plan", describe: "Show what run would do, and do nothing", load: () => import("./plan.js") },
  {
    usage: "worker",
    describe: "Pack what is due every hour, until it is stopped",
    load: () => import("./worker.js"),
  },
  {
    usage: "status",
    describe: "Show which hours are packed, late or missing",
    load: () => import("./status.js"),
  },
  {
    usage: "verify",
    describe: "Check published hours; --deep reads raw and tier 1 again",
    load: () => import("./verify.js"),
  },
  { usage: "query <sql>", describe: "Run SQL over the local catalog", load: () => import("./query.js") },
  {
    usage: "register",
    describe: "Bring the catalog in step with what is published",
    load: () => import("./register.js"),
  },
  {
    usage: "ddl",
    describe: "Print the tables and partitions as SQL for Athena",
    load: () => import("./ddl.js"),
  },
  {
    usage: "schema",
    describe: "Show the pinned columns and their history",
    load: () => import("./schema.js"),
  },
  {
    usage: "restore",
    describe: "Write an hour's records back as NDJSON",
    load: () => import("./restore.js"),
  },
  {
    usage: "expire",
    describe: "Delete old raw objects that are proved to be in tier 1",
    load: () => import("./expire.js"),
  },
  {
    usage: "sweep",
    describe: "Clear what crashes left in tier 1",
    load: () => import("./sweep.js"),
  },
  {
    usage: "init <raw>",
    describe: "Look at a raw prefix and write a hourpack.yaml",
    load: () => import("./init.js"),
  },
  {
    usage: "doctor",
    describe: "Check configuration, access, clock, catalog and machine",
    load: () => import("./doctor.js"),
  },
  {
    usage: "demo",
    describe: "Pack three hours of made-up events in a directory",
    load: () => import("./demo.js"),
  },
];

function nameOf({ usage }: Entry): string {
  return usage.split(" ")[0] as string;
}

const GLOBAL: Record<string, Options> = {
  json: { type: "boolean", describe: "One JSON object a line on standard output, the last one the result" },
  "log-level": {
    choices: LOG_LEVELS,
    describe: "JSON logs on standard error [default: silent] (HOURPACK_LOG_LEVEL)",
  },
  color: { type: "boolean", hidden: true },
};

const EPILOGUE =
  "Exit codes: 0 done, 1 a bug, 2 bad arguments or configuration, 3 some hours failed, 10 store or catalog unavailable, " +
  "11 still changing, 12 data breaks the contract, 130 interrupted.";

/** Sets the process's exit code; resolves when there is nothing more to do. */
export async function main(argv: string[]): Promise<void> {
  tolerateClosedPipes();
  const output = new Output({ json: wantsJson(argv) });
  const signals = listenForSignals(output);
  let code: number;
  try {
    code = await runCommand(withoutWords(argv), output, signals.signal);
    if (signals.signal.aborted && code !== EXIT.done) code = EXIT.interrupted;
  } catch (thrown) {
    const error = signals.signal.aborted ? interruption(thrown) : thrown;
    code = exitCodeOf(error);
    output.error(error, argv.includes("debug") && argv.includes("--log-level"));
    output.errorRecord(error, code);
  } finally {
    signals.release();
  }
  process.exitCode = code;
  // Nothing should hold the process now; what does anyway is not worth waiting for.
  setTimeout(() => process.exit(code), LINGER_MS).unref();
}

const LINGER_MS = 5_000;

async function runCommand(argv: string[], output: Output, signal: AbortSignal): Promise<number> {
  let code: number = EXIT.done;
  const known = new Set(["help", "version", "show-hidden", ...Object.keys(GLOBAL)]);
  const parser = yargs(argv)
    .scriptName("hourpack")
    .locale("en")
    .parserConfiguration({ "strip-dashed": false, "duplicate-arguments-array": true })
    .usage(
      "$0 <command>\n\nTurns each hour of small JSON objects into one Parquet file, and tells the catalog.",
    )
    .example("$0 demo", "see it work, without a network")
    .example("$0 init s3://lake-raw/events/", "write a hourpack.yaml")
    .example("$0 run", "pack what is due")
    .example("$0 run --hour 2022-07-26T00", "pack one hour")
    .options(GLOBAL)
    .completion("completion", "Print a completion script for bash or zsh")
    .help()
    .alias("help", "h")
    .version(packageVersion())
    .showHidden("show-hidden", "Show every flag")
    .strict()
    .wrap(Math.min(110, process.stdout.columns ?? 100))
    .epilogue(EPILOGUE)
    .exitProcess(false)
    .fail((message, error) => {
      throw error ?? new UsageError(message);
    });
  for (const entry of COMMANDS) {
    parser.command({
      command: entry.usage,
      describe: entry.describe,
      builder: (async (command: Argv) => {
        const { options, examples = [] } = (await entry.load()).command;
        for (const name of Object.keys(options)) known.add(name);
        for (const [line, does] of examples) command.example(line, does);
        const shown = optionsInHelp(nameOf(entry), options, argv.includes("--show-hidden"));
        if (shown.hasMore) command.epilogue(MORE_FLAGS);
        return command.usage(`$0 ${entry.usage}\n\n${entry.describe}.`).options(shown.options);
      }) as never,
      handler: async (args) => {
        const { command } = await entry.load();
        code = await command.handler(args, await contextOf(args, output, signal));
      },
    });
  }
  if (argv.length === 0) {
    output.line(await parser.getHelp());
    return EXIT.invalid;
  }
  try {
    await parser.demandCommand(1, "name a command").parseAsync();
  } catch (error) {
    const isUsage = error instanceof UsageError || (error as Error).name === "YError";
    throw isUsage ? usageError(error as Error, argv, known) : error;
  }
  return code;
}

async function contextOf(args: Args, output: Output, signal: AbortSignal): Promise<CommandContext> {
  const { ulid } = await import("ulid");
  const runId = ulid();
  const level = (args["log-level"] ?? process.env["HOURPACK_LOG_LEVEL"] ?? "silent") as LogLevel;
  if (!LOG_LEVELS.includes(level)) {
    throw new HourpackError("invalid", `there is no log level "${level}"`, {
      location: "HOURPACK_LOG_LEVEL",
      hint: `Levels are ${LOG_LEVELS.join(", ")}.`,
    });
  }
  const log = await openLog({ level, fields: { runId }, write: (line) => output.aside(line) });
  for (const text of unreadVariables(process.env)) {
    output.note(`note: ${text}`);
    output.record({ type: "notice", text });
    log.warn(text);
  }
  return { output, signal, runId, log };
}

/** What yargs says of a command line that it does not understand. */
class UsageError extends Error {}

/** yargs' sentence as an error of ours, with what was probably meant. */
function usageError(error: Error, argv: string[], known: Set<string>): HourpackError {
  const names = ["completion", "help", "version", ...COMMANDS.map(nameOf)];
  const command = argv.find((arg) => names.includes(arg));
  const entry = COMMANDS.find((candidate) => nameOf(candidate) === command);
  if (/^Not enough non-option arguments/.test(error.message) && entry) {
    const [, wanted] = entry.usage.split(" ");
    return new HourpackError("invalid", `${command} needs ${wanted}`, {
      hint: `Write \`hourpack ${entry.usage}\`.`,
    });
  }
  const [, option, given, choices] = /Argument: (\S+), Given: (.*), Choices: (.*)/.exec(error.message) ?? [];
  if (option) {
    const hint = `It is one of ${choices?.replaceAll('"', "")}.`;
    return new HourpackError("invalid", `--${option} cannot be ${given}`, { location: `--${option}`, hint });
  }
  const unknown = /^Unknown (?:argument|command)s?: (.*)$/.exec(error.message)?.[1]?.split(", ") ?? [];
  const [word] = unknown;
  const help = `\`hourpack ${command ? `${command} ` : ""}--help\` shows what there is.`;
  if (word === undefined) return new HourpackError("invalid", decapitalised(error.message), { hint: help });
  const flag = argv.find((arg) => new RegExp(`^--?(no-)?${escapeRegExp(word)}(=|$)`).test(arg));
  if (flag === undefined) {
    const what = command === undefined ? "command" : "argument";
    const meant = command === undefined ? nearest(word, names) : undefined;
    const hint = meant ? `Did you mean \`hourpack ${meant}\`?` : help;
    return new HourpackError("invalid", `unknown ${what} "${word}"`, { hint });
  }
  const meant = nearest(word, known);
  const shown = flag.replace(/=.*$/, "");
  return new HourpackError("invalid", `unknown flag ${shown}`, {
    location: shown,
    hint: meant ? `Did you mean --${meant}?` : help,
  });
}

function interruption(error: unknown): unknown {
  return error instanceof HourpackError && error.kind === "internal"
    ? error
    : new HourpackError("interrupted", "interrupted", {
        cause: error,
        hint: "Nothing is half published; run the same command again.",
      });
}

/** `help run` and `version`, as other tools have them, are `run --help` and `--version`. */
function withoutWords([first, ...others]: string[]): string[] {
  if (first === "version" && others.length === 0) return ["--version"];
  if (first === "help") return isCommand(others[0]) ? [...others, "--help"] : others;
  return first === undefined ? [] : [first, ...others];
}

/** So that `help rnu` is told what `rnu` would be told. */
function isCommand(word = "--help"): boolean {
  return word.startsWith("-") || COMMANDS.some((entry) => nameOf(entry) === word);
}

function wantsJson(argv: string[]): boolean {
  return argv.some((arg) => arg === "--json" || arg === "--json=true");
}

function decapitalised(text: string): string {
  const first = text.split("\n")[0] ?? "";
  return first.charAt(0).toLowerCase() + first.slice(1);
}

function escapeRegExp(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
}

function packageVersion(): string {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}
