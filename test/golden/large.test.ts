/** Objects that are read in ranges, and those that cannot be. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { openComponents } from "../../src/components.js";
import { loadSettings } from "../../src/config/load.js";
import { addHours, parseHour } from "../../src/hour.js";
import { run } from "../../src/run.js";
import { RANGE_BYTES } from "../../src/stages/spool.js";
import { verifyHour } from "../../src/verification.js";

const HOUR = parseHour("2022-07-26T00");
let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "hourpack-large-"));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** Packs one object and verifies it deeply. */
function packed(name: string, bytes: Buffer) {
  return packedHour(name, { objects: 1, bytes, isProved: true });
}

/** Packs so many objects of the same bytes. */
async function packedHour(
  name: string,
  { objects, bytes, isProved }: { objects: number; bytes: Buffer; isProved: boolean },
) {
  const root = join(dir, name);
  const folder = join(root, "raw/2022/07/26/00");
  mkdirSync(folder, { recursive: true });
  for (let i = 0; i < objects; i++) writeFileSync(join(folder, `${i}.json`), bytes);
  const flags = {
    raw: "./raw/{yyyy}/{MM}/{dd}/{HH}/",
    tier1: "./lake/",
    table: "t",
    columns: "n:bigint,s:string",
  };
  const components = openComponents(await loadSettings({ flags, cwd: root, env: {} }));
  try {
    const { hours, failures } = await run(components, { hours: { from: HOUR, to: addHours(HOUR, 1) } });
    expect(failures).toEqual([]);
    const [dataset] = components.settings.datasets;
    if (!dataset) throw new Error("no dataset");
    const task = { dataset, hour: HOUR, request: {}, isAsked: true, components, observe: () => {} };
    expect(await verifyHour(task, { deep: isProved })).toMatchObject({ state: "sound" });
    return { rows: hours[0]?.part?.rows, quarantined: hours[0]?.quarantined };
  } finally {
    await components.close();
    rmSync(root, { recursive: true });
  }
}

const PAD = "x".repeat(10_000);

it("100,000 objects of one byte are as many pieces of quarantine", { timeout: 180_000 }, async () => {
  const hour = { objects: 100_000, bytes: Buffer.from("7"), isProved: false };
  expect(await packedHour("tiny", hour)).toEqual({ rows: 0, quarantined: 100_000 });
});

it("a line that is damaged where a range begins harms no other", async () => {
  const lines: string[] = [];
  let bytes = 0;
  while (bytes <= RANGE_BYTES) {
    lines.push(`{"n":${lines.length},"s":"${PAD}"}\n`);
    bytes += (lines.at(-1) as string).length;
  }
  // The last line lies across the border, and is the first of the second range's piece.
  lines[lines.length - 1] = `{"n":,"s":"${PAD}"}\n`;
  const good = lines.length - 1;
  lines.push('{"n":1,"s":"after"}\n{"n":2,"s":"after"}');
  expect(await packed("lines", Buffer.from(lines.join("")))).toEqual({ rows: good + 2, quarantined: 1 });
});

it("a pretty-printed array larger than a range is one array", async () => {
  const elements: string[] = [];
  for (let bytes = 0; bytes <= RANGE_BYTES; bytes += PAD.length)
    elements.push(JSON.stringify({ n: elements.length, s: PAD }, null, 2));
  expect(await packed("pretty", Buffer.from(`[\n${elements.join(",\n")}\n]\n`))).toEqual({
    rows: elements.length,
    quarantined: 0,
  });
});

it("a line beyond the limit is quarantined, its neighbours are not", async () => {
  const line = `{"n":1,"s":"${"x".repeat(65 << 20)}"}`;
  expect(await packed("record", Buffer.from(`{"n":0}\n${line}\n{"n":2}\n`))).toEqual({
    rows: 2,
    quarantined: 1,
  });
});
