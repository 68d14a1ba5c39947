/** Sweeps clear what crashes leave, claims spread hours over workers, and raw objects are deleted only when proved. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CreateMultipartUploadCommand, ListMultipartUploadsCommand } from "@aws-sdk/client-s3";
import { ulid } from "ulid";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { type Components, openComponents } from "../../src/components.js";
import { loadSettings } from "../../src/config/load.js";
import type { Dataset } from "../../src/config/settings.js";
import { HOUR_MS, parseHour } from "../../src/hour.js";
import { claimKey, journalPrefix, manifestKey, partKey, quarantineKey, schemaKey } from "../../src/layout.js";
import { run } from "../../src/run.js";
import type { Store } from "../../src/store/store.js";
import { headPart } from "../../src/tier1/published.js";
import { expireHour } from "../../src/upkeep/expire.js";
import { sweep } from "../../src/upkeep/sweep.js";
import { createBucket, credentialsEnv, type S3Server, startMinio } from "../support/minio.js";
import { type Exchange, type ProxyHooks, S3Proxy } from "../support/proxy.js";
import { Bucket } from "../support/s3.js";

const HOUR = parseHour("2022-07-26T00");
const NEXT = parseHour("2022-07-26T01");
const DAY_MS = 24 * HOUR_MS;
const RAW = "raw/year=2022/month=07/day=26/hour=00/";

interface Subject {
  /** Of the same place, with the clock moved on. */
  open(laterMs?: number, flags?: Record<string, unknown>): Promise<Components>;
  bucket?: Bucket;
}

let dir: string;
let minio: S3Server;
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "hourpack-recovery-"));
  minio = await startMinio();
  Object.assign(process.env, credentialsEnv(minio));
});
afterAll(async () => {
  await minio?.stop();
  rmSync(dir, { recursive: true, force: true });
});

async function subjectOf(kind: "MinIO" | "a directory", endpoint = minio.endpoint): Promise<Subject> {
  const name = await createBucket(minio);
  const root = kind === "MinIO" ? `s3://${name}` : join(dir, name);
  const settings = (flags: Record<string, unknown>) =>
    loadSettings({
      env: {},
      cwd: dir,
      flags: {
        "s3-endpoint": endpoint,
        "s3-region": "us-east-1",
        "s3-force-path-style": true,
        raw: `${root}/raw/year={yyyy}/month={MM}/day={dd}/hour={HH}/`,
        tier1: `${root}/lake/`,
        table: "t",
        ...flags,
      },
    });
  return {
    open: async (laterMs = 0, flags = {}) =>
      openComponents(await settings(flags), { nowMs: () => Date.now() + laterMs }),
    ...(kind === "MinIO" ? { bucket: new Bucket(minio, name) } : {}),
  };
}

/** Opens, does, closes. */
async function using<T>(
  opening: Promise<Components>,
  task: (parts: {
    components: Components;
    dataset: Dataset;
    raw: Store;
    tier1: Store;
    prefix: string;
  }) => Promise<T>,
): Promise<T> {
  const components = await opening;
  try {
    const dataset = components.settings.datasets[0] as Dataset;
    const raw = await components.raw(dataset);
    const tier1 = await components.tier1(dataset);
    return await task({ components, dataset, raw, tier1, prefix: dataset.tier1.prefix });
  } finally {
    await components.close();
  }
}

async function keysOf(store: Store, prefix: string): Promise<string[]> {
  const keys: string[] = [];
  for await (const page of store.list(prefix)) keys.push(...page.map(({ key }) => key));
  return keys;
}

const rawKey = (raw: Store, name: string) =>
  raw.kind === "s3" ? `${RAW}${name}` : `${RAW.replace("raw/", "")}${name}`;

async function pack(components: Components, more = {}) {
  const result = await run(components, { hours: { from: HOUR, to: NEXT }, ...more });
  expect(result.failures).toEqual([]);
  return result.hours[0];
}

