/**
 * Runs contestants in turn, for several rounds, so that whatever else the machine does harms all of them
 * alike.
 */

/**
 * @typedef {object} Contestant
 * @property {string} name
 * @property {(round: number) => Promise<Run>} run
 */

/** @typedef {{ wallS: number, cpuS: number, rssMb: number, rows?: number, [more: string]: unknown }} Run */
/** @typedef {{ min: number, median: number, max: number }} Spread */
/** @typedef {{ name: string, runs: Run[], wallS: Spread, cpuS: Spread, rssMb: Spread, storeCpuS?: Spread }} Measured */

/**
 * @param {Contestant[]} contestants @param {number} rounds
 * @param {number} [expectedRows] Each contestant that counts rows must have this many.
 * @param {{ cpuS(): number | undefined }} [store] Its CPU seconds so far: each run's share of them is
 * reported, too.
 * @returns {Promise<Measured[]>}
 */
export async function measureRounds(contestants, rounds, expectedRows, store) {
  /** @type {Run[][]} */
  const runs = contestants.map(() => []);
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < contestants.length; turn++) {
      // Each round begins with another contestant, so that none always follows the same neighbour.
      const index = (turn + round) % contestants.length;
      const { name, run } = contestants[index];
      const beforeS = store?.cpuS();
      const used = await run(round);
      if (beforeS !== undefined) used.storeCpuS = (store?.cpuS() ?? 0) - beforeS;
      if (expectedRows !== undefined && used.rows !== undefined && used.rows !== expectedRows) {
        throw new Error(`${name} made ${used.rows} rows of ${expectedRows}: its figures would not count`);
      }
      runs[index].push(used);
      const figures = `${used.wallS.toFixed(2)} s wall, ${used.cpuS.toFixed(2)} s CPU, ${used.rssMb.toFixed(0)} MB`;
      process.stderr.write(`  round ${round + 1}  ${name}: ${figures}\n`);
    }
  }
  return contestants.map(({ name }, index) => {
    const of = (/** @type {"wallS" | "cpuS" | "rssMb" | "storeCpuS"} */ figure) =>
      spread(runs[index].map((run) => Number(run[figure])));
    const storeCpuS = runs[index].every((run) => run.storeCpuS !== undefined) ? of("storeCpuS") : undefined;
    return { name, runs: runs[index], wallS: of("wallS"), cpuS: of("cpuS"), rssMb: of("rssMb"), storeCpuS };
  });
}

/** @param {number[]} values @returns {Spread} */
export function spread(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  const median =
    sorted.length % 2 === 1 ? sorted[Math.floor(middle)] : (sorted[middle - 1] + sorted[middle]) / 2;
  return { min: sorted[0], median, max: sorted[sorted.length - 1] };
}

/**
 * One contestant's figure divided by another's, round by round.
 * @param {Measured[]} measured @param {string} of @param {string} to @param {"wallS" | "cpuS"} figure
 */
export function ratio(measured, of, to, figure) {
  const [a, b] = [of, to].map((name) => measured.find((one) => one.name === name));
  if (!a || !b) throw new Error(`there is no contestant ${a ? to : of}`);
  return spread(a.runs.map((run, round) => run[figure] / b.runs[round][figure]));
}
