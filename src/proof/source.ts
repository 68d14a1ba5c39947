/** An object's bytes, in order and from any place on: as the store holds them, and decompressed if gzip. */
import { Readable } from "node:stream";
import { createGunzip, type Gunzip, gunzipSync } from "node:zlib";
import { isHourpackError, reasonOf } from "../errors.js";
import type { GzipLimits } from "../limits.js";

/** Bytes that can be read again and again. */
export interface Source {
  /** The bytes from this offset up to the end. */
  pieces(from: number): AsyncIterable<Buffer>;
}

/** What a store holds. */
export interface Stored extends Source {
  sizeBytes: number;
  /** Its beginning, or all of it if it is small. */
  head: Buffer;
}

/** Up to this no ratio is looked at. */
const SMALL_BYTES = 64 * 2 ** 20;
/** A gzip object of up to this size is decompressed at once, if it stays below `SMALL_BYTES`. */
const AT_ONCE_BYTES = 2 ** 20;
const CHUNK_BYTES = 2 ** 18;

export function inMemory(bytes: Buffer): Stored {
  return {
    sizeBytes: bytes.length,
    head: bytes,
    async *pieces(from) {
      if (from < bytes.length) yield bytes.subarray(from);
    },
  };
}

/**
 * The bytes that offsets count in: the decompressed ones, or the stored ones if a gzip is damaged. Magic
 * bytes decide, not names. A large gzip is read twice, because the checksum at its end covers all of it.
 */
export async function opened(
  stored: Stored,
  limits: GzipLimits,
): Promise<{ source: Source; damage?: string }> {
  if (stored.head[0] !== 0x1f || stored.head[1] !== 0x8b) return { source: stored };
  const maxBytes = Math.min(limits.maxBytes, Math.max(SMALL_BYTES, stored.sizeBytes * limits.maxRatio));
  try {
    if (stored.sizeBytes === stored.head.length && stored.sizeBytes <= AT_ONCE_BYTES) {
      const plain = openedAtOnce(stored.head, Math.min(maxBytes, SMALL_BYTES));
      if (plain) return { source: inMemory(plain) };
    }
    await check(stored, maxBytes);
  } catch (error) {
    if (isHourpackError(error)) throw error;
    return { source: stored, damage: `damaged gzip: ${reasonOf(error)}` };
  }
  return { source: { pieces: (from) => gunzipped(stored, from) } };
}

/** Undefined if the output is larger. Throws on damage. */
function openedAtOnce(bytes: Buffer, maxOutputLength: number): Buffer | undefined {
  try {
    const unpacked = gunzipSync(bytes, { maxOutputLength, info: true } as object) as unknown;
    const { buffer, engine } = unpacked as { buffer: Buffer; engine: Gunzip };
    checkPadding(bytes.subarray(engine.bytesWritten));
    return buffer;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE") return undefined;
    throw error;
  }
}

/** Reads all of it. Throws on damage. */
async function check(stored: Stored, maxBytes: number): Promise<void> {
  const gunzip = createGunzip({ chunkSize: CHUNK_BYTES });
  let sizeBytes = 0;
  for await (const piece of unpacked(stored, gunzip)) {
    sizeBytes += piece.length;
    if (sizeBytes > maxBytes) throw new Error(`it unpacks to more than ${maxBytes} bytes`);
  }
  for await (const piece of stored.pieces(gunzip.bytesWritten)) checkPadding(piece);
}

/** Zeros may follow the last member as padding. zlib does not look at what follows them. */
function checkPadding(bytes: Buffer): void {
  if (bytes.some((byte) => byte !== 0)) throw new Error("bytes follow its end");
}

/** A gzip, decompressed. Throws if it is damaged, which may be known only at its end. */
export async function* gunzipped(stored: Stored, from: number): AsyncGenerator<Buffer> {
  let offset = 0;
  for await (const piece of unpacked(stored, createGunzip({ chunkSize: CHUNK_BYTES }))) {
    const skipped = Math.max(0, from - offset);
    if (skipped < piece.length) yield skipped > 0 ? piece.subarray(skipped) : piece;
    offset += piece.length;
  }
}

async function* unpacked(stored: Stored, gunzip: Gunzip): AsyncGenerator<Buffer> {
  const input = Readable.from(stored.pieces(0), { objectMode: true, highWaterMark: 1 });
  input.on("error", (error) => gunzip.destroy(error));
  try {
    yield* input.pipe(gunzip) as AsyncIterable<Buffer>;
  } finally {
    input.destroy();
    gunzip.destroy();
  }
}
