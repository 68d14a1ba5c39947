import { describe, expect, it } from "vitest";
import type { PartitionSync, TableOptions, TableSpec } from "../../src/catalog/catalog.js";
import { loadSettings } from "../../src/config/load.js";
import { type Hour, parseHour } from "../../src/hour.js";
import { registerHours } from "../../src/stages/register.js";
import { tablesIn, tablesOf, unreadableByAthena } from "../../src/tables.js";

const HOUR = parseHour("2022-07-26T00");

async function tablesFor(raw: string, more: Record<string, unknown> = {}) {
  const flags = { raw, tier1: "s3://lake/trail/", table: "trail", ...more };
  const settings = await loadSettings({ flags, env: {}, cwd: "/nowhere" });
  const [dataset] = settings.datasets;
  if (!dataset) throw new Error("no dataset");
  return { dataset, settings, ...tablesOf(dataset, [], settings) };
}

/** A catalog that notes which partitions it is given. */
function noting() {
  const synced: [string, Hour[]][] = [];
  const catalog = {
    kind: "glue" as const,
    ensureTable: async () => "unchanged" as const,
    syncPartitions: async (table: TableSpec, hours: Hour[]): Promise<PartitionSync> => {
      synced.push([table.name, hours]);
      return { added: hours.length, corrected: 0, unchanged: 0, notes: [] };
    },
    lacking: async () => [],
    lackingTables: async () => [],
    close: async () => {},
  };
  return { catalog, synced };
}

it.each([
  ["local", "s3://trail/{yyyy}/{MM}/{dd}/{HH}/", ["trail"]],
  ["local", "./trail/{yyyy}/{MM}/{dd}/{HH}/", ["trail_raw", "trail"]],
  ["glue", "s3://trail/{yyyy}/{MM}/{dd}/{HH}/", ["trail_raw", "trail"]],
])("a %s catalog of %s has the tables %j", async (catalog, raw, names) => {
  const { settings, ...tables } = await tablesFor(raw, { catalog, "catalog-database": "d" });
  expect(tablesIn(tables, settings).map(({ name }) => name)).toEqual(names);
});

describe("the tables of hours that are folders", () => {
  it("both have partitions", async () => {
    const { raw, parquet, dataset } = await tablesFor("s3://trail/{yyyy}/{MM}/{dd}/{HH}/");
    expect(unreadableByAthena(dataset)).toEqual([]);
    const { catalog, synced } = noting();
    for (const table of [raw, parquet]) await registerHours(catalog, table, [HOUR], { ahead: false });
    expect(synced).toEqual([
      ["trail_raw", [HOUR]],
      ["trail", [HOUR]],
    ]);
  });
});

it("what is to be done about a table is told beside what was done about its partitions", async () => {
  const { parquet } = await tablesFor("s3://trail/{yyyy}/{MM}/{dd}/{HH}/");
  const catalog = {
    ...noting().catalog,
    ensureTable: async (_: TableSpec, { note }: TableOptions = {}) => {
      note?.("of the table");
      return "unchanged" as const;
    },
    syncPartitions: async () => ({ added: 0, corrected: 1, unchanged: 0, notes: ["of a partition"] }),
  };
  const { notes } = await registerHours(catalog, parquet, [HOUR], { ahead: false });
  expect(notes).toEqual(["of the table", "of a partition"]);
});

describe("the tables of hours that are in the objects' names", () => {
  const TRAIL = "s3://trail/{yyyy}/{MM}/{dd}/123_CloudTrail_{yyyy}{MM}{dd}T{HH}";

  it("register the Parquet alone, and say why", async () => {
    const { raw, parquet, dataset } = await tablesFor(TRAIL);
    const { catalog, synced } = noting();
    for (const table of [raw, parquet]) await registerHours(catalog, table, [HOUR], { ahead: true });
    expect(synced.map(([name]) => name)).toEqual(["trail"]);
    expect(unreadableByAthena(dataset).join()).toMatch(/trail_raw gets no partitions.*end raw with a slash/s);
  });

  it("are projected for the Parquet alone", async () => {
    const { raw, parquet } = await tablesFor(TRAIL, { projection: true });
    expect(raw.projection).toBeUndefined();
    expect(parquet.projection).toMatchObject({
      isOn: true,
      locationTemplate: expect.stringMatching(/hour=.*\/$/),
    });
    const { catalog, synced } = noting();
    await registerHours(catalog, parquet, [HOUR], { ahead: false });
    expect(synced).toEqual([]);
  });
});

it("tables of directories are nothing for Athena", async () => {
  const { dataset } = await tablesFor("./raw/{yyyy}/{MM}/{dd}/{HH}/", { tier1: "./lake/" });
  expect(unreadableByAthena(dataset)).toEqual([
    "Athena reads S3 alone, and cannot read a directory: trail_raw and trail",
  ]);
});
