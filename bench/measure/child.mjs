/** One run of one contestant: a fresh process, and what it used. */
import { spawn } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { benchDir } from "../cache.mjs";

const USAGE = fileURLToPath(new URL("usage.py", import.meta.url));

/** @typedef {{ wallS: number, cpuS: number, rssMb: number, stdout: string }} Used */

/**
 * Throws if the process fails, with what it printed.
 * @param {string} command @param {string[]} args @param {Record<string, string>} [env]
 * @returns {Promise<Used>}
 */
export async function runChild(command, args, env = {}) {
  const report = join(benchDir("work"), `usage-${process.pid}.json`);
  // The wrapper is a small process, so the child's peak does not start from our own memory.
  const child = spawn("python3", ["-S", USAGE, report, command, ...args], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (text) => (stdout += text));
  child.stderr.on("data", (text) => (stderr = (stderr + text).slice(-4000)));
  const code = await new Promise((resolve, reject) => child.on("error", reject).on("close", resolve));
  if (code !== 0) {
    throw new Error(
      `${command} ${args.slice(0, 3).join(" ")} ended with ${code}:\n${stderr}${stdout.slice(-2000)}`,
    );
  }
  const { wallS, userS, systemS, rssBytes } = JSON.parse(readFileSync(report, "utf8"));
  rmSync(report);
  return { wallS, cpuS: userS + systemS, rssMb: rssBytes / (1 << 20), stdout };
}
