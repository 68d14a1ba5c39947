/** Reads an object with the proof's reader, piece by piece as from a store. */
import { GZIP_LIMITS, type GzipLimits } from "../../src/limits.js";
import type { Obj } from "../../src/proof/json.js";
import { type RawItem, RawReader } from "../../src/proof/raw.js";
import { inMemory, opened, type Stored } from "../../src/proof/source.js";
import type { Framed } from "../../src/record/frame.js";

export interface Reading {
  /** The limit of a run if absent. */
  maxRecordBytes?: number;
  gzip?: GzipLimits;
  windowBytes?: number;
  /** Bytes that the store gives at a time; all if absent. */
  pieceBytes?: number;
  /** Whether a record with NaN or Infinity counts as one; none does if absent. */
  isTaken?(value: Obj, envelope: Obj): boolean;
}

type DataItem = Exclude<RawItem, { kind: "gap" }> & { bytes: Buffer };

/** The object's records, and one item for each piece that is not a record. Throws if a byte is in no item, or in two. */
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

/** The pieces of the converter's framing that go to quarantine: what is not a row, and the whole value if its envelope would be lost. */
export function piecesOf(
  framed: Framed[],
  isRow: (record: Extract<Framed, { kind: "record" }>) => boolean,
): { kind: "quarantine"; offset: number; sizeBytes: number }[] {
  const rejected = framed.filter((item) => item.kind !== "record" || !isRow(item));
  const rows = new Set(framed.filter((item) => !rejected.includes(item)).map(({ within }) => within));
  const places = rejected.map((item) => (item.within && !rows.has(item.within) ? item.within : item));
  return [...new Set(places)].map(({ offset, sizeBytes }) => ({ kind: "quarantine", offset, sizeBytes }));
}
