/** What a published part was made of, and what a part says about itself. Pure, except for the streams. */
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

/** What a part says about itself, both in its footer and in its object metadata. */
export interface PartFacts {
  /** The attempt (a ULID) that made the part; it names the manifest. */
  attempt: string;
  /** `Listing.digest()` of the listing that the part is in step with. */
  inputs: string;
  /** Objects that the manifest names, including those that have since disappeared from the listing. */
  objects: number;
  rows: number;
  quarantined: number;
  /** Size of the quarantined pieces: one may be a whole object. */
  quarantinedBytes: number;
  /** Rows with rescued data. */
  rescued: number;
  schemaVersion: number;
  /** `recipeOf()`: digests of what decides the rows besides the data. */
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
  /** SHA-256 of the part's bytes, in hexadecimal digits. */
  partSha256: string;
  /** SHA-256 of the quarantine file as stored; absent if nothing is quarantined. */
  quarantineSha256?: string | undefined;
  /**
   * The ids of the journals that were there when `--from-remainder` packed what was still listed: rows of objects that they name
   * were given up. Not told by time: an expiry may come while the remainder is packed, and clocks differ.
   */
  givenUp?: string[] | undefined;
  /** Some rows were made under settings other than those of `recipe`, columns aside, and were kept as they were. */
  isMixed?: true | undefined;
  /** The settings that `recipe` is a digest of, besides the columns. For messages. */
  settings: RowSettings;
  /** `digestOfColumns()` of the columns of its schema version, in hexadecimal digits: a version number alone may come to mean others. */
  schemaDigest: string;
}

/** What tells an object from another one of the same name. */
export type Version = Pick<ObjectInfo, "etag" | "sizeBytes">;

export interface ManifestEntry {
  key: string;
  /** ETag and size are those of the version that the rows came from. */
  etag: string;
  sizeBytes: number;
  /** The version that was listed instead when somebody decided to keep the rows (`--keep-old`): no run asks about it again. */
  passedOver?: Version | undefined;
  /** JSON values found in the object: rows + quarantined. */
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

/** The facts as S3 user metadata and footer key-values. Names are in lower case and begin with `hourpack-`. */
export function toMetadata(facts: PartFacts): Record<string, string> {
  const metadata: Record<string, string> = {};
  for (const name of [...TEXT_FACTS, ...NUMBER_FACTS]) metadata[metadataName(name)] = String(facts[name]);
  return metadata;
}

/** Undefined if the metadata are not those of a part of ours. */
export function fromMetadata(metadata: Record<string, string>): PartFacts | undefined {
  const facts: Record<string, string | number> = {};
  for (const name of TEXT_FACTS) {
    const text = metadata[metadataName(name)];
    if (text === undefined) return undefined;
    facts[name] = text;
  }
  for (const name of NUMBER_FACTS) {
    const text = metadata[metadataName(name)] ?? "";
    if (!/^[0-9]{1,15}$/.test(text)) return undefined;
    facts[name] = Number(text);
  }
  return facts as unknown as PartFacts;
}

/** The first fact in which a part's metadata and its manifest differ; undefined if there is none. */
export function differingFact(part: PartFacts, header: ManifestHeader): keyof PartFacts | undefined {
  return [...TEXT_FACTS, ...NUMBER_FACTS].find((name) => part[name] !== header[name]);
}

function metadataName(fact: string): string {
  return `hourpack-${fact.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/** Writes a manifest: gzip of a header line and one line for each object. A manifest of many objects is streamed to the file. */
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
  /** Can be read repeatedly. */
  entries(): AsyncIterable<ManifestEntry>;
}

/**
 * Opens a manifest from its gzip bytes or a file with them. `location` is for messages. `of` has the hour and attempt that its
 * key names, and in `again` the command that packs the hour without it. Throws `data` if it is damaged or belongs to another
 * hour or attempt.
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

/** The entries after the header. Throws `data` if they are out of key order, or not as many as the header says. */
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

/** Checks the members that are needed to read on. By hand, like `isEntry`, which checks each of a million entries. */
function isHeader(value: unknown): value is ManifestHeader {
  if (typeof value !== "object" || value === null) return false;
  const { format, hour, attempt, objects } = value as Partial<ManifestHeader>;
  return format === 1 && typeof hour === "string" && typeof attempt === "string" && isCount(objects);
}

/** Why the header is malformed. Used as it is, it would make something else look damaged or changed, or leave nothing to compare. */
function malformedIn(header: ManifestHeader): string | undefined {
  const { partSha256, quarantined, quarantineSha256, schemaDigest } = header;
  const { recipe, settings, isMixed, givenUp } = header;
  const hasQuarantine = quarantined !== 0 || quarantineSha256 !== undefined;
  if (!isHex(partSha256, 64)) return "its partSha256 is no digest";
  if (hasQuarantine && !isHex(quarantineSha256, 64)) return "its quarantineSha256 is no digest";
  if (!isHex(schemaDigest, 16)) return "its schemaDigest is no digest";
  if (!isRecipe(recipe)) return "its recipe is not two digests";
  if (!areRowSettings(settings)) return "its settings lack raw, records, unknown or zone";
  if (![undefined, true].includes(isMixed)) return "its isMixed is not true";
  return areIdsOrNone(givenUp) ? undefined : "its givenUp are no journals";
}

function areIdsOrNone(value: unknown): boolean {
  if (value === undefined) return true;
  const isId = (id: unknown) => typeof id === "string" && /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/.test(id);
  return Array.isArray(value) && value.every(isId);
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
