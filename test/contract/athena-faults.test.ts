/** An Athena that fails. moto is behind the proxy, so a statement either really ran or really did not. */

import { AthenaClient, GetQueryExecutionCommand } from "@aws-sdk/client-athena";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { openAthena } from "../../src/catalog/athena.js";
import type { Catalog } from "../../src/catalog/catalog.js";
import {
  at,
  firstOfEach,
  jsonOf,
  MOTO_ENV,
  PASSING,
  refusal,
  spec,
  standing,
} from "../support/catalog-faults.js";
import { type Moto, startMoto } from "../support/moto.js";
import { S3Proxy } from "../support/proxy.js";

let moto: Moto;
let proxy: S3Proxy;
beforeAll(async () => {
  moto = await startMoto();
  Object.assign(process.env, MOTO_ENV);
});
afterAll(() => moto?.stop());
beforeEach(async () => {
  proxy = await S3Proxy.start(moto);
});
afterEach(() => proxy?.stop());

const requestsOf = (operation: string) =>
  proxy.exchanges.filter((exchange) => exchange.operation === operation);

describe("Athena", () => {
  const opened: Catalog[] = [];
  let client: AthenaClient;
  beforeAll(() => {
    client = new AthenaClient({ endpoint: moto.endpoint, region: "us-east-1" });
  });
  afterAll(() => client?.destroy());
  afterEach(async () => {
    for (const catalog of opened.splice(0)) await catalog.close();
  });

  async function athena(timeoutMs = 60_000): Promise<Catalog> {
    const catalog = await openAthena({
      type: "athena",
      database: "d",
      workgroup: "primary",
      output: "s3://results/",
      catalogName: "AwsDataCatalog",
      endpoint: proxy.endpoint,
      region: "us-east-1",
      timeoutMs,
    });
    opened.push(catalog);
    return catalog;
  }

  /** What moto knows of the statement that was asked about last. */
  async function lastStatement(): Promise<{ id: string; state: string | undefined }> {
    const id = jsonOf(requestsOf("GetQueryExecution").at(-1) as { body: Buffer }).QueryExecutionId as string;
    const got = await client.send(new GetQueryExecutionCommand({ QueryExecutionId: id }));
    return { id, state: got.QueryExecution?.Status?.State };
  }
  const tokens = () =>
    requestsOf("StartQueryExecution").map((exchange) => jsonOf(exchange).ClientRequestToken as string);

  it.each(Object.keys(PASSING) as (keyof typeof PASSING)[])("%s at the first of each call", async (name) => {
    const hooks = firstOfEach(PASSING[name]);
    proxy.hooks = hooks;
    expect(await (await athena()).ensureTable(spec())).toBe("created");
    expect([...hooks.struck].sort()).toEqual(["GetQueryExecution", "GetQueryResults", "StartQueryExecution"]);
    // Asked twice under one token, Athena starts one statement.
    const [first, second] = tokens();
    expect(first).toBe(second);
    expect(new Set(tokens()).size).toBe(3);
  });

  it.each([
    { State: "FAILED", told: "failed (line 1:8: no such workgroup output)" },
    { State: "CANCELLED", told: "cancelled (line 1:8: no such workgroup output)" },
  ])("a statement that is $State is told with the reason, and not repeated", async ({ State, told }) => {
    const StateChangeReason = "line 1:8: no such workgroup output";
    proxy.hooks = at("GetQueryExecution", standing({ State, StateChangeReason }));
    const failure = await (await athena()).ensureTable(spec()).catch((error) => error);
    const { id } = await lastStatement();
    expect(failure).toMatchObject({
      kind: "unavailable",
      message: expect.stringContaining(told),
      hint: expect.stringContaining(id),
    });
    expect(tokens()).toHaveLength(1);
  });

  it("a failure that Athena says may be tried again is, as a new statement", async () => {
    const failed = {
      State: "FAILED",
      StateChangeReason: "busy",
      AthenaError: { ErrorType: 7, Retryable: true },
    };
    let looks = 0;
    proxy.hooks = {
      fault: ({ operation }) =>
        operation === "GetQueryExecution" && looks++ === 0 ? standing(failed) : undefined,
    };
    expect(await (await athena()).ensureTable(spec())).toBe("created");
    expect(new Set(tokens()).size).toBe(4);
  });

  it("a statement that does not end in time is stopped", async () => {
    proxy.hooks = at("GetQueryExecution", standing({ State: "QUEUED" }));
    const failure = await (await athena(1000)).ensureTable(spec()).catch((error) => error);
    const { id, state } = await lastStatement();
    expect(failure).toMatchObject({
      kind: "unavailable",
      message: expect.stringContaining(`not done within 1 s; the statement ${id} was stopped`),
      hint: expect.stringContaining("catalog.timeout"),
    });
    expect(state).toBe("CANCELLED");
  });

  it("one that cannot be stopped is told to go on", async () => {
    const refused = refusal(400, "AccessDeniedException", "not authorized");
    proxy.hooks = {
      fault: ({ operation }) =>
        operation === "GetQueryExecution"
          ? standing({ State: "RUNNING" })
          : operation === "StopQueryExecution"
            ? refused
            : undefined,
    };
    const failure = await (await athena(1000)).ensureTable(spec()).catch((error) => error);
    expect(failure).toMatchObject({
      kind: "unavailable",
      message: expect.stringMatching(/not done within 1 s; the statement \S+ may go on: .*not authorized/),
    });
  });

  it("one that cannot be followed is stopped, too", async () => {
    proxy.hooks = at("GetQueryExecution", PASSING.ThrottlingException);
    const failure = await (await athena(1500)).ensureTable(spec()).catch((error) => error);
    const { id, state } = await lastStatement();
    expect(failure.message).toContain("not done within 1.5 s: Rate exceeded (ThrottlingException)");
    expect(failure.message).toContain(`${id} was stopped`);
    expect(state).toBe("CANCELLED");
  });

  it("one that is interrupted is stopped", async () => {
    const interruption = new AbortController();
    proxy.hooks = at("GetQueryExecution", async (exchange, forward) => {
      interruption.abort();
      return standing({ State: "RUNNING" })(exchange, forward);
    });
    const { signal } = interruption;
    const failure = await (await athena()).ensureTable(spec(), { signal }).catch((error) => error);
    const { id, state } = await lastStatement();
    expect(failure).toMatchObject({
      kind: "interrupted",
      message: expect.stringContaining(`${id} was stopped`),
    });
    expect(state).toBe("CANCELLED");
  });
});
