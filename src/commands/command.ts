/** What a command is, and what each of them is given. */
import type { Options } from "yargs";
import type { Log } from "../log.js";
import type { Output } from "./output.js";

export interface CommandContext {
  output: Output;
  /** Aborted by the first SIGINT or SIGTERM. */
  signal: AbortSignal;
  log: Log;
  /** Of this run; on each line of the log. */
  runId: string;
}

/** Parsed flags and positionals, by name and by camel-cased name. */
export type Args = Record<string, unknown>;

/** What a command's file exports. */
export interface Command {
  options: Record<string, Options>;
  /** `[command line, what it does]`. */
  examples?: [string, string][];
  /** Returns the exit code; throws HourpackError. */
  handler(args: Args, context: CommandContext): Promise<number>;
}
