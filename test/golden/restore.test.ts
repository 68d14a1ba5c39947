/** Restoring quarantine, whatever it holds, and what is reported if a file is damaged. */
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { CommandContext } from "../../src/commands/command.js";
import { command } from "../../src/commands/restore.js";
import { type Components, openComponents } from "../../src/components.js";
import { loadSettings } from "../../src/config/load.js";
import { addHours, parseHour } from "../../src/hour.js";
import { run } from "../../src/run.js";
import { openRestoration } from "../../src/upkeep/restore.js";
import { verifyHour } from "../../src/upkeep/verification.js";

const HOUR = parseHour("2022-07-26T00");
/** What JSON leaves in a string as it is, and some readers of lines take for their end. */
const SEPARATORS = '{"a":"one\u2028two\u2029three\u0085four';
const LONG = `{"a":"${"x".repeat(3 << 20)}`;

let root: string;
let components: Components;

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), "hourpack-restore-"));
  const columns = "a:string,l:array<string>,s:struct<k:string>";
  const flags = { raw: "./raw/{yyyy}/{MM}/{dd}/{HH}/", tier1: "./lake/", table: "t", columns };
  components = openComponents(await loadSettings({ flags, cwd: root, env: {} }));
});
afterEach(async () => {
  await components.close();
  rmSync(root, { recursive: true });
});

