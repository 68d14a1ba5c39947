/**
 * Several workers whose hours each bring new members, with `unknown: add`. The schema has every column once, of one permanent
 * type, and every record can be restored. The set of columns does not depend on who comes first. Two things do: the order of
 * the columns, and the type of a member on whose type the hours disagree (the first hour's; other values are rescued).
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { addHours, type Hour } from "../../src/hour.js";
import { hourpack } from "../support/cli.js";
import { FIRST_HOUR, hoursFrom, rawKey, rawTemplate, S3Files, TABLE } from "../support/hour-of-events.js";
import { createBucket, credentialsEnv, type S3Server, startMinio } from "../support/minio.js";
import { type Exchange, S3Proxy } from "../support/proxy.js";
import { Worker, type WorkerEnd } from "../support/worker.js";

/** For machines that are busy with other things. */
const TIMEOUT_MS = 600_000;
const WORKERS = 4;
const HOURS = 12;

let server: S3Server;
let files: S3Files;
const workDir = mkdtempSync(join(tmpdir(), "hourpack-evolution-"));

beforeAll(async () => {
  server = await startMinio();
  files = new S3Files(server, await createBucket(server));
});

afterAll(async () => {
  files?.close();
  await server?.stop();
  rmSync(workDir, { recursive: true, force: true });
});

type Json = Record<string, unknown>;

/** A value of each kind that comes back letter for letter. */
const KINDS: { hive: string; value: (n: number) => unknown }[] = [
  { hive: "bigint", value: (n) => n },
  { hive: "string", value: (n) => `text ${n}` },
  { hive: "boolean", value: (n) => n % 2 === 0 },
  { hive: "double", value: (n) => n + 0.5 },
  { hive: "date", value: (n) => `2022-07-${10 + n}` },
  { hive: "array<bigint>", value: (n) => [n, n + 1] },
  { hive: "struct<a:bigint,b:string>", value: (n) => ({ a: n, b: `b${n}` }) },
];
const kindOf = (i: number) => KINDS[i % KINDS.length] as (typeof KINDS)[number];

const hours = hoursFrom(FIRST_HOUR, HOURS);
const BASE = { id: "string", n: "bigint" };

/** Of each hour: two members of its own, one that it shares with its neighbours, and one that all but the first have. */
function membersOf(i: number): Record<string, number> {
  const shared = { [`pair_${i >> 1}`]: i >> 1, everybody: 6 };
  return { [`own_${i}`]: i, [`Second-${i}`]: i + 3, ...(i > 0 ? shared : {}) };
}

const recordsOf = (i: number): Json[] =>
  Array.from({ length: 4 }, (_, n) => {
    const members = Object.entries(membersOf(i)).map(([key, kind]) => [key, kindOf(kind).value(n)]);
    return { id: `${i}/${n}`, n, ...Object.fromEntries(members) };
  });

/** Each column as `name hive key`, whoever comes first. */
const EXPECTED = [
  ...new Set(
    hours.flatMap((_, i) =>
      Object.entries(membersOf(i)).map(
        ([key, kind]) => `${key.toLowerCase().replace("-", "_")} ${kindOf(kind).hive} ${key}`,
      ),
    ),
  ),
  ...Object.entries(BASE).map(([name, hive]) => `${name} ${hive} ${name}`),
].sort();

interface Versions {
  versions: { version: number; columns: { name: string; hive: string; path: string[] }[] }[];
}

/** A dataset of its own. */
class Scene {
  private readonly name: string;
  private workers = 0;
  readonly records = new Map<Hour, Json[]>();

  constructor(name: string) {
    this.name = name;
  }

  async put(hour: Hour, records: Json[]): Promise<void> {
    this.records.set(hour, records);
    const body = Buffer.from(records.map((record) => `${JSON.stringify(record)}\n`).join(""));
    await files.write(rawKey(`${this.name}/raw/`, { hour, name: "o.json" }), body);
  }

  async putAll(): Promise<void> {
    for (const [i, hour] of hours.entries()) await this.put(hour, recordsOf(i));
  }

  private args(from: Hour, count: number, endpoint: string): string[] {
    const range = ["--from", from, "--to", addHours(from, count)];
    const s3 = ["--s3-endpoint", endpoint, "--s3-force-path-style"];
    const raw = rawTemplate(files, `${this.name}/raw/`);
    const tier1 = `${files.uri}${this.name}/tier1/`;
    const spool = ["--spool-dir", join(workDir, `${this.name}-${this.workers++}`)];
    return [...range, ...s3, "--raw", raw, "--tier1", tier1, "--table", TABLE, "--unknown", "add", ...spool];
  }

  start(from: Hour, count: number, more: string[] = [], endpoint = server.endpoint): Worker {
    return new Worker(["run", ...this.args(from, count, endpoint), ...more], credentialsEnv(server), 400_000);
  }

  async run(from: Hour, count: number, more: string[] = []): Promise<void> {
    succeeded(await this.start(from, count, more).ended, count);
  }

