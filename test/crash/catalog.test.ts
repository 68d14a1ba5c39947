/**
 * A run whose catalog fails: what is published stays published. If the failure does not pass, the run reports the catalog's
 * error and ends with exit code 10. The next run registers what is missing. The catalog behind the proxy is moto.
 */
import { GetPartitionsCommand, GlueClient } from "@aws-sdk/client-glue";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { addHours } from "../../src/hour.js";
import { partitionPrefix, partitionValues } from "../../src/layout.js";
import {
  at,
  atShare,
  jsonOf,
  PASSING,
  partly,
  refusal,
  retold,
  standing,
} from "../support/catalog-faults.js";
import {
  expectedHours,
  FIRST_HOUR,
  hoursFrom,
  objectsOf,
  rawTemplate,
  readLake,
  S3Files,
  seed,
  TABLE,
} from "../support/hour-of-events.js";
import { createBucket, credentialsEnv, type S3Server, startMinio } from "../support/minio.js";
import { type Moto, startMoto } from "../support/moto.js";
import { type Exchange, type Fault, type ProxyHooks, S3Proxy } from "../support/proxy.js";
import { type DuckdbReader, openDuckdbReader } from "../support/readers.js";
import { type WorkerEnd, work } from "../support/worker.js";

const DEADLINE_MS = 150_000;
/** For machines that are busy with other things. */
const TIMEOUT_MS = 600_000;
const HOURS = 6;
const hours = hoursFrom(FIRST_HOUR, HOURS);
/** The hour before and the hour after are registered with each. */
const registered = hoursFrom(addHours(FIRST_HOUR, -1), HOURS + 2);
const objects = hours.flatMap((hour) => objectsOf(hour, 2));

let server: S3Server;
let moto: Moto;
let files: S3Files;
let reader: DuckdbReader;
let glue: GlueClient;

beforeAll(async () => {
  [server, moto] = await Promise.all([startMinio(), startMoto()]);
  files = new S3Files(server, await createBucket(server));
  reader = await openDuckdbReader();
  const credentials = { accessKeyId: "test", secretAccessKey: "test" };
  glue = new GlueClient({ endpoint: moto.endpoint, region: "us-east-1", credentials });
  await seed(files, "raw/", objects);
});

afterAll(async () => {
  glue?.destroy();
  reader?.close();
  files?.close();
  await Promise.all([server?.stop(), moto?.stop()]);
});

/** A tier 1 and a database of its own, worked on by runs one after the other. */
class Scene {
  readonly tier1: string;
  readonly database: string;
  private readonly kind: "glue" | "athena";

  constructor(kind: "glue" | "athena", name: string) {
    this.kind = kind;
    this.database = name.toLowerCase().replace(/[^a-z0-9]+/g, "_");
    this.tier1 = `${this.database}/`;
  }

  async work(
    command: string[],
    hooks: ProxyHooks,
    timeout = "30s",
  ): Promise<{ end: WorkerEnd; exchanges: Exchange[] }> {
    const proxy = await S3Proxy.start(moto, hooks);
    try {
      const s3 = ["--s3-endpoint", server.endpoint, "--s3-force-path-style"];
      const dataset = ["--raw", rawTemplate(files, "raw/"), "--tier1", files.uri + this.tier1];
      const catalog = ["--catalog", this.kind, "--catalog-database", this.database];
      const where = ["--catalog-endpoint", proxy.endpoint, "--catalog-timeout", timeout];
      const output = this.kind === "athena" ? ["--catalog-output", `${files.uri}results/`] : [];
      const args = [...command, ...s3, ...dataset, "--table", TABLE, ...catalog, ...where, ...output];
      const end = await work(args, credentialsEnv(server), DEADLINE_MS);
      return { end, exchanges: proxy.exchanges };
    } finally {
      await proxy.stop();
    }
  }

  run(hooks: ProxyHooks, timeout?: string) {
    return this.work(["run", "--from", FIRST_HOUR, "--to", addHours(FIRST_HOUR, HOURS)], hooks, timeout);
  }

  async expectPublished(): Promise<void> {
    expect((await readLake(files, this.tier1, reader)).hours).toEqual(expectedHours("raw/", objects));
  }

  async partitions(): Promise<string[]> {
    const input = { DatabaseName: this.database, TableName: TABLE };
    const { Partitions = [] } = await glue.send(new GetPartitionsCommand(input));
    return Partitions.map(
      (found) => `${found.Values?.join("/")} ${found.StorageDescriptor?.Location}`,
    ).sort();
  }

