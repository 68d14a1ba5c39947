/** Reads Parquet with pyarrow: one Python process for many files, from a virtual environment in the cache. */
import { execFile, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, rename, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { Row } from "./readers.js";

const VERSION = "23.0.1";
const SCRIPT = fileURLToPath(new URL("pyarrow_reader.py", import.meta.url));

export interface PyarrowReader {
  read(path: string): Promise<Row[]>;
  close(): Promise<void>;
}

export async function openPyarrowReader(): Promise<PyarrowReader> {
  const python = await pythonWithPyarrow();
  const child = spawn(python, [SCRIPT], { stdio: ["pipe", "pipe", "inherit"] });
  const exited = new Promise<void>((done) => child.once("close", () => done()));
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  let last: Promise<unknown> = Promise.resolve();
  const ask = async (path: string): Promise<Row[]> => {
    child.stdin.write(`${JSON.stringify(path)}\n`);
    const { value, done } = await answers.next();
    if (done) throw new Error(`pyarrow ended while it read ${path}`);
    const answer = JSON.parse(value) as { rows: Row[] } | { error: string };
    if ("error" in answer) throw new Error(`pyarrow read ${path}: ${answer.error}`);
    return answer.rows;
  };
  return {
    // One question at a time, so that an answer belongs to its question.
    read(path) {
      const answer = last.then(() => ask(path));
      last = answer.catch(() => {});
      return answer;
    },
    async close() {
      child.stdin.end();
      await exited;
    },
  };
}

/** The interpreter of a virtual environment with the pinned pyarrow. The first run makes it, with pip. */
async function pythonWithPyarrow(): Promise<string> {
  const home = join(cacheDir(), `pyarrow-${VERSION}`);
  const python = join(home, "bin", "python");
  if (existsSync(python)) return python;
  // Made aside and renamed, so that neither an interrupted installation nor a second runner leaves half of one.
  const aside = `${home}.${process.pid}`;
  const run = promisify(execFile);
  try {
    await mkdir(dirname(home), { recursive: true });
    await run(process.env["PYTHON"] ?? "python3", ["-m", "venv", aside]);
    await run(join(aside, "bin", "python"), ["-m", "pip", "install", "--quiet", `pyarrow==${VERSION}`]);
    await rename(aside, home).catch((error) => {
      if (!existsSync(python)) throw error;
    });
  } catch (cause) {
    throw new Error(
      `install pyarrow ${VERSION} into ${home}: Python 3.10 or newer with venv and pip is needed`,
      {
        cause,
      },
    );
  } finally {
    await rm(aside, { recursive: true, force: true });
  }
  return python;
}

function cacheDir(): string {
  return (
    process.env["HOURPACK_CACHE"] ??
    join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "hourpack")
  );
}
