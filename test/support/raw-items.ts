/** What the proof finds in an object, as it finds it in a store: piece by piece. */
import { GZIP_LIMITS, type GzipLimits } from "../../src/limits.js";
import type { Obj } from "../../src/proof/json.js";
import { type RawItem, RawReader } from "../../src/proof/raw.js";
import { inMemory, opened, type Stored } from "../../src/proof/source.js";
import type { Framed } from "../../src/record/frame.js";

export interface Reading {
  /** What a run takes unless given. */
  maxRecordBytes?: number;
  gzip?: GzipLimits;
  windowBytes?: number;
  /** The store gives so many bytes at a time; all of them unless given. */
  pieceBytes?: number;
  /** Whether a record with NaN or Infinity is one; none is unless given. */
  isTaken?(value: Obj, envelope: Obj): boolean;
}

type DataItem = Exclude<RawItem, { kind: "gap" }> & { bytes: Buffer };

/** Its records, and what is none as one item each. Throws where a byte is in no item, or in two. */
export async function rawItems(stored: Buffer, path: string[], reading: Reading = {}): Promise<DataItem[]> {
  const { maxRecordBytes, gzip = GZIP_LIMITS, windowBytes, pieceBytes, isTaken } = reading;
  const { source, damage } = await opened(inPieces(stored, pieceBytes), gzip);
  if (damage !== undefined)
    return [{ kind: "none", offset: 0, sizeBytes: stored.length, reason: damage, bytes: stored }];
  const found: DataItem[] = [];
  const reader = new RawReader(source, { path, maxRecordBytes, windowBytes, isTaken });
  let end = 0;
  for await (const items of reader.items()) {
    for (const item of items) {
      if (item.offset !== end)
        throw new Error(`an item begins at ${item.offset}, the one before ends at ${end}`);
      end += item.sizeBytes;
      const bytes = Buffer.from(reader.bytesOf(item));
      if (bytes.length !== item.sizeBytes) throw new Error(`the item at ${item.offset} has not its bytes`);
      const last = found.at(-1);
      if (item.kind === "none" && item.goesOn && last) {
        last.bytes = Buffer.concat([last.bytes, bytes]);
        last.sizeBytes += item.sizeBytes;
      } else if (item.kind !== "gap") found.push({ ...item, bytes });
    }
  }
  let sizeBytes = 0;
  for await (const piece of source.pieces(0)) sizeBytes += piece.length;
  if (sizeBytes !== end) throw new Error(`the items end at ${end} of ${sizeBytes} bytes`);
  return found;
}

function inPieces(bytes: Buffer, pieceBytes = bytes.length): Stored {
  if (pieceBytes >= bytes.length) return inMemory(bytes);
  return {
    sizeBytes: bytes.length,
    head: bytes.subarray(0, pieceBytes),
    async *pieces(from) {
      for (let at = from; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes);
    },
  };
}

/** What of the converter's framing goes to quarantine: what is no row, whole where an envelope would be lost. */
export function piecesOf(
  framed: Framed[],
  isRow: (record: Extract<Framed, { kind: "record" }>) => boolean,
): { kind: "quarantine"; offset: number; sizeBytes: number }[] {
  const rejected = framed.filter((item) => item.kind !== "record" || !isRow(item));
  const rows = new Set(framed.filter((item) => !rejected.includes(item)).map(({ within }) => within));
  const places = rejected.map((item) => (item.within && !rows.has(item.within) ? item.within : item));
  return [...new Set(places)].map(({ offset, sizeBytes }) => ({ kind: "quarantine", offset, sizeBytes }));
}
