/** Packs a golden case through the library, over directories. */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { stringify } from "yaml";
import { openComponents } from "../../src/components.js";
import { loadSettings } from "../../src/config/load.js";
import { addHours, type Hour } from "../../src/hour.js";
import { partKey } from "../../src/layout.js";
import { run } from "../../src/run.js";
import type { HourResult } from "../../src/task.js";
import { type ActualPiece, FIRST_HOUR, type GoldenCase, linesOf } from "./golden.js";

const TABLE = "t";

export interface PackedHour {
  result: HourResult;
  partPath: string;
  quarantine: ActualPiece[];
}

/** Packs the case's hours in one run below `workDir`. Throws the failure of an hour. */
export async function packCase(golden: GoldenCase, workDir: string): Promise<PackedHour[]> {
  for (const { hour, objectsDir } of golden.hours) {
    cpSync(objectsDir, join(workDir, "raw", hourFolder(hour)), { recursive: true });
  }
  mkdirSync(join(workDir, "tier1"), { recursive: true });
  const config = {
    datasets: {
      golden: {
        raw: `${workDir}/raw/year={yyyy}/month={MM}/day={dd}/hour={HH}/`,
        tier1: `${workDir}/tier1/`,
        table: TABLE,
        ...golden.dataset,
      },
    },
    catalog: { type: "none" },
    run: { spoolDir: join(workDir, "spool"), hoursInFlight: 1 },
  };
  const file = join(workDir, "hourpack.yaml");
  writeFileSync(file, stringify(config));
  const components = openComponents(await loadSettings({ file, env: {} }));
  try {
    const to = addHours(FIRST_HOUR, golden.hours.length);
    const { hours, failures } = await run(components, { hours: { from: FIRST_HOUR, to } });
    for (const { error } of failures) throw error;
    return golden.hours.map(({ hour }) => packedHour(workDir, hour, hours));
  } finally {
    await components.close();
  }
}

function packedHour(workDir: string, hour: Hour, results: HourResult[]): PackedHour {
  const result = results.find((candidate) => candidate.hour === hour);
  if (!result) throw new Error(`the run says nothing of ${hour}`);
  const quarantineDir = join(workDir, "tier1/_hourpack/quarantine", hour.replace(/[-T]/g, "/"));
  const files = existsSync(quarantineDir) ? readdirSync(quarantineDir) : [];
  const prefix = hourFolder(hour);
  const quarantine = files.flatMap((file) =>
    linesOf(gunzipSync(readFileSync(join(quarantineDir, file))).toString("utf8"))
      .map((line) => JSON.parse(line) as ActualPiece)
      .map((piece) => ({ ...piece, key: piece.key.slice(piece.key.lastIndexOf(prefix) + prefix.length) })),
  );
  return { result, partPath: join(workDir, "tier1", partKey("", TABLE, hour)), quarantine };
}

function hourFolder(hour: Hour): string {
  const [yyyy, MM, dd, HH] = hour.split(/[-T]/);
  return `year=${yyyy}/month=${MM}/day=${dd}/hour=${HH}/`;
}