  expected(of = registered): string[] {
    const place = files.uri + this.tier1;
    return of.map((hour) => `${partitionValues(hour).join("/")} ${place}${partitionPrefix(hour)}`).sort();
  }
}

function expectEnd(end: WorkerEnd, code: number): void {
  expect(end.signal).toBe(null);
  expect(end.code, end.stderr.slice(-1500)).toBe(code);
}

describe("Glue", { timeout: TIMEOUT_MS }, () => {
  it.each(Object.keys(PASSING) as (keyof typeof PASSING)[])(
    "%s at 30 % of the requests changes nothing",
    async (name) => {
      const scene = new Scene("glue", `share ${name}`);
      const hooks = atShare(PASSING[name], 0.3, 4);
      const { end } = await scene.run(hooks, "2m");
      expectEnd(end, 0);
      expect(hooks.struck()).toBeGreaterThan(0);
      expect(await scene.partitions()).toEqual(scene.expected());
    },
  );

  const DOWN: Record<string, { fault: Fault; says: RegExp; code?: number }> = {
    throttled: { fault: PASSING.ThrottlingException, says: /Rate exceeded \(ThrottlingException\)/ },
    failing: { fault: PASSING["503 ServiceUnavailable"], says: /\(ServiceUnavailable\)/ },
    silent: { fault: async () => ({ kind: "silence" }), says: /not done within 2 s/ },
    cutting: { fault: async () => ({ kind: "reset" }), says: /not done within 2 s: .*hang up|ECONNRESET/ },
    refusing: {
      fault: refusal(400, "AccessDeniedException", "not authorized"),
      says: /not authorized \(AccessDeniedException\)/,
      // Another try ends alike.
      code: 2,
    },
  };

  it.each(Object.keys(DOWN))(
    "%s at every request: hours published, the exit code says so, and the next run registers them",
    async (name) => {
      const { fault, says, code = 10 } = DOWN[name] as (typeof DOWN)[string];
      const scene = new Scene("glue", `down ${name}`);
      const down = await scene.run({ fault: () => fault }, "2s");
      expectEnd(down.end, code);
      expect(down.end.result).toMatchObject({ packed: HOURS });
      expect(down.end.stderr).toMatch(says);
      await scene.expectPublished();
      const healed = await scene.run({});
      expectEnd(healed.end, 0);
      expect(healed.end.result).toMatchObject({ packed: 0 });
      expect(await scene.partitions()).toEqual(scene.expected());
    },
  );

  it("refuses some hours for a moment and one for good: the others are registered, then that one", async () => {
    const scene = new Scene("glue", "partly");
    const [first, second, third] = hours.map((hour) => partitionValues(hour).join("/"));
    const seen = new Set<string>();
    const once = (values: string, code: string) => {
      if (seen.has(values)) return undefined;
      seen.add(values);
      return code;
    };
    const codeOf = (values: string) => {
      if (values === first) return once(values, "InternalServiceException");
      if (values === second) return once(values, "OperationTimeoutException");
      return values === third ? "ResourceNumberLimitExceededException" : undefined;
    };
    const isRaw = ({ body }: Exchange) => jsonOf({ body }).TableName !== TABLE;
    const refuse = partly(codeOf);
    const { end } = await scene.run(
      at("BatchCreatePartition", async (exchange, forward) =>
        isRaw(exchange) ? { kind: "answer", answer: await forward() } : refuse(exchange, forward),
      ),
    );
    expectEnd(end, 10);
    expect(end.stderr).toMatch(/1 of 8 refused, 2022.7.26.2 first: .*ResourceNumberLimitExceededException/);
    expect(seen).toEqual(new Set([first, second]));
    await scene.expectPublished();
    expect(await scene.partitions()).toEqual(scene.expected(registered.filter((hour) => hour !== hours[2])));
    // The command that does nothing else heals it as well as a run.
    expectEnd((await scene.work(["register"], {})).end, 0);
    expect(await scene.partitions()).toEqual(scene.expected());
  });
});

