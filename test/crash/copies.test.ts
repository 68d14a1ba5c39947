/** The local catalog's copies of parts in S3: each hour is read in one version, whichever processes copy at once or are killed. */
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from "vitest";
import { openDatabase } from "../../src/engine/duckdb/database.js";
import { parseHour } from "../../src/hour.js";
import { partitionPrefix } from "../../src/layout.js";
import { createBucket, credentialsEnv, type S3Server, startMinio } from "../support/minio.js";
import { S3Proxy } from "../support/proxy.js";
import { Worker, type WorkerEnd } from "../support/worker.js";

const HOUR = parseHour("2026-11-10T00");
/** For machines that are busy with other things. */
const TIMEOUT_MS = 300_000;

let server: S3Server;
let root: string;
let tier1: string;

beforeAll(async () => {
  server = await startMinio();
});
afterAll(() => server?.stop());
beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), "hourpack-copies-"));
  tier1 = `s3://${await createBucket(server)}/lake/`;
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const copies = () => join(root, "catalog.duckdb.parts/t", partitionPrefix(HOUR));
const parts = () => readdirSync(copies()).filter((name) => name.endsWith(".parquet"));

function deliver(name: string): void {
  const folder = join(root, "raw/2026/11/10/00");
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, name), `{"name":"${name}"}\n`);
}

function start(
  command: "run" | "register",
  { endpoint = server.endpoint, catalog = "local", env = {} } = {},
) {
  const dataset = ["--raw", `${root}/raw/{yyyy}/{MM}/{dd}/{HH}/`, "--tier1", tier1, "--table", "t"];
  const s3 = ["--s3-endpoint", endpoint, "--s3-force-path-style"];
  const where = catalog === "local" ? ["--catalog-path", join(root, "catalog.duckdb")] : [];
  const args = [command, "--hour", HOUR, ...dataset, ...s3, "--catalog", catalog, ...where];
  return new Worker(args, { ...credentialsEnv(server), ...env });
}

async function done(worker: Worker): Promise<void> {
  const end = await worker.ended;
  expect(end.code, end.stderr.slice(-1500)).toBe(0);
}

/** By the view. */
async function namesRead(): Promise<unknown[]> {
  const catalog = await openDatabase(join(root, "catalog.duckdb"), { access_mode: "READ_ONLY" });
  try {
    const rows = await catalog.rows("SELECT name FROM hourpack.t ORDER BY name");
    return rows.map(({ name }) => name);
  } finally {
    await catalog.close();
  }
}

it("two workers copy an hour at once, and the one that began with the older version ends last", {
  timeout: TIMEOUT_MS,
}, async () => {
  deliver("a.json");
  await done(start("run", { catalog: "none" }));
  let letGo = () => {};
  const held = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  let isRead = () => {};
  const read = new Promise<void>((resolve) => {
    isRead = resolve;
  });
  const proxy = await S3Proxy.start(server, {
    async answered({ operation, path }) {
      if (operation !== "GetObject" || !path.endsWith(".parquet")) return;
      isRead();
      await held;
    },
  });
  try {
    const older = start("register", proxy);
    await read;
    deliver("b.json");
    const newer = start("run");
    // It waits for the other, or is done.
    await Promise.race([newer.ended, setTimeout(5_000)]);
    letGo();
    await Promise.all([done(older), done(newer)]);
  } finally {
    letGo();
    await proxy.stop();
  }
  expect(await namesRead()).toEqual(["a.json", "b.json"]);
  expect(parts()).toHaveLength(1);
});

/** Killed before the nth change of a file among the copies. */
const KILLED = `data:text/javascript,${encodeURIComponent(`
  import fs from "node:fs/promises";
  import { syncBuiltinESMExports } from "node:module";
  let left = Number(process.env.KILLED_BEFORE);
  for (const verb of ["writeFile", "rename", "rm"]) {
    const real = fs[verb];
    fs[verb] = (path, ...rest) => {
      if (path.includes(".parts/") && --left === 0) process.kill(process.pid, "SIGKILL");
      return real(path, ...rest);
    };
  }
  syncBuiltinESMExports();
`)}`;

it("killed before each change of its files, a copying worker leaves one version, and the next ends it", {
  timeout: TIMEOUT_MS,
}, async () => {
  deliver("a.json");
  await done(start("run"));
  const saved = join(root, "saved");
  cpSync(copies(), saved, { recursive: true });
  deliver("b.json");
  await done(start("run", { catalog: "none" }));
  let end: WorkerEnd;
  let kills = 0;
  do {
    rmSync(copies(), { recursive: true });
    cpSync(saved, copies(), { recursive: true });
    const env = { NODE_OPTIONS: `--import=${KILLED}`, KILLED_BEFORE: String(++kills) };
    end = await start("register", { env }).ended;
    expect([["a.json"], ["a.json", "b.json"]]).toContainEqual(await namesRead());
    if (end.signal) await done(start("register"));
    expect(await namesRead()).toEqual(["a.json", "b.json"]);
    expect(parts()).toHaveLength(1);
  } while (end.signal === "SIGKILL");
  expect(end.code, end.stderr.slice(-1500)).toBe(0);
  expect(kills).toBeGreaterThan(3);
});
