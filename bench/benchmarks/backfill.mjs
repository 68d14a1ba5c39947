/**
 * A month of small hours, compared with one big hour of the same objects; then the same month again, with
 * nothing to do.
 */
import { bareLoop, TIER1_BUCKET } from "../contestants.mjs";
import { hoursInMinio } from "../data/hours.mjs";
import { runHourpack } from "../hourpack.mjs";
import { measureRounds, ratio } from "../measure/rounds.mjs";
import { BareS3 } from "../s3/client.mjs";
import { startMeter } from "../s3/meter.mjs";
import { startMinio } from "../s3/minio.mjs";

const HOURS = 720;
const OBJECTS_AN_HOUR = 50;
/** 20 KB */
const RECORDS = 33;

const MONTH = "a month of small hours";
const AGAIN = "the same month again";
const BIG = "one big hour";
const BARE_MONTH = "bare requests of the month";
const BARE_BIG = "bare requests of the big hour";
/** The manifest and the part of an hour, as hourpack writes them. */
const SENT_BYTES = [2500, 158_000];

/** @param {import("../run.mjs").Options} options */
export async function backfill({ scale, rounds = 3, flags }) {
  const hours = Math.max(2, Math.round(HOURS * scale));
  const server = await startMinio();
  try {
    const month = await hoursInMinio(server, { hours, objects: OBJECTS_AN_HOUR, recordsPerObject: RECORDS });
    const big = await hoursInMinio(server, { objects: OBJECTS_AN_HOUR * hours, recordsPerObject: RECORDS });
    const client = new BareS3(server, 1);
    await client.emptyBucket(TIER1_BUCKET);
    await client.close();
    let packed = "";
    const contestant = (
      /** @type {string} */ name,
      /** @type {import("../data/hours.mjs").MadeHours} */ made,
      /** @type {() => string} */ tier1Of,
    ) => ({
      name,
      run: async () => {
        const tier1 = tier1Of();
        const { result, stdout: _, ...used } = await runHourpack({ server, ...made, tier1, flags });
        if (name === AGAIN) return { ...used, upToDate: result.upToDate };
        if (name === MONTH) packed = tier1;
        return { ...used, rows: result.rows + result.quarantined };
      },
    });
    const fresh = () => `s3://${TIER1_BUCKET}/${Date.now()}/`;
    const measured = await measureRounds(
      [
        contestant(MONTH, month, fresh),
        contestant(AGAIN, month, () => packed),
        contestant(BIG, big, fresh),
        bareLoop({ server, made: month }, BARE_MONTH, { isPlain: true, sizesBytes: SENT_BYTES }),
        bareLoop({ server, made: big }, BARE_BIG, { isPlain: true }),
      ],
      rounds,
      month.records,
      server,
    );
    const again = measured[1];
    const perHour = (/** @type {number} */ cpuS) => (cpuS * 1000) / hours;
    const { min, median, max } = again.cpuS;
    return {
      rounds,
      data: { hours, objects: month.objects, bytes: month.bytes, records: month.records },
      measured,
      targets: [
        {
          what: "records a second, month against one big hour",
          value: ratio(measured, BIG, MONTH, "wallS"),
          bound: /** @type {const} */ ("at least"),
          limit: 0.9,
        },
        {
          what: "CPU an hour where nothing changed, the start included",
          value: { min: perHour(min), median: perHour(median), max: perHour(max) },
          bound: /** @type {const} */ ("at most"),
          limit: 5,
          unit: "ms",
        },
      ],
      more: {
        bareMonthAgainstBareBigHour: ratio(measured, BARE_BIG, BARE_MONTH, "wallS"),
        requestsWhereNothingChanged: await countAgain(server, month, packed),
      },
    };
  } finally {
    await server.stop();
  }
}

/**
 * Runs the unchanged month once more and counts its requests: no raw object is read.
 * @param {import("../s3/client.mjs").Server} server @param {import("../data/hours.mjs").MadeHours} made
 * @param {string} tier1
 */
async function countAgain(server, made, tier1) {
  const meter = await startMeter(server.endpoint);
  try {
    await runHourpack({ server: { ...server, endpoint: meter.endpoint }, ...made, tier1 });
    const { requests, gets } = meter.take();
    const rawObjectsRead = gets.filter((path) => path.startsWith("/bench-raw/")).length;
    return { ...requests, rawObjectsRead };
  } finally {
    await meter.stop();
  }
}
