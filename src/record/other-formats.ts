/**
 * Formats that objects may have and that are not opened. Bytes that begin like one are not JSON, and are
 * quarantined as they are.
 */

export const PARQUET_MAGIC = Buffer.from("PAR1");

/**
 * RFC 8878; the format specifications of xz, bzip2, LZ4 frames and framed Snappy; PKWARE's APPNOTE, 4.3.7;
 * Apache's of Parquet and Avro.
 */
const FORMATS: [name: string, magic: Buffer][] = [
  ["zstd", Buffer.from([0x28, 0xb5, 0x2f, 0xfd])],
  ["xz", Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00])],
  ["bzip2", Buffer.from("BZh")],
  ["LZ4", Buffer.from([0x04, 0x22, 0x4d, 0x18])],
  ["Snappy", Buffer.from([0xff, 0x06, 0x00, 0x00, 0x73, 0x4e, 0x61, 0x50, 0x70, 0x59])],
  ["zip", Buffer.from([0x50, 0x4b, 0x03, 0x04])],
  ["Parquet", PARQUET_MAGIC],
  ["Avro", Buffer.from([0x4f, 0x62, 0x6a, 0x01])],
];

/** How many bytes at its beginning tell an object's format. */
export const MAGIC_BYTES_MAX = Math.max(...FORMATS.map(([, magic]) => magic.length));

/** Goes by the first bytes, because names say nothing. Returns undefined if they may be JSON or gzip. */
export function otherFormat(bytes: Buffer): string | undefined {
  return FORMATS.find(([, magic]) => magic.equals(bytes.subarray(0, magic.length)))?.[0];
}

/**
 * For quarantine: why an object is damaged from its first byte on, if its first bytes name another format.
 */
export function otherFormatReason(bytes: Buffer): string | undefined {
  const format = otherFormat(bytes);
  return format && `it is ${format}: JSON is read, plain or in gzip`;
}
