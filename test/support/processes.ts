/** Finds the tests' child processes, starts them on a free port, and ends them by their id. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createServer } from "node:net";
import { setTimeout } from "node:timers/promises";

/** A port on which nobody listens: a free port may be another test's server by the time of the call. */
export const SILENT_PORT = 1;

export async function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

export function onPath(command: string): string | undefined {
  const found = spawnSync("sh", ["-c", `command -v ${command}`], { encoding: "utf8" });
  return found.status === 0 ? found.stdout.trim() : undefined;
}

/** Runs a command to its end. If it fails, throws with the last lines that it printed. */
export async function runToEnd(
  command: string,
  args: string[],
  env: Record<string, string> = {},
): Promise<void> {
  const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] });
  let printed = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (text) => (printed = (printed + text).slice(-4000)));
  const code = await new Promise((resolve) => child.on("error", resolve).on("close", resolve));
  if (code !== 0) throw new Error(`${command} ${args.join(" ")} failed (${code}):\n${printed}`);
}

/** Starts a server and waits until `isReady` says so. */
export async function startServer(
  name: string,
  command: string,
  args: string[],
  env: Record<string, string>,
  isReady: () => Promise<boolean>,
): Promise<{ stop(): Promise<void> }> {
  const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] });
  let printed = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (text) => (printed = (printed + text).slice(-4000)));
  const stop = () => endProcess(child);
  for (let tries = 0; tries < 300; tries++) {
    if (child.exitCode !== null) throw new Error(`${name} ended with ${child.exitCode}:\n${printed}`);
    if (await isReady().catch(() => false)) return { stop };
    await setTimeout(100);
  }
  await stop();
  throw new Error(`${name} did not answer within 30 seconds:\n${printed}`);
}

async function endProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  const timer = globalThis.setTimeout(() => child.kill("SIGKILL"), 5000);
  await ended;
  clearTimeout(timer);
}
