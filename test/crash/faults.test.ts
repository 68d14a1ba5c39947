/**
 * A store that fails: each fault at 5 % of the requests does not change the outcome; at all requests the run ends with exit
 * code 10. The faults come from the proxy. The store behind it is real, so a request that it never saw and one whose answer
 * was lost are both the real thing.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { addHours } from "../../src/hour.js";
import { credentialsWith } from "../support/assume-role.js";
import { ACCESS_DENIED, corrupted, FAULTS, type FaultName, faultsAt } from "../support/faults.js";
import {
  expectedHours,
  FIRST_HOUR,
  hoursFrom,
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
import { type Exchange, type Fault, type ProxyHooks, S3Proxy } from "../support/proxy.js";
import { type DuckdbReader, openDuckdbReader } from "../support/readers.js";
import { type WorkerEnd, work } from "../support/worker.js";

const SHARE = 0.05;
/** A worker that is still there after this is killed, and has failed. */
const DEADLINE_MS = 150_000;
/** For machines that are busy with other things. */
const TIMEOUT_MS = 900_000;

const NAMES = Object.keys(FAULTS) as FaultName[];
/** A token that has expired is renewed once: at a share of the requests it would expire again and again. */
const RECURRING = NAMES.filter((name) => name !== "expired token");
const FATAL = NAMES.filter((name) => name !== "slow answer");

let server: S3Server;
let files: S3Files;
let reader: DuckdbReader;
let trials = 0;

const hourObjects = objectsOf(FIRST_HOUR, 2000, { records: 1 });
const backlogObjects = hoursFrom(FIRST_HOUR, 24).flatMap((hour) => objectsOf(hour, 4, { damaged: true }));

beforeAll(async () => {
  server = await startMinio();
  files = new S3Files(server, await createBucket(server));
  reader = await openDuckdbReader();
  await seed(files, "hour/", hourObjects);
  await seed(files, "backlog/", backlogObjects);
});

afterAll(async () => {
  reader?.close();
  files?.close();
  await server?.stop();
});

interface Trial {
  raw: string;
  hours: number;
  hooks: ProxyHooks;
  /** Limits of one request, and of one call with its retries. */
  timeout?: string;
  retryBudget?: string;
  /** Where another run's is gone on with. */
  tier1?: string;
  /** More flags. */
  flags?: string[];
  /** MinIO's own where absent. */
  credentials?: Record<string, string>;
}

async function runThrough(trial: Trial): Promise<{ end: WorkerEnd; tier1: string; exchanges: Exchange[] }> {
  const { raw, hours, hooks, timeout = "2s", retryBudget = "2m", flags = [] } = trial;
  const tier1 = trial.tier1 ?? `tier1/${trials++}/`;
  const proxy = await S3Proxy.start(server, hooks);
  try {
    const range = ["--from", FIRST_HOUR, "--to", addHours(FIRST_HOUR, hours)];
    const s3 = ["--s3-endpoint", proxy.endpoint, "--s3-force-path-style"];
    const dataset = ["--raw", rawTemplate(files, raw), "--tier1", files.uri + tier1, "--table", TABLE];
    const limits = { HOURPACK_S3_TIMEOUT: timeout, HOURPACK_S3_RETRY_BUDGET: retryBudget };
    const env = { ...(trial.credentials ?? credentialsEnv(server)), ...limits };
    const end = await work(["run", ...range, ...s3, ...dataset, ...flags], env, DEADLINE_MS);
    return { end, tier1, exchanges: proxy.exchanges };
  } finally {
    await proxy.stop();
  }
}

async function expectHours(tier1: string, raw: string, objects: RawObject[]): Promise<void> {
  const { hours } = await readLake(files, tier1, reader);
  expect(hours).toEqual(expectedHours(raw, objects));
}

/** The fault at the first request that fits. */
function once(name: FaultName, fits: (exchange: Exchange) => boolean): ProxyHooks {
  let isDone = false;
  return {
    fault: (exchange) => {
      if (isDone || !fits(exchange)) return undefined;
      isDone = true;
      return FAULTS[name];
    },
  };
}

