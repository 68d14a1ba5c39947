/**
 * A worker is killed at every request of its run: before the store has seen the request, and after the store has answered but
 * before the worker knows. A fresh worker then runs, and must end as if nothing had happened.
 */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { openComponents } from "../../src/components.js";
import { loadSettings } from "../../src/config/load.js";
import { partKey, schemaKey } from "../../src/layout.js";
import { sweep } from "../../src/upkeep/sweep.js";
import {
  expectedHours,
  FIRST_HOUR,
  kindOfResidue,
  objectsOf,
  type RawObject,
  rawKey,
  rawTemplate,
  readLake,
  S3Files,
  seed,
  TABLE,
} from "../support/hour-of-events.js";
import { createBucket, credentialsEnv, type S3Server, startMinio } from "../support/minio.js";
import { type Exchange, S3Proxy } from "../support/proxy.js";
import { type DuckdbReader, openDuckdbReader } from "../support/readers.js";
import { inParallel, Worker, type WorkerEnd, work } from "../support/worker.js";

/** For machines that are busy with other things. */
const TIMEOUT_MS = 900_000;

type Position = "before" | "answered";

/** Raw objects, and the tier 1 that every trial begins with. */
interface Scene {
  name: string;
  objects: RawObject[];
  /** The trial whose tier 1 is copied; nothing is published yet where absent. */
  base?: string;
  /** Somebody decides in each run that rows stay whose objects are others by now: `objects` are those of before. */
  keepOld?: boolean;
}

/** A worker to be killed, over a tier 1 and a table of its own. */
interface Trial {
  name: string;
  n: number;
  position: Position;
  operation: string;
}

let server: S3Server;
let files: S3Files;
let reader: DuckdbReader;
let env: Record<string, string>;
const workDir = mkdtempSync(join(tmpdir(), "hourpack-crash-"));

beforeAll(async () => {
  server = await startMinio();
  files = new S3Files(server, await createBucket(server));
  reader = await openDuckdbReader();
  env = credentialsEnv(server);
  Object.assign(process.env, env);
});

afterAll(async () => {
  reader?.close();
  files?.close();
  await server?.stop();
  rmSync(workDir, { recursive: true, force: true });
});

const rawOf = (scene: Scene) => `${scene.name}/raw/`;
const tier1Of = (scene: Scene, trial: string) => `${scene.name}/${trial}/`;

/** All trials of a scene share one spool folder, as workers of one machine do. */
function spoolOf(scene: Scene): string {
  const dir = join(workDir, scene.name);
  mkdirSync(dir, { recursive: true });
  return dir;
}

/** The scene's trials as one dataset each. */
function configOf(scene: Scene, trials: string[], endpoint: string): string[] {
  const path = join(workDir, `${scene.name}-${trials[0]}.yaml`);
  const dataset = {
    for: { trial: trials },
    raw: rawTemplate(files, rawOf(scene)),
    tier1: `${files.uri}${tier1Of(scene, "{trial}")}`,
    table: `${TABLE}_{trial}`,
  };
  const config = {
    s3: { endpoint, region: "us-east-1", forcePathStyle: true },
    datasets: { d: dataset },
    run: { spoolDir: spoolOf(scene) },
  };
  writeFileSync(path, stringify(config));
  return ["--config", path, "--hour", FIRST_HOUR];
}

function runOf(scene: Scene, trials: string[], endpoint: string): string[] {
  return ["run", ...configOf(scene, trials, endpoint), ...(scene.keepOld ? ["--keep-old"] : [])];
}

async function begin({ base, ...scene }: Scene, trial: string): Promise<void> {
  if (!base) return;
  const renamed = (key: string) => key.replace(`/${TABLE}_${base}-`, `/${TABLE}_${trial}-`);
  await files.copyAll(tier1Of(scene, base), tier1Of(scene, trial), renamed);
  const key = schemaKey(tier1Of(scene, trial));
  const pinned = { ...JSON.parse((await files.read(key)).toString()), table: `${TABLE}_${trial}` };
  await files.write(key, Buffer.from(JSON.stringify(pinned)));
}