describe("Athena", { timeout: TIMEOUT_MS }, () => {
  const statementsOf = (exchanges: Exchange[]) =>
    exchanges
      .filter(({ operation }) => operation === "StartQueryExecution")
      .map((exchange) => jsonOf(exchange).QueryString as string);
  const reason = "HIVE_METASTORE_ERROR: lock table";
  const FAULTS: Record<string, { hooks: ProxyHooks; says: RegExp }> = {
    "a statement that fails": {
      hooks: at("GetQueryExecution", standing({ State: "FAILED", StateChangeReason: reason })),
      says: /failed \(HIVE_METASTORE_ERROR: lock table\)/,
    },
    "a statement that is cancelled": {
      hooks: at("GetQueryExecution", standing({ State: "CANCELLED", StateChangeReason: reason })),
      says: /cancelled \(HIVE_METASTORE_ERROR: lock table\)/,
    },
    "a statement that never ends": {
      hooks: at("GetQueryExecution", standing({ State: "RUNNING" })),
      says: /not done within 2 s; the statement \S+ was stopped/,
    },
    "throttling without end": {
      hooks: at("StartQueryExecution", refusal(400, "TooManyRequestsException", "Rate exceeded")),
      says: /not done within 2 s: Rate exceeded \(TooManyRequestsException\)/,
    },
  };

  it.each(Object.keys(FAULTS))(
    "%s: exit code 10, hours published, and the next run registers them",
    async (name) => {
      const { hooks, says } = FAULTS[name] as (typeof FAULTS)[string];
      const scene = new Scene("athena", name);
      const down = await scene.run(hooks, "2s");
      expectEnd(down.end, 10);
      expect(down.end.result).toMatchObject({ packed: HOURS });
      expect(down.end.stderr).toMatch(says);
      await scene.expectPublished();
      const healed = await scene.run({});
      expectEnd(healed.end, 0);
      expect(healed.end.result).toMatchObject({ packed: 0 });
      const added = statementsOf(healed.exchanges).filter((sql) => /ADD IF NOT EXISTS/.test(sql));
      for (const hour of hours) {
        const location = files.uri + scene.tier1 + partitionPrefix(hour);
        expect(added.filter((sql) => sql.includes(`'${location}'`))).toHaveLength(1);
      }
    },
  );

  /** Every hour that is registered has its partition already. */
  function knowing(): ProxyHooks {
    const asks = new Set<string>();
    const noting: Fault = async ({ body }, forward) => {
      const answer = await forward();
      const id = JSON.parse(answer.body.toString("utf8")).QueryExecutionId;
      if (jsonOf({ body }).QueryString.includes("$partitions")) asks.add(id);
      return { kind: "answer", answer };
    };
    const row = (values: string[]) => ({ Data: values.map((VarCharValue) => ({ VarCharValue })) });
    const Rows = [["year", "month", "day", "hour"], ...registered.map(partitionValues)].map(row);
    return {
      fault: ({ operation, body }) => {
        if (operation === "StartQueryExecution") return noting;
        if (operation !== "GetQueryResults" || !asks.has(jsonOf({ body }).QueryExecutionId)) return undefined;
        return retold(({ ResultSet }) => Object.assign(ResultSet, { Rows }));
      },
    };
  }

  it("a run looks where the partitions of the hours lie that it packs, and `register` at all", async () => {
    const scene = new Scene("athena", "located");
    const to = (count: number) => ["run", "--from", FIRST_HOUR, "--to", addHours(FIRST_HOUR, count)];
    const described = async (command: string[]) => {
      const { end, exchanges } = await scene.work(command, knowing());
      expectEnd(end, 0);
      const statements = statementsOf(exchanges).filter((sql) => /^DESCRIBE.*PARTITION/.test(sql));
      return statements.map((sql) => /`(\w+)` PARTITION .*`hour`=(\d+)/.exec(sql)?.slice(1).join(" "));
    };
    expect(await described(to(1))).toEqual(["events_raw 0", "events 0"]);
    expect(await described(to(2))).toEqual(["events_raw 1", "events 1"]);
    expect(await described(to(2))).toEqual([]);
    const all = ["23", "0", "1", "2"];
    expect(await described(["register"])).toEqual(
      ["events_raw", "events"].flatMap((table) => all.map((hour) => `${table} ${hour}`)),
    );
  });

  it("throttling at 30 % of the requests changes nothing", async () => {
    const scene = new Scene("athena", "athena share");
    const hooks = atShare(refusal(400, "TooManyRequestsException", "Rate exceeded"), 0.3, 5);
    expectEnd((await scene.run(hooks, "2m")).end, 0);
    expect(hooks.struck()).toBeGreaterThan(3);
  });
});