describe("a fault at 5 % of the requests changes nothing", { timeout: TIMEOUT_MS }, () => {
  describe.each([
    { of: "an hour of 2,000 objects", raw: "hour/", hours: 1, objects: hourObjects, seed: 1, least: 50 },
    { of: "a backlog of 24 hours", raw: "backlog/", hours: 24, objects: backlogObjects, seed: 2, least: 1 },
  ])("of $of", ({ raw, hours, objects, seed, least }) => {
    it.each(RECURRING)("%s", async (name) => {
      const faults = faultsAt(name, SHARE, seed);
      const { end, tier1 } = await runThrough({ raw, hours, hooks: faults });
      expect(end.code, outcomeOf(end)).toBe(0);
      expect(faults.struck()).toBeGreaterThan(least);
      await expectHours(tier1, raw, objects);
    });
  });
});

describe.concurrent("a fault at every request ends the run with exit code 10", {
  timeout: TIMEOUT_MS,
}, () => {
  it.each(FATAL)("%s", async (name) => {
    const limits = { timeout: "300ms", retryBudget: "3s" };
    const { end, tier1 } = await runThrough({
      raw: "backlog/",
      hours: 2,
      hooks: faultsAt(name, 1, 3),
      ...limits,
    });
    expect(end.signal).toBe(null);
    expect(end.code, outcomeOf(end)).toBe(10);
    expect((await readLake(files, tier1, reader)).hours).toEqual({});
  });
});

describe.concurrent("a fault at one request changes nothing", { timeout: TIMEOUT_MS }, () => {
  const OPERATIONS = ["HeadObject", "ListObjectsV2", "GetObject", "PutObject", "DeleteObject"];
  const withBody = /body|Content-Length|byte/;
  const cases = NAMES.filter((name) => name !== "slow answer").flatMap((name) =>
    OPERATIONS.filter((operation) => !withBody.test(name) || /^(Get|List)/.test(operation))
      .filter((operation) => name !== "a corrupted byte" || operation === "GetObject")
      .map((operation) => ({ name, operation })),
  );

  it.each(cases)("$name at $operation", async ({ name, operation }) => {
    const hooks = once(name, (exchange) => exchange.operation === operation);
    const { end, tier1, exchanges } = await runThrough({ raw: "backlog/", hours: 1, hooks });
    expect(end.code, outcomeOf(end)).toBe(0);
    expect(exchanges.map((exchange) => exchange.operation)).toContain(operation);
    const first = backlogObjects.filter(({ hour }) => hour === FIRST_HOUR);
    await expectHours(tier1, "backlog/", first);
  });
});

describe("an object that may not be read", { timeout: TIMEOUT_MS }, () => {
  it("ends its hour, and the others go on with the one GET that there may be at a time", async () => {
    const hours = hoursFrom(FIRST_HOUR, 5);
    const objects = hours.flatMap((hour) => objectsOf(hour, 30, { records: 1 }));
    await seed(files, "denied/", objects);
    const denied = objects[70] as RawObject;
    const hooks: ProxyHooks = {
      fault: ({ operation, path }) =>
        operation === "GetObject" && path.endsWith(rawKey("denied/", denied)) ? ACCESS_DENIED : undefined,
    };
    const flags = ["--s3-concurrency", "1", "--hours-in-flight", "5"];
    const { end, tier1 } = await runThrough({ raw: "denied/", hours: 5, hooks, flags });
    expect(end.signal, "it hung").toBe(null);
    expect(end.code, outcomeOf(end)).toBe(2);
    await expectHours(
      tier1,
      "denied/",
      objects.filter(({ hour }) => hour !== denied.hour),
    );
  });
});

