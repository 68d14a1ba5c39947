/** Checks that quarantine has exactly the bytes that are no record, however they are cut into entries. */
import { createHash } from "node:crypto";
import { HourpackError, isHourpackError, reasonOf } from "../errors.js";
import { linesOf } from "../streams.js";
import { collectGarbage } from "./garbage.js";
import { gunzipped, type Stored } from "./source.js";

/** What is kept of an entry of the quarantine file: where its bytes lie, and their hash. */
export interface Quarantined {
  etag: string;
  offset: number;
  sizeBytes: number;
  sha256: string;
}

/**
 * Reads a quarantine file (gzip of NDJSON), keyed by object. An entry's bytes are held while they are hashed.
 * Throws `data` if the file itself is damaged.
 */
export async function readQuarantine(gzip: Stored, location: string): Promise<Map<string, Quarantined[]>> {
  const byObject = new Map<string, Quarantined[]>();
  try {
    for await (const line of linesOf(gunzipped(gzip, 0))) {
      const { key, ...entry } = quarantined(line);
      const list = byObject.get(key) ?? [];
      byObject.set(key, list);
      list.push(entry);
      if (entry.sizeBytes > GARBAGE_BYTES) collectGarbage();
    }
  } catch (error) {
    if (isHourpackError(error)) throw error;
    throw new HourpackError(
      "data",
      `read the quarantine file ${location}: it is damaged (${reasonOf(error)})`,
      {
        location,
        cause: error,
      },
    );
  }
  return byObject;
}

/** After an entry that leaves this much behind, the garbage is collected before the next. */
const GARBAGE_BYTES = 16 * 2 ** 20;

function quarantined(line: string): Quarantined & { key: string } {
  const { key, etag, offset, sizeBytes, text, base64 } = JSON.parse(line);
  const bytes = text ?? Buffer.from(base64, "base64");
  if (Buffer.byteLength(bytes) !== sizeBytes) throw new Error(`an entry of ${key} has not its length`);
  return { key, etag, offset, sizeBytes, sha256: createHash("sha256").update(bytes).digest("binary") };
}

/** What is wrong with an object's quarantined bytes. */
interface QuarantineFault {
  offset: number;
  detail: string;
}

/**
 * Checks that an object's quarantined bytes are those of its raw bytes that are no record. It is given all
 * the object's bytes in order, and whether they belong to a record or lie between values. White space, commas
 * and brackets there are no data: they may be in quarantine or not.
 */
export class QuarantineCheck {
  private readonly entries: Quarantined[];
  private index = 0;
  private hash = createHash("sha256");
  private found: QuarantineFault | undefined;

  constructor(entries: Quarantined[], etag: string) {
    this.entries = [...entries].sort((a, b) => a.offset - b.offset);
    let end = 0;
    for (const entry of this.entries) {
      if (entry.etag !== etag) this.fault(entry.offset, "the quarantine names another version of the object");
      if (entry.offset < end) this.fault(entry.offset, "bytes are in quarantine twice");
      end = entry.offset + entry.sizeBytes;
    }
  }

  /** `bytes` is called only if the bytes must be looked at. */
  pass(offset: number, sizeBytes: number, isRecord: boolean, bytes: () => Buffer): void {
    if (this.found || (isRecord && this.index === this.entries.length)) return;
    const end = offset + sizeBytes;
    for (let at = offset; at < end; ) {
      const entry = this.entries[this.index];
      const isInside = entry !== undefined && entry.offset <= at;
      const next = isInside ? entry.offset + entry.sizeBytes : (entry?.offset ?? end);
      const until = Math.min(next, end);
      const stretch = () => bytes().subarray(at - offset, until - offset);
      if (isInside) this.quarantined(entry, stretch(), at, isRecord);
      else if (!isRecord) this.fault(at, "bytes that are no record are not in quarantine");
      if (isInside && until === next) this.close(entry);
      at = until;
    }
  }

  /** Call this after the last byte. */
  result(): QuarantineFault | undefined {
    const [beyond] = this.entries.slice(this.index);
    if (beyond) this.fault(beyond.offset, NOT_THOSE);
    return this.found;
  }

  private quarantined(entry: Quarantined, bytes: Buffer, at: number, isRecord: boolean): void {
    if (at === entry.offset) this.hash = createHash("sha256");
    this.hash.update(bytes);
    const data = isRecord ? bytes.findIndex((byte) => !isSeparator(byte)) : -1;
    if (data >= 0) this.fault(at + data, "bytes in quarantine are a record");
  }

  private close(entry: Quarantined): void {
    this.index++;
    if (this.hash.digest("binary") !== entry.sha256) this.fault(entry.offset, NOT_THOSE);
  }

  private fault(offset: number, detail: string): void {
    this.found ??= { offset, detail };
  }
}

const NOT_THOSE = "the quarantined bytes are not those of the object";

function isSeparator(byte: number | undefined): boolean {
  return (
    byte === 0x20 ||
    (byte !== undefined && byte >= 0x09 && byte <= 0x0d) ||
    byte === 0x2c ||
    byte === 0x5b ||
    byte === 0x5d
  );
}
