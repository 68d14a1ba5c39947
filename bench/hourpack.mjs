/** The built command line, as a contestant. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { benchDir } from "./cache.mjs";
import { COLUMNS } from "./data/events.mjs";
import { runChild } from "./measure/child.mjs";

export const CLI = fileURLToPath(new URL("../bin/hourpack.js", import.meta.url));

/** @param {import("./s3/client.mjs").Server} server */
export function s3Flags(server) {
  return ["--s3-endpoint", server.endpoint, "--s3-region", "us-east-1", "--s3-force-path-style"];
}

/** What the SDK's credential chain reads. @param {import("./s3/client.mjs").Server} server */
export function credentials(server) {
  return {
    AWS_ACCESS_KEY_ID: server.accessKeyId,
    AWS_SECRET_ACCESS_KEY: server.secretAccessKey,
    AWS_REGION: "us-east-1",
    AWS_EC2_METADATA_DISABLED: "true",
  };
}

/** In the form that `--columns` takes: `a:string,b:bigint`. */
const COLUMN_LIST = Object.entries(COLUMNS)
  .map(([name, type]) => `${name}:${type}`)
  .join(",");

/**
 * Runs hourpack, and returns the last line that it printed, too.
 * @param {object} run
 * @param {string} run.raw @param {string} run.tier1
 * @param {string} run.from @param {string} run.to
 * @param {import("./s3/client.mjs").Server} [run.server]
 * @param {boolean} [run.isInferred] Infers the columns from the hour, and does not give them.
 * @param {string[]} [run.flags]
 */
export async function runHourpack({ raw, tier1, from, to, server, isInferred = false, flags = [] }) {
  const args = [
    ...[CLI, "run", "--json", "--raw", raw, "--tier1", tier1, "--table", "events", "--catalog", "none"],
    ...["--from", from, "--to", to, "--spool-dir", benchDir("spool")],
    ...(isInferred ? [] : ["--columns", COLUMN_LIST]),
    ...(server ? s3Flags(server) : []),
    ...flags,
  ];
  const used = await runChild(process.execPath, args, server ? credentials(server) : {});
  const result = JSON.parse(used.stdout.trim().split("\n").at(-1) ?? "{}");
  if (result.failed + result.datasetsFailed !== 0)
    throw new Error(`hourpack: ${JSON.stringify(result.failures ?? result)}`);
  return { ...used, result };
}

/** A path for this process alone. What lies there is deleted when the process exits. @param {string} name */
export function workPath(name) {
  const dir = benchDir("work", String(process.pid));
  if (!isLeaving) process.once("exit", () => rmSync(dir, { recursive: true, force: true }));
  isLeaving = true;
  return join(dir, name);
}

let isLeaving = false;