describe("bytes that are not what was listed", { timeout: TIMEOUT_MS }, () => {
  const objects = objectsOf(FIRST_HOUR, 4);
  const isRaw = (exchange: Exchange, object: RawObject | undefined) =>
    object !== undefined && exchange.operation === "GetObject" && exchange.path.endsWith(`/${object.name}`);

  it("an object that is damaged the same way each time is not taken for whole", async () => {
    await seed(files, "damaged/", objects);
    const fault: Fault = async (_, forward) => ({ kind: "answer", answer: corrupted(await forward(), 0) });
    const hooks = { fault: (exchange: Exchange) => (isRaw(exchange, objects[2]) ? fault : undefined) };
    const { end, tier1 } = await runThrough({ raw: "damaged/", hours: 1, hooks, retryBudget: "5s" });
    expect(end.code, outcomeOf(end)).toBe(10);
    expect((await readLake(files, tier1, reader)).hours).toEqual({});
  });

  it("nor is the only object of its hour, by a cache with a damaged copy", async () => {
    const [only] = objectsOf(FIRST_HOUR, 1);
    await seed(files, "only/", only ? [only] : []);
    const fault: Fault = async (_, forward) => ({ kind: "answer", answer: corrupted(await forward(), 0) });
    const hooks = { fault: (exchange: Exchange) => (isRaw(exchange, only) ? fault : undefined) };
    const { end, tier1 } = await runThrough({ raw: "only/", hours: 1, hooks, retryBudget: "5s" });
    expect(end.code, outcomeOf(end)).toBe(10);
    expect((await readLake(files, tier1, reader)).hours).toEqual({});
  });

  it("a short body whose ETag is no MD5 is told by the listed size", async () => {
    for (const object of objects) await files.writeInParts(rawKey("parts/", object), object.body);
    const hooks = once("short body", (exchange) => isRaw(exchange, objects[1]));
    const { end, tier1 } = await runThrough({ raw: "parts/", hours: 1, hooks });
    expect(end.code, outcomeOf(end)).toBe(0);
    await expectHours(tier1, "parts/", objects);
  });

  it.each(["short body", "a corrupted byte"] as const)(
    "%s of the published part while late objects are merged into it",
    async (name) => {
      const raw = `merged-${trials}/`;
      await seed(files, raw, objects);
      const { tier1 } = await runThrough({ raw, hours: 1, hooks: {} });
      const late = objectsOf(FIRST_HOUR, 1, { label: "late" });
      await seed(files, raw, late);
      let isStruck = false;
      const hooks = once(name, ({ operation, path }) => {
        isStruck ||= operation === "GetObject" && path.endsWith(".parquet");
        return operation === "GetObject" && path.endsWith(".parquet");
      });
      const { end } = await runThrough({ raw, hours: 1, hooks, tier1 });
      expect(end.code, outcomeOf(end)).toBe(0);
      expect(isStruck).toBe(true);
      await expectHours(tier1, raw, [...objects, ...late]);
    },
  );
});

describe("credentials that expire in mid-run are asked for again", { timeout: TIMEOUT_MS }, () => {
  // A run of one hour has some 20 requests of all kinds.
  it.each([1, 2, 3, 5, 8, 12, 14, 16, 17, 18])("at request %i", async (n) => {
    const grants = [await credentialsWith(server, ANYTHING), await credentialsWith(server, ANYTHING)];
    let asked = 0;
    const provider = createServer((_, response) => response.end(JSON.stringify(granted(grants[asked++]))));
    await new Promise<void>((resolve) => provider.listen(0, "127.0.0.1", resolve));
    const { port } = provider.address() as AddressInfo;
    try {
      const isExpired = (exchange: Exchange) =>
        exchange.n >= n && exchange.headers["x-amz-security-token"] === grants[0]?.["AWS_SESSION_TOKEN"];
      const hooks: ProxyHooks = {
        fault: (exchange) => (isExpired(exchange) ? FAULTS["expired token"] : undefined),
      };
      const credentials = {
        AWS_CONTAINER_CREDENTIALS_FULL_URI: `http://127.0.0.1:${port}/`,
        AWS_REGION: "us-east-1",
      };
      const { end, tier1 } = await runThrough({ raw: "backlog/", hours: 1, hooks, credentials });
      expect(end.code, outcomeOf(end)).toBe(0);
      expect(asked).toBeGreaterThanOrEqual(2);
      await expectHours(
        tier1,
        "backlog/",
        backlogObjects.filter(({ hour }) => hour === FIRST_HOUR),
      );
    } finally {
      provider.close();
    }
  });
});

const ANYTHING = [{ Sid: "Anything", Effect: "Allow", Action: "s3:*", Resource: "arn:aws:s3:::*" }];

/** As a container's credentials come, good for an hour as far as they say. */
function granted(grant: Record<string, string> | undefined): Record<string, string | undefined> {
  return {
    AccessKeyId: grant?.["AWS_ACCESS_KEY_ID"],
    SecretAccessKey: grant?.["AWS_SECRET_ACCESS_KEY"],
    Token: grant?.["AWS_SESSION_TOKEN"],
    Expiration: new Date(Date.now() + 3_600_000).toISOString(),
  };
}

function outcomeOf(end: WorkerEnd): string {
  return `${end.signal ?? ""} ${end.stderr.slice(-1500)}`;
}
