/** What a command is, and what each of them is given. */
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

/** A flag. One that is no boolean has a value: `--name value`, or `--name=value`. */
export interface Option {
  type: "boolean" | "string" | "number";
  describe: string;
  /** Can be repeated. */
  array?: boolean;
  choices?: readonly string[];
  /** Like choices, but refused elsewhere: what the shell's completion offers. */
  offers?: readonly string[];
  default?: string | number;
  /** Of a boolean: what it is where nothing is said, so that its `--no-` form is the one of use. */
  isOn?: boolean;
  /** The command is nothing without it. */
  isRequired?: boolean;
  /** Its heading in the help. */
  group?: string;
  /** Left out of the help, but for `--show-hidden`. */
  hidden?: boolean;
}

export type Options = Record<string, Option>;

/** What was given, by the names of flags and of the operand. */
export type Args = Record<string, unknown>;

/** What a command's file exports. */
export interface Command {
  options: Options;
  /** `[command line, what it does]`; `$0` stands for hourpack. */
  examples?: [string, string][];
  /** Returns the exit code; throws HourpackError. */
  handler(args: Args, context: CommandContext): Promise<number>;
}
