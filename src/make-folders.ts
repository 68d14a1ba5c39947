import { mkdir, stat } from "node:fs/promises";
import { dirname } from "node:path";

/**
 * Makes a folder and those above it, one by one, so that the system's own reason is thrown. `mkdir` with `recursive` reports
 * ENOENT on a read-only file system. Under /proc it never returns, because the system says ENOENT about folders that exist.
 * Throws ENOTDIR if the path, or one above it, is a file.
 */
export async function makeFolders(path: string): Promise<void> {
  const above = dirname(path);
  // Between two calls another process may make the folder above, or remove it while it is empty.
  for (let tries = 1; tries <= TRIES_MAX; tries++) {
    const code = await madeOrCode(path);
    if (code === undefined) return;
    if (code === "EEXIST") throw refused("ENOTDIR", `${path} is no folder`);
    if (above !== path) await makeFolders(above);
  }
  throw refused("EPERM", `no folder can be made in ${above}`);
}

const TRIES_MAX = 3;

/** Undefined if the folder exists now; ENOENT if the one above is missing, EEXIST if a file is in its place. Throws any other error. */
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
