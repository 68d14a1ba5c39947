/** What a published part was made of, and what a part says of itself. Pure, but for the streams' plumbing. */
import { createReadStream, createWriteStream } from "node:fs";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip, createGzip, gzipSync } from "node:zlib";
import { HourpackError } from "../errors.js";
import type { Hour } from "../hour.js";
import { compareUtf8 } from "../listing.js";
import { areRowSettings, isRecipe, type RowSettings } from "../recipe.js";
import type { Body, ObjectInfo } from "../store/store.js";
import { linesOf } from "../streams.js";
import { counted } from "../words.js";

/** What a part tells of itself, in its footer and in its object metadata alike. */
export interface PartFacts {
  /** The attempt (a ULID) that made it; names the manifest. */
  attempt: string;
  /** Digest of the listing that the part is in step with, `Listing.digest()`. */
  inputs: string;
  /** Objects that its manifest names (those that are gone from the listing since included), and rows in it. */
  objects: number;
  rows: number;
  quarantined: number;
  /** Of those pieces: one may be a whole object. */
  quarantinedBytes: number;
  /** Of the rows, those with rescued data. */
  rescued: number;
  schemaVersion: number;
  /** Digests of what decides which rows there are besides the data, `recipeOf()`. */
  recipe: string;
}

/** A part as a HEAD (or its footer) shows it. */
export interface Published extends PartFacts {
  key: string;
  etag: string;
  sizeBytes: number;
  lastModifiedMs: number;
}

export interface ManifestHeader extends PartFacts {
  format: 1;
  dataset: string;
  hour: Hour;
  createdAt: string;
  records: number;
  /** Of all bytes of the part, in hexadecimal digits. */
  partSha256: string;
  /** Of the quarantine file, as it is stored; absent where nothing is quarantined. */
  quarantineSha256?: string | undefined;
  /**
   * The attempt, this one or one that it merged, that `--from-remainder` made of what was still listed: rows of objects
   * that had expired until then were given up.
   */
  remainderOf?: string | undefined;
  /** Rows are among these that were made under other settings than `recipe` says, all but the columns, and kept as they were. */
  isMixed?: true | undefined;
  /** What `recipe` is a digest of besides the columns, for messages. */
  settings: RowSettings;
  /** Of the columns that its schema version names, `digestOfColumns()`, in hexadecimal digits: a number alone may come to mean others. */
  schemaDigest: string;
}

/** What an object is told from another of its name by. */
export type Version = Pick<ObjectInfo, "etag" | "sizeBytes">;

export interface ManifestEntry {
  key: string;
  /** With the size: of the version that the rows came from. */
  etag: string;
  sizeBytes: number;
  /** The version that was listed in its place when somebody decided that the rows stay (`--keep-old`): no run asks about it again. */
  passedOver?: Version | undefined;
  /** JSON values found in it: rows + quarantined. */
  records: number;
  quarantined: number;
}

const TEXT_FACTS = ["attempt", "inputs", "recipe"] as const;
const NUMBER_FACTS = [
  "objects",
  "rows",
  "quarantined",
  "quarantinedBytes",
  "rescued",
  "schemaVersion",
] as const;

/** As S3 user metadata and as footer key-values; names carry the prefix `hourpack-`, in lower case. */
export function toMetadata(facts: PartFacts): Record<string, string> {
  const metadata: Record<string, string> = {};
  for (const name of [...TEXT_FACTS, ...NUMBER_FACTS]) metadata[metadataName(name)] = String(facts[name]);
  return metadata;
}

/** Undefined where the metadata are not those of a part of ours. */
export function fromMetadata(metadata: Record<string, string>): PartFacts | undefined {
  const facts: Record<string, string | number> = {};
  for (const name of TEXT_FACTS) {
    const text = metadata[metadataName(name)];
    if (text === undefined) return undefined;
    facts[name] = text;
  }
  for (const name of NUMBER_FACTS) {
    const number = Number(metadata[metadataName(name)]);
    if (!Number.isSafeInteger(number)) return undefined;
    facts[name] = number;
  }
  return facts as unknown as PartFacts;
}

