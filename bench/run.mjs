// npm run bench -- <name> …: prints what it measured, and keeps it in bench/results/<name>.json. See README.md.
import { parseArgs } from "node:util";
import { backfill } from "./benchmarks/backfill.mjs";
import { fidelity } from "./benchmarks/fidelity.mjs";
import { memory } from "./benchmarks/memory.mjs";
import { mediumObjects, smallObjects } from "./benchmarks/objects.mjs";
import { reading } from "./benchmarks/reading.mjs";
import { start } from "./benchmarks/start.mjs";
import { save, show } from "./measure/report.mjs";

/**
 * @typedef {object} Options
 * @property {number} scale A share of the whole, for a smaller trial.
 * @property {number | undefined} rounds The benchmark's own choice, if absent.
 * @property {string[] | undefined} only Contestants by name; all of them, if absent.
 * @property {string[]} flags More flags for hourpack, to try them out.
 */

/** @typedef {Pick<import("./measure/report.mjs").Report, "rounds" | "data" | "measured" | "targets" | "more">} Outcome */

/** @type {Record<string, (options: Options) => Promise<Outcome>>} */
const BENCHMARKS = {
  "small-objects": smallObjects,
  "medium-objects": mediumObjects,
  fidelity,
  memory,
  backfill,
  start,
  reading,
};

const USAGE = `usage: npm run bench -- <name …> [--scale 0.1] [--rounds 3] [--only "contestant, contestant"] [--flags "--x 1"]
names: ${Object.keys(BENCHMARKS).join(", ")}
`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    scale: { type: "string", default: "1" },
    rounds: { type: "string" },
    only: { type: "string" },
    flags: { type: "string" },
  },
});
const scale = Number(values.scale);
const rounds = values.rounds === undefined ? undefined : Number(values.rounds);
const isKnown = positionals.length > 0 && positionals.every((name) => BENCHMARKS[name]);
if (!isKnown || !(scale > 0 && scale <= 1) || (rounds !== undefined && !(rounds >= 1))) {
  process.stderr.write(USAGE);
  process.exit(2);
}
const only = values.only?.split(/,\s*/);
const flags = values.flags?.split(" ") ?? [];
for (const name of positionals) {
  const report = { name, scale, ...(await BENCHMARKS[name]({ scale, rounds, only, flags })) };
  show(report);
  // A run that leaves out contestants or tries flags is for a look, not for the record.
  if (!only && flags.length === 0) save(report);
}
