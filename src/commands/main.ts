/** The command line: which command, its flags, its exit code. */
import { readFileSync } from "node:fs";
import { unreadVariables } from "../config/variables.js";
import { EXIT, exitCodeOf, HourpackError, isHourpackError, withLimitTold } from "../errors.js";
import { LOG_LEVELS, type LogLevel, openLog } from "../log.js";
import { readArguments, unknownCommand } from "./arguments.js";
import type { Args, CommandContext } from "./command.js";
import { entryNamed, GLOBAL_OPTIONS } from "./entries.js";
import { Output, tolerateLostOutput } from "./output.js";
import { AFTER_INTERRUPT, listenForSignals } from "./signals.js";
import { tellWaits } from "./waiting.js";

/** Sets the process's exit code; resolves when there is nothing more to do. */
export async function main(argv: string[]): Promise<void> {
  const lostOutput = tolerateLostOutput();
  const output = new Output({ json: wantsJson(argv), color: wantsColor(argv) });
  const signals = listenForSignals(output);
  let code: number;
  try {
    code = await runCommand(withoutWords(argv), output, signals.signal);
    if (signals.signal.aborted && code !== EXIT.done) code = EXIT.interrupted;
    output.end(code);
  } catch (thrown) {
    const error = signals.signal.aborted ? interruption(thrown) : withLimitTold(thrown);
    code = exitCodeOf(error);
    output.error(error, argv.includes("debug") && argv.includes("--log-level"));
    output.errorRecord(error, code);
  } finally {
    signals.release();
  }
  const lost = await lostOutput();
  if (lost && code === EXIT.done) {
    output.error(lost);
    code = exitCodeOf(lost);
  }
  process.exitCode = code;
  // Nothing should hold the process now. If something does, it is not worth waiting for.
  setTimeout(() => process.exit(code), LINGER_MS).unref();
}

const LINGER_MS = 5_000;

async function runCommand(argv: string[], output: Output, signal: AbortSignal): Promise<number> {
  const entry = argv.map(entryNamed).find((found) => found !== undefined);
  const isAsked = (...flags: string[]) => argv.slice(0, endOfFlags(argv)).some((arg) => flags.includes(arg));
  if (isAsked("--version") || (!entry && isAsked("-v", "-V"))) {
    await output.write(`${packageVersion()}\n`);
    return EXIT.done;
  }
  const wantsHelp = isAsked("--help", "-h");
  if (wantsHelp || argv.length === 0) {
    const { commandHelp, overview } = await import("./help.js");
    const width = Math.min(WIDTH_MAX, output.stdout.columns ?? WIDTH);
    const page = { width, showHidden: isAsked("--show-hidden") };
    const text = entry ? await commandHelp(entry, (await entry.load()).command, page) : overview(width);
    await output.write(`${text}\n`);
    return wantsHelp ? EXIT.done : EXIT.invalid;
  }
  if (!entry) throw unknownCommand(argv, GLOBAL_OPTIONS);
  const { command } = await entry.load();
  const args = readArguments(argv.toSpliced(argv.indexOf(entry.name), 1), entry, {
    ...GLOBAL_OPTIONS,
    ...command.options,
  });
  return command.handler(args, await contextOf(args, output, signal));
}

/** Columns of the help: on a wide terminal, and without a terminal. */
const WIDTH_MAX = 110;
const WIDTH = 100;

/** After `--` there are only words. */
function endOfFlags(argv: string[]): number {
  const at = argv.indexOf("--");
  return at < 0 ? argv.length : at;
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
  for (const text of await unreadVariables(process.env)) {
    output.note(`note: ${text}`);
    output.record({ type: "notice", text });
    log.warn(text);
  }
  tellWaits(output, log);
  return { output, signal, runId, log };
}

function interruption(error: unknown): unknown {
  return isHourpackError(error, "internal")
    ? error
    : new HourpackError("interrupted", "interrupted", {
        cause: error,
        hint: AFTER_INTERRUPT,
      });
}

/** `help run` and `version`, as other tools have them, mean `run --help` and `--version`. */
function withoutWords([first, ...others]: string[]): string[] {
  if (first === "version" && others.length === 0) return ["--version"];
  if (first === "help") return isCommand(others[0]) ? [...others, "--help"] : withoutWords(others);
  return first === undefined ? [] : [first, ...others];
}

/** So that `help rnu` gets the answer that `rnu` gets. */
function isCommand(word = "--help"): boolean {
  return word.startsWith("-") || entryNamed(word) !== undefined;
}

function wantsJson(argv: string[]): boolean {
  return argv.slice(0, endOfFlags(argv)).some((arg) => arg === "--json" || arg === "--json=true");
}

/**
 * Undefined if no flag says. The last one counts. It is read early, because errors before the flags are read
 * have colours, too.
 */
function wantsColor(argv: string[]): boolean | undefined {
  const said = argv
    .slice(0, endOfFlags(argv))
    .findLast((arg) => /^--(no-color|color(=true|=false)?)$/.test(arg));
  return said === undefined ? undefined : said === "--color" || said === "--color=true";
}

function packageVersion(): string {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}