/** The requests of a run that nothing disturbs. */
async function requestsOf(scene: Scene): Promise<Exchange[]> {
  const trial = "undisturbed";
  await begin(scene, trial);
  const proxy = await S3Proxy.start(server);
  try {
    const end = await work(runOf(scene, [trial], proxy.endpoint), env);
    expect(end.code, end.stderr).toBe(0);
    return proxy.exchanges;
  } finally {
    await proxy.stop();
  }
}

function trialsOf(exchanges: Exchange[], positions: Position[] = ["before", "answered"]): Trial[] {
  return exchanges.flatMap(({ n, operation }) =>
    positions.map((position) => ({ name: `${position}_${n}`, n, position, operation })),
  );
}

/** Starts a worker and kills it at its n-th request. `beside` is started with it and runs to its end. */
async function killAt(
  scene: Scene,
  { name, n, position }: Trial,
  beside?: () => Promise<WorkerEnd>,
): Promise<WorkerEnd> {
  await begin(scene, name);
  const proxy = await S3Proxy.start(server);
  try {
    const worker = new Worker(runOf(scene, [name], proxy.endpoint), env);
    proxy.hooks[position] = async (exchange: Exchange) => {
      if (exchange.n !== n) return;
      await worker.kill();
      return "drop";
    };
    const other = await beside?.();
    if (other) expect(other.code, other.stderr).toBe(0);
    return await worker.ended;
  } finally {
    await proxy.stop();
  }
}

/** Kills a worker for each trial, then one fresh worker runs over all of them. */
async function killEach(scene: Scene, trials: Trial[], beside?: (trial: Trial) => Promise<WorkerEnd>) {
  const alive: string[] = [];
  await inParallel(trials, 3, async (trial) => {
    const end = await killAt(scene, trial, beside && (() => beside(trial)));
    if (end.signal !== "SIGKILL") alive.push(trial.name);
  });
  // Beside another worker it may have had less to do, and ended before.
  if (!beside) expect(alive).toEqual([]);

  const names = ["undisturbed", ...trials.map(({ name }) => name)];
  const fresh = await work(runOf(scene, names, server.endpoint), env);
  expect(fresh.code, fresh.stderr).toBe(0);
  const config = configOf(scene, names, server.endpoint);
  if (scene.keepOld) {
    const next = await work(["run", ...config], env);
    expect([next.code, next.result], next.stderr).toMatchObject([0, { upToDate: names.length, packed: 0 }]);
  }
  // Records that are gone prove no row.
  const verified = await work(["verify", ...(scene.keepOld ? [] : ["--deep"]), ...config], env);
  expect(verified.code, verified.stdout).toBe(0);
  expect(verified.result).toMatchObject({ hours: trials.length + 1, wrong: 0 });
  // The empty lock file of one that was killed before it had a folder may stay: it might be somebody's.
  expect(readdirSync(spoolOf(scene)).filter((name) => !name.endsWith(".lock"))).toEqual([]);

  await expectWhole(scene, trials);
}

/** Each hour is whole; of what was left the sweeper takes all once its age has come, and nothing else. */
async function expectWhole(scene: Scene, trials: Trial[]): Promise<void> {
  const expected = expectedHours(rawOf(scene), scene.objects);
  for (const { name, n, position, operation } of trials) {
    const tier1 = tier1Of(scene, name);
    const { hours, residue } = await readLake(files, tier1, reader);
    const place = `killed ${position} request ${n}, ${operation}`;
    expect(hours, place).toEqual(expected);
    const kinds = residue.map((key) => kindOfResidue(tier1, key)).sort();
    expect(kinds, place).toEqual(kinds.filter((kind) => possibleResidue(scene).includes(kind)));
    expect(new Set(residue).size, place).toBeLessThanOrEqual(possibleResidue(scene).length);
  }
  await sweepAWeekLater(scene, trials);
  for (const { name, n, position, operation } of trials) {
    const swept = await readLake(files, tier1Of(scene, name), reader);
    expect(swept, `killed ${position} request ${n}, ${operation}`).toEqual({ hours: expected, residue: [] });
  }
}

async function sweepAWeekLater(scene: Scene, trials: Trial[]): Promise<void> {
  const [, file] = configOf(
    scene,
    trials.map(({ name }) => name),
    server.endpoint,
  );
  const laterMs = Date.now() + 8 * 24 * 3_600_000;
  const components = openComponents(await loadSettings({ file, env: {} }), { nowMs: () => laterMs });
  try {
    for (const dataset of components.settings.datasets) await sweep({ components, dataset });
  } finally {
    await components.close();
  }
}