it("a clock that is ten days ahead makes no file of an attempt old", async () => {
  const subject = await subjectOf("MinIO");
  const atWork = ulid(Date.now());
  await using(subject.open(), ({ tier1, prefix }) =>
    tier1.put(manifestKey(prefix, HOUR, atWork), Buffer.from("of an attempt at work")),
  );
  const { now } = Date;
  const ahead = vi.spyOn(Date, "now").mockImplementation(() => now() + 10 * DAY_MS);
  try {
    await using(subject.open(), async ({ components, dataset, tier1, prefix }) => {
      expect(components.nowMs()).toBeGreaterThan(now() + 9 * DAY_MS);
      expect((await sweep({ components, dataset })).attempts).toEqual([]);
      expect(await keysOf(tier1, `${prefix}_hourpack/manifests/`)).toHaveLength(1);
    });
  } finally {
    ahead.mockRestore();
  }
});

describe.each(["MinIO", "a directory"] as const)("over %s", (kind) => {
  it("sweeps what no part names once it is seven days old, and nothing else", async () => {
    const subject = await subjectOf(kind);
    const lost = ulid(Date.now() - 1000);
    const packed = await using(subject.open(), async ({ components, dataset, raw, tier1, prefix }) => {
      await raw.put(rawKey(raw, "a.json"), Buffer.from('{"a":1}\nno json\n'));
      await pack(components);
      const part = await headPart(tier1, partKey(prefix, dataset.table, HOUR), undefined);
      for (const key of [manifestKey(prefix, HOUR, lost), quarantineKey(prefix, HOUR, lost)])
        await tier1.put(key, Buffer.from("left over"));
      // An hour that was never published, too.
      await tier1.put(manifestKey(prefix, NEXT, lost), Buffer.from("left over"));
      await tier1.put(claimKey(prefix, NEXT), Buffer.from("{}"));
      return part?.attempt as string;
    });
    const named = (prefix: string) => [
      manifestKey(prefix, HOUR, packed),
      quarantineKey(prefix, HOUR, packed),
    ];
    await using(subject.open(6 * DAY_MS), async ({ components, dataset }) => {
      expect((await sweep({ components, dataset })).attempts).toEqual([]);
    });
    await using(subject.open(8 * DAY_MS), async ({ components, dataset, tier1, prefix }) => {
      const dry = await sweep({ components, dataset }, { dryRun: true });
      expect(dry.attempts).toHaveLength(3);
      expect(await keysOf(tier1, `${prefix}_hourpack/manifests/`)).toHaveLength(3);
      const swept = await sweep({ components, dataset });
      expect(swept.attempts.sort()).toEqual(dry.attempts.sort());
      const left = await keysOf(tier1, `${prefix}_hourpack/`);
      expect(left.filter((key) => /manifests|quarantine|claims/.test(key)).sort()).toEqual(
        named(prefix).sort(),
      );
    });
  });

  it("sweeps nothing for a table that the tier 1 is not of, nor what an expired hour's missing part named", async () => {
    const subject = await subjectOf(kind);
    const own = (store: Store, prefix: string) => keysOf(store, `${prefix}_hourpack/`);
    await using(subject.open(), async ({ components, raw }) => {
      await raw.put(rawKey(raw, "a.json"), Buffer.from('{"a":1}\nno json\n'));
      await pack(components);
    });
    await using(
      subject.open(8 * DAY_MS, { table: "typo" }),
      async ({ components, dataset, tier1, prefix }) => {
        const before = await own(tier1, prefix);
        const refused = {
          kind: "invalid",
          message: expect.stringMatching(/sweep .* the table t, and typo is/),
        };
        for (const dryRun of [true, false])
          await expect(sweep({ components, dataset }, { dryRun })).rejects.toMatchObject(refused);
        // The parts tell it, too: an hour without a record pins no schema.
        const schema = await tier1.get(schemaKey(prefix));
        await tier1.delete(schemaKey(prefix));
        await expect(sweep({ components, dataset })).rejects.toMatchObject(refused);
        await tier1.put(schemaKey(prefix), schema);
        expect(await own(tier1, prefix)).toEqual(before);
      },
    );
    await using(subject.open(40 * DAY_MS), async ({ components, dataset, tier1, prefix }) => {
      const part = partKey(prefix, dataset.table, HOUR);
      const other = partKey(prefix, "other", HOUR);
      await tier1.put(other, await tier1.get(part));
      await expect(sweep({ components, dataset })).rejects.toThrow("it holds the table other besides t");
      await tier1.delete(other);
      const task = { dataset, hour: HOUR, request: {}, isAsked: true, components, observe: () => {} };
      expect(await expireHour(task, { dryRun: false, rawIsImmutable: true })).toMatchObject({ objects: 1 });
      await tier1.delete(part);
      const before = await own(tier1, prefix);
      expect((await sweep({ components, dataset })).attempts).toEqual([]);
      expect(await own(tier1, prefix)).toEqual(before);
    });
  });

  it("sweeps past an hour whose part is damaged, and leaves what lies there of it", async () => {
    const subject = await subjectOf(kind);
    const lost = ulid(Date.now() - 1000);
    await using(subject.open(), async ({ components, dataset, raw, tier1, prefix }) => {
      await raw.put(rawKey(raw, "a.json"), Buffer.from('{"a":1}'));
      await pack(components);
      for (const hour of [HOUR, NEXT])
        await tier1.put(manifestKey(prefix, hour, lost), Buffer.from("left over"));
      await tier1.put(partKey(prefix, dataset.table, HOUR), Buffer.from("no Parquet"));
      await tier1.put(claimKey(prefix, NEXT), Buffer.from("{}"));
    });
    await using(subject.open(8 * DAY_MS), async ({ components, dataset, tier1, prefix }) => {
      const swept = await sweep({ components, dataset });
      expect(swept.attempts).toEqual([manifestKey(prefix, NEXT, lost)]);
      expect(swept.claims).toEqual([claimKey(prefix, NEXT)]);
      expect(swept.failures).toMatchObject([
        { dataset: dataset.name, hour: HOUR, error: { kind: "data", hint: expect.stringMatching(/./) } },
      ]);
      expect(await keysOf(tier1, `${prefix}_hourpack/manifests/`)).toHaveLength(2);
    });
  });

  it("packs an hour that nobody claims any more, and leaves one alone that somebody does", async () => {
    const subject = await subjectOf(kind);
    await using(subject.open(), async ({ components, raw, tier1, prefix }) => {
      await raw.put(rawKey(raw, "a.json"), Buffer.from('{"a":1}'));
      const key = claimKey(prefix, HOUR);
      const claim = (expiresAtMs: number) =>
        tier1.put(key, Buffer.from(JSON.stringify({ worker: "another-host:1:X", expiresAtMs })));
      await claim(Date.now() + 2500);
      const notices: string[] = [];
      const { hours } = await run(components, { hours: { from: HOUR, to: NEXT } }, (event) =>
        notices.push(event.type),
      );
      expect(hours[0]?.action).toBe("packed");
      // Waited for the other's claim to end, as nobody renewed it.
      expect(notices).toContain("hour-claimed");
      expect(await tier1.head(key)).toBeUndefined();
    });
  });

  it("deletes raw objects only when asked to, only proved ones, and names them first", async () => {
    const subject = await subjectOf(kind);
    await using(subject.open(), async ({ components, raw }) => {
      await raw.put(rawKey(raw, "a.json"), Buffer.from('{"a":1}'));
      await raw.put(rawKey(raw, "b.json"), Buffer.from('{"a":2}\nbroken\n'));
      await pack(components);
    });
    await using(subject.open(40 * DAY_MS), async ({ components, dataset, raw, tier1, prefix }) => {
      const task = { dataset, hour: HOUR, request: {}, isAsked: true, components, observe: () => {} };
      const left = () => keysOf(raw, rawKey(raw, ""));
      const dry = await expireHour(task, { dryRun: true, rawIsImmutable: true });
      expect(dry).toMatchObject({ objects: 2 });
      expect(await left()).toHaveLength(2);
      const { needsRawIsImmutable = false } = await expireHour(task, { dryRun: true, rawIsImmutable: false });
      expect(needsRawIsImmutable).toBe(kind === "MinIO");
      // A late object is not in the part: it stays.
      await raw.put(rawKey(raw, "late.json"), Buffer.from('{"a":3}'));
      if (kind === "MinIO") {
        await expect(expireHour(task, { dryRun: false, rawIsImmutable: false })).rejects.toThrow(
          /whatever its ETag/,
        );
        expect(await left()).toHaveLength(3);
      }
      const done = await expireHour(task, { dryRun: false, rawIsImmutable: kind === "MinIO" });
      expect(done).toMatchObject({ objects: 2, kept: 1 });
      expect(await left()).toEqual([rawKey(raw, "late.json")]);
      expect(await keysOf(tier1, journalPrefix(prefix, HOUR))).toHaveLength(1);
      // The rows stay, the late object joins them, and a second expiry finds the rest.
      expect(await pack(components)).toMatchObject({ action: "packed", part: { rows: 3 } });
      expect(await expireHour(task, { dryRun: false, rawIsImmutable: true })).toMatchObject({ objects: 1 });
      expect(await pack(components)).toMatchObject({ action: "upToDate", part: { rows: 3 } });
      // Where the part then goes missing, what is listed is not the hour.
      await tier1.delete(partKey(prefix, dataset.table, HOUR));
      const { failures } = await run(components, { hours: { from: HOUR, to: NEXT } });
      expect(failures[0]?.error).toMatchObject({ kind: "data", message: expect.stringContaining("expired") });
    });
  });

  it("keeps all raw objects of an hour one of which was overwritten, so that a run still makes its part anew", async () => {
    const subject = await subjectOf(kind);
    await using(subject.open(), async ({ components, raw }) => {
      for (const name of ["a.json", "b.json"]) await raw.put(rawKey(raw, name), Buffer.from('{"a":1}'));
      await pack(components);
      await raw.put(rawKey(raw, "b.json"), Buffer.from('{"a":22}'));
    });
    await using(subject.open(40 * DAY_MS), async ({ components, dataset, raw }) => {
      const task = { dataset, hour: HOUR, request: {}, isAsked: true, components, observe: () => {} };
      const expire = () => expireHour(task, { dryRun: false, rawIsImmutable: true });
      expect(await expire()).toMatchObject({
        ...{ objects: 0, kept: 2 },
        notDue: expect.stringContaining(`\`hourpack run --hour ${HOUR} --raw `),
      });
      expect(await keysOf(raw, rawKey(raw, ""))).toHaveLength(2);
      expect(await pack(components)).toMatchObject({ action: "packed", part: { rows: 2 } });
      expect(await expire()).toMatchObject({ objects: 2 });
      expect(await pack(components)).toMatchObject({ action: "upToDate" });
    });
  });

  it("keeps raw objects whose part does not hold them", async () => {
    const subject = await subjectOf(kind);
    await using(subject.open(), async ({ components, raw }) => {
      await raw.put(rawKey(raw, "a.json"), Buffer.from('{"a":1}'));
      await pack(components);
    });
    await using(subject.open(40 * DAY_MS), async ({ components, dataset, raw, tier1, prefix }) => {
      const task = { dataset, hour: HOUR, request: {}, isAsked: true, components, observe: () => {} };
      // Another hour's manifest in place of this one's: a damage that must be noticed.
      const part = await headPart(tier1, partKey(prefix, dataset.table, HOUR), undefined);
      await tier1.delete(manifestKey(prefix, HOUR, part?.attempt as string));
      const result = await expireHour(task, { dryRun: false, rawIsImmutable: true }).catch((error) => error);
      expect(result instanceof Error || result.refused !== undefined).toBe(true);
      expect(await keysOf(raw, rawKey(raw, ""))).toHaveLength(1);
      // Nor can what changed be told without it: a person decides.
      await raw.put(rawKey(raw, "late.json"), Buffer.from('{"a":2}'));
      const hours = { from: HOUR, to: NEXT };
      const { failures } = await run(components, { hours });
      expect(failures[0]?.error).toMatchObject({ kind: "data", message: expect.stringContaining("missing") });
      expect(await pack(components, { rebuild: true, fromRemainder: true })).toMatchObject({
        action: "packed",
        part: { rows: 2 },
      });
    });
  });
});

