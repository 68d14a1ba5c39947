/** What a command is, and what each of them is given. */
import type { Log } from "../log.js";
import type { Output } from "./output.js";

export interface CommandContext {
  output: Output;
  /** Aborted by the first SIGINT or SIGTERM. */
  signal: AbortSignal;
  log: Log;
  /** The id of this run, on each line of the log. */
  runId: string;
}

/** A flag. Unless it is a boolean it has a value: `--name value`, or `--name=value`. */
export interface Option {
  type: "boolean" | "string" | "number";
  describe: string;
  /** Can be repeated. */
  array?: boolean;
  choices?: readonly string[];
  /** Like `choices`, but checked elsewhere: what the shell's completion offers. */
  offers?: readonly string[];
  default?: string | number;
  /** For a boolean that is on by default: its `--no-` form is the useful one. */
  isOn?: boolean;
  /** The command cannot do without it. */
  isRequired?: boolean;
  /** Its heading in the help. */
  group?: string;
  /** Left out of the help, except with `--show-hidden`. */
  hidden?: boolean;
}

export type Options = Record<string, Option>;

/** What was given, by the names of the flags and of the operand. */
export type Args = Record<string, unknown>;

/** What a command's file exports. */
export interface Command {
  options: Options;
  /** `[command line, what it does]`; `$0` stands for hourpack. */
  examples?: [string, string][];
  /** Returns the exit code; throws HourpackError. */
  handler(args: Args, context: CommandContext): Promise<number>;
}
