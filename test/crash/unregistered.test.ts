/** A later run registers what an earlier one published and did not register, even if it is not about those hours. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from "vitest";
import { type Components, openComponents } from "../../src/components.js";
import { loadSettings } from "../../src/config/load.js";
import { addHours, endMs, type Hour, hourOfMs, parseHour } from "../../src/hour.js";
import { partKey, unregisteredKey } from "../../src/layout.js";
import { type RunResult, run } from "../../src/run.js";
import { HOURPACK, hourpack } from "../support/cli.js";
import { createBucket, credentialsEnv, type S3Server, startMinio } from "../support/minio.js";

/** Long before the look-back hours of `LATER`. */
const FIRST = parseHour("2026-11-10T00");
const LATER = parseHour("2026-11-15T00");
const HOURS = [0, 1, 2, 3].map((n) => addHours(FIRST, n));
const RANGE = { from: FIRST, to: addHours(FIRST, HOURS.length) };

let server: S3Server;
let root: string;
let flags: Record<string, string>;

beforeAll(async () => {
  server = await startMinio();
});
afterAll(() => server?.stop());
beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), "hourpack-unregistered-"));
  flags = {
    raw: "./raw/{yyyy}/{MM}/{dd}/{HH}/",
    tier1: `s3://${await createBucket(server)}/lake/`,
    table: "t",
    columns: "n:bigint",
    catalog: "local",
    "catalog-path": "./catalog.duckdb",
    "spool-dir": "./spool",
    "s3-endpoint": server.endpoint,
    "s3-force-path-style": "true",
  };
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function seed(hours: Hour[], line = '{"n":1}\n'): void {
  for (const hour of hours) {
    const folder = join(root, "raw", hour.replace(/[-T]/g, "/"));
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "a.json"), line);
  }
}

const NOW_MS = endMs(LATER) + 600_000;

async function at<T>(task: (components: Components) => Promise<T>, more = {}, nowMs = NOW_MS): Promise<T> {
  const env = credentialsEnv(server);
  Object.assign(process.env, env);
  const settings = await loadSettings({ flags: { ...flags, ...more }, cwd: root, env });
  const components = openComponents(settings, { nowMs: () => nowMs });
  try {
    return await task(components);
  } finally {
    await components.close();
  }
}

const isPacked = (hour: Hour) =>
  at(async (components) => {
    const [dataset] = components.settings.datasets;
    const tier1 = await components.tier1(dataset as never);
    return (await tier1.head(partKey("lake/", "t", hour))) !== undefined;
  });

const noted = () =>
  at(async (components) => {
    const tier1 = await components.tier1(components.settings.datasets[0] as never);
    const bytes = await tier1.get(unregisteredKey("lake/"));
    return JSON.parse(bytes.toString("utf8")).hours;
  });

const argsOf = (all: Record<string, string>) =>
  Object.entries(all).flatMap(([name, value]) => (value === "true" ? [`--${name}`] : [`--${name}`, value]));

/** By the catalog. */
async function rowsQueried(): Promise<number> {
  const { columns: _, raw: __, ...rest } = flags;
  const args = [
    "query",
    "select count(*) as n from hourpack.t",
    ...argsOf({ ...rest, raw: flags["raw"] ?? "" }),
  ];
  const { code, stdout, stderr } = await hourpack([...args, "--json"], {
    cwd: root,
    env: credentialsEnv(server),
  });
  expect(code, stderr).toBe(0);
  return JSON.parse(stdout.split("\n")[0] ?? "").row.n;
}

it("where the catalog was away, once that is back", { timeout: 60_000 }, async () => {
  seed(HOURS);
  mkdirSync(join(root, "away"));
  const named = (components: Components) => run(components, { hours: RANGE });
  const { failures } = await at(named, { "catalog-path": "./away" });
  expect(failures).toHaveLength(1);
  expect(await noted()).toEqual(HOURS);
  const due: RunResult = await at((components) => run(components, {}));
  expect(due.failures).toEqual([]);
  expect(await rowsQueried()).toBe(HOURS.length);
  expect(await noted()).toEqual([]);
});

it("a run says of a table that it made which hours it lacks, and where tier 1 was empty", {
  timeout: 60_000,
}, async () => {
  seed(HOURS);
  const [first = FIRST, ...others] = HOURS;
  const packing = (from: Hour, to: Hour, more = {}) =>
    at(async (components) => {
      const told: string[] = [];
      const { registered } = await run(components, { hours: { from, to } }, (event) => {
        if (event.type === "notice") told.push(event.text);
      });
      return [...told, ...registered.flatMap(({ notes }) => notes)];
    }, more);
  expect(await packing(first, addHours(first, 3), { "catalog-path": "./other.duckdb" })).toEqual([
    `had no parts in ${flags["tier1"]} before this run`,
  ]);
  const last = others.at(-1) ?? FIRST;
  expect(await packing(last, addHours(last, 1))).toEqual([
    expect.stringMatching(/^`hourpack register .*` adds 2 hours that were packed before$/),
  ]);
  // The hour before a packed one is registered with it.
  expect(await rowsQueried()).toBe(2);
  const args = ["register", ...argsOf(flags)];
  const { code, stdout, stderr } = await hourpack(args, { cwd: root, env: credentialsEnv(server) });
  expect([code, stdout], stderr).toEqual([
    0,
    expect.stringContaining("hourpack.t: 4 hours, partitions 2 added, 0 corrected, 4 unchanged"),
  ]);
  expect(await rowsQueried()).toBe(HOURS.length);
  rmSync(join(root, "catalog.duckdb"));
  expect(await packing(last, addHours(last, 1))).toEqual([]);
  expect(await rowsQueried()).toBe(HOURS.length);
});

