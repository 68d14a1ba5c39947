/** A Glue that fails. moto is behind the proxy, so a change was either really made or really not. */
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import {
  BatchCreatePartitionCommand,
  CreateTableCommand,
  GetPartitionsCommand,
  GetTableCommand,
  GlueClient,
  UpdateTableCommand,
} from "@aws-sdk/client-glue";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Catalog, TableSpec } from "../../src/catalog/catalog.js";
import { openGlue } from "../../src/catalog/glue.js";
import { addHours, hoursBetween, parseHour } from "../../src/hour.js";
import { partitionValues } from "../../src/layout.js";
import {
  at,
  firstOfEach,
  guardingVersions,
  jsonOf,
  MOTO_ENV,
  PASSING,
  partly,
  refusal,
  retold,
  spec,
} from "../support/catalog-faults.js";
import { type Moto, startMoto } from "../support/moto.js";
import { S3Proxy } from "../support/proxy.js";

const FIRST = parseHour("2022-07-26T00");
const hoursOf = (count: number) => hoursBetween(FIRST, addHours(FIRST, count));

const grown = (table: TableSpec, ...names: string[]): TableSpec => ({
  ...table,
  columns: [...table.columns, ...names.map((name) => ({ name, type: { kind: "date" } as const }))],
});

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

