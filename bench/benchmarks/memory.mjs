/** The peak of resident memory does not grow with the hour, neither with its bytes nor with its objects. */
import { join } from "node:path";
import { emptyDir, hoursInDirectory } from "../data/hours.mjs";
import { runHourpack, workPath } from "../hourpack.mjs";
import { measureRounds, spread } from "../measure/rounds.mjs";

const LIMIT_MB = 512;

/** Objects, and records in each: 345 MB, a million objects of 300 bytes, 3.45 GB, 10 GB. */
const HOURS = /** @type {const} */ ([
  ["345 MB in 3600 objects", { objects: 3600, recordsPerObject: 160 }],
  ["1000000 objects of 300 bytes", { objects: 1_000_000, recordsPerObject: 1, isSlim: true }],
  ["3.45 GB in 36000 objects", { objects: 36_000, recordsPerObject: 160 }],
  ["10 GB in 36000 objects", { objects: 36_000, recordsPerObject: 464 }],
]);

/** @param {import("../run.mjs").Options} options */
export async function memory({ scale, rounds = 1, only, flags }) {
  const contestants = [];
  const data = { objects: 0, bytes: 0, records: 0 };
  for (const [name, spec] of HOURS) {
    if (only && !only.includes(name)) continue;
    const made = await hoursInDirectory({ ...spec, objects: Math.round(spec.objects * scale) });
    data.objects += made.objects;
    data.bytes += made.bytes;
    data.records += made.records;
    contestants.push({
      name,
      run: async () => {
        const tier1 = join(emptyDir(workPath("tier1")), "/");
        const { result, stdout: _, ...used } = await runHourpack({ ...made, tier1, flags });
        const rows = result.rows + result.quarantined;
        if (rows !== made.records) throw new Error(`${name}: ${rows} rows of ${made.records}`);
        return { ...used, packedRows: rows, seconds: result.hours[0].stageSeconds };
      },
    });
  }
  const measured = await measureRounds(contestants, rounds);
  const targets = measured.map((one) => ({
    what: `${one.name}: peak RSS`,
    value: spread(one.runs.map((run) => run.rssMb)),
    bound: /** @type {const} */ ("at most"),
    limit: LIMIT_MB,
    unit: "MB",
  }));
  return { rounds, data, measured, targets };
}