it("where a run of named hours was interrupted: those that it had published", {
  timeout: 60_000,
}, async () => {
  // Of a later one, so that none of them is due.
  seed([LATER]);
  await at((components) => run(components, {}));
  seed(HOURS);
  const interrupted = new AbortController();
  const named = (components: Components) =>
    run(components, { hours: RANGE, signal: interrupted.signal }, ({ type }) => {
      if (type === "hour-finished") interrupted.abort();
    });
  const { failures } = await at(named, { "hours-in-flight": "1" });
  expect(failures.map(({ error }) => error.kind)).toContain("interrupted");
  expect(await Promise.all(HOURS.map(isPacked))).toEqual([true, false, false, false]);
  // Who else is at them may be killed, too.
  expect(await noted()).toEqual(HOURS);
  await at((components) => run(components, {}));
  expect(await rowsQueried()).toBe(2);
  expect(await noted()).toEqual(HOURS.slice(1));
  await at((components) => run(components, { hours: RANGE }));
  expect(await rowsQueried()).toBe(5);
  expect(await noted()).toEqual([]);
});

it.each([
  { hour: "the newest", look: "48h", hours: [1], next: 61 },
  { hour: "each of a day's", look: "24h", hours: [3, 9, 15, 21], next: 72 },
])(
  "where $hour was just published by a run that was interrupted, and the next one comes later",
  {
    timeout: 60_000,
  },
  async ({ look, hours, next }) => {
    const due = (afterHours: number, signal?: AbortSignal) =>
      at(
        (components) =>
          run(components, { signal }, (event) => {
            if (event.type === "hour-finished" && event.result.action === "packed") packed++;
            if (packed === hours.length + 1) interrupted.abort();
          }),
        { "look-back": look },
        endMs(addHours(FIRST, afterHours)) + 600_000,
      );
    const interrupted = new AbortController();
    let packed = 0;
    seed([FIRST]);
    await due(0);
    seed(hours.map((n) => addHours(FIRST, n)));
    const { failures } = await due(hours.at(-1) as number, interrupted.signal);
    expect(failures.map(({ error }) => error.kind)).toContain("interrupted");
    seed([addHours(FIRST, next)]);
    expect((await due(next)).failures).toEqual([]);
    expect(await rowsQueried()).toBe(hours.length + 2);
    expect(await noted()).toEqual([]);
  },
);

it.each(["refuses it", "is interrupted at it"])(
  "where a later run of the hour %s",
  { timeout: 60_000 },
  async (how) => {
    seed([LATER, FIRST]);
    const folder = join(root, "raw", FIRST.replace(/[-T]/g, "/"));
    writeFileSync(join(folder, "b.json"), '{"n":2}\n');
    mkdirSync(join(root, "away"));
    const hours = { from: FIRST, to: addHours(FIRST, 1) };
    const away = await at((components) => run(components, { hours }), { "catalog-path": "./away" });
    expect(away.failures).toHaveLength(1);
    if (how === "refuses it") {
      rmSync(join(folder, "a.json"));
      writeFileSync(join(folder, "b.json"), '{"n":3}\n');
    }
    const interrupted = new AbortController();
    const { failures } = await at((components) =>
      run(components, { hours, signal: interrupted.signal }, ({ type }) => {
        if (type === "hour-started" && how !== "refuses it") interrupted.abort();
      }),
    );
    expect(failures.map(({ error }) => error.kind)).toContain(how === "refuses it" ? "data" : "interrupted");
    await at((components) => run(components, {}));
    expect(await rowsQueried()).toBe(3);
    expect(await noted()).toEqual([]);
  },
);

it("no hour that has neither a part nor raw objects is kept noted: who packs it later notes it anew", async () => {
  seed([LATER, FIRST]);
  const [, empty, away] = HOURS as [Hour, Hour, Hour];
  const longAgo = parseHour("2026-10-01T00");
  await at(async (components) => {
    const tier1 = await components.tier1(components.settings.datasets[0] as never);
    const hours = [longAgo, FIRST, empty, away];
    await tier1.put(unregisteredKey("lake/"), Buffer.from(JSON.stringify({ format: 1, hours })));
    const list = tier1.list.bind(tier1);
    const days: string[] = [];
    tier1.list = (prefix, options) => {
      days.push(...(/day=\d+/.exec(prefix) ?? []));
      return list(prefix, options);
    };
    await run(components, {});
    // Those between are not looked at.
    expect(days.filter((day) => !["day=14", "day=15"].includes(day))).toEqual(["day=01", "day=10"]);
  });
  expect(await noted()).toEqual([FIRST]);
});

it("where a run was killed: those that it had published, and the others when they are", {
  timeout: 120_000,
}, async () => {
  const first = addHours(hourOfMs(Date.now()), -100);
  const [small, large] = [first, addHours(first, 1)];
  seed([small]);
  seed([large], '{"n":1}\n'.repeat(6_000_000));
  const start = (...more: string[]) =>
    spawn(process.execPath, [HOURPACK, "run", ...argsOf(flags), ...more], {
      cwd: root,
      env: { ...process.env, ...credentialsEnv(server) },
      stdio: "ignore",
    });
  const range = ["--from", first, "--to", addHours(first, 2)];
  const killed = start(...range);
  const ended = once(killed, "exit");
  while (!(await isPacked(small)) && killed.exitCode === null) await setTimeout(5);
  killed.kill("SIGKILL");
  await ended;
  expect([await isPacked(small), await isPacked(large)]).toEqual([true, false]);
  await once(start("--hour", addHours(first, 50)), "exit");
  expect(await rowsQueried()).toBe(1);
  expect(await noted()).toEqual([large]);
  await once(start(...range), "exit");
  expect(await rowsQueried()).toBe(6_000_001);
  expect(await noted()).toEqual([]);
});