function metadataName(fact: string): string {
  return `hourpack-${fact.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/** A manifest: gzip of a header line and a line an object. One of many objects is streamed into the file. */
export async function writeManifest(
  path: string,
  header: ManifestHeader,
  entries: AsyncIterable<ManifestEntry> | Iterable<ManifestEntry>,
): Promise<Body> {
  const chunks = lines(header, entries);
  const first = await chunks.next();
  const second = await chunks.next();
  if (second.done) return gzipSync(first.value ?? "", GZIP);
  const all = async function* () {
    yield first.value;
    yield second.value;
    yield* chunks;
  };
  await pipeline(Readable.from(all()), createGzip(GZIP), createWriteStream(path));
  return { path };
}

const GZIP = { level: 3 };

async function* lines(
  header: ManifestHeader,
  entries: AsyncIterable<ManifestEntry> | Iterable<ManifestEntry>,
): AsyncGenerator<string> {
  let chunk = `${JSON.stringify(header)}\n`;
  for await (const entry of entries) {
    chunk += `${JSON.stringify(entry)}\n`;
    if (chunk.length > 65_536) {
      yield chunk;
      chunk = "";
    }
  }
  yield chunk;
}

export interface Manifest {
  header: ManifestHeader;
  /** Can be read again and again. */
  entries(): AsyncIterable<ManifestEntry>;
}

/**
 * Opens a manifest from its gzip bytes or a file with them. `location` is for messages; `of` is what its key says that it
 * is of, and `again` the command that packs the hour without it. Throws `data` where it is damaged, or another's.
 */
export async function openManifest(
  source: Buffer | { path: string },
  location: string,
  of: Pick<ManifestHeader, "hour" | "attempt"> & { again: string },
): Promise<Manifest> {
  const damaged: Damaged = (cause) => {
    throw new HourpackError("data", `read manifest ${location}: it is damaged (${cause})`, {
      location,
      cause,
      hint: `Pack the hour again with ${of.again} if all raw objects are still there.`,
    });
  };
  const lines = async function* (): AsyncGenerator<string> {
    const stored = Buffer.isBuffer(source) ? Readable.from([source]) : createReadStream(source.path);
    const plain = createGunzip();
    try {
      yield* linesOf(stored.on("error", (error: Error) => plain.destroy(error)).pipe(plain));
    } catch (error) {
      damaged(error);
    }
  };
  const reader = lines();
  const { value: first } = await reader.next();
  await reader.return(undefined);
  const header = parseLine(first ?? "", damaged);
  if (!isHeader(header)) damaged("unknown format");
  const malformed = malformedIn(header);
  if (malformed !== undefined) damaged(malformed);
  if (header.hour !== of.hour || header.attempt !== of.attempt)
    damaged(`it is that of ${header.hour}, attempt ${header.attempt}`);
  return { header, entries: () => checkedEntries(lines(), header, damaged) };
}

/** The lines after the header, in key order and as many as it says. */
async function* checkedEntries(
  lines: AsyncIterable<string>,
  header: ManifestHeader,
  damaged: Damaged,
): AsyncGenerator<ManifestEntry> {
  let previous: string | undefined;
  let count = -1;
  for await (const line of lines) {
    if (count++ < 0) continue;
    const entry = parseLine(line, damaged);
    if (!isEntry(entry)) damaged(`line ${count + 1} names no object`);
    if (previous !== undefined && compareUtf8(previous, entry.key) >= 0) damaged("keys out of order");
    previous = entry.key;
    yield entry;
  }
  if (count !== header.objects)
    damaged(`${counted(count, "object")} where its header says ${header.objects}`);
}

/** What is read of it, and not of the part; by hand, as each of a million entries is looked at. */
function isHeader(value: unknown): value is ManifestHeader {
  if (typeof value !== "object" || value === null) return false;
  const { format, hour, attempt, objects } = value as Partial<ManifestHeader>;
  return format === 1 && typeof hour === "string" && typeof attempt === "string" && isCount(objects);
}

/** Read as it stands it would say that something else is damaged or other than it was, or that nothing is to be compared. */
function malformedIn(header: ManifestHeader): string | undefined {
  const { partSha256, quarantined, quarantineSha256, schemaDigest } = header;
  const { recipe, settings, isMixed, remainderOf } = header;
  const hasQuarantine = quarantined !== 0 || quarantineSha256 !== undefined;
  if (!isHex(partSha256, 64)) return "its partSha256 is no digest";
  if (hasQuarantine && !isHex(quarantineSha256, 64)) return "its quarantineSha256 is no digest";
  if (!isHex(schemaDigest, 16)) return "its schemaDigest is no digest";
  if (!isRecipe(recipe)) return "its recipe is not two digests";
  if (!areRowSettings(settings)) return "its settings lack raw, records, unknown or zone";
  if (![undefined, true].includes(isMixed)) return "its isMixed is not true";
  return isAttemptOrNone(remainderOf) ? undefined : "its remainderOf is no attempt";
}

/** Compared with the attempts of journals: as anything else it would say that their rows were given up. */
function isAttemptOrNone(value: unknown): boolean {
  if (value === undefined) return true;
  return typeof value === "string" && /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/.test(value);
}

function isHex(value: unknown, digits: number): boolean {
  return typeof value === "string" && value.length === digits && /^[0-9a-f]+$/.test(value);
}

function isEntry(value: unknown): value is ManifestEntry {
  if (typeof value !== "object" || value === null) return false;
  const { key, records, quarantined, passedOver } = value as Partial<ManifestEntry>;
  const isNamed = typeof key === "string" && isVersion(value);
  const areNamed = isNamed && (passedOver === undefined || isVersion(passedOver));
  return areNamed && isCount(records) && isCount(quarantined);
}

function isVersion(value: unknown): boolean {
  const { etag, sizeBytes } = (value ?? {}) as Partial<Version>;
  return typeof etag === "string" && isCount(sizeBytes);
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function parseLine(line: string, damaged: Damaged): unknown {
  try {
    return JSON.parse(line);
  } catch (error) {
    return damaged(error);
  }
}

type Damaged = (cause: unknown) => never;
