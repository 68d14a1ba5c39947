/**
 * Makes small hours of raw objects and reads what became of them in tier 1 without hourpack's own code: with the SDK or the
 * file system, DuckDB and gunzip. A row is written `id=n`, so that a lost, doubled or changed one shows.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { gunzipSync } from "node:zlib";
import {
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import { parquetMetadataAsync } from "hyparquet";
import { addHours, type Hour, partsOf } from "../../src/hour.js";
import type { S3Server } from "./minio.js";
import type { DuckdbReader } from "./readers.js";
import { inParallel } from "./worker.js";

export const TABLE = "events";
export const FIRST_HOUR = "2022-07-26T00" as Hour;

export function hoursFrom(first: Hour, count: number): Hour[] {
  return Array.from({ length: count }, (_, i) => addHours(first, i));
}

export interface RawObject {
  hour: Hour;
  name: string;
  body: Buffer;
  /** `id=n` of each record. */
  rows: string[];
  /** Lines that are not records. */
  damaged: string[];
}

/** Objects of a few records each. With `damaged`, every third has a damaged line in the middle. */
export function objectsOf(
  hour: Hour,
  count: number,
  more: { label?: string; records?: number; damaged?: boolean; padBytes?: number } = {},
): RawObject[] {
  const { label = "o", records = 3, damaged = false, padBytes = 0 } = more;
  return Array.from({ length: count }, (_, i) => {
    const name = `${label}-${String(i).padStart(5, "0")}`;
    const ids = Array.from({ length: records }, (_, k) => ({ id: `${hour}/${name}/${k}`, n: i * 1000 + k }));
    const lines = ids.map(({ id, n }) =>
      JSON.stringify(padBytes ? { id, n, pad: noise(id, padBytes) } : { id, n }),
    );
    const broken = damaged && i % 3 === 1 ? [`{"id":"${hour}/${name}/broken`] : [];
    lines.splice(1, 0, ...broken);
    return {
      hour,
      name: `${name}.json`,
      body: Buffer.from(`${lines.join("\n")}\n`),
      rows: ids.map(({ id, n }) => `${id}=${n}`),
      damaged: broken,
    };
  });
}

/** Text that hardly compresses, the same for the same seed. */
function noise(seed: string, length: number): string {
  let state = 0x811c9dc5;
  for (const char of seed) state = Math.imul(state ^ char.charCodeAt(0), 0x01000193) >>> 0;
  const bytes = Buffer.alloc(length);
  for (let i = 0; i < length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[i] = 0x30 + ((state >>> 8) & 63);
  }
  return bytes.toString("latin1").replaceAll("\\", "/");
}

/** Keys and bytes, without any of hourpack's code. */
interface Files {
  /** The beginning of `--raw` and `--tier1`; a prefix follows it. */
  readonly uri: string;
  list(prefix: string): Promise<string[]>;
  read(key: string): Promise<Buffer>;
  write(key: string, body: Buffer): Promise<void>;
  remove(key: string): Promise<void>;
}

export class S3Files implements Files {
  readonly uri: string;
  private readonly bucket: string;
  private readonly client: S3Client;

  constructor(server: S3Server, bucket: string) {
    const { endpoint, accessKeyId, secretAccessKey } = server;
    this.uri = `s3://${bucket}/`;
    this.bucket = bucket;
    this.client = new S3Client({
      endpoint,
      region: "us-east-1",
      forcePathStyle: true,
      credentials: { accessKeyId, secretAccessKey },
    });
  }

  async list(prefix: string): Promise<string[]> {
    const keys: string[] = [];
    let token: string | undefined;
    do {
      const input = { Bucket: this.bucket, Prefix: prefix, ContinuationToken: token };
      const page = await this.client.send(new ListObjectsV2Command(input));
      keys.push(...(page.Contents ?? []).map(({ Key }) => Key ?? ""));
      token = page.NextContinuationToken;
    } while (token !== undefined);
    return keys;
  }

