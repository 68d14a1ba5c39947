/** The contestants on one hour that lies in MinIO. Each writes one Snappy file; hourpack also uploads it. */
import { rmSync } from "node:fs";
import { asyncBufferFromFile, parquetMetadataAsync } from "hyparquet";
import { COLUMNS } from "./data/events.mjs";
import { BUCKET } from "./data/hours.mjs";
import { runHourpack, workPath } from "./hourpack.mjs";
import { runChild } from "./measure/child.mjs";
import { PEER_VERSIONS, peerScript, peersPython } from "./peers/venv.mjs";

export const TIER1_BUCKET = "bench-tier1";

/**
 * @typedef {object} Subject
 * @property {import("./s3/client.mjs").Server} server
 * @property {import("./data/hours.mjs").MadeHours} made
 */

/** @param {Subject} subject @param {string} [name] @param {{ isInferred?: boolean, flags?: string[] }} [options] */
export function hourpack({ server, made }, name = "hourpack", options = {}) {
  return {
    name,
    run: async (/** @type {number} */ round) => {
      // Each run has its own prefix, so that it publishes a new part.
      const tier1 = `s3://${TIER1_BUCKET}/${Date.now()}-${round}/`;
      const { result, stdout: _, ...used } = await runHourpack({ server, ...made, tier1, ...options });
      return { ...used, rows: result.rows + result.quarantined, seconds: result.hours[0].stageSeconds };
    },
  };
}

/**
 * `isPlain`: sends an `=` in a path as it is, like hourpack, and does not escape it, as SDKs do.
 * `sizesBytes`: the sizes of what is PUT for each hour; such an hour gets a HEAD, too.
 * @param {Subject} subject @param {string} [name]
 * @param {{ isPlain?: boolean, sizesBytes?: number[] }} [options]
 */
export function bareLoop({ server, made }, name = "bare list + GET", { isPlain = false, sizesBytes } = {}) {
  const { prefixes } = made;
  const sent = sizesBytes && { bucket: TIER1_BUCKET, sizesBytes };
  return {
    name,
    run: async () => {
      const job = { ...keysOf(server), bucket: BUCKET, prefixes, isPlain, sent };
      const { stdout, ...used } = await runChild(process.execPath, [
        peerScript("bare.mjs"),
        JSON.stringify(job),
      ]);
      const { objects, bytes, seconds } = JSON.parse(stdout);
      if (objects !== made.objects || bytes !== made.bytes)
        throw new Error(`the bare loop read ${objects} objects, ${bytes} of ${made.bytes} bytes`);
      return { ...used, seconds };
    },
  };
}

/** @param {Subject} subject @param {string} name @param {string} script */
function pythonPeer({ server, made }, name, script) {
  const python = peersPython();
  return {
    name,
    run: async () => {
      const out = workPath("peer.parquet");
      rmSync(out, { force: true });
      const job = { ...keysOf(server), bucket: BUCKET, prefix: made.prefixes[0], columns: COLUMNS, out };
      const { stdout: _, ...used } = await runChild(python, [peerScript(script), JSON.stringify(job)]);
      return { ...used, rows: await rowsOf(out) };
    },
  };
}

/** @param {Subject} subject */
export function peers(subject) {
  return [
    pythonPeer(subject, "Polars", "polars_peer.py"),
    pythonPeer(subject, "chDB", "chdb_peer.py"),
    pythonPeer(subject, "DuckDB + httpfs", "duckdb_peer.py"),
  ];
}

export { PEER_VERSIONS };

/** @param {string} path */
export async function rowsOf(path) {
  const footer = await parquetMetadataAsync(await asyncBufferFromFile(path));
  return Number(footer.num_rows);
}

/** @param {import("./s3/client.mjs").Server} server */
export function keysOf({ endpoint, accessKeyId, secretAccessKey }) {
  return { endpoint, accessKeyId, secretAccessKey };
}
