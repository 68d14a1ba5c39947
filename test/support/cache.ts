/** Keeps heavy things that the tests need between runs, outside the checkout. */
import { mkdirSync, rmSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";

export function cacheDir(): string {
  const dir =
    process.env["HOURPACK_CACHE"] ??
    join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "hourpack");
  mkdirSync(dir, { recursive: true });
  return dir;
}

const LOCK_STALE_MS = 30 * 60_000;

/** Makes something in the cache once, even if several processes want it at the same time. */
export async function madeOnce<T>(
  name: string,
  find: () => T | undefined,
  make: () => Promise<void>,
): Promise<T> {
  const lock = join(cacheDir(), `${name}.making`);
  for (;;) {
    const found = find();
    if (found !== undefined) return found;
    try {
      mkdirSync(lock);
    } catch {
      const age = Date.now() - (statSync(lock, { throwIfNoEntry: false })?.mtimeMs ?? Date.now());
      if (age > LOCK_STALE_MS) rmSync(lock, { recursive: true, force: true });
      await setTimeout(500);
      continue;
    }
    try {
      if (find() === undefined) await make();
    } finally {
      rmSync(lock, { recursive: true, force: true });
    }
    const made = find();
    if (made === undefined) throw new Error(`${name} was made, and is not there`);
    return made;
  }
}
