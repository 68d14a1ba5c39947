/**
 * What it costs to lose nothing: one hour from a directory, compared with DuckDB's lossy read_json over the
 * same bytes.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { rowsOf } from "../contestants.mjs";
import { COLUMNS } from "../data/events.mjs";
import { emptyDir, hourInOneFile, hoursInDirectory } from "../data/hours.mjs";
import { runHourpack, workPath } from "../hourpack.mjs";
import { runChild } from "../measure/child.mjs";
import { measureRounds, ratio, spread } from "../measure/rounds.mjs";
import { peerScript } from "../peers/venv.mjs";

const LOSSY = "read_json of one file";
const CLEAN = "hourpack clean";
const SHAPES = "hourpack 1 % odd objects";
const UNKNOWN = "hourpack 1 % unknown keys";

/** @param {import("../run.mjs").Options} options */
export async function fidelity({ scale, rounds = 3, only, flags }) {
  const spec = { objects: Math.round(3600 * scale), recordsPerObject: 160 };
  const { path, records } = await hourInOneFile(spec);
  const clean = await hoursInDirectory(spec);
  const all = [
    lossy(path),
    fromDirectory(CLEAN, clean, flags),
    fromDirectory(SHAPES, await hoursInDirectory({ ...spec, odd: "shapes" }), flags),
    fromDirectory(UNKNOWN, await hoursInDirectory({ ...spec, odd: "unknown" }), flags),
  ];
  const measured = await measureRounds(
    only ? all.filter(({ name }) => only.includes(name)) : all,
    rounds,
    records,
  );
  const limits = /** @type {const} */ ([
    [CLEAN, 1.6],
    [SHAPES, 1.8],
    [UNKNOWN, 1.8],
  ]);
  return {
    rounds,
    data: { objects: clean.objects, bytes: clean.bytes, records },
    measured,
    targets: only
      ? []
      : [
          ...limits.map(([name, limit]) => ({
            what: `${name}: wall against read_json`,
            value: ratio(measured, name, LOSSY, "wallS"),
            bound: /** @type {const} */ ("at most"),
            limit,
          })),
          {
            what: "peak RSS",
            value: spread(measured.filter(({ name }) => name !== LOSSY).map((one) => one.rssMb.max)),
            bound: /** @type {const} */ ("at most"),
            limit: 512,
            unit: "MB",
          },
        ],
  };
}

/** @param {string} path */
function lossy(path) {
  return {
    name: LOSSY,
    run: async () => {
      const out = workPath("lossy.parquet");
      rmSync(out, { force: true });
      const job = JSON.stringify({ path, columns: COLUMNS, out });
      const { stdout: _, ...used } = await runChild(process.execPath, [peerScript("read-json.mjs"), job]);
      return { ...used, rows: await rowsOf(out) };
    },
  };
}

/** @param {string} name @param {import("../data/hours.mjs").MadeHours} made @param {string[]} flags */
function fromDirectory(name, made, flags) {
  return {
    name,
    run: async () => {
      const tier1 = join(emptyDir(workPath("tier1")), "/");
      const { result, stdout: _, ...used } = await runHourpack({ ...made, tier1, flags });
      const { rows, rescued, quarantined } = result;
      return { ...used, rows: rows + quarantined, rescued, seconds: result.hours[0].stageSeconds };
    },
  };
}
