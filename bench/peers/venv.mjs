/** The Python peers at pinned versions, in a virtual environment kept in the cache. */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { cacheDir } from "../cache.mjs";

/** chdb 4.2.1 is ClickHouse 26.9. */
const PINNED = [
  "polars==2.1.0",
  "chdb==4.2.1",
  "chdb-core==26.9.0",
  "duckdb==1.5.5",
  "duckdb-extension-httpfs==1.5.5",
];

/** @returns {string} The interpreter. */
export function peersPython() {
  const home = join(cacheDir(), "bench-venv");
  const python = join(home, "bin", "python");
  const note = join(home, "pinned.txt");
  const pinned = PINNED.join("\n");
  if (existsSync(note) && readFileSync(note, "utf8") === pinned) return python;
  process.stderr.write(`installing ${PINNED.join(", ")} into ${home}\n`);
  for (const [command, args] of /** @type {[string, string[]][]} */ ([
    ["python3", ["-m", "venv", home]],
    [python, ["-m", "pip", "install", "--quiet", ...PINNED]],
  ])) {
    const done = spawnSync(command, args, { stdio: ["ignore", "ignore", "inherit"] });
    if (done.status !== 0)
      throw new Error(`install the peers into ${home}: ${command} ${args.join(" ")} failed`);
  }
  writeFileSync(note, pinned);
  return python;
}

/** @param {string} name */
export function peerScript(name) {
  return fileURLToPath(new URL(name, import.meta.url));
}

export const PEER_VERSIONS = PINNED;
