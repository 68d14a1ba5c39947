/** The hours to pack: made once from the seed, then taken from the cache. */
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { benchDir } from "../cache.mjs";
import { BareS3, eachOf, encodeKey } from "../s3/client.mjs";
import { HOUR, makeEvent, makeSlimEvent, objectName } from "./events.mjs";

/**
 * @typedef {object} HourSpec
 * @property {number} objects In each hour.
 * @property {number} recordsPerObject
 * @property {number} [hours] How many, from `HOUR` on; one, if absent.
 * @property {boolean} [isSlim] Records of 300 bytes.
 * @property {"shapes" | "unknown"} [odd] 1 % of the objects in an odd shape, or 1 % of the records with an
 * unknown key.
 */

/**
 * @typedef {object} MadeHours
 * @property {string} raw The raw template, for hourpack.
 * @property {string[]} prefixes For each hour, a directory or a key prefix.
 * @property {string} from First hour.
 * @property {string} to The end, excluded.
 * @property {number} objects In all hours.
 * @property {number} records
 * @property {number} bytes
 */

export const BUCKET = "bench-raw";
const TEMPLATE = "year={yyyy}/month={MM}/day={dd}/hour={HH}/";
const ODD_EVERY = 100;
const ODD_AT = 37;

/** @param {HourSpec} spec @returns {Promise<MadeHours>} */
export async function hoursInDirectory(spec) {
  const root = benchDir("files", idOf(spec));
  const made = await once(`files-${idOf(spec)}`, spec, async (hour, bodies) => {
    const folder = join(root, folderOf(hour));
    mkdirSync(folder, { recursive: true });
    for (const { name, body } of bodies) writeFileSync(join(folder, name), body);
  });
  return { ...made, raw: `${root}/${TEMPLATE}`, prefixes: prefixesOf(`${root}/`, spec) };
}

/** The same records, in one file. @param {HourSpec} spec @returns {Promise<{ path: string, records: number }>} */
export async function hourInOneFile(spec) {
  const path = join(benchDir("files"), `${idOf(spec)}.ndjson`);
  const made = await once(`one-file-${idOf(spec)}`, spec, async (_hour, bodies) => {
    const file = openSync(path, "w");
    for (const { body } of bodies) writeSync(file, body);
    closeSync(file);
  });
  return { path, records: made.records };
}

/** @param {import("../s3/client.mjs").Server} server @param {HourSpec} spec @returns {Promise<MadeHours>} */
export async function hoursInMinio(server, spec) {
  const root = idOf(spec);
  const made = await once(`minio-${root}`, spec, async (hour, bodies) => {
    const client = new BareS3(server, 32);
    await client.createBucket(BUCKET);
    await eachOf(bodies, 32, async ({ name, body }) => {
      await client.request("PUT", `/${BUCKET}/${encodeKey(`${root}/${folderOf(hour)}${name}`)}`, "", body);
    });
    await client.close();
  });
  return { ...made, raw: `s3://${BUCKET}/${root}/${TEMPLATE}`, prefixes: prefixesOf(`${root}/`, spec) };
}

/** @param {HourSpec} spec */
function idOf({ objects, recordsPerObject, hours = 1, isSlim, odd }) {
  const many = hours > 1 ? `${hours}x` : "";
  return `${many}${objects}x${recordsPerObject}${isSlim ? "-slim" : ""}${odd ? `-${odd}` : ""}`;
}

/**
 * Makes what is not there yet. A note beside the data says that it is complete.
 * @param {string} name @param {HourSpec} spec
 * @param {(hour: string, bodies: Generator<{ name: string, body: Buffer }>) => Promise<void>} write
 * @returns {Promise<Omit<MadeHours, "raw" | "prefixes">>}
 */
async function once(name, spec, write) {
  const note = join(benchDir("made"), `${name}.json`);
  if (existsSync(note)) return JSON.parse(readFileSync(note, "utf8"));
  process.stderr.write(`making ${name}; this is done once\n`);
  const { hours = 1 } = spec;
  const total = { objects: 0, records: 0, bytes: 0 };
  for (let h = 0; h < hours; h++) {
    const bodies = function* () {
      for (let i = 0; i < spec.objects; i++) {
        const body = objectBody(spec, h * spec.objects + i);
        total.objects++;
        total.records += spec.recordsPerObject;
        total.bytes += body.length;
        yield { name: objectName(h * spec.objects + i, spec.objects * hours), body };
      }
    };
    await write(hourAfter(h), bodies());
  }
  const made = { from: HOUR, to: hourAfter(hours), ...total };
  writeFileSync(note, JSON.stringify(made));
  return made;
}

/** @param {HourSpec} spec @param {number} index Of the object. */
function objectBody(spec, index) {
  const { recordsPerObject, objects, hours = 1, isSlim, odd } = spec;
  const make = isSlim ? makeSlimEvent : makeEvent;
  const first = index * recordsPerObject;
  const events = Array.from({ length: recordsPerObject }, (_, i) => {
    const event = make(first + i, objects * hours * recordsPerObject);
    const isOdd = odd === "unknown" && (first + i) % ODD_EVERY === ODD_AT;
    return isOdd ? { ...event, deeplink_value: `comics/${first + i}` } : event;
  });
  const isOdd = odd === "shapes" && index % ODD_EVERY === ODD_AT;
  return Buffer.from(isOdd ? oddly(events, Math.floor(index / ODD_EVERY)) : linesOf(events));
}

/** Shapes that are not lines, in turn. @param {object[]} events @param {number} turn */
function oddly(events, turn) {
  switch (turn % 4) {
    case 0:
      return events.map((event) => JSON.stringify(event)).join("");
    case 1:
      return JSON.stringify(events);
    case 2:
      return events.map((event) => JSON.stringify(event, null, 2)).join("\n");
    default:
      return `\uFEFF${linesOf(events).replaceAll("\n", "\r\n")}`;
  }
}

/** @param {object[]} events */
function linesOf(events) {
  return `${events.map((event) => JSON.stringify(event)).join("\n")}\n`;
}

/** @param {number} count */
function hourAfter(count) {
  return new Date(Date.parse(`${HOUR}:00:00Z`) + count * 3_600_000).toISOString().slice(0, 13);
}

/** @param {string} hour `2022-07-26T00` */
function folderOf(hour) {
  const [year, month, day, hh] = hour.split(/[-T]/);
  return `year=${year}/month=${month}/day=${day}/hour=${hh}/`;
}

/** @param {string} root @param {HourSpec} spec */
function prefixesOf(root, { hours = 1 }) {
  return Array.from({ length: hours }, (_, h) => `${root}${folderOf(hourAfter(h))}`);
}

/** @param {string} dir Deleted and created anew, empty. */
export function emptyDir(dir) {
  rmSync(dir, { recursive: true, force: true });
  mkdirSync(dir, { recursive: true });
  return dir;
}
