/** Every golden case keeps the two promises that hold for all data: the proof finds nothing, and every record can be restored. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Components, openComponents } from "../../src/components.js";
import { loadSettings } from "../../src/config/load.js";
import type { Dataset } from "../../src/config/settings.js";
import type { Hour } from "../../src/hour.js";
import { Canon } from "../../src/proof/canon.js";
import { MAX_DEPTH, type Obj, Reader } from "../../src/proof/json.js";
import { listHour } from "../../src/stages/list.js";
import { schemaOf } from "../../src/tier1/schema-file.js";
import { openRestoration } from "../../src/upkeep/restore.js";
import { verifyHour } from "../../src/upkeep/verification.js";
import { caseNames, readCase } from "../support/golden.js";
import { packCase } from "../support/pack.js";
import { rawItems } from "../support/raw-items.js";

let workRoot: string;

beforeAll(async () => {
  workRoot = await mkdtemp(join(tmpdir(), "hourpack-cases-"));
});

afterAll(() => rm(workRoot, { recursive: true, force: true }));

describe("fixtures/cases", () => {
  test.each(caseNames())("%s", async (name) => {
    const golden = readCase(name);
    const dir = join(workRoot, name);
    await packCase(golden, dir);
    const components = openComponents(await loadSettings({ file: join(dir, "hourpack.yaml"), env: {} }));
    try {
      const [dataset] = components.settings.datasets as [Dataset];
      for (const { hour } of golden.hours) {
        const task = { dataset, hour, components, request: {}, isAsked: true, observe: () => {} };
        const { state, problems, deep } = await verifyHour(task, { deep: true });
        expect({ state, problems, differences: deep?.differences }).toEqual({
          state: "sound",
          problems: [],
          differences: [],
        });
        const { restored, raw } = await bothWays(components, dataset, hour);
        expect(restored).toEqual(raw);
      }
    } finally {
      await components.close();
    }
  });
});

/** Canonical records, sorted: those that the part gives back, and those that the proof reads in the raw objects. */
async function bothWays(components: Components, dataset: Dataset, hour: Hour) {
  const restoration = await openRestoration({ components, dataset, hour });
  const restored: string[] = [];
  const raw: string[] = [];
  try {
    const schema = await schemaOf({ components, dataset, hour: hour }, restoration.published, undefined);
    const canon = new Canon(schema, { zone: dataset.zone, path: dataset.records.keys });
    for await (const line of restoration.records()) {
      const record = parseRestored(line);
      restored.push(canon.text(record) ?? `no record: ${line}`);
    }
    const store = await components.raw(dataset);
    for (const { key } of await listHour({ components, dataset, hour })) {
      const stored = await store.get(key);
      const isTaken = (value: Obj, envelope: Obj) => canon.text(value, envelope) !== undefined;
      for (const item of await rawItems(stored, dataset.records.keys, { isTaken })) {
        const text = item.kind === "record" ? canon.text(item.value, item.envelope) : undefined;
        if (text !== undefined) raw.push(text);
      }
    }
  } finally {
    await restoration.close();
  }
  return { restored: restored.sort(), raw: raw.sort() };
}

/** In a restored record an envelope lies a level deeper than in its object. */
function parseRestored(json: string): Obj {
  return new Reader(Buffer.from(json, "utf8").toString("latin1"), { maxDepth: MAX_DEPTH + 1 }).value() as Obj;
}
