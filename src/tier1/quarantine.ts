/** Quarantine: bytes that are not a record, kept verbatim. */
import { isUtf8 } from "node:buffer";
import { counted } from "../words.js";

export interface QuarantineEntry {
  key: string;
  etag: string;
  /** Offset in the decompressed bytes, or in the stored bytes if the whole object is damaged (a broken gzip). */
  offset: number;
  sizeBytes: number;
  reason: string;
  /** The bytes: `text` if they are UTF-8, else `base64`. */
  text?: string;
  base64?: string;
}

/** Where a piece lies, and why it is in quarantine. */
export type QuarantinePlace = Pick<QuarantineEntry, "key" | "offset" | "sizeBytes" | "reason">;

/** Messages name the first pieces of quarantine and give only the number of the others. */
export const PLACES_MAX = 20;

/** `raw/a.json at byte 12: 345 bytes, not JSON` */
export function placeText({ key, offset, sizeBytes, reason }: QuarantinePlace): string {
  return `${key} at byte ${offset}: ${counted(sizeBytes, "byte")}, ${reason}`;
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
