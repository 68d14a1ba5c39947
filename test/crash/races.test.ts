/**
 * Several workers over the same hours, and objects that change under a worker: at the end each hour is exactly its objects.
 * Claims are off if two workers should meet: only the part's conditional write decides.
 */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { addHours } from "../../src/hour.js";
import { HOURPACK } from "../support/cli.js";
import { seededRandom } from "../support/faults.js";
import {
  expectedHours,
  FIRST_HOUR,
  hoursFrom,
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
import { runToEnd } from "../support/processes.js";
import { type Exchange, type ProxyHooks, S3Proxy } from "../support/proxy.js";
import { type DuckdbReader, openDuckdbReader } from "../support/readers.js";
import { Worker, type WorkerEnd } from "../support/worker.js";

/** For machines that are busy with other things. */
const TIMEOUT_MS = 900_000;

let server: S3Server;
let files: S3Files;
let reader: DuckdbReader;
const workDir = mkdtempSync(join(tmpdir(), "hourpack-races-"));

beforeAll(async () => {
  server = await startMinio();
  files = new S3Files(server, await createBucket(server));
  reader = await openDuckdbReader();
});

afterAll(async () => {
  reader?.close();
  files?.close();
  await server?.stop();
  rmSync(workDir, { recursive: true, force: true });
});

/** Hours of raw objects below `<name>/raw/`, with their tier 1 beside them. */
class Scene {
  readonly objects: RawObject[] = [];
  readonly raw: string;
  readonly tier1: string;
  private readonly name: string;
  private workers = 0;

  constructor(name: string) {
    this.name = name;
    this.raw = `${name}/raw/`;
    this.tier1 = `${name}/tier1/`;
  }

  /** Adds objects, or writes them again under their keys. */
  async put(objects: RawObject[]): Promise<void> {
    await seed(files, this.raw, objects);
    for (const object of objects) {
      const at = this.objects.findIndex(({ hour, name }) => hour === object.hour && name === object.name);
      if (at < 0) this.objects.push(object);
      else this.objects[at] = object;
    }
  }

  async remove(object: RawObject): Promise<void> {
    await files.remove(rawKey(this.raw, object));
    this.objects.splice(this.objects.indexOf(object), 1);
  }

  /** Each worker has a spool of its own, as on several machines. */
  start(hours: number, more: string[] = [], endpoint = server.endpoint): Worker {
    const range = ["--from", FIRST_HOUR, "--to", addHours(FIRST_HOUR, hours)];
    const s3 = ["--s3-endpoint", endpoint, "--s3-force-path-style"];
    const dataset = ["--raw", rawTemplate(files, this.raw), "--tier1", files.uri + this.tier1];
    const spool = ["--spool-dir", join(workDir, `${this.name}-${this.workers++}`)];
    const args = ["run", ...range, ...s3, ...dataset, "--table", TABLE, ...spool, ...more];
    return new Worker(args, credentialsEnv(server), 400_000);
  }

  async run(hours: number, more: string[] = []): Promise<WorkerEnd> {
    return succeeded(await this.start(hours, more).ended);
  }

  async expectExact(): Promise<string[]> {
    const { hours, residue } = await readLake(files, this.tier1, reader);
    expect(hours).toEqual(expectedHours(this.raw, this.objects));
    return residue;
  }
}

function succeeded(end: WorkerEnd): WorkerEnd {
  expect(end.signal).toBe(null);
  expect(end.code, end.stderr).toBe(0);
  return end;
}

const packedBy = (end: WorkerEnd) => Number(end.result["packed"]);

describe("four workers over the same hours, while objects come late", { timeout: TIMEOUT_MS }, () => {
  it.each([
    { claims: "with claims", hours: 48, flags: [] },
    { claims: "without claims", hours: 48, flags: ["--claim-ttl", "0s"] },
  ])("leave each hour exactly its objects, $claims", async ({ claims, hours, flags }) => {
    const scene = new Scene(claims.replaceAll(" ", "-"));
    const random = seededRandom(hours);
    await scene.put(hoursFrom(FIRST_HOUR, hours).flatMap((hour) => objectsOf(hour, 3, { damaged: true })));
    const workers = Array.from({ length: 4 }, () => scene.start(hours, flags));
    await Promise.all(workers.map((worker) => worker.started));
    let dropped = 0;
    for (; dropped < hours && workers.some((worker) => !worker.hasEnded); dropped++) {
      const hour = addHours(FIRST_HOUR, Math.floor(random() * hours));
      await scene.put(objectsOf(hour, 1, { label: `late-${dropped}` }));
      await setTimeout(random() * 200);
    }
    expect(dropped).toBeGreaterThan(0);
    const ends = await Promise.all(workers.map((worker) => worker.ended.then(succeeded)));
    const settled = await scene.run(hours);
    const residue = await scene.expectExact();

    // A loser clears up after itself: all that is left are manifests and quarantines of parts that were replaced.
    const packed = [...ends, settled].reduce((sum, end) => sum + packedBy(end), 0);
    const kinds = residue.map((key) => kindOfResidue(scene.tier1, key));
    expect(kinds.filter((kind) => kind === "manifests")).toHaveLength(packed - hours);
    expect(kinds.filter((kind) => kind !== "manifests" && kind !== "quarantine")).toEqual([]);
  });
});

const NO_CLAIMS = ["--claim-ttl", "0s"];
const isPart = ({ path }: Exchange) => path.endsWith(".snappy.parquet");
const isPartPut = (exchange: Exchange) => isPart(exchange) && exchange.operation === "PutObject";

/** Runs a worker through a proxy to its end. Statuses of the answers to the part's writes come with it. */
async function runThrough(
  scene: Scene,
  more: string[],
  hooks: ProxyHooks,
): Promise<{ end: WorkerEnd; partWrites: number[] }> {
  const partWrites: number[] = [];
  const proxy = await S3Proxy.start(server, {
    ...hooks,
    answered: async (exchange, answer) => {
      if (isPart(exchange) && /^(PutObject|Complete)/.test(exchange.operation))
        partWrites.push(answer.status);
      return hooks.answered?.(exchange, answer);
    },
  });
  try {
    const end = await scene.start(1, [...NO_CLAIMS, ...more], proxy.endpoint).ended;
    return { end, partWrites };
  } finally {
    await proxy.stop();
  }
}

/** Does something at the first request that fits, while the worker is held there. */
function atFirst(fits: (exchange: Exchange) => boolean, task: () => Promise<unknown>) {
  let isDone = false;
  return async (exchange: Exchange) => {
    if (isDone || !fits(exchange)) return undefined;
    isDone = true;
    return task();
  };
}

const isRawListing = ({ operation, query }: Exchange) =>
  operation === "ListObjectsV2" && (query.get("prefix") ?? "").includes("/raw/");

describe("two workers interleaved", () => {
  const first = () => objectsOf(FIRST_HOUR, 3, { damaged: true });
  const late = () => objectsOf(FIRST_HOUR, 2, { label: "late" });

  // Were the part's ETag read after the listing, it would be that of a part with objects that the listing has not,
  // and the conditional write under it would put them out.
  it("HEAD comes before LIST: a rebuild cannot put out what another worker added after its listing", async () => {
    const scene = new Scene("head-before-list");
    await scene.put(first());
    await scene.run(1);
    const answered = atFirst(isRawListing, async () => {
      await scene.put(late());
      await scene.run(1, NO_CLAIMS);
    });
    const { end, partWrites } = await runThrough(scene, ["--rebuild", "--from-remainder"], { answered });
    succeeded(end);
    await scene.expectExact();
    expect(partWrites).toEqual([412, 200]);
  });

  it("the same where the hour is new to both", async () => {
    const scene = new Scene("both-new");
    await scene.put(first());
    const answered = atFirst(isRawListing, async () => {
      await scene.put(late());
      await scene.run(1, NO_CLAIMS);
    });
    const { end, partWrites } = await runThrough(scene, [], { answered });
    expect(packedBy(succeeded(end))).toBe(0);
    expect(partWrites).toEqual([412]);
    expect(await scene.expectExact()).toEqual([]);
  });

  it.each(["new", "published"])("the loser of a race for a %s hour clears up after itself", async (state) => {
    const scene = new Scene(`loser-${state}`);
    await scene.put(first());
    if (state === "published") await scene.run(1);
    await scene.put(late());
    const before = atFirst(isPartPut, () => scene.run(1, NO_CLAIMS));
    const { end, partWrites } = await runThrough(scene, [], { before });
    expect(packedBy(succeeded(end))).toBe(0);
    expect(partWrites).toEqual([412]);
    const kinds = (await scene.expectExact()).map((key) => kindOfResidue(scene.tier1, key));
    expect(kinds).toEqual(state === "published" ? ["manifests", "quarantine"] : []);
  });

  it("a part that is deleted before it can be replaced is rebuilt", async () => {
    const scene = new Scene("deleted");
    await scene.put(first());
    await scene.run(1);
    await scene.put(late());
    const before = atFirst(isPartPut, async () => {
      for (const key of await files.list(`${scene.tier1}year=`)) await files.remove(key);
    });
    const { end, partWrites } = await runThrough(scene, [], { before });
    expect(packedBy(succeeded(end))).toBe(1);
    expect(partWrites).toEqual([404, 200]);
    await scene.expectExact();
  });
});

describe("a lost answer to one's own commit is success", () => {
  it.each([
    { state: "a new part", padBytes: 0, published: false },
    { state: "a replaced part", padBytes: 0, published: true },
    { state: "a part that goes up in several", padBytes: 1_100_000, published: false },
  ])("$state", async ({ state, padBytes, published }) => {
    const scene = new Scene(state.replaceAll(" ", "-"));
    await scene.put(objectsOf(FIRST_HOUR, 6, { padBytes }));
    if (published) {
      await scene.run(1);
      await scene.put(objectsOf(FIRST_HOUR, 1, { label: "late" }));
    }
    const isCommit = (exchange: Exchange) =>
      isPart(exchange) && /^(PutObject|Complete)/.test(exchange.operation);
    const answered = atFirst(isCommit, async () => "drop");
    const { end, partWrites } = await runThrough(scene, [], { answered });
    expect(packedBy(succeeded(end))).toBe(1);
    expect(partWrites).toEqual([200, 412]);
    const residue = await scene.expectExact();
    expect(residue.map((key) => kindOfResidue(scene.tier1, key))).toEqual(published ? ["manifests"] : []);
  });

  it("a conflict of two writes is tried again", async () => {
    const scene = new Scene("conflict");
    await scene.put(objectsOf(FIRST_HOUR, 3));
    let conflicts = 0;
    const { end } = await runThrough(scene, [], {
      fault: (exchange) =>
        isPartPut(exchange) && conflicts++ < 2
          ? async () => ({ kind: "answer", answer: { status: 409, headers: [], body: CONFLICT } })
          : undefined,
    });
    expect(packedBy(succeeded(end))).toBe(1);
    expect(conflicts).toBe(3);
    expect(await scene.expectExact()).toEqual([]);
  });
});

const CONFLICT = Buffer.from(
  "<Error><Code>ConditionalRequestConflict</Code><Message>A conflicting operation occurred.</Message></Error>",
);

describe("attempts that share one spool folder", { timeout: TIMEOUT_MS }, () => {
  it("never take each other's files for those of a dead one", async () => {
    const root = join(workDir, "shared-spool");
    const script = `
      import { readFile, writeFile } from "node:fs/promises";
      import { ulid } from "ulid";
      import { Spool } from ${JSON.stringify(resolve(HOURPACK, "../../dist/spool/spool.js"))};
      for (let i = 0; i < 700; i++) {
        const attempt = ulid();
        const spool = await Spool.open(${JSON.stringify(root)}, attempt);
        await writeFile(spool.path("batch"), attempt);
        if ((await readFile(spool.path("batch"), "utf8")) !== attempt) throw new Error("another's file");
        await spool.close();
      }`;
    // Processes, since the kernel's locks are theirs.
    const args = ["--input-type=module", "--eval", script];
    await Promise.all(Array.from({ length: 4 }, () => runToEnd(process.execPath, args)));
    expect(readdirSync(root)).toEqual([]);
  });
});

describe("objects that move under the reader", () => {
  const isRawGet = ({ operation, path }: Exchange) => operation === "GetObject" && path.includes("/raw/");
  /** The object of a fresh body under its old key. */
  const again = (object: RawObject, version: number): RawObject => {
    const [other] = objectsOf(object.hour, 1, { label: `version-${version}`, records: 5 });
    return { ...(other as RawObject), name: object.name };
  };

  it.each([
    ["overwritten", (scene: Scene, last: RawObject) => scene.put([again(last, 1)])],
    ["removed", (scene: Scene, last: RawObject) => scene.remove(last)],
  ])("%s between the listing and the reading: the hour is planned again", async (name, move) => {
    const scene = new Scene(name);
    await scene.put(objectsOf(FIRST_HOUR, 4));
    const last = scene.objects.at(-1) as RawObject;
    const before = atFirst(isRawGet, () => move(scene, last));
    const { end } = await runThrough(scene, ["--s3-concurrency", "1"], { before });
    expect(packedBy(succeeded(end))).toBe(1);
    expect(await scene.expectExact()).toEqual([]);
  });

  it("ever changing: reported as such after some plans, with exit code 11 and nothing published", async () => {
    const scene = new Scene("changing");
    await scene.put(objectsOf(FIRST_HOUR, 4));
    const [object] = scene.objects as [RawObject];
    let version = 0;
    const before = async (exchange: Exchange) => {
      if (isRawGet(exchange)) await scene.put([again(object, version++)]);
    };
    const { end } = await runThrough(scene, ["--s3-concurrency", "1"], { before });
    expect(end.code, end.stderr).toBe(11);
    expect((await readLake(files, scene.tier1, reader)).hours).toEqual({});
    // Once it rests, it is packed.
    await scene.run(1);
    await scene.expectExact();
  });
});
