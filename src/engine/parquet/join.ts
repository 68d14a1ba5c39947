/**
 * Several Parquet files of one schema made one, by copying their row groups byte for byte and writing a footer with
 * shifted offsets: a tenth of the CPU of reading and writing the rows again. The fields are those of parquet.thrift,
 * apache/parquet-format.
 */
import { createHash } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";
import { columnsOf, dropLast, FILE, ROW_GROUP, type Span, shiftGroup } from "./footer.js";
import { binaryField, readStruct, Struct, writeStruct } from "./thrift.js";

const MAGIC = Buffer.from("PAR1");

/** Row groups of as many bytes are large enough, however few their rows. */
const GROUP_BYTES_MIN = 4 << 20;

/**
 * Writes the joined file and returns its rows and the SHA-256 of its bytes; undefined, with nothing written, where the files
 * have other columns than `names`, in this order, where their schemas differ, or their row groups have fewer rows than
 * `groupRowsMin` on average, and are small. `dropped`: a column without fields that is the last one of some files, and is not
 * copied.
 */
export async function joinParquet(
  paths: string[],
  { names, dropped }: { names: string[]; dropped: string },
  outPath: string,
  { metadata, groupRowsMin }: { metadata: Record<string, string>; groupRowsMin: number },
): Promise<{ rows: number; sha256: string } | undefined> {
  const joined = new Joined(names);
  for (const path of paths) {
    const file = await readFooter(path);
    const cuts = columnsOf(file.footer).at(-1) === dropped ? dropLast(file.footer) : [];
    if (!joined.add(file.footer, path, between(cuts, file.data))) return undefined;
  }
  if (!joined.isWorthIt(groupRowsMin)) return undefined;
  const out = await open(outPath, "w");
  const hash = createHash("sha256");
  const append: Append = async (bytes) => {
    hash.update(bytes);
    await out.appendFile(bytes);
  };
  try {
    await append(MAGIC);
    await joined.copyTo(append);
    await append(joined.tail(metadata));
  } finally {
    await out.close();
  }
  return { rows: Number(joined.rows), sha256: hash.digest("hex") };
}

type Append = (bytes: Buffer) => Promise<void>;

/** What the joined file is to hold, before a byte of it is written. */
class Joined {
  rows = 0n;
  private readonly names: string;
  private footer: Struct | undefined;
  private schema = "";
  /** Encoded: as objects, those of a thousand files would take hundreds of megabytes. */
  private readonly groups: Buffer[] = [];
  private plainBytes = 0n;
  private readonly sources: { path: string; kept: Span[] }[] = [];
  private position = MAGIC.length;

  constructor(names: string[]) {
    this.names = names.join();
  }

  /** False where its columns are others. `kept`: the stretches of the file that are copied, in order. */
  add(footer: Struct, path: string, kept: Span[]): boolean {
    const schema = schemaText(footer);
    if (!this.footer) {
      if (columnsOf(footer).join() !== this.names) return false;
      this.footer = footer;
      this.schema = schema;
    }
    if (schema !== this.schema) return false;
    const moved = mover(kept, this.position);
    for (const group of footer.list(FILE.rowGroups) as Struct[]) {
      shiftGroup(group, moved, this.groups.length);
      this.rows += group.get(ROW_GROUP.rows) as bigint;
      this.plainBytes += (group.get(ROW_GROUP.plainBytes) as bigint | undefined) ?? 0n;
      this.groups.push(writeStruct(group));
    }
    this.position += sizeOf(kept);
    this.sources.push({ path, kept });
    return true;
  }

  isWorthIt(groupRowsMin: number): boolean {
    const count = this.groups.length;
    const isLarge =
      Number(this.rows) / count >= groupRowsMin || Number(this.plainBytes) / count >= GROUP_BYTES_MIN;
    return this.footer !== undefined && (count <= 1 || isLarge);
  }

  /** One file at a time: an hour of many gigabytes has a thousand of them. */
  async copyTo(append: Append): Promise<void> {
    // For all files, since a new one for each makes the collector run.
    const longest = this.sources.flatMap(({ kept }) => kept.map(({ start, end }) => end - start));
    const buffer = Buffer.allocUnsafeSlow(Math.min(COPY_BYTES, Math.max(0, ...longest)));
    for (const { path, kept } of this.sources) {
      const file = await open(path, "r");
      try {
        for (const span of kept) await copy(file, span, append, buffer);
      } finally {
        await file.close();
      }
    }
  }

  /** The footer, its length and the mark: the first file's, but for what is the joined one's own. */
  tail(metadata: Record<string, string>): Buffer {
    const footer = this.footer as Struct;
    footer.change(FILE.rows, () => this.rows);
    footer.setStructs(FILE.rowGroups, this.groups);
    footer.setStructs(
      FILE.keyValues,
      Object.entries(metadata).map(
        ([key, value]) => new Struct([binaryField(1, key), binaryField(2, value)]),
      ),
    );
    const encoded = writeStruct(footer);
    const length = Buffer.alloc(4);
    length.writeUInt32LE(encoded.length);
    return Buffer.concat([encoded, length, MAGIC]);
  }
}

/** A file's footer, and where its data lies. */
async function readFooter(path: string): Promise<{ footer: Struct; data: Span }> {
  const file = await open(path, "r");
  try {
    const { size } = await file.stat();
    const tail = Buffer.alloc(8);
    await file.read(tail, 0, 8, size - 8);
    if (!tail.subarray(4).equals(MAGIC)) throw new Error(`${path} is no Parquet file`);
    const footer = Buffer.alloc(tail.readUInt32LE(0));
    const end = size - 8 - footer.length;
    await file.read(footer, 0, footer.length, end);
    return { footer: readStruct(footer), data: { start: MAGIC.length, end } };
  } finally {
    await file.close();
  }
}

/** The root's children are counted in it; row counts are elsewhere. */
function schemaText(footer: Struct): string {
  return writeStruct(new Struct(footer.fields.filter(({ id }) => id === FILE.schema))).toString("latin1");
}

/** What is left of a stretch without these. */
function between(cuts: Span[], { start, end }: Span): Span[] {
  const kept: Span[] = [];
  let from = start;
  for (const cut of [...cuts].sort((a, b) => a.start - b.start)) {
    if (cut.start > from) kept.push({ start: from, end: cut.start });
    from = cut.end;
  }
  if (end > from) kept.push({ start: from, end });
  return kept;
}

function sizeOf(spans: Span[]): number {
  return spans.reduce((sum, { start, end }) => sum + end - start, 0);
}

/** Where an offset into kept bytes is when they are written one after the other, from `position` on. */
function mover(kept: Span[], position: number): (offset: bigint) => bigint {
  const shifts: { end: number; shift: bigint }[] = [];
  let at = position;
  for (const { start, end } of kept) {
    shifts.push({ end, shift: BigInt(at - start) });
    at += end - start;
  }
  return (offset) => offset + (shifts.find(({ end }) => offset < end)?.shift ?? 0n);
}

const COPY_BYTES = 4 << 20;

async function copy(from: FileHandle, { start, end }: Span, append: Append, buffer: Buffer): Promise<void> {
  for (let position = start; position < end; ) {
    const { bytesRead } = await from.read(buffer, 0, Math.min(buffer.length, end - position), position);
    if (bytesRead === 0) throw new Error("a Parquet file ended while it was copied");
    await append(buffer.subarray(0, bytesRead));
    position += bytesRead;
  }
}