  /** Workers on stretches of hours, all at once; `meet`: so many of the writes of schema.json wait for each other. */
  async race(of: readonly Hour[], meet: number): Promise<number[]> {
    const statuses: number[] = [];
    const arrived = meeting(meet);
    const proxy = await S3Proxy.start(server, {
      before: (exchange) => (isSchemaPut(exchange) ? arrived() : undefined),
      answered: (exchange, { status }) => {
        if (isSchemaPut(exchange)) statuses.push(status);
      },
    });
    const each = of.length / WORKERS;
    try {
      const ends = await Promise.all(
        Array.from({ length: WORKERS }, (_, w) => {
          const from = of[w * each] as Hour;
          return this.start(from, each, ["--hours-in-flight", "3"], proxy.endpoint).ended;
        }),
      );
      for (const end of ends) succeeded(end, each);
    } finally {
      await proxy.stop();
    }
    return statuses;
  }

  /** Every version begins with the one before; the newest's columns come back, sorted. */
  async columns(): Promise<string[]> {
    const text = await files.read(`${this.name}/tier1/_hourpack/schema.json`);
    const { versions } = JSON.parse(text.toString("utf8")) as Versions;
    for (const [i, { columns }] of versions.entries()) {
      const before = versions[i - 1]?.columns ?? [];
      expect(columns.slice(0, before.length)).toEqual(before);
    }
    const newest = versions.at(-1)?.columns ?? [];
    return newest.map(({ name, hive, path }) => `${name} ${hive} ${path.join(".")}`).sort();
  }

  /** Says the proof, and says restoring, whose records are compared here. */
  async expectGivenBack(): Promise<void> {
    const env = credentialsEnv(server);
    const all = [...this.records.keys()].sort();
    const [first] = all as [Hour];
    const range = this.args(first, all.length, server.endpoint);
    const proof = await hourpack(["verify", "--deep", ...range], { env });
    expect(proof.code, proof.stdout + proof.stderr).toBe(0);
    const back = await hourpack(["restore", ...range], { env });
    expect(back.code, back.stderr).toBe(0);
    const lines = back.stdout.split("\n").filter(Boolean);
    expect(inOrder(lines.map((line) => JSON.parse(line)))).toEqual(
      inOrder([...this.records.values()].flat()),
    );
  }
}

const inOrder = (records: Json[]) =>
  [...records].sort((a, b) => (String(a["id"]) < String(b["id"]) ? -1 : 1));

const isSchemaPut = ({ operation, path }: Exchange) =>
  operation === "PutObject" && path.endsWith("_hourpack/schema.json");

/** The first so many callers wait until all of them are there. */
function meeting(count: number): () => Promise<void> {
  let missing = count;
  let open = () => {};
  const all = new Promise<void>((resolve) => {
    open = resolve;
  });
  return () => {
    if (--missing <= 0) open();
    return all;
  };
}

function succeeded(end: WorkerEnd, packed: number): void {
  expect(end.signal).toBe(null);
  expect(end.code, end.stderr).toBe(0);
  expect(end.result).toMatchObject({ packed });
}

const lost = (statuses: number[]) => statuses.filter((status) => status === 412).length;

describe("four workers whose hours each bring new members", { timeout: TIMEOUT_MS }, () => {
  it("on an empty dataset: one pins the first schema, the others adopt it and add theirs", async () => {
    const scene = new Scene("empty");
    await scene.putAll();
    const statuses = await scene.race(hours, WORKERS);
    expect(lost(statuses)).toBeGreaterThanOrEqual(WORKERS - 1);
    expect(await scene.columns()).toEqual(EXPECTED);
    await scene.expectGivenBack();
  });

  it("on a pinned dataset: each adds its own, and what several bring is added once", async () => {
    const scene = new Scene("pinned");
    const before = addHours(FIRST_HOUR, -1);
    await scene.put(before, [{ id: "before", n: 0 }]);
    await scene.run(before, 1);
    await scene.putAll();
    const statuses = await scene.race(hours, WORKERS);
    expect(lost(statuses)).toBeGreaterThanOrEqual(WORKERS - 1);
    expect(await scene.columns()).toEqual(EXPECTED);
    await scene.expectGivenBack();
  });

  it.each([
    { order: "oldest first", of: hours.map((hour) => [hour, 1] as const) },
    { order: "newest first", of: hours.toReversed().map((hour) => [hour, 1] as const) },
    { order: "all in one run", of: [[FIRST_HOUR, HOURS] as const], more: ["--hours-in-flight", "8"] },
  ])("$order: the same columns of the same types", async ({ order, of, more }) => {
    const scene = new Scene(order.replaceAll(" ", "-"));
    await scene.putAll();
    for (const [from, count] of of) await scene.run(from, count, more);
    expect(await scene.columns()).toEqual(EXPECTED);
    await scene.expectGivenBack();
  });

  it("hours that disagree on a member's type: the first one's stays, the others' values are rescued", async () => {
    const scene = new Scene("disagreeing");
    // No string: such a column would take them all, and give them back as text.
    const values = [7, [7], true, { of: 7 }];
    const of = hours.slice(0, WORKERS);
    for (const [i, hour] of of.entries()) await scene.put(hour, [{ id: `${i}`, n: 0, odd: values[i] }]);
    const statuses = await scene.race(of, WORKERS);
    expect(lost(statuses)).toBeGreaterThanOrEqual(WORKERS - 1);
    const columns = await scene.columns();
    expect(columns).toHaveLength(3);
    expect(
      columns.filter((column) => /^odd (bigint|array<bigint>|boolean|struct<of:bigint>) odd$/.test(column)),
    ).toEqual([columns[2]]);
    await scene.expectGivenBack();
  });
});
