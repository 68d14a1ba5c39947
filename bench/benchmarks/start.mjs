/** How soon the command line answers. */
import { join } from "node:path";
import { hoursInDirectory, hoursInMinio } from "../data/hours.mjs";
import { CLI, credentials, s3Flags, workPath } from "../hourpack.mjs";
import { runChild } from "../measure/child.mjs";
import { measureRounds } from "../measure/rounds.mjs";
import { startMinio } from "../s3/minio.mjs";

const HELP = "hourpack --help";
const PLAN_DIRECTORY = "plan of 10 objects in a directory";
const PLAN_MINIO = "plan of 10 objects in MinIO";

/** @param {import("../run.mjs").Options} options */
export async function start({ rounds = 15, only }) {
  const spec = { objects: 10, recordsPerObject: 16 };
  const server = await startMinio();
  try {
    const directory = await hoursInDirectory(spec);
    const minio = await hoursInMinio(server, spec);
    const plan = (
      /** @type {import("../data/hours.mjs").MadeHours} */ { raw, from },
      /** @type {string} */ tier1,
    ) => ["plan", "--json", "--raw", raw, "--tier1", tier1, "--table", "events", "--hour", from];
    const all = [
      contestant("node with nothing to do", ["-e", "0"]),
      contestant(HELP, [CLI, "--help"]),
      contestant(PLAN_DIRECTORY, [CLI, ...plan(directory, join(workPath("none"), "/"))]),
      contestant(
        PLAN_MINIO,
        [CLI, ...plan(minio, "s3://bench-raw/none/"), ...s3Flags(server)],
        credentials(server),
      ),
    ];
    const chosen = only ? all.filter(({ name }) => only.includes(name)) : all;
    const measured = await measureRounds(chosen, rounds);
    const limits = /** @type {const} */ ([
      [HELP, 150],
      [PLAN_DIRECTORY, 400],
      [PLAN_MINIO, 400],
    ]);
    return {
      rounds,
      data: { objects: minio.objects },
      measured,
      targets: limits.flatMap(([name, limit]) => {
        const found = measured.find((one) => one.name === name);
        if (!found) return [];
        const { min, median, max } = found.wallS;
        const value = { min: min * 1000, median: median * 1000, max: max * 1000 };
        return [{ what: `${name}: wall`, value, bound: /** @type {const} */ ("at most"), limit, unit: "ms" }];
      }),
    };
  } finally {
    await server.stop();
  }
}

/** @param {string} name @param {string[]} args @param {Record<string, string>} [env] */
function contestant(name, args, env) {
  return {
    name,
    run: async () => {
      const { stdout: _, ...used } = await runChild(process.execPath, args, env);
      return used;
    },
  };
}
