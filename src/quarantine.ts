/** Quarantine: bytes that are no record, kept verbatim. */
import { isUtf8 } from "node:buffer";

export interface QuarantineEntry {
  key: string;
  etag: string;
  /** In the decompressed bytes; in the stored bytes where the whole object is damaged (a broken gzip). */
  offset: number;
  sizeBytes: number;
  reason: string;
  /** The bytes: `text` where they are UTF-8, else `base64`. */
  text?: string;
  base64?: string;
}

export function quarantineEntry(
  object: { key: string; etag: string },
  offset: number,
  bytes: Buffer,
  reason: string,
): QuarantineEntry {
  const place = { key: object.key, etag: object.etag, offset, sizeBytes: bytes.length, reason };
  return isUtf8(bytes)
    ? { ...place, text: bytes.toString("utf8") }
    : { ...place, base64: bytes.toString("base64") };
}
