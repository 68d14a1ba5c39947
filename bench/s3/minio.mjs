/** A real MinIO that keeps its data folder in the cache, so that a second run finds its objects there. */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { benchDir, cacheDir } from "../cache.mjs";

const MINIO = "github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c";
const KEYS = { accessKeyId: "hourpack-bench", secretAccessKey: "hourpack-bench-secret" };

/** `cpuS`: what it has used so far. @returns {Promise<import("./client.mjs").Server & { cpuS(): number | undefined, stop(): Promise<void> }>} */
export async function startMinio() {
  const command = await minioCommand();
  const dir = benchDir("minio");
  const lock = takeFolder(dir);
  const [port, consolePort] = [await freePort(), await freePort()];
  const addresses = ["--address", `127.0.0.1:${port}`, "--console-address", `127.0.0.1:${consolePort}`];
  const child = spawn(command, ["server", dir, ...addresses, "--quiet"], {
    env: {
      ...process.env,
      MINIO_ROOT_USER: KEYS.accessKeyId,
      MINIO_ROOT_PASSWORD: KEYS.secretAccessKey,
      MINIO_BROWSER: "off",
      // The scanner reads all objects over and over, beside what is measured.
      MINIO_SCANNER_SPEED: "slowest",
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let printed = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (printed += text));
  const stop = async () => {
    const ended = new Promise((resolve) => child.once("exit", resolve));
    if (child.exitCode === null && child.kill("SIGTERM")) await ended;
    rmSync(lock, { force: true });
  };
  const endpoint = `http://127.0.0.1:${port}`;
  for (let tries = 0; tries < 600; tries++) {
    if (child.exitCode !== null) break;
    const answer = await fetch(`${endpoint}/minio/health/ready`).catch(() => undefined);
    if (answer?.ok) return { endpoint, ...KEYS, cpuS: () => cpuSecondsOf(child.pid), stop };
    await setTimeout(100);
  }
  await stop();
  throw new Error(`start MinIO on ${dir}: it does not answer:\n${printed.slice(-2000)}`);
}

/**
 * Fields 14 and 15 of proc_pid_stat(5), in hundredths. Undefined if there is no /proc.
 * @param {number | undefined} pid
 */
function cpuSecondsOf(pid) {
  const path = `/proc/${pid}/stat`;
  if (!existsSync(path)) return undefined;
  const fields = readFileSync(path, "utf8").split(") ")[1].split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Two servers on one folder would damage it. @param {string} dir */
function takeFolder(dir) {
  const lock = `${dir}.pid`;
  try {
    writeFileSync(lock, String(process.pid), { flag: "wx" });
  } catch {
    const holder = Number(spawnSync("cat", [lock], { encoding: "utf8" }).stdout);
    if (isAlive(holder)) {
      throw new Error(
        `start MinIO on ${dir}: the benchmark with process id ${holder} uses it; wait until it has ended`,
      );
    }
    writeFileSync(lock, String(process.pid));
  }
  return lock;
}

/** @param {number} pid */
function isAlive(pid) {
  try {
    return pid > 0 && process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** Found on the PATH or in the cache, or built into the cache by one process only. */
async function minioCommand() {
  const path = join(cacheDir(), "bin", "minio");
  const making = join(cacheDir(), "minio.making");
  for (;;) {
    const found = spawnSync("sh", ["-c", "command -v minio"], { encoding: "utf8" }).stdout.trim();
    if (found) return found;
    if (existsSync(path) && !existsSync(making)) return path;
    try {
      mkdirSync(making);
    } catch {
      await setTimeout(500);
      continue;
    }
    try {
      process.stderr.write(`building MinIO into ${cacheDir()}; this takes some minutes, once\n`);
      const env = { ...process.env, GOBIN: join(cacheDir(), "bin") };
      const built = spawnSync("go", ["install", MINIO], { env, stdio: ["ignore", "ignore", "inherit"] });
      if (built.status !== 0)
        throw new Error("build MinIO: install Go 1.24 or later, or put minio on the PATH");
    } finally {
      rmSync(making, { recursive: true, force: true });
    }
  }
}

/** @returns {Promise<number>} */
function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
      server.close(() => resolve(port));
    });
  });
}
