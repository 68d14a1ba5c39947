import { promisify } from "node:util";
import { createGunzip, type Gunzip, gunzip } from "node:zlib";
import type { GzipLimits } from "../limits.js";

/** RFC 1952: a gzip member begins with 1f 8b. An object's name says nothing. */
export const GZIP_MAGIC = Buffer.from([0x1f, 0x8b]);

export function isGzip(bytes: Buffer): boolean {
  return GZIP_MAGIC.equals(bytes.subarray(0, GZIP_MAGIC.length));
}

/**
 * Decompresses all members of a gzip file (RFC 1952). Returns damage, or growth beyond the limits, and does
 * not throw it. Zeros after the last member are padding. zlib ignores whatever follows them, so this function
 * looks for it.
 */
export async function gunzipWithin(
  bytes: Buffer,
  limits: GzipLimits,
): Promise<{ bytes: Buffer } | { damage: string }> {
  return (await gunzipAtOnce(bytes, outputMax(limits, bytes.length))) ?? { damage: growsBeyond(limits) };
}

/** Like `gunzipWithin`; undefined if the output is larger than `maxBytes`. */
export async function gunzipAtOnce(
  bytes: Buffer,
  maxBytes: number,
): Promise<{ bytes: Buffer } | { damage: string } | undefined> {
  try {
    const { buffer, engine } = await inflate(bytes, { maxOutputLength: maxBytes, info: true });
    const damage = afterEnd(bytes.subarray(engine.bytesWritten), engine.bytesWritten);
    return damage === undefined ? { bytes: buffer } : { damage };
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return code === "ERR_BUFFER_TOO_LARGE" ? undefined : { damage: damaged(message) };
  }
}

/**
 * Like `gunzipWithin`, for a file that comes in stretches. The stretches may share one buffer. Returns the
 * damage, which is known only at the end: callers must not trust the bytes before then.
 */
export async function* gunzipStream(
  stretches: AsyncIterable<Buffer>,
  sizeBytes: number,
  limits: GzipLimits,
): AsyncGenerator<Buffer, string | undefined> {
  const engine = createGunzip({ chunkSize: CHUNK_BYTES });
  let isWanted = true;
  const feeding = feed(stretches, engine, () => isWanted).catch((error) => {
    engine.destroy();
    return { error };
  });
  let bytesLeft = outputMax(limits, sizeBytes);
  let damage: string | undefined = "not read to its end";
  try {
    for await (const chunk of engine) {
      bytesLeft -= chunk.length;
      if (bytesLeft < 0) break;
      yield chunk;
    }
    damage = bytesLeft < 0 ? growsBeyond(limits) : undefined;
  } catch (error) {
    damage = damaged((error as Error).message);
  } finally {
    isWanted = damage === undefined;
  }
  const fed = await feeding;
  if (typeof fed === "object") throw fed.error;
  return damage ?? fed;
}

/** Feeds one stretch after the other. Returns what is wrong with the bytes after the end. */
async function feed(
  stretches: AsyncIterable<Buffer>,
  engine: Gunzip,
  isWanted: () => boolean,
): Promise<string | undefined> {
  let hasEnded = false;
  const ended = new Promise<void>((resolve) => {
    for (const event of ["end", "close"]) engine.once(event, resolve);
  }).then(() => {
    hasEnded = true;
  });
  let fedBytes = 0;
  for await (const bytes of stretches) {
    // The engine ignores bytes after the end, and may never call back for them.
    if (!hasEnded) await Promise.race([new Promise((taken) => engine.write(bytes, taken)), ended]);
    if (engine.errored || !isWanted()) return undefined;
    const taken = Math.max(0, engine.bytesWritten - fedBytes);
    const damage = afterEnd(bytes.subarray(taken), engine.bytesWritten);
    if (damage !== undefined) return damage;
    hasEnded ||= taken < bytes.length;
    fedBytes += bytes.length;
  }
  if (!hasEnded) engine.end();
  return undefined;
}

function afterEnd(rest: Buffer, at: number): string | undefined {
  return rest.every((byte) => byte === 0) ? undefined : damaged(`bytes follow its end at ${at}`);
}

function damaged(reason: string): string {
  return `damaged gzip: ${reason}`;
}

function growsBeyond({ maxRatio, maxBytes }: GzipLimits): string {
  return `gzip grows beyond ${maxRatio} times its size or ${maxBytes} bytes`;
}

function outputMax({ maxRatio, maxBytes }: GzipLimits, sizeBytes: number): number {
  return Math.max(SMALL_BYTES, Math.min(maxBytes, sizeBytes * maxRatio));
}

/** Below this size the ratio does not matter: repetitive records compress 600 to 1 and do no harm. */
const SMALL_BYTES = 64 << 20;
const CHUNK_BYTES = 1 << 20;

/** With `info`, zlib also returns the engine, which counts the bytes that it took. */
const inflate = promisify(gunzip) as unknown as (
  bytes: Buffer,
  options: { maxOutputLength: number; info: true },
) => Promise<{ buffer: Buffer; engine: Gunzip }>;
