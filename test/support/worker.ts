/** A worker in its own process: the built command line as a child that can be killed at a chosen instant. */
import { type ChildProcess, spawn } from "node:child_process";
import { type CliEnd, cleanEnv, HOURPACK } from "./cli.js";

export interface WorkerEnd extends CliEnd {
  /** Set if a signal ended it. */
  signal: NodeJS.Signals | null;
}

export class Worker {
  readonly ended: Promise<WorkerEnd>;
  /** Resolves at its first line of output: its modules are loaded and its work begins. */
  readonly started: Promise<void>;
  private readonly child: ChildProcess;

  /** A worker that still runs after `deadlineMs` is killed; the signal in its end shows it. */
  constructor(args: string[], env: Record<string, string>, deadlineMs = 120_000) {
    const child = spawn(process.execPath, [HOURPACK, ...args, "--json"], {
      env: { ...cleanEnv(), ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.child = child;
    const deadline = setTimeout(() => child.kill("SIGKILL"), deadlineMs);
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text) => {
      stdout += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text) => {
      stderr += text;
    });
    this.started = new Promise((resolve) => child.stdout.once("data", () => resolve()));
    this.ended = new Promise((resolve, reject) => {
      child.on("error", reject);
      child.on("close", (code, signal) => {
        clearTimeout(deadline);
        const records = wholeLines(stdout).map((line) => JSON.parse(line) as Record<string, unknown>);
        resolve({ code, signal, stdout, stderr, records, result: records.at(-1) ?? {} });
      });
    });
  }

  /** Resolves when the process is gone, and its connections with it. */
  async kill(): Promise<WorkerEnd> {
    this.child.kill("SIGKILL");
    return this.ended;
  }

  get hasEnded(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }
}

/** The complete lines: the last line of a killed worker may be cut off. */
function wholeLines(text: string): string[] {
  return text.split("\n").slice(0, -1).filter(Boolean);
}

/** Runs a worker to its end. */
export function work(args: string[], env: Record<string, string>, deadlineMs?: number): Promise<WorkerEnd> {
  return new Worker(args, env, deadlineMs).ended;
}

/** Works through the items, `width` at a time. */
export async function inParallel<T>(
  items: readonly T[],
  width: number,
  task: (item: T, index: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const lane = async () => {
    while (next < items.length) {
      const index = next++;
      await task(items[index] as T, index);
    }
  };
  await Promise.all(Array.from({ length: width }, lane));
}
