import { promisify } from "node:util";
import { createGunzip, type Gunzip, gunzip } from "node:zlib";
import type { GzipLimits } from "../limits.js";

/** RFC 1952: a gzip member begins with 1f 8b. Names say nothing. */
export const GZIP_MAGIC = Buffer.from([0x1f, 0x8b]);

export function isGzip(bytes: Buffer): boolean {
  return GZIP_MAGIC.equals(bytes.subarray(0, GZIP_MAGIC.length));
}

/**
 * RFC 1952, all members of the file. Damage, or what grows beyond the limits, is told and not thrown. Zeros after the
 * last member are padding; zlib passes over whatever follows them, so that is looked for here.
 */
export async function gunzipWithin(
  bytes: Buffer,
  limits: GzipLimits,
): Promise<{ bytes: Buffer } | { damage: string }> {
  return (await gunzipAtOnce(bytes, outputMax(limits, bytes.length))) ?? { damage: growsBeyond(limits) };
}

/** The same; undefined where more than `maxBytes` come of it. */
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
 * The same for a file that comes in stretches, which may lie in one memory, one after the other. Returns the damage,
 * which is known at the end only: whoever takes the bytes must not trust them before.
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

/** Hands over one stretch after the other. Returns what is wrong with those behind the end. */
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
    // What lies behind the end it leaves, and may not answer for.
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

/** Below this no ratio is looked at: repetitive records compress 600 to 1 and harm nobody. */
const SMALL_BYTES = 64 << 20;
const CHUNK_BYTES = 1 << 20;

/** With `info` it tells the engine, too, which counts the bytes that it took. */
const inflate = promisify(gunzip) as unknown as (
  bytes: Buffer,
  options: { maxOutputLength: number; info: true },
) => Promise<{ buffer: Buffer; engine: Gunzip }>;
