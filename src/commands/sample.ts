/** What the records of some hours look like: the columns that would be inferred from them. Reads only. */

import { HourpackError } from "../errors.js";
import { evenly } from "../hours/discovery.js";
import { isSkippedKey } from "../layout.js";
import { GZIP_LIMITS, RECORD_BYTES } from "../limits.js";
import { type Doubt, Doubts } from "../record/doubts.js";
import { type Framed, frameObject } from "../record/frame.js";
import { gunzipWithin, isGzip } from "../record/gunzip.js";
import { Shape } from "../record/inference.js";
import { asArray, asObject, type JsonObject } from "../record/json.js";
import { otherFormat } from "../record/other-formats.js";
import { type Outlier, Outliers } from "../record/outliers.js";
import { parseRecordPath, type RecordPath, ROOT_PATH } from "../schema/path.js";
import type { Column } from "../schema/types.js";
import type { ObjectInfo, Store } from "../store/store.js";
import { counted } from "../words.js";

export interface Sample {
  records: RecordPath;
  columns: Column[];
  /** By column name: columns that are text because a few values differ from most. */
  outliers: Map<string, Outlier>;
  /** By column name: columns whose type may not be the one that is meant. */
  doubts: Map<string, Doubt>;
  /** Prefixes of the hours that had objects, as they were given. */
  hours: string[];
  objects: number;
  recordCount: number;
  /** Pieces that are no record. */
  damaged: number;
}

/** An object as it was read, without its gzip. */
interface Body {
  key: string;
  bytes: Buffer;
}

/** In all, whatever the number of hours. */
const SAMPLE_OBJECTS = 64;
const SAMPLE_BYTES = 32 << 20;
const LIMITS = { maxRecordBytes: RECORD_BYTES };
const GUNZIP = { ...GZIP_LIMITS, maxBytes: 64 << 20 };

/**
 * The columns that would be inferred from some objects of each hour, taken evenly from its first page of
 * keys.
 */
export async function sampleHours(
  store: Store,
  prefixes: string[],
  records: RecordPath | undefined,
  signal?: AbortSignal,
): Promise<Sample> {
  const [newest = ""] = prefixes;
  const hours: string[] = [];
  const bodies: Body[] = [];
  for (const prefix of prefixes) {
    const found = await sampleHour(store, prefix, prefixes.length, signal);
    if (found.length > 0) hours.push(prefix);
    bodies.push(...found);
  }
  if (bodies.length === 0) {
    throw new HourpackError("invalid", `look at ${store.uri}${newest}: there are no objects`, {
      location: store.uri + newest,
      hint: "Name a prefix that has some.",
    });
  }
  const path = records ?? likelyPath(bodies);
  const seen = look(bodies, path);
  if (seen.recordCount === 0) throw noRecords(store.uri + newest, bodies, path);
  return { records: path, hours, objects: bodies.length, ...seen };
}

/** The bytes of some objects of one hour: the hour's share of the sample. */
async function sampleHour(
  store: Store,
  prefix: string,
  hours: number,
  signal: AbortSignal | undefined,
): Promise<Body[]> {
  const objects: ObjectInfo[] = [];
  for await (const page of store.list(prefix, { signal })) {
    objects.push(...page.filter(({ key, sizeBytes }) => !isSkippedKey(key) && sizeBytes > 0));
    if (objects.length > 0) break;
  }
  const bodies: Body[] = [];
  let sizeBytes = 0;
  for (const { key, etag } of evenly(objects, Math.ceil(SAMPLE_OBJECTS / hours))) {
    if (sizeBytes > SAMPLE_BYTES / hours) break;
    const bytes = await plainBytes(await store.get(key, { etag, signal }));
    sizeBytes += bytes.length;
    bodies.push({ key, bytes });
  }
  return bodies;
}

/** Columns inferred from nothing would be a configuration that packs nothing. */
function noRecords(uri: string, bodies: Body[], path: RecordPath): HourpackError {
  const [other] = bodies.flatMap(({ bytes }) => otherFormat(bytes) ?? []);
  const what = other ? `and what was read is ${other}` : `and no JSON record found at ${path.text}`;
  return new HourpackError("invalid", `look at ${uri}: ${counted(bodies.length, "object")} read, ${what}`, {
    location: uri,
    hint: other
      ? "JSON is read, plain or in gzip: name the prefix that such objects lie under, or have them written so."
      : "Name a prefix of JSON objects; where the records are inside of each, say it with --records, like Records[*].",
  });
}

function look(
  bodies: Body[],
  path: RecordPath,
): Pick<Sample, "columns" | "outliers" | "doubts" | "recordCount" | "damaged"> {
  const shape = new Shape();
  let recordCount = 0;
  let damaged = 0;
  for (const framed of framesOf(bodies, path)) {
    if (framed.kind === "record") {
      shape.observe(framed.value);
      recordCount++;
    } else damaged++;
  }
  const columns = shape.columns();
  const outliers = new Outliers(columns);
  const doubts = new Doubts(columns);
  for (const framed of framesOf(bodies, path)) {
    if (framed.kind !== "record") continue;
    outliers.observe(framed.value, framed.key);
    doubts.observe(framed.value);
  }
  return { columns, outliers: outliers.found(), doubts: doubts.found(), recordCount, damaged };
}

/** What each object holds, with its key. */
function* framesOf(bodies: Body[], path: RecordPath): Generator<Framed & { key: string }> {
  for (const { key, bytes } of bodies) {
    for (const framed of frameObject(bytes, path, LIMITS)) yield { ...framed, key };
  }
}

/** `Records[*]` if each value is an object that has its records in an array (CloudTrail, CloudWatch logs). */
function likelyPath(bodies: Body[]): RecordPath {
  const keys = ["Records", "records", "logEvents", "events", "items"];
  const first: JsonObject[] = [];
  for (const { bytes } of bodies) {
    for (const framed of frameObject(bytes, ROOT_PATH, LIMITS)) {
      if (framed.kind === "record") first.push(framed.value);
      break;
    }
  }
  const key = keys.find((name) => first.length > 0 && first.every((record) => holdsRecords(record, name)));
  return key === undefined ? ROOT_PATH : parseRecordPath(`${key}[*]`);
}

function holdsRecords(record: JsonObject, key: string): boolean {
  const elements = [...(asArray(record.values[record.keys.indexOf(key)]) ?? [])];
  return elements.length > 0 && elements.every((element) => asObject(element));
}

async function plainBytes(stored: Buffer): Promise<Buffer> {
  if (!isGzip(stored)) return stored;
  const plain = await gunzipWithin(stored, GUNZIP);
  return "bytes" in plain ? plain.bytes : stored;
}