  async read(key: string): Promise<Buffer> {
    const got = await this.client.send(new GetObjectCommand({ Bucket: this.bucket, Key: key }));
    return Buffer.from((await got.Body?.transformToByteArray()) ?? []);
  }

  async write(key: string, body: Buffer): Promise<void> {
    await this.client.send(new PutObjectCommand({ Bucket: this.bucket, Key: key, Body: body }));
  }

  /** Writes a multipart upload of one part. The ETag of a multipart upload is not the MD5 of its bytes. */
  async writeInParts(key: string, body: Buffer): Promise<void> {
    const target = { Bucket: this.bucket, Key: key };
    const { UploadId } = await this.client.send(new CreateMultipartUploadCommand(target));
    const part = { ...target, UploadId, PartNumber: 1, Body: body };
    const { ETag } = await this.client.send(new UploadPartCommand(part));
    const MultipartUpload = { Parts: [{ PartNumber: 1, ETag }] };
    await this.client.send(new CompleteMultipartUploadCommand({ ...target, UploadId, MultipartUpload }));
  }

  async remove(key: string): Promise<void> {
    await this.client.send(new DeleteObjectCommand({ Bucket: this.bucket, Key: key }));
  }

  /** Copies every object below one prefix to below another, with its metadata. */
  async copyAll(from: string, to: string, renamed: (rest: string) => string): Promise<void> {
    for (const key of await this.list(from)) {
      const target = to + renamed(key.slice(from.length));
      const input = { Bucket: this.bucket, Key: target, CopySource: encodeURI(`${this.bucket}/${key}`) };
      await this.client.send(new CopyObjectCommand(input));
    }
  }

  /** How many unfinished uploads this exact key has. */
  async openUploads(key: string): Promise<number> {
    const input = { Bucket: this.bucket, Prefix: key };
    const page = await this.client.send(new ListMultipartUploadsCommand(input));
    return page.Uploads?.length ?? 0;
  }

  close(): void {
    this.client.destroy();
  }
}

export class DirectoryFiles implements Files {
  readonly uri: string;

  constructor(root: string) {
    this.uri = `${root}/`;
  }

  async list(prefix: string): Promise<string[]> {
    const entries = readdirSync(this.uri, { recursive: true, withFileTypes: true });
    return entries
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(this.uri.length))
      .filter((key) => key.startsWith(prefix))
      .sort();
  }

  async read(key: string): Promise<Buffer> {
    return readFileSync(this.uri + key);
  }

  async write(key: string, body: Buffer): Promise<void> {
    mkdirSync(dirname(this.uri + key), { recursive: true });
    writeFileSync(this.uri + key, body);
  }

  async remove(key: string): Promise<void> {
    rmSync(this.uri + key, { force: true });
  }
}

export function rawTemplate(files: Files, prefix: string): string {
  return `${files.uri}${prefix}year={yyyy}/month={MM}/day={dd}/hour={HH}/`;
}

export function rawKey(prefix: string, { hour, name }: Pick<RawObject, "hour" | "name">): string {
  const { yyyy, MM, dd, HH } = partsOf(hour);
  return `${prefix}year=${yyyy}/month=${MM}/day=${dd}/hour=${HH}/${name}`;
}

export async function seed(files: Files, prefix: string, objects: RawObject[]): Promise<void> {
  await inParallel(objects, 16, (object) => files.write(rawKey(prefix, object), object.body));
}

/** The expected or actual content of an hour. */
interface HourState {
  rows: string[];
  quarantined: string[];
  /** From the part's manifest: each object's key, size, records and quarantined. */
  objects: string[];
}

interface LakeState {
  hours: Record<string, HourState>;
  /** Keys that no part names. */
  residue: string[];
}

export function expectedHours(prefix: string, objects: RawObject[]): Record<string, HourState> {
  const hours: Record<string, HourState> = {};
  for (const object of objects) {
    hours[object.hour] ??= { rows: [], quarantined: [], objects: [] };
    const state = hours[object.hour] as HourState;
    const { rows, damaged, body } = object;
    state.rows.push(...rows);
    state.quarantined.push(...damaged);
    const key = rawKey(prefix, object);
    state.objects.push(`${key} ${body.length} ${rows.length + damaged.length} ${damaged.length}`);
  }
  for (const state of Object.values(hours)) sortAll(state);
  return hours;
}