/** MinIO behind what it lacks: a delete under another ETag than the object's is refused, as AWS S3 does. */
function honouringDeletes(bucket: () => Bucket, onDelete: (key: string) => Promise<void>): ProxyHooks {
  return {
    fault: ({ operation, headers, path }) => {
      const condition = headers["if-match"];
      if (operation !== "DeleteObject" || condition === undefined) return undefined;
      return async (_, forward) => {
        const key = path.slice(path.indexOf("/", 1) + 1);
        await onDelete(key);
        const there = await bucket()
          .head(key)
          .catch(() => undefined);
        if (!there || there.ETag === condition) return { kind: "answer", answer: await forward() };
        const body = Buffer.from("<Error><Code>PreconditionFailed</Code></Error>");
        return {
          kind: "answer",
          answer: { status: 412, headers: ["Content-Type", "application/xml"], body },
        };
      };
    },
  };
}

describe("over a store that honours If-Match on deletes", () => {
  it("expires without being told that raw is immutable, and spares what was overwritten meanwhile", async () => {
    const late = { bucket: undefined as Bucket | undefined };
    const overwritten = '{"a":"written while it was verified"}';
    const proxy = await S3Proxy.start(
      minio,
      honouringDeletes(
        () => late.bucket as Bucket,
        async (key) => {
          if (key.endsWith("b.json")) await late.bucket?.put(key, overwritten);
        },
      ),
    );
    try {
      const subject = await subjectOf("MinIO", proxy.endpoint);
      late.bucket = subject.bucket;
      await using(subject.open(), async ({ components, raw }) => {
        for (const name of ["a.json", "b.json", "c.json"])
          await raw.put(rawKey(raw, name), Buffer.from('{"a":1}'));
        await pack(components);
      });
      await using(subject.open(40 * DAY_MS), async ({ components, dataset, raw }) => {
        const task = { dataset, hour: HOUR, request: {}, isAsked: true, components, observe: () => {} };
        const done = await expireHour(task, { dryRun: false, rawIsImmutable: false });
        expect(done).toMatchObject({ objects: 2 });
        expect(await keysOf(raw, rawKey(raw, ""))).toEqual([rawKey(raw, "b.json")]);
        expect((await raw.get(rawKey(raw, "b.json"))).toString()).toBe(overwritten);
      });
      subject.bucket?.close();
    } finally {
      await proxy.stop();
    }
  });
});