function put(name: string, text: string): void {
  const path = join(root, "raw/2022/07/26/00", name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

const pack = () => run(components, { hours: { from: HOUR, to: addHours(HOUR, 1) } });

function dataset() {
  const [only] = components.settings.datasets;
  if (!only) throw new Error("no dataset");
  return only;
}

async function restored(): Promise<(string | undefined)[]> {
  const restoration = await openRestoration({ components, dataset: dataset(), hour: HOUR });
  const texts: (string | undefined)[] = [];
  try {
    for await (const entry of restoration.quarantined()) texts.push(entry.text);
  } finally {
    await restoration.close();
  }
  return texts.sort();
}

/** The one file of the hour's quarantine. */
function quarantineFile(): string {
  const folder = join(root, "lake/_hourpack/quarantine/2022/07/26/00");
  const [name = ""] = readdirSync(folder);
  return join(folder, name);
}

it("is each piece as it was, and those of an older part with those of late objects", async () => {
  put("a.json", `{"a":"fine"}\n${SEPARATORS}\n`);
  await pack();
  put("late.json", LONG);
  expect((await pack()).hours[0]?.action).toBe("packed");
  expect(await restored()).toEqual([SEPARATORS, LONG].sort());
});

/** DuckDB's client and hyparquet by itself both take it away: neither reads here, as it stands. */
it("has a byte order mark that a string begins with, wherever the string stands", async () => {
  const record = '{"a":"\ufeffx","l":["\ufeff","y"],"s":{"k":"\ufeffz"},"other":"\ufeff"}';
  put("a.json", record);
  await pack();
  const restoration = await openRestoration({ components, dataset: dataset(), hour: HOUR });
  const records: string[] = [];
  for await (const one of restoration.records()) records.push(one);
  await restoration.close();
  expect(records).toEqual([record]);
  const task = { components, dataset: dataset(), hour: HOUR };
  expect(await verifyHour(task, { deep: true })).toMatchObject({ state: "sound", rows: 1 });
});

it("is refused where its file is cut or missing, by a restoration and by a merge", async () => {
  put("a.json", `{"a":"fine"}\n${SEPARATORS}\n`);
  await pack();
  const whole = readFileSync(quarantineFile());
  truncateSync(quarantineFile(), whole.length - 12);
  await expect(restored()).rejects.toMatchObject({
    kind: "data",
    message: expect.stringMatching("it is damaged"),
  });
  put("late.json", LONG);
  expect((await pack()).failures[0]?.error).toMatchObject({
    kind: "data",
    message: expect.stringMatching("it is damaged"),
  });
  rmSync(quarantineFile());
  await expect(restored()).rejects.toMatchObject({
    kind: "data",
    message: expect.stringMatching("it is missing"),
  });
  expect((await pack()).failures[0]?.error).toMatchObject({
    kind: "data",
    message: expect.stringMatching("it is missing"),
  });
});

it("is damaged where one of its lines is no JSON, whether its manifest is there or not", async () => {
  put("a.json", `{"a":"fine"}\n${SEPARATORS}\n`);
  await pack();
  writeFileSync(quarantineFile(), gzipSync('{"key":\n'));
  const damaged = {
    kind: "data",
    message: expect.stringMatching(/^read \S*quarantine\S*: .* it is damaged \(line 1: /),
    hint: expect.stringMatching(/--rebuild/),
  };
  await expect(restored()).rejects.toMatchObject(damaged);
  rmSync(join(root, "lake/_hourpack/manifests"), { recursive: true });
  await expect(restored()).rejects.toMatchObject(damaged);
});

it("is refused where the part is damaged, with the remedy that verify has", async () => {
  put("a.json", `{"a":"${"xyz".repeat(100)}"}\n`);
  await pack();
  const folder = join(root, "lake/year=2022/month=07/day=26/hour=00");
  const [name = ""] = readdirSync(folder);
  const path = join(folder, name);
  // Zeros over the first page; the footer is whole.
  writeFileSync(path, readFileSync(path).fill(0, 4, 60));
  const [dataset] = components.settings.datasets;
  if (!dataset) throw new Error("no dataset");
  await expect(openRestoration({ components, dataset, hour: HOUR })).rejects.toMatchObject({
    kind: "data",
    message: `read the part ${path}: its bytes are not those that were published`,
    location: path,
    hint: expect.stringMatching(
      /^`hourpack run --hour 2022-07-26T00 --rebuild --raw [^`]*` rebuilds the part/,
    ),
  });
});

it("calls a part damaged whichever of its pages' bytes is another, and is never a bug", async () => {
  const flags = { raw: "./raw/{yyyy}/{MM}/{dd}/{HH}/", tier1: "./lake/", table: "t" };
  const columns = "at:timestamp,d:date,m:decimal(30,2),s:struct<x:bigint>,l:array<string>";
  await components.close();
  components = openComponents(await loadSettings({ flags: { ...flags, columns }, cwd: root, env: {} }));
  const [dataset] = components.settings.datasets;
  if (!dataset) throw new Error("no dataset");
  const record = {
    at: "2022-07-26T00:00:01.000Z",
    d: "2022-07-26",
    m: 1.25,
    s: { x: 1 },
    l: ["a"],
    more: "b",
  };
  put("a.json", `${JSON.stringify(record)}\n`);
  await pack();
  const folder = join(root, "lake/year=2022/month=07/day=26/hour=00");
  const path = join(folder, readdirSync(folder)[0] ?? "");
  const whole = readFileSync(path);
  const errors: { kind?: string; message: string; hint?: string }[] = [];
  const pagesEnd = whole.length - 8 - whole.readUInt32LE(whole.length - 8);
  const flipped = (i: number) => {
    const bytes = Buffer.from(whole);
    bytes[i] = 0xff ^ (whole[i] ?? 0);
    return bytes;
  };
  for (let i = 4; i < pagesEnd; i++) {
    writeFileSync(path, flipped(i));
    await expect(openRestoration({ components, dataset, hour: HOUR }), `byte ${i}`).rejects.toMatchObject({
      kind: "data",
      message: expect.stringMatching(/its bytes are not those that were published$/),
      hint: expect.stringMatching(/--rebuild/),
    });
  }
  // Where the manifest is away nobody knows: what can be read is given, and told.
  rmSync(join(root, "lake/_hourpack/manifests"), { recursive: true });
  for (let i = 4; i < pagesEnd; i++) {
    writeFileSync(path, flipped(i));
    const restoration = await openRestoration({ components, dataset, hour: HOUR });
    expect(restoration.unchecked).toMatch(/the part names this manifest, and it is missing$/);
    const read = async () => {
      for await (const text of restoration.records()) JSON.parse(text);
    };
    await read().catch((error) => errors.push(error));
    await restoration.close();
  }
  // A row that can be decoded, and is none of ours: a time of no year, rescued data that is no JSON.
  expect(errors.filter(({ message }) => message.includes("what is in its row 0 "))).not.toHaveLength(0);
  for (const error of errors) {
    expect(error, error.message).toMatchObject({ kind: "data", hint: expect.stringMatching(/--rebuild/) });
    expect(error.message).toMatch(/it is damaged, and what is in its row/);
  }
});

it("writes more than a string holds, in pieces", { timeout: 120_000 }, async () => {
  // Each byte is six characters of JSON.
  put("zeros.json", "\0".repeat(90_000_000));
  await pack();
  const out = join(root, "out");
  const nothing = () => {};
  const output = { json: false, line: nothing, record: nothing, note: nothing, result: nothing };
  const context = { output, signal: new AbortController().signal } as unknown as CommandContext;
  const raw = join(root, "raw/{yyyy}/{MM}/{dd}/{HH}/");
  const flags = { raw, tier1: `${join(root, "lake")}/`, table: "t", hour: HOUR, out };
  expect(await command.handler(flags, context)).toBe(0);
  expect(statSync(join(out, `t-${HOUR}.quarantine.ndjson`)).size).toBeGreaterThan(2 ** 29);
});

it("the text of a json: string member comes back with the sign of its zero", async () => {
  await components.close();
  writeFileSync(
    join(root, "hourpack.yaml"),
    `datasets:
  t:
    raw: "./raw/{yyyy}/{MM}/{dd}/{HH}/"
    tier1: ./lake/
    table: t
    columns: { j: { type: "struct<a:double>", json: string } }
`,
  );
  components = openComponents(await loadSettings({ cwd: root, env: {} }));
  const record = JSON.stringify({ j: '{"a":-0.0}' });
  put("a.json", `${record}\n`);
  expect((await pack()).failures).toEqual([]);
  const restoration = await openRestoration({ components, dataset: dataset(), hour: HOUR });
  const records: string[] = [];
  for await (const text of restoration.records()) records.push(text);
  await restoration.close();
  expect(records).toEqual([record]);
});
