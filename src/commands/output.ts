/** What a command says: results on standard output, everything else on standard error. */
import { setImmediate } from "node:timers/promises";
import { getSystemErrorMap } from "node:util";
import { HourpackError, isHourpackError, kindOfSystemError, reasonOf } from "../errors.js";
import { errorFields, withoutCredentials } from "../log.js";
import { require } from "../require.js";

const { createColors } = require("picocolors") as typeof import("picocolors");

/** A stream to write to: `process.stdout`, or a test's. */
interface Sink {
  write(text: string | Uint8Array, done?: (error?: Error | null) => void): boolean;
  isTTY?: boolean;
  columns?: number;
}

interface OutputOptions {
  /** One JSON object per line on standard output; the last one is the result or the error. */
  json: boolean;
  /** `--color` and `--no-color`; takes precedence over the environment. */
  color?: boolean | undefined;
  stdout?: Sink;
  stderr?: Sink;
}

export class Output {
  readonly json: boolean;
  readonly stdout: Sink;
  readonly stderr: Sink;
  /**
   * For standard output and standard error: each only if it is a terminal and NO_COLOR is not set, or as the
   * flag says.
   */
  readonly colors: ReturnType<typeof createColors>;
  readonly errorColors: ReturnType<typeof createColors>;
  private readonly errorsSaid = new Set<string>();
  private cameTo: object | undefined;
  private sayAside: ((text: string) => void) | undefined;

  constructor(options: OutputOptions) {
    this.json = options.json;
    this.stdout = options.stdout ?? process.stdout;
    this.stderr = options.stderr ?? process.stderr;
    this.colors = createColors(options.color ?? isColoured(this.stdout));
    this.errorColors = createColors(options.color ?? isColoured(this.stderr));
  }

  /** A line for people; left out with `--json`. */
  line(text = ""): void {
    if (!this.json) this.stdout.write(`${withoutCredentials(text)}\n`);
  }

  /** A JSON line; left out without `--json`. */
  record(record: object): void {
    if (this.json) this.stdout.write(`${withoutCredentials(JSON.stringify(record, jsonValue))}\n`);
  }

  /** A line of data, as they are in the tables: what looks like a credential stays; left out with `--json`. */
  dataLine(text: string): void {
    if (!this.json) this.stdout.write(`${text}\n`);
  }

  /** Many JSON lines of data at once; resolves when they are written. False if nobody takes them any more. */
  async records(records: object[]): Promise<boolean> {
    if (!this.json) return true;
    return this.write(records.map((record) => `${JSON.stringify(record, jsonValue)}\n`).join(""));
  }

  /** What a command came to. `end` writes it, with the exit code. */
  result(result: object): void {
    this.cameTo = result;
  }

  /** The last JSON line of a command that got to its end. */
  end(exitCode: number): void {
    if (this.cameTo) this.record({ type: "result", ...this.cameTo, exitCode });
  }

  /** A remark beside the result. */
  note(text: string): void {
    if (!this.json) this.aside(`${withoutCredentials(text)}\n`);
  }

  /** A remark that `--json` shows, too; `of` says what it is about. */
  notice(text: string, of: object = {}): void {
    this.note(text);
    this.record({ type: "notice", ...of, text });
  }

  /** A problem beside the work, which goes on. */
  warning({ message, hint }: Pick<HourpackError, "message" | "hint">, of: object = {}): void {
    this.notice(message, { ...of, hint });
    if (hint !== undefined) this.note(`  → ${hint}`);
  }

  /** Whole lines for standard error, as they are. */
  aside(text: string): void {
    if (this.sayAside) this.sayAside(text);
    else this.stderr.write(text);
  }

  /**
   * Whoever draws at the foot of the terminal puts such lines above the drawing. Undefined once nothing is
   * drawn.
   */
  setAside(say: ((text: string) => void) | undefined): void {
    this.sayAside = say;
  }

  /** Bytes of the result itself, such as records. Resolves when more may come: false where nobody takes them any more. */
  write(bytes: string | Uint8Array): Promise<boolean> {
    return new Promise((resolve) => this.stdout.write(bytes, (error) => resolve(!error)));
  }

  /**
   * Says what went wrong, where, and what to do. Shows a stack only for a bug of ours. If a hundred hours
   * failed in the same words, says it once.
   */
  error(error: unknown, debug = false): void {
    const text = withoutCredentials(this.errorText(error, debug));
    if (this.errorsSaid.has(text)) return;
    this.errorsSaid.add(text);
    this.aside(text);
  }

  /** The error as the last JSON line. */
  errorRecord(error: unknown, exitCode: number): void {
    this.record({ type: "error", ...errorFields(error), exitCode });
  }

  private errorText(error: unknown, debug: boolean): string {
    const { red, bold, dim, cyan } = this.errorColors;
    const isOurs = isHourpackError(error);
    const message = error instanceof Error ? error.message : String(error);
    const lines = [`${red(bold("error:"))} ${message}`];
    if (isOurs && error.location && !message.includes(error.location))
      lines.push(dim(`  at ${error.location}`));
    if (isOurs && error.hint) lines.push(`  ${cyan("→")} ${error.hint}`);
    const isBug = !isOurs || error.kind === "internal";
    if (isBug || debug) lines.push(...stackLines(error).map((line) => dim(line)));
    if (isBug) {
      lines.push(
        "  This is a bug of hourpack: please report it with the command, these lines and `hourpack --version`.",
      );
    }
    return `${lines.join("\n")}\n`;
  }
}

function isColoured(sink: Sink): boolean {
  const { NO_COLOR, FORCE_COLOR, TERM } = process.env;
  if (NO_COLOR) return false;
  return Boolean(FORCE_COLOR && FORCE_COLOR !== "0") || (sink.isTTY === true && TERM !== "dumb");
}

/** The stack of the first error that was thrown. */
function stackLines(error: unknown): string[] {
  let origin = error;
  while (origin instanceof HourpackError && origin.cause instanceof Error) origin = origin.cause;
  return origin instanceof Error ? (origin.stack ?? "").split("\n").slice(origin === error ? 1 : 0) : [];
}

function jsonValue(_key: string, value: unknown): unknown {
  return typeof value === "bigint" ? String(value) : value;
}

/**
 * If whoever reads our output stops reading (`| head`), or if the disk that it is written to is full, the
 * rest is not said. The command goes on to its end, so that no hour is left half packed. At the end, the
 * returned function gives the error if results could not be written. A reader that stopped reading is no
 * loss.
 */
export function tolerateLostOutput(): () => Promise<HourpackError | undefined> {
  let lost: HourpackError | undefined;
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error: NodeJS.ErrnoException) => {
      const isUnread = error.code === "EPIPE" || error.code === "ERR_STREAM_DESTROYED";
      if (stream === process.stdout && !isUnread) lost ??= unwritten(error);
    });
  }
  return async () => {
    // Waits for an error of the last line, too.
    await setImmediate();
    return lost;
  };
}

function unwritten(error: NodeJS.ErrnoException): HourpackError {
  const [, reason = reasonOf(error)] = getSystemErrorMap().get(error.errno ?? 0) ?? [];
  return new HourpackError(kindOfSystemError(error), `write the output: ${reason}`, {
    cause: error,
    hint: "What was printed is not whole: make room, or send it elsewhere. What the command did is done.",
  });
}
