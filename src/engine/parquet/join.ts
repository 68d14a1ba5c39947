/**
 * Several Parquet files of one schema made one, by copying their row groups byte for byte and writing a footer with
 * shifted offsets: a tenth of the CPU of reading and writing the rows again. The fields are those of parquet.thrift,
 * apache/parquet-format.
 */
import { type FileHandle, open } from "node:fs/promises";
import { binaryField, readStruct, Struct, writeStruct } from "./thrift.js";

interface Source {
  file: FileHandle;
  footer: Struct;
  /** Where the footer begins; what lies between the magic bytes and it is copied. */
  footerOffset: number;
}

const MAGIC = Buffer.from("PAR1");
const FILE = { schema: 2, rows: 3, rowGroups: 4, keyValues: 5 } as const;
const ROW_GROUP = { columns: 1, sizeBytes: 2, rows: 3, fileOffset: 5, ordinal: 7 } as const;
const CHUNK = { fileOffset: 2, metadata: 3, offsetIndex: 4, columnIndex: 6 } as const;
const CHUNK_METADATA = { dataPage: 9, indexPage: 10, dictionaryPage: 11, bloomFilter: 14 } as const;

/** Smaller row groups than this on average are better written anew: readers pay for each of them. */
const GROUP_ROWS_MIN = 16_384;
const GROUP_BYTES_MIN = 4 << 20;

/**
 * Writes the joined file and returns its rows; undefined, with nothing written, where the files' schemas differ or
 * their row groups are too small to be kept.
 */
export async function joinParquet(
  paths: string[],
  outPath: string,
  metadata: Record<string, string>,
): Promise<{ rows: number } | undefined> {
  const sources: Source[] = [];
  try {
    for (const path of paths) sources.push(await openSource(path));
    const [first] = sources;
    if (!first || !haveOneSchema(sources) || !haveLargeGroups(sources)) return undefined;
    return { rows: await writeJoined(sources, first.footer, outPath, metadata) };
  } finally {
    for (const { file } of sources) await file.close();
  }
}

async function openSource(path: string): Promise<Source> {
  const file = await open(path, "r");
  try {
    const { size } = await file.stat();
    const tail = Buffer.alloc(8);
    await file.read(tail, 0, 8, size - 8);
    if (!tail.subarray(4).equals(MAGIC)) throw new Error(`${path} is no Parquet file`);
    const footerBytes = tail.readUInt32LE(0);
    const footer = Buffer.alloc(footerBytes);
    const footerOffset = size - 8 - footerBytes;
    await file.read(footer, 0, footerBytes, footerOffset);
    return { file, footer: readStruct(footer), footerOffset };
  } catch (error) {
    await file.close();
    throw error;
  }
}

function haveOneSchema(sources: Source[]): boolean {
  const texts = sources.map(({ footer }) => {
    const schema = new Struct(footer.fields.filter(({ id }) => id === FILE.schema));
    // The root's children are counted; row counts are elsewhere.
    return writeStruct(schema).toString("latin1");
  });
  return texts.every((text) => text === texts[0]);
}

function haveLargeGroups(sources: Source[]): boolean {
  const groups = sources.flatMap(({ footer }) => footer.list(FILE.rowGroups) as Struct[]);
  if (groups.length <= 1) return true;
  const total = (id: number) => groups.reduce((sum, group) => sum + Number(group.get(id) ?? 0n), 0);
  return (
    total(ROW_GROUP.rows) / groups.length >= GROUP_ROWS_MIN ||
    total(ROW_GROUP.sizeBytes) / groups.length >= GROUP_BYTES_MIN
  );
}

async function writeJoined(
  sources: Source[],
  first: Struct,
  outPath: string,
  metadata: Record<string, string>,
): Promise<number> {
  const out = await open(outPath, "w");
  try {
    await out.appendFile(MAGIC);
    let position = MAGIC.length;
    const groups: Struct[] = [];
    for (const source of sources) {
      const shift = BigInt(position - MAGIC.length);
      for (const group of source.footer.list(FILE.rowGroups) as Struct[]) {
        shiftGroup(group, shift, groups.length);
        groups.push(group);
      }
      await copyRange(source.file, MAGIC.length, source.footerOffset, out);
      position += source.footerOffset - MAGIC.length;
    }
    const rows = groups.reduce((sum, group) => sum + (group.get(ROW_GROUP.rows) as bigint), 0n);
    first.change(FILE.rows, () => rows);
    first.setStructs(FILE.rowGroups, groups);
    first.setStructs(
      FILE.keyValues,
      Object.entries(metadata).map(
        ([key, value]) => new Struct([binaryField(1, key), binaryField(2, value)]),
      ),
    );
    const footer = writeStruct(first);
    const length = Buffer.alloc(4);
    length.writeUInt32LE(footer.length);
    await out.appendFile(Buffer.concat([footer, length, MAGIC]));
    return Number(rows);
  } finally {
    await out.close();
  }
}

/** Every offset that a row group knows. */
function shiftGroup(group: Struct, shift: bigint, ordinal: number): void {
  const moved = (value: unknown) => (value as bigint) + shift;
  group.change(ROW_GROUP.fileOffset, moved);
  group.change(ROW_GROUP.ordinal, () => BigInt(ordinal));
  for (const chunk of group.list(ROW_GROUP.columns) as Struct[]) {
    // Deprecated, and 0 where a writer leaves it out.
    chunk.change(CHUNK.fileOffset, (value) => (value === 0n ? 0n : moved(value)));
    chunk.change(CHUNK.offsetIndex, moved);
    chunk.change(CHUNK.columnIndex, moved);
    const metadata = chunk.get(CHUNK.metadata) as Struct | undefined;
    for (const id of Object.values(CHUNK_METADATA)) metadata?.change(id, moved);
  }
}

const COPY_BYTES = 4 << 20;

async function copyRange(from: FileHandle, start: number, end: number, to: FileHandle): Promise<void> {
  const buffer = Buffer.allocUnsafe(Math.min(COPY_BYTES, Math.max(0, end - start)));
  for (let position = start; position < end; ) {
    const { bytesRead } = await from.read(buffer, 0, Math.min(buffer.length, end - position), position);
    if (bytesRead === 0) throw new Error("a Parquet file ended while it was copied");
    await to.appendFile(buffer.subarray(0, bytesRead));
    position += bytesRead;
  }
}
