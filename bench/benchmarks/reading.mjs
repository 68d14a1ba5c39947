/**
 * What a packed hour saves its readers: the bytes and requests that DuckDB needs, from the part and from the
 * raw JSON.
 */
import { parquetMetadata } from "hyparquet";
import { keysOf, TIER1_BUCKET } from "../contestants.mjs";
import { COLUMNS } from "../data/events.mjs";
import { BUCKET, hoursInMinio } from "../data/hours.mjs";
import { runHourpack } from "../hourpack.mjs";
import { runChild } from "../measure/child.mjs";
import { measureRounds, spread } from "../measure/rounds.mjs";
import { PEER_VERSIONS, peerScript, peersPython } from "../peers/venv.mjs";
import { BareS3, encodeKey } from "../s3/client.mjs";
import { startMeter } from "../s3/meter.mjs";
import { startMinio } from "../s3/minio.mjs";

/** One user of the 40,000, who has some events in every hour. */
const QUERIES = /** @type {const} */ ([
  ["footer", "select count(*) from {source}"],
  ["events by name", "select event_name, count(*) from {source} group by 1"],
  [
    "one user",
    "select event_name, event_time, event_value from {source} where user_id = 'u00000042' order by 2",
  ],
  ["select *", "select count(columns(*)) from {source}"],
]);

/** @param {import("../run.mjs").Options} options */
export async function reading({ scale, rounds = 1, only, flags }) {
  const python = peersPython();
  const server = await startMinio();
  const meter = await startMeter(server.endpoint);
  try {
    const made = await hoursInMinio(server, { objects: Math.round(36_000 * scale), recordsPerObject: 16 });
    const client = new BareS3(server, 1);
    await client.emptyBucket(TIER1_BUCKET);
    const tier1 = `s3://${TIER1_BUCKET}/reading-${Date.now()}/`;
    const pack = async (/** @type {string} */ folder, /** @type {string[]} */ more) => {
      const { result, ...used } = await runHourpack({
        server,
        ...made,
        tier1: `${tier1}${folder}/`,
        flags: [...(flags ?? []), ...more],
      });
      return { ...result.hours[0].part, ...used };
    };
    const packed = await pack("as-it-came", []);
    const sorted = await pack("by-user", ["--sort-by", "user_id"]);
    const part = await client.request("GET", `/${TIER1_BUCKET}/${encodeKey(packed.key)}`);
    await client.close();
    const metered = { ...keysOf(server), endpoint: meter.endpoint };
    const sources = /** @type {const} */ ([
      ["the part", `s3://${TIER1_BUCKET}/${packed.key}`],
      ["the part sorted by user", `s3://${TIER1_BUCKET}/${sorted.key}`],
      ["the raw JSON", "raw"],
    ]);
    const contestants = sources.flatMap(([where, source]) =>
      QUERIES.map(([name, query]) => ({
        name: `${name} from ${where}`,
        run: async () => {
          const job = {
            ...metered,
            bucket: BUCKET,
            prefix: made.prefixes[0],
            columns: COLUMNS,
            threads: 2,
            source,
            query,
          };
          meter.take();
          const { stdout, ...used } = await runChild(python, [
            peerScript("duckdb_peer.py"),
            JSON.stringify(job),
          ]);
          const { bytesRead, gets } = meter.take();
          return { ...used, bytesRead, gets: gets.length, resultRows: JSON.parse(stdout).rows };
        },
      })),
    );
    const measured = await measureRounds(
      only ? contestants.filter(({ name }) => only.includes(name)) : contestants,
      rounds,
    );
    return {
      rounds,
      data: {
        objects: made.objects,
        bytes: made.bytes,
        records: made.records,
        "bytes in the part": packed.sizeBytes,
        "bytes in the part sorted by user": sorted.sizeBytes,
        "seconds of CPU to pack it": [packed.cpuS, sorted.cpuS],
      },
      measured,
      targets: [],
      more: { read: readTable(measured), part: shapeOf(part), peers: PEER_VERSIONS },
    };
  } finally {
    await meter.stop();
    await server.stop();
  }
}

/** @param {import("../measure/rounds.mjs").Measured[]} measured */
function readTable(measured) {
  const bytesOf = (/** @type {import("../measure/rounds.mjs").Measured | undefined} */ one) =>
    one && spread(one.runs.map((run) => Number(run["bytesRead"]))).median;
  return QUERIES.map(([name, query]) => {
    const part = measured.find((one) => one.name === `${name} from the part`);
    const sorted = measured.find((one) => one.name === `${name} from the part sorted by user`);
    const raw = measured.find((one) => one.name === `${name} from the raw JSON`);
    const [bytes, sortedBytes, rawBytes] = [bytesOf(part), bytesOf(sorted), bytesOf(raw)];
    const share = bytes && rawBytes ? bytes / rawBytes : undefined;
    const [gets, rawGets] = [part?.runs[0]["gets"], raw?.runs[0]["gets"]];
    return { query, bytes, sortedBytes, gets, rawBytes, rawGets, share };
  });
}

/** Row groups, and the columns that cost most. @param {Buffer} part */
function shapeOf(part) {
  const buffer = part.buffer.slice(part.byteOffset, part.byteOffset + part.byteLength);
  const footer = parquetMetadata(/** @type {ArrayBuffer} */ (buffer));
  /** @type {Record<string, number>} */
  const columns = {};
  for (const group of footer.row_groups) {
    for (const { meta_data } of group.columns) {
      const name = meta_data?.path_in_schema.join(".") ?? "";
      columns[name] = (columns[name] ?? 0) + Number(meta_data?.total_compressed_size ?? 0);
    }
  }
  const bySize = Object.fromEntries(Object.entries(columns).sort((a, b) => b[1] - a[1]));
  const hasBloom = footer.row_groups.some((group) =>
    group.columns.some((one) => one.meta_data?.bloom_filter_offset),
  );
  return {
    rowGroups: footer.row_groups.length,
    footerBytes: footer.metadata_length,
    hasBloom,
    columnBytes: bySize,
  };
}
