import { promisify } from "node:util";
import { type Gunzip, gunzip } from "node:zlib";

export interface GunzipLimits {
  /** Decompressed bytes to compressed bytes. */
  maxRatio: number;
  /** Decompressed bytes. */
  maxBytes: number;
}

/**
 * RFC 1952, all members of the file. Damage, or what grows beyond the limits, is told and not thrown. Zeros after the
 * last member are padding; zlib passes over whatever follows them, so that is looked for here.
 */
export async function gunzipWithin(
  bytes: Buffer,
  limits: GunzipLimits,
): Promise<{ bytes: Buffer } | { damage: string }> {
  const maxOutputLength = Math.max(SMALL_BYTES, Math.min(limits.maxBytes, bytes.length * limits.maxRatio));
  try {
    const { buffer, engine } = await inflate(bytes, { maxOutputLength, info: true });
    const isEnd = bytes.subarray(engine.bytesWritten).every((byte) => byte === 0);
    return isEnd
      ? { bytes: buffer }
      : { damage: `damaged gzip: bytes follow its end at ${engine.bytesWritten}` };
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ERR_BUFFER_TOO_LARGE") {
      return { damage: `gzip grows beyond ${limits.maxRatio} times its size or ${limits.maxBytes} bytes` };
    }
    return { damage: `damaged gzip: ${message}` };
  }
}

/** Below this no ratio is looked at: repetitive records compress 600 to 1 and harm nobody. */
const SMALL_BYTES = 64 << 20;

/** With `info` it tells the engine, too, which counts the bytes that it took. */
const inflate = promisify(gunzip) as unknown as (
  bytes: Buffer,
  options: { maxOutputLength: number; info: true },
) => Promise<{ buffer: Buffer; engine: Gunzip }>;