describe("over MinIO", () => {
  it("expires nothing where a journal cannot be stored", async () => {
    const body = Buffer.from("<Error><Code>ConditionalRequestConflict</Code><Message>…</Message></Error>");
    let refused = 0;
    const written = vi.spyOn(console, "warn");
    const isJournal = ({ operation, path }: Exchange) =>
      operation === "PutObject" && path.includes("/_hourpack/expired/");
    const proxy = await S3Proxy.start(minio, {
      fault: (exchange) => {
        if (!isJournal(exchange)) return undefined;
        refused++;
        return async () => ({ kind: "answer", answer: { status: 409, headers: [], body } });
      },
    });
    try {
      const subject = await subjectOf("MinIO", proxy.endpoint);
      await using(subject.open(), async ({ components, raw }) => {
        await raw.put(rawKey(raw, "a.json"), Buffer.from('{"a":1}'));
        await pack(components);
      });
      await using(subject.open(40 * DAY_MS), async ({ components, dataset, raw }) => {
        const task = { dataset, hour: HOUR, request: {}, isAsked: true, components, observe: () => {} };
        await expect(expireHour(task, { dryRun: false, rawIsImmutable: true })).rejects.toMatchObject({
          kind: "unavailable",
          message: expect.stringMatching(
            /^write the journal s3:.*\/_hourpack\/expired\/.*: others are writing it \(409\)$/,
          ),
        });
        expect(await keysOf(raw, rawKey(raw, ""))).toEqual([rawKey(raw, "a.json")]);
      });
      expect(refused).toBeGreaterThan(1);
      // It is the SDK's way to say so by itself.
      expect(written).not.toHaveBeenCalled();
      subject.bucket?.close();
    } finally {
      await proxy.stop();
    }
  });

  it("drops unfinished uploads of a day ago, found by the attempt that left them", async () => {
    const subject = await subjectOf("MinIO");
    const bucket = subject.bucket as Bucket;
    const part = "lake/year=2022/month=07/day=26/hour=00/t-2022072600.snappy.parquet";
    await bucket.client.send(new CreateMultipartUploadCommand({ Bucket: bucket.name, Key: part }));
    await bucket.put(`lake/_hourpack/manifests/2022/07/26/00/${ulid()}.ndjson.gz`, "left over");
    const uploads = async () =>
      (await bucket.client.send(new ListMultipartUploadsCommand({ Bucket: bucket.name, Prefix: part })))
        .Uploads ?? [];
    expect(await uploads()).toHaveLength(1);
    await using(subject.open(HOUR_MS), async ({ components, dataset }) => {
      expect((await sweep({ components, dataset })).unfinished).toBe(0);
    });
    await using(subject.open(2 * DAY_MS), async ({ components, dataset }) => {
      expect((await sweep({ components, dataset })).unfinished).toBe(1);
    });
    expect(await uploads()).toEqual([]);
    bucket.close();
  });
});
