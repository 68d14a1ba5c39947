/** Are the bytes in quarantine those that are no record? Judged by the bytes covered, not by how they are cut. */
import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { HourpackError, reasonOf } from "../errors.js";

/** What is kept of an entry of the quarantine file: where its bytes lie, and their hash. */
export interface Quarantined {
  etag: string;
  offset: number;
  sizeBytes: number;
  sha256: string;
}

export interface Span {
  offset: number;
  sizeBytes: number;
}

/** Reads a quarantine file (gzip of NDJSON), keyed by object. Throws `data` where the file itself is damaged. */
export async function readQuarantine(gzip: Buffer, location: string): Promise<Map<string, Quarantined[]>> {
  const byObject = new Map<string, Quarantined[]>();
  try {
    for await (const line of linesOf(Readable.from([gzip]).pipe(createGunzip()))) {
      const entry = JSON.parse(line);
      const bytes = Buffer.from(entry.text ?? entry.base64, entry.text === undefined ? "base64" : "utf8");
      if (bytes.length !== entry.sizeBytes) throw new Error(`an entry of ${entry.key} has not its length`);
      const { key, etag, offset, sizeBytes } = entry;
      const list = byObject.get(key) ?? [];
      byObject.set(key, list);
      list.push({ etag, offset, sizeBytes, sha256: sha256(bytes) });
    }
  } catch (error) {
    throw new HourpackError(
      "data",
      `read the quarantine file ${location}: it is damaged (${reasonOf(error)})`,
      {
        location,
        cause: error,
        hint: "Pack the hour again with `hourpack run --hour … --rebuild` while its raw objects exist.",
      },
    );
  }
  return byObject;
}

/** Lines end at line feeds only (node:readline would end them at U+2028 too, which JSON leaves in strings). */
async function* linesOf(stream: AsyncIterable<Buffer>): AsyncGenerator<string> {
  let pieces: Buffer[] = [];
  for await (const chunk of stream) {
    let from = 0;
    for (let at = chunk.indexOf(0x0a); at !== -1; at = chunk.indexOf(0x0a, from)) {
      pieces.push(chunk.subarray(from, at));
      yield Buffer.concat(pieces).toString("utf8");
      pieces = [];
      from = at + 1;
    }
    pieces.push(chunk.subarray(from));
  }
  const rest = Buffer.concat(pieces).toString("utf8");
  if (rest !== "") yield rest;
}

/** Where an object's quarantined bytes are not those of its raw bytes that are no record; undefined where they are. */
export function quarantineFault(
  bytes: Buffer,
  entries: Quarantined[],
  nonRecords: Span[],
  etag: string,
): { offset: number; detail: string } | undefined {
  for (const entry of entries) {
    const { offset, sizeBytes } = entry;
    if (entry.etag !== etag) return { offset, detail: "the quarantine names another version of the object" };
    if (sha256(bytes.subarray(offset, offset + sizeBytes)) !== entry.sha256) {
      return { offset, detail: "the quarantined bytes are not those of the object" };
    }
  }
  const wanted = coverage(bytes, nonRecords);
  const found = coverage(bytes, entries);
  for (let i = 0; i < Math.max(wanted.length, found.length); i++) {
    const [a, b] = [wanted[i], found[i]];
    if (a && b && a.offset === b.offset && a.sizeBytes === b.sizeBytes) continue;
    const offset = Math.min(a?.offset ?? Number.POSITIVE_INFINITY, b?.offset ?? Number.POSITIVE_INFINITY);
    const lost = a !== undefined && (b === undefined || a.offset < b.offset || a.sizeBytes > b.sizeBytes);
    return {
      offset,
      detail: lost ? "bytes that are no record are not in quarantine" : "bytes in quarantine are a record",
    };
  }
  return undefined;
}

/** White space, commas and brackets between values are no data: spans end inside of them and join across them. */
function coverage(bytes: Buffer, spans: Span[]): Span[] {
  const joined: Span[] = [];
  const sorted = [...spans].sort((a, b) => a.offset - b.offset);
  for (const span of sorted) {
    let start = span.offset;
    let end = span.offset + span.sizeBytes;
    while (start < end && isSeparator(bytes[start])) start++;
    while (end > start && isSeparator(bytes[end - 1])) end--;
    if (start === end) continue;
    const previous = joined.at(-1);
    const previousEnd = previous ? previous.offset + previous.sizeBytes : -1;
    if (previous && bytes.subarray(previousEnd, start).every(isSeparator)) {
      previous.sizeBytes = Math.max(end, previousEnd) - previous.offset;
    } else joined.push({ offset: start, sizeBytes: end - start });
  }
  return joined;
}

function isSeparator(byte: number | undefined): boolean {
  return (
    byte === 0x20 ||
    (byte !== undefined && byte >= 0x09 && byte <= 0x0d) ||
    byte === 0x2c ||
    byte === 0x5b ||
    byte === 0x5d
  );
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("binary");
}
