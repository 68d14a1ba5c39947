/** Reading the pinned schema, as each hour of a run does. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { resolveColumns } from "../../src/config/columns.js";
import type { ColumnConfig } from "../../src/config/schema.js";
import { Shape } from "../../src/record/inference.js";
import { type JsonObject, parseJson } from "../../src/record/json.js";
import { mergeConfigured } from "../../src/schema/evolution.js";
import {
  digestOfColumns,
  emptyPinned,
  parsePinned,
  reconcile,
  serialisePinned,
} from "../../src/schema/pinned.js";
import type { Column } from "../../src/schema/types.js";
import { LocalStore } from "../../src/store/local.js";
import type { Store } from "../../src/store/store.js";
import { pinColumns, readPinned } from "../../src/tier1/schema-file.js";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "hourpack-pin-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const by = { attempt: "01J00000000000000000000000", nowMs: 0, again: "" };
const columns = (...names: string[]): Column[] =>
  names.map((name) => ({ name, path: [name], type: { kind: "string" }, derived: false, jsonString: false }));

function countingGets(store: Store): { store: Store; gets: () => number } {
  let gets = 0;
  const counting = new Proxy(store, {
    get: (target, name) => {
      const member = Reflect.get(target, name);
      if (name === "get") gets++;
      return typeof member === "function" ? member.bind(target) : member;
    },
  });
  return { store: counting, gets: () => gets };
}

const namesOf = async (store: Store, prefix: string) =>
  (await readPinned(store, prefix, undefined))?.versions.at(-1)?.columns.map(({ name }) => name);

describe("schema.json", () => {
  it("is not written if it could not be read back", async () => {
    const store = new LocalStore(root);
    const type = { kind: "decimal", precision: 10.5, scale: 2 } as const;
    const column: Column = { name: "a", path: ["a"], type, derived: false, jsonString: false };
    await expect(pinColumns(store, "lake/", "t", () => [column], by)).rejects.toThrow(/schema.json/);
    expect(await store.head("lake/_hourpack/schema.json")).toBeUndefined();
  });

  it("is read again where another worker wrote it, and only there", async () => {
    const { store, gets } = countingGets(new LocalStore(root));
    const other = new LocalStore(root);
    await pinColumns(other, "a/", "t", () => columns("x"), by);
    for (let hour = 0; hour < 5; hour++) expect(await namesOf(store, "a/")).toEqual(["x"]);
    expect(gets()).toBe(1);
    await pinColumns(other, "a/", "t", () => columns("x", "y"), by);
    for (let hour = 0; hour < 5; hour++) expect(await namesOf(store, "a/")).toEqual(["x", "y"]);
    expect(gets()).toBe(2);
    await other.delete("a/_hourpack/schema.json");
    expect(await namesOf(store, "a/")).toBeUndefined();
  });

  it("of one dataset is not taken for another's", async () => {
    const store = new LocalStore(root);
    await pinColumns(store, "a/", "t", () => columns("x"), by);
    await pinColumns(store, "b/", "t", () => columns("y"), by);
    for (const [prefix, name] of [
      ["a/", "x"],
      ["b/", "y"],
      ["a/", "x"],
    ] as const)
      expect(await namesOf(store, prefix)).toEqual([name]);
  });

  it("of one table takes no other's columns", async () => {
    const store = new LocalStore(root);
    await pinColumns(store, "a/", "t", () => columns("x"), by);
    await expect(pinColumns(store, "a/", "other", () => columns("x"), by)).rejects.toMatchObject({
      kind: "invalid",
      message: expect.stringContaining("it holds the table t, and other is another"),
      hint: expect.stringContaining("a tier-1 prefix of its own"),
    });
  });

  it("has the columns of both where two grow it at once", async () => {
    const store = new LocalStore(root);
    const grow = (name: string) => (pinned: { versions: { columns: Column[] }[] } | undefined) => [
      ...(pinned?.versions.at(-1)?.columns ?? []),
      ...columns(name),
    ];
    const names = ["p", "q", "r", "s"];
    await Promise.all(names.map((name) => pinColumns(store, "a/", "t", grow(name), by)));
    expect((await namesOf(store, "a/"))?.sort()).toEqual(names);
  });
});

describe("the digest of columns", () => {
  const one: Column = {
    name: "a",
    path: ["a"],
    derived: false,
    type: {
      kind: "struct",
      fields: [
        { name: "at", key: "At", type: { kind: "timestamp", epoch: "ms" } },
        { name: "n", key: "n", type: { kind: "decimal", precision: 10, scale: 2 } },
      ],
    },
  };

  it("is that of the columns that are read again, in whatever order their members are", () => {
    const by = { createdAt: "2022-07-26T00:00:00.000Z", attempt: "01J00000000000000000000000" };
    const turned = (value: unknown): unknown => {
      if (Array.isArray(value)) return value.map(turned);
      if (typeof value !== "object" || value === null) return value;
      const entries = Object.entries(value).map(([key, member]) => [key, turned(member)]);
      return Object.fromEntries(entries.reverse());
    };
    const bytes = serialisePinned(reconcile([one], emptyPinned("t"), by));
    const read = parsePinned(bytes, "schema.json").versions[0]?.columns ?? [];
    const same = [read, turned([one]) as Column[], [{ ...one, jsonString: false, envelope: false }]];
    for (const columns of same) expect(digestOfColumns(columns)).toBe(digestOfColumns([one]));
  });

  it("is another where a value would be read in another way", () => {
    const type = { kind: "string" } as const;
    const others: Column[][] = [
      [],
      [one, { ...one, name: "b" }],
      [{ ...one, type }],
      [{ ...one, path: ["A"] }],
      [{ ...one, jsonString: true }],
      [{ ...one, derived: true }],
      [{ ...one, type: { kind: "array", element: one.type } }],
    ];
    const digests = [[one], ...others].map((columns) => digestOfColumns(columns));
    expect(new Set(digests).size).toBe(digests.length);
  });
});

it("a version that does not begin with the columns of the one before was written by somebody's hand", () => {
  const by = { createdAt: "2022-07-26T00:00:00.000Z", attempt: "01J00000000000000000000000" };
  const column = (name: string): Column => ({ name, path: [name], derived: false, type: { kind: "bigint" } });
  const [a, b] = [column("a"), column("b")];
  const grown = reconcile([b], reconcile([a], emptyPinned("t"), by), by);
  expect(parsePinned(serialisePinned(grown), "schema.json")).toEqual(grown);
  for (const columns of [[b, a], [b], [{ ...a, type: { kind: "string" } as const }, b]]) {
    const versions = grown.versions.map((version) =>
      version.version === 2 ? { ...version, columns } : version,
    );
    expect(() => parsePinned(serialisePinned({ ...grown, versions }), "schema.json")).toThrow(
      "version 2 does not begin with the columns of version 1",
    );
  }
});

describe("columns that are configured beside pinned ones", () => {
  const shape = new Shape();
  shape.observe(
    parseJson('{"Event Name":"x","userId":1,"hour":3,"a.b":{"Ok":1},"Headers":{"Content-Type":"x"}}')
      .value as JsonObject,
  );
  const schema = { version: 1, columns: shape.columns() };
  const merged = (configured: Record<string, ColumnConfig>) =>
    mergeConfigured(schema, {
      name: "two",
      tier1: { scheme: "s3", root: "lake", prefix: "two/" },
      columns: resolveColumns(configured, [], () => "hourpack.yaml"),
    });

  it.each<[string, Record<string, ColumnConfig>]>([
    ["a key with a blank", { event_name: { type: "string", from: '"Event Name"' } }],
    ["in another case", { EVENT_NAME: { type: "string", from: '"event NAME"' }, userid: "bigint" }],
    ["a key that every table has", { hour_2: { type: "bigint", from: "hour" } }],
    [
      "a key with a dot, and one inside in another case",
      { a_b: { type: "struct<ok:bigint>", from: '"a.b"' } },
    ],
    ["a column that has its key as its name", { userId: { type: "bigint", from: "userId" } }],
  ])("may be what was inferred: %s", (_what, configured) => {
    expect(merged(configured)).toBe(schema);
  });

  it.each<[string, Record<string, ColumnConfig>, RegExp, RegExp]>([
    [
      "another member",
      { event_name: "string" },
      /event_name is pinned as string from "Event Name", and configured as string$/,
      /^Write `from: "\\"Event Name\\""`, or leave it out/,
    ],
    ["another type", { userId: "string" }, /pinned as bigint, and configured as string$/, /another name/],
    [
      "a member inside of a member",
      { event_name: { type: "string", from: "event.name" } },
      /from "Event Name", and configured as string from event\.name$/,
      /^Write `from: /,
    ],
    [
      "a member beside the records",
      { event_name: { type: "string", from: '^."Event Name"' } },
      /configured as string from \^\."Event Name"$/,
      /^Write `from: /,
    ],
    [
      "a struct's field of another member",
      { headers: "struct<content_type:string>" },
      /pinned as struct<content_type:string> \(key "Content-Type"\), and configured as struct<content_type:string>$/,
      /also where `columns` leave it out/,
    ],
  ])("are refused where they are %s", (_what, configured, message, hint) => {
    expect(() => merged(configured)).toThrow(
      expect.objectContaining({
        message: expect.stringMatching(message),
        location: "s3://lake/two/_hourpack/schema.json",
        hint: expect.stringMatching(hint),
      }),
    );
  });
});
