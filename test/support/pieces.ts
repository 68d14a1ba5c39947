/** Cuts an object into pieces as if it were large, and frames each piece separately. */
import { type CutLimits, cutObject, type Piece } from "../../src/record/cut.js";
import { type Framed, type FrameLimits, frameObject } from "../../src/record/frame.js";
import { inMemory } from "../../src/record/window.js";
import type { RecordPath } from "../../src/schema/path.js";

/** Copies the bytes of each piece, since pieces only lend them. */
async function piecesOf(bytes: Buffer, limits: CutLimits): Promise<Piece[]> {
  const pieces: Piece[] = [];
  for await (const piece of cutObject(inMemory(bytes), limits)) {
    pieces.push({ ...piece, bytes: Buffer.from(piece.bytes) });
  }
  return pieces;
}

export async function frameInPieces(
  bytes: Buffer,
  records: RecordPath,
  limits: FrameLimits & CutLimits,
): Promise<Framed[]> {
  const framed: Framed[] = [];
  for (const piece of await piecesOf(bytes, limits)) {
    const { offset, damage } = piece;
    if (damage !== undefined) {
      framed.push({ kind: "quarantine", reason: damage, offset, sizeBytes: piece.bytes.length });
      continue;
    }
    for (const item of frameObject(piece.bytes, records, limits, piece)) {
      framed.push({ ...item, offset: offset + item.offset });
    }
  }
  return framed;
}

interface Place {
  kind: string;
  offset: number;
  sizeBytes: number;
}

/** Drops the reasons, and joins quarantine that continues without a gap into one item. */
export function joined(items: (Place | Framed)[]): object[] {
  const all: Place[] = [];
  for (const item of items) {
    const last = all.at(-1);
    if (item.kind === "record") all.push(item);
    else if (last?.kind === "quarantine" && last.offset + last.sizeBytes === item.offset) {
      last.sizeBytes += item.sizeBytes;
    } else all.push({ kind: item.kind, offset: item.offset, sizeBytes: item.sizeBytes });
  }
  return all;
}