/** Reads every part below the prefix with the files that it names. Throws if a part's manifest or quarantine file is missing. */
export async function readLake(files: Files, prefix: string, reader: DuckdbReader): Promise<LakeState> {
  const keys = await files.list(prefix);
  const named = new Set([`${prefix}_hourpack/schema.json`]);
  // A list of owed or unregistered hours counts as residue only if it names an hour.
  for (const list of ["owed", "unregistered"].map((name) => `${prefix}_hourpack/${name}.json`))
    if (keys.includes(list) && JSON.parse(String(await files.read(list))).hours.length === 0) named.add(list);
  const hours: Record<string, HourState> = {};
  for (const key of keys) {
    const match = /\/events\w*-(\d{4})(\d\d)(\d\d)(\d\d)\.snappy\.parquet$/.exec(key);
    if (!match || key.includes("/_hourpack/")) continue;
    const [, yyyy, MM, dd, HH] = match;
    const { state, names } = await readPart(files, prefix, key, `${yyyy}/${MM}/${dd}/${HH}`, reader);
    hours[`${yyyy}-${MM}-${dd}T${HH}`] = state;
    for (const name of [key, ...names]) named.add(name);
  }
  return { hours, residue: keys.filter((key) => !named.has(key)).sort() };
}

async function readPart(
  files: Files,
  prefix: string,
  key: string,
  hourPath: string,
  reader: DuckdbReader,
): Promise<{ state: HourState; names: string[] }> {
  const bytes = await files.read(key);
  const footer = await parquetMetadataAsync(new Uint8Array(bytes).buffer);
  const fact = (name: string) => footer.key_value_metadata?.find((pair) => pair.key === name)?.value ?? "";
  const attempt = fact("hourpack-attempt");
  const own = (room: string) => `${prefix}_hourpack/${room}/${hourPath}/${attempt}.ndjson.gz`;
  const [header, ...entries] = await readLines(files, own("manifests"));
  if (header?.["attempt"] !== attempt) throw new Error(`${own("manifests")} names another attempt`);
  const names = [own("manifests")];
  const state: HourState = {
    rows: (await rowsOf(bytes, reader)).map(({ id, n }) => `${id}=${n}`),
    quarantined: [],
    objects: entries.map((entry) => {
      const { key: objectKey, sizeBytes, records, quarantined } = entry;
      return `${objectKey} ${sizeBytes} ${records} ${quarantined}`;
    }),
  };
  if (Number(fact("hourpack-quarantined")) > 0) {
    names.push(own("quarantine"));
    state.quarantined = (await readLines(files, own("quarantine"))).map(({ text }) => String(text).trimEnd());
  }
  sortAll(state);
  return { state, names };
}

async function rowsOf(part: Buffer, reader: DuckdbReader) {
  const dir = mkdtempSync(join(tmpdir(), "hourpack-read-"));
  try {
    writeFileSync(join(dir, "part.parquet"), part);
    return (await reader.read(join(dir, "part.parquet"))).rows;
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

async function readLines(files: Files, key: string): Promise<Record<string, unknown>[]> {
  const text = gunzipSync(await files.read(key)).toString("utf8");
  return text
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line));
}

function sortAll(state: HourState): void {
  for (const list of Object.values(state) as string[][]) list.sort();
}

/** The kind of a file that a dead or replaced worker may leave: its folder below `_hourpack/`, else the key itself. */
export function kindOfResidue(prefix: string, key: string): string {
  const room = new RegExp(`^${prefix}_hourpack/(manifests|quarantine|probe|locks|claims)/`).exec(key)?.[1];
  return room ?? (/\/\.hourpack-tmp-[^/]*$/.test(`/${key}`) ? "temporary" : key);
}
