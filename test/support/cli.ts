/** Runs the built command line as a child process, as a user would. */
import { spawn } from "node:child_process";
import { resolve } from "node:path";

export interface CliEnd {
  code: number | null;
  stdout: string;
  stderr: string;
  /** With `--json`: the lines of standard output. */
  records: Record<string, unknown>[];
  /** The last record. */
  result: Record<string, unknown>;
}

export const HOURPACK = resolve(import.meta.dirname, "../../bin/hourpack.js");

/** Runs `hourpack` to its end. None of the caller's own configuration reaches it, only `env`. */
export async function hourpack(
  args: string[],
  options: { env?: Record<string, string>; cwd?: string; input?: string } = {},
): Promise<CliEnd> {
  const child = spawn(process.execPath, [HOURPACK, ...args], {
    cwd: options.cwd,
    env: { ...cleanEnv(), ...options.env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text) => {
    stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text) => {
    stderr += text;
  });
  const code = await new Promise<number | null>((done, fail) => child.on("error", fail).on("close", done));
  const records = args.includes("--json")
    ? stdout
        .split("\n")
        .filter(Boolean)
        .map((line) => JSON.parse(line))
    : [];
  return { code, stdout, stderr, records, result: records.at(-1) ?? {} };
}

/** The environment without the credentials, profiles and settings of whoever runs the tests. */
export function cleanEnv(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !/^(AWS_|HOURPACK_)/.test(name));
  return {
    ...Object.fromEntries(kept),
    NO_COLOR: "1",
    AWS_EC2_METADATA_DISABLED: "true",
    AWS_CONFIG_FILE: "/dev/null",
    AWS_SHARED_CREDENTIALS_FILE: "/dev/null",
  };
}
