/** Where the benchmark keeps data, servers and peers between runs, outside the checkout. */
import { mkdirSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

/** The same folder that the tests use. */
export function cacheDir() {
  const dir =
    process.env["HOURPACK_CACHE"] ??
    join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "hourpack");
  mkdirSync(dir, { recursive: true });
  return dir;
}

/** @param {...string} names A folder of the benchmark's own; created if it does not exist. */
export function benchDir(...names) {
  const dir = join(cacheDir(), "bench", ...names);
  mkdirSync(dir, { recursive: true });
  return dir;
}