/** What one killed attempt may have written, and what a replaced part named. */
function possibleResidue(scene: Scene): string[] {
  const ofOne = ["manifests", "quarantine"];
  return [...ofOne, ...(scene.base ? ofOne : []), "probe", "claims"];
}

describe("a worker killed at every request", { timeout: TIMEOUT_MS }, () => {
  it("of a new hour", async () => {
    const scene = { name: "new", objects: objectsOf(FIRST_HOUR, 6, { damaged: true }) };
    await seed(files, rawOf(scene), scene.objects);
    const exchanges = await requestsOf(scene);
    // The sweep that ends the run of a midnight reads schema.json, too.
    const reads = exchanges.filter(
      ({ operation, path }) => operation === "GetObject" && path.includes(rawOf(scene)),
    );
    expect(reads).toHaveLength(6);
    await killEach(scene, trialsOf(exchanges));
  });

  it("of an hour whose part is replaced, since objects came late", async () => {
    const early = objectsOf(FIRST_HOUR, 4, { damaged: true });
    const late = objectsOf(FIRST_HOUR, 2, { damaged: true, label: "late" });
    const scene = { name: "late", objects: [...early, ...late] };
    await seed(files, rawOf(scene), early);
    const packed = await work(["run", ...configOf(scene, ["base"], server.endpoint)], env);
    expect(packed.code, packed.stderr).toBe(0);
    await seed(files, rawOf(scene), late);
    const published = { ...scene, base: "base" };
    await killEach(published, trialsOf(await requestsOf(published)));
  });

  it("of an hour whose rows are to be kept, since an object is gone and another overwritten", async () => {
    const [gone, overwritten, ...others] = objectsOf(FIRST_HOUR, 4, { damaged: true });
    if (!gone || !overwritten) throw new Error("there are four");
    const scene = { name: "kept", objects: [gone, overwritten, ...others], keepOld: true };
    await seed(files, rawOf(scene), scene.objects);
    const packed = await work(runOf(scene, ["base"], server.endpoint), env);
    expect(packed.code, packed.stderr).toBe(0);
    await files.remove(rawKey(rawOf(scene), gone));
    await files.write(rawKey(rawOf(scene), overwritten), Buffer.from('{"id":"another","n":7}\n'));
    const published = { ...scene, base: "base" };
    const exchanges = await requestsOf(published);
    const reads = exchanges.filter(
      ({ operation, path }) => operation === "GetObject" && path.includes("/raw/"),
    );
    expect(reads).toEqual([]);
    await killEach(published, trialsOf(exchanges));
  });

  it("of a part so large that it goes up in several", async () => {
    const scene = { name: "large", objects: objectsOf(FIRST_HOUR, 6, { padBytes: 1_100_000 }) };
    await seed(files, rawOf(scene), scene.objects);
    const exchanges = await requestsOf(scene);
    const upload = exchanges.filter(({ operation }) => /^(Create|UploadP|Complete)/.test(operation));
    const create = upload[0] as Exchange;
    expect(upload.map(({ operation }) => operation)).toEqual([
      "CreateMultipartUpload",
      "UploadPart",
      "UploadPart",
      "CompleteMultipartUpload",
    ]);
    // All before it comes in another order each time; what follows asks who won.
    const trials = trialsOf(exchanges.filter(({ n }) => n >= create.n));
    await killEach(scene, trials);
    for (const { name } of trials) {
      const key = partKey(tier1Of(scene, name), `${TABLE}_${name}`, FIRST_HOUR);
      expect(await files.openUploads(key)).toBe(0);
    }
  });

  it("while another worker packs the same hour", async () => {
    const scene = { name: "beside", objects: objectsOf(FIRST_HOUR, 6, { damaged: true }) };
    await seed(files, rawOf(scene), scene.objects);
    const exchanges = await requestsOf(scene);
    const trials = exchanges.flatMap((exchange, i) =>
      trialsOf([exchange], [i % 2 === 0 ? "before" : "answered"]),
    );
    await killEach(scene, trials, ({ name }) =>
      work(["run", ...configOf(scene, [name], server.endpoint)], env),
    );
  });
});
