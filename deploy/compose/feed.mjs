// Plays the producer: the last hours at once, then a few objects every few seconds, for android and ios.
import { setTimeout } from "node:timers/promises";
import { PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { makeHour, PLATFORMS } from "./dist/demo/events.js";

const HOUR_MS = 3_600_000;
const { FEED_BUCKET = "lake-raw", FEED_HOURS_BACK = "3", FEED_EVERY_MS = "5000", FEED_TICKS } = process.env;
// Endpoint, region and credentials come from AWS_* variables.
const client = new S3Client({ forcePathStyle: true });

/** `2022-07-26T00` */
const hourAt = (ms) => new Date(ms).toISOString().slice(0, 13);

async function put(platform, hour, name, body) {
  const [date, HH] = hour.split("T");
  const [yyyy, MM, dd] = date.split("-");
  const key = `mmp/${platform}/year=${yyyy}/month=${MM}/day=${dd}/hour=${HH}/${name}`;
  await client.send(new PutObjectCommand({ Bucket: FEED_BUCKET, Key: key, Body: body }));
}

for (let back = Number(FEED_HOURS_BACK); back > 0; back--) {
  const hour = hourAt(Date.now() - back * HOUR_MS);
  for (const platform of PLATFORMS) {
    for (const { name, body } of makeHour(platform, hour, 1)) await put(platform, hour, name, body);
  }
  console.log(`${hour} is there`);
}

for (let tick = 0; FEED_TICKS === undefined || tick < Number(FEED_TICKS); tick++) {
  const nowMs = Date.now();
  // Of every forty objects one belongs to the hour before, and so comes late.
  const hour = hourAt(tick % 40 === 39 ? nowMs - HOUR_MS : nowMs);
  for (const platform of PLATFORMS) {
    const [object] = makeHour(platform, hour, nowMs);
    await put(platform, hour, `live-${nowMs}.json`, object.body);
  }
  await setTimeout(Number(FEED_EVERY_MS));
}
client.destroy();