describe("Glue", () => {
  let client: GlueClient;
  const opened: Catalog[] = [];
  beforeAll(() => {
    client = new GlueClient({ endpoint: moto.endpoint, region: "us-east-1" });
  });
  afterAll(() => client?.destroy());
  afterEach(async () => {
    for (const catalog of opened.splice(0)) await catalog.close();
  });

  async function glue(timeoutMs = 60_000): Promise<Catalog> {
    const settings = { type: "glue" as const, database: "d", endpoint: proxy.endpoint, region: "us-east-1" };
    const catalog = await openGlue({ ...settings, timeoutMs });
    opened.push(catalog);
    return catalog;
  }

  const idOf = ({ database, name }: TableSpec) => ({ DatabaseName: database, TableName: name });
  const tableOf = async ({ database, name }: TableSpec) =>
    (await client.send(new GetTableCommand({ DatabaseName: database, Name: name }))).Table;
  const columnsOf = async (table: TableSpec) =>
    (await tableOf(table))?.StorageDescriptor?.Columns?.map(({ Name }) => Name);
  const locationsOf = async (table: TableSpec) => {
    const { Partitions = [] } = await client.send(new GetPartitionsCommand(idOf(table)));
    return Partitions.map(
      ({ Values, StorageDescriptor }) => `${Values?.join("/")} ${StorageDescriptor?.Location}`,
    ).sort();
  };
  const expectedLocations = (table: TableSpec, hours: ReturnType<typeof hoursOf>) =>
    hours.map((hour) => `${partitionValues(hour).join("/")} ${table.partitionLocation(hour)}`).sort();
  const register = (table: TableSpec, Values: string[], Location: string) => {
    const PartitionInputList = [{ Values, StorageDescriptor: { Location } }];
    return client.send(new BatchCreatePartitionCommand({ ...idOf(table), PartitionInputList }));
  };

  it.each(Object.keys(PASSING) as (keyof typeof PASSING)[])("%s at the first of each call", async (name) => {
    const hooks = firstOfEach(PASSING[name]);
    proxy.hooks = hooks;
    const catalog = await glue();
    const table = spec();
    const [missing, elsewhere, doubled] = hoursOf(3) as [typeof FIRST, typeof FIRST, typeof FIRST];
    await catalog.ensureTable(table);
    await catalog.ensureTable(grown(table, "new"));
    await register(table, partitionValues(elsewhere), "s3://old/place/");
    await register(table, partitionValues(doubled), table.partitionLocation(doubled));
    await register(table, ["2022", "07", "26", "02"], table.partitionLocation(doubled));
    await catalog.syncPartitions(table, hoursOf(3));
    expect([...hooks.struck].sort()).toEqual([
      "BatchCreatePartition",
      "BatchDeletePartition",
      "BatchGetPartition",
      "CreateDatabase",
      "CreateTable",
      "GetTable",
      "UpdatePartition",
      "UpdateTable",
    ]);
    expect(await columnsOf(table)).toEqual(["id", "new"]);
    expect(await locationsOf(table)).toEqual(
      [
        ...expectedLocations(table, [missing, elsewhere]),
        `2022/07/26/02 ${table.partitionLocation(doubled)}`,
      ].sort(),
    );
  });

  it("is told of each call that is repeated, so that it can be counted", async () => {
    const retried: unknown[] = [];
    const onRetry = (message: unknown) => void retried.push(message);
    subscribe("hourpack:retry", onRetry);
    const hooks = firstOfEach(PASSING.ThrottlingException);
    proxy.hooks = hooks;
    await (await glue()).ensureTable(spec());
    unsubscribe("hourpack:retry", onRetry);
    expect(hooks.struck.size).toBeGreaterThan(1);
    expect(retried).toEqual([...hooks.struck].map(() => ({ service: "Glue" })));
  });

  it("a refusal for good is not repeated", async () => {
    proxy.hooks = at("GetTable", refusal(400, "AccessDeniedException", "not authorized"));
    await expect((await glue()).ensureTable(spec())).rejects.toMatchObject({
      kind: "invalid",
      message: expect.stringContaining("not authorized (AccessDeniedException)"),
      hint: expect.stringContaining("iam-policy"),
    });
    expect(requestsOf("GetTable")).toHaveLength(1);
  });

  it.each([
    {
      name: "always throttled",
      fault: PASSING.ThrottlingException,
      says: "Rate exceeded (ThrottlingException)",
    },
    { name: "silent", fault: async () => ({ kind: "silence" as const }), says: "not done within 1.5 s" },
  ])("$name: given up when the time is over", async ({ fault, says }) => {
    proxy.hooks = { fault: () => fault };
    await expect((await glue(1500)).ensureTable(spec())).rejects.toMatchObject({
      kind: "unavailable",
      message: expect.stringContaining(says),
    });
  });

  describe("some entries of BatchCreatePartition are refused", () => {
    const raced = partitionValues(addHours(FIRST, 1)).join("/");
    const busy = partitionValues(addHours(FIRST, 2)).join("/");
    const late = partitionValues(addHours(FIRST, 3)).join("/");
    const full = partitionValues(addHours(FIRST, 4)).join("/");
    const PASSING_CODES: Record<string, string> = {
      [busy]: "InternalServiceException",
      [late]: "OperationTimeoutException",
    };

    it("those that pass are sent again, alone; one that another worker made is compared", async () => {
      const table = spec();
      const catalog = await glue();
      await catalog.ensureTable(table);
      let batches = 0;
      proxy.hooks = at("BatchCreatePartition", async (exchange, forward) => {
        if (batches++ > 0) return { kind: "answer", answer: await forward() };
        await register(table, raced.split("/"), "s3://old/place/");
        return partly((values) => PASSING_CODES[values])(exchange, forward);
      });
      const sync = await catalog.syncPartitions(table, hoursOf(5));
      expect(sync).toMatchObject({ added: 4, corrected: 1, unchanged: 0 });
      const sent = requestsOf("BatchCreatePartition").map((exchange) =>
        jsonOf(exchange).PartitionInputList.map((entry: { Values: string[] }) => entry.Values.join("/")),
      );
      expect(sent.slice(1)).toEqual([[busy, late]]);
      expect(await locationsOf(table)).toEqual(expectedLocations(table, hoursOf(5)));
    });

    it("one that is refused for good is named, and the others are made nevertheless", async () => {
      const table = spec();
      const catalog = await glue();
      await catalog.ensureTable(table);
      const seen = new Set<string>();
      const codeOf = (values: string) => {
        if (values === full) return "ResourceNumberLimitExceededException";
        if (seen.has(values)) return undefined;
        seen.add(values);
        return PASSING_CODES[values];
      };
      proxy.hooks = at("BatchCreatePartition", partly(codeOf));
      const hours = hoursOf(250);
      await expect(catalog.syncPartitions(table, hours)).rejects.toMatchObject({
        kind: "unavailable",
        message: expect.stringMatching(
          new RegExp(`1 of 250 refused, ${full} first: of ${full} .ResourceNumberLimitExceededException`),
        ),
      });
      const others = hours.filter((hour) => partitionValues(hour).join("/") !== full);
      expect(await locationsOf(table)).toEqual(expectedLocations(table, others));
      proxy.hooks = {};
      expect(await catalog.syncPartitions(table, hours)).toMatchObject({ added: 1, unchanged: 249 });
    });

    it("one that never passes is given up with what it was refused for", async () => {
      const table = spec();
      const catalog = await glue(2000);
      await catalog.ensureTable(table);
      proxy.hooks = at(
        "BatchCreatePartition",
        partly((values) => PASSING_CODES[values]),
      );
      await expect(catalog.syncPartitions(table, hoursOf(5))).rejects.toMatchObject({
        kind: "unavailable",
        message: expect.stringMatching(/2 of 5: of 2022.7.26.3 .OperationTimeoutException/),
      });
      expect(requestsOf("BatchCreatePartition").length).toBeGreaterThan(2);
    });
  });

  it("keys that BatchGetPartition leaves over are asked for again", async () => {
    const table = spec();
    const catalog = await glue();
    await catalog.ensureTable(table);
    await catalog.syncPartitions(table, hoursOf(5));
    const kept = [0, 3, 2];
    const lookups = requestsOf("BatchGetPartition").length;
    proxy.hooks = at("BatchGetPartition", async (exchange, forward) => {
      const input = jsonOf(exchange);
      const count = kept.shift() ?? input.PartitionsToGet.length;
      const UnprocessedKeys = input.PartitionsToGet.slice(count);
      const PartitionsToGet = input.PartitionsToGet.slice(0, count);
      const part = Buffer.from(JSON.stringify({ ...input, PartitionsToGet }));
      return retold((json) => Object.assign(json, { UnprocessedKeys }))(exchange, () => forward(part));
    });
    expect(await catalog.syncPartitions(table, hoursOf(5))).toMatchObject({ added: 0, unchanged: 5 });
    expect(requestsOf("BatchGetPartition")).toHaveLength(lookups + 4);
  });

  it("columns that another worker adds between the look and the update are kept", async () => {
    const table = spec();
    const catalog = await glue();
    await catalog.ensureTable(table);
    let updates = 0;
    const guard = guardingVersions(async () => (await tableOf(table))?.VersionId);
    proxy.hooks = at("UpdateTable", async (exchange, forward) => {
      const input = jsonOf(exchange);
      if (updates++ === 0) {
        const { StorageDescriptor } = (await tableOf(table)) ?? {};
        const Columns = [...(StorageDescriptor?.Columns ?? []), { Name: "theirs", Type: "string" }];
        const TableInput = { ...input.TableInput, StorageDescriptor: { ...StorageDescriptor, Columns } };
        await client.send(new UpdateTableCommand({ DatabaseName: table.database, TableInput }));
      }
      return guard(exchange, forward);
    });
    expect(await catalog.ensureTable(grown(table, "ours"))).toBe("changed");
    expect(await columnsOf(table)).toEqual(["id", "theirs", "ours"]);
    expect(updates).toBe(2);
  });

  it("a table that another worker makes between the look and the creation gets our columns, too", async () => {
    const table = spec(["id", "ours"]);
    let creations = 0;
    proxy.hooks = at("CreateTable", async (exchange, forward) => {
      if (creations++ === 0) {
        const { TableInput } = jsonOf(exchange);
        const Columns = [{ Name: "id", Type: "bigint" }];
        const StorageDescriptor = { ...TableInput.StorageDescriptor, Columns };
        const input = { DatabaseName: table.database, TableInput: { ...TableInput, StorageDescriptor } };
        await client.send(new CreateTableCommand(input));
      }
      return { kind: "answer", answer: await forward() };
    });
    await (await glue()).ensureTable(table);
    expect(await columnsOf(table)).toEqual(["id", "ours"]);
  });
});
