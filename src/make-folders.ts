import { mkdir, stat } from "node:fs/promises";
import { dirname } from "node:path";

/**
 * A folder and those above it, one by one, so that the system's own reason is thrown: `mkdir` with `recursive` says of a
 * read-only file system that there is no such file, and never comes back under /proc, where it is told the same of a
 * folder that is there. A file in its place is ENOTDIR, as one above it is.
 */
export async function makeFolders(path: string): Promise<void> {
  const above = dirname(path);
  // Another process may make what is above between two calls, or remove it while it is empty.
  for (let tries = 1; tries <= TRIES_MAX; tries++) {
    const code = await madeOrCode(path);
    if (code === undefined) return;
    if (code === "EEXIST") throw refused("ENOTDIR", `${path} is no folder`);
    if (above !== path) await makeFolders(above);
  }
  throw refused("EPERM", `no folder can be made in ${above}`);
}

const TRIES_MAX = 3;

/** Undefined where the folder is there now. Throws what is neither a folder that is missing above nor a file in its place. */
async function madeOrCode(path: string): Promise<string | undefined> {
  try {
    await mkdir(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const isFolder = await stat(path).then(
      (stats) => stats.isDirectory(),
      () => false,
    );
    if (isFolder) return undefined;
    if (code !== "EEXIST" && code !== "ENOENT") throw error;
    return code;
  }
  return undefined;
}

function refused(code: string, why: string): Error {
  return Object.assign(new Error(`${code}: ${why}`), { code });
}
