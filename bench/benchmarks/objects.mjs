/** One hour of many objects in MinIO: the whole job, compared with a bare list + GET loop and with peers. */
import { bareLoop, hourpack, PEER_VERSIONS, peers, TIER1_BUCKET } from "../contestants.mjs";
import { hoursInMinio } from "../data/hours.mjs";
import { measureRounds, ratio } from "../measure/rounds.mjs";
import { BareS3 } from "../s3/client.mjs";
import { startMinio } from "../s3/minio.mjs";

/** @typedef {import("../run.mjs").Options} Options */

const HOURPACK = "hourpack";
const BARE = "bare list + GET";
const BARE_PLAIN = "bare list + GET of plain paths";

/** 36,000 objects of 9.6 KB. @param {Options} options */
export function smallObjects(options) {
  return packObjects(36_000, 16, options, (measured, has) => [
    against(measured, BARE, "at most", 1.15),
    ...(has(BARE_PLAIN) ? [against(measured, BARE_PLAIN, "at most", 1.15)] : []),
    ...(has("Polars") ? [faster(measured, "Polars", 1.4), { ...share(measured, "Polars"), limit: 0.5 }] : []),
    ...(has("chDB") ? [faster(measured, "chDB", 3)] : []),
    ...(has("DuckDB + httpfs") ? [faster(measured, "DuckDB + httpfs", 6)] : []),
  ]);
}

/** 3,600 objects of 96 KB. @param {Options} options */
export function mediumObjects(options) {
  return packObjects(3600, 160, options, (measured, has) => [
    ...(has("Polars") ? [faster(measured, "Polars", 1.1)] : []),
  ]);
}

/**
 * @param {number} objects @param {number} recordsPerObject @param {Options} options
 * @param {(measured: import("../measure/rounds.mjs").Measured[], has: (name: string) => boolean) => import("../measure/report.mjs").Target[]} targetsOf
 */
async function packObjects(objects, recordsPerObject, { scale, rounds = 3, only, flags }, targetsOf) {
  const server = await startMinio();
  try {
    const made = await hoursInMinio(server, { objects: Math.round(objects * scale), recordsPerObject });
    const client = new BareS3(server, 1);
    await client.emptyBucket(TIER1_BUCKET);
    await client.close();
    const subject = { server, made };
    const all = [
      bareLoop(subject, BARE),
      bareLoop(subject, BARE_PLAIN, { isPlain: true }),
      hourpack(subject, HOURPACK, { flags }),
      hourpack(subject, "hourpack first hour", { isInferred: true, flags }),
      ...peers(subject),
    ];
    const measured = await measureRounds(
      only ? all.filter(({ name }) => only.includes(name)) : all,
      rounds,
      made.records,
      server,
    );
    const has = (/** @type {string} */ name) => measured.some((one) => one.name === name);
    return {
      rounds,
      data: { objects: made.objects, bytes: made.bytes, records: made.records },
      measured,
      targets: has(HOURPACK) && has(BARE) ? targetsOf(measured, has) : [],
      more: { peers: PEER_VERSIONS },
    };
  } finally {
    await server.stop();
  }
}

/**
 * @param {import("../measure/rounds.mjs").Measured[]} measured @param {string} peer
 * @param {"at most" | "at least"} bound @param {number} limit
 */
function against(measured, peer, bound, limit) {
  return { what: `wall against ${peer}`, value: ratio(measured, HOURPACK, peer, "wallS"), bound, limit };
}

/** @param {import("../measure/rounds.mjs").Measured[]} measured @param {string} peer @param {number} limit */
function faster(measured, peer, limit) {
  const value = ratio(measured, peer, HOURPACK, "wallS");
  return { what: `times faster than ${peer}`, value, bound: /** @type {const} */ ("at least"), limit };
}

/** @param {import("../measure/rounds.mjs").Measured[]} measured @param {string} peer */
function share(measured, peer) {
  const value = ratio(measured, HOURPACK, peer, "cpuS");
  return { what: `CPU against ${peer}`, value, bound: /** @type {const} */ ("at most"), limit: 0 };
}
