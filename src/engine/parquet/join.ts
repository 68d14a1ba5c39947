/**
 * Several Parquet files of one schema made one, by copying their row groups byte for byte and writing a footer with
 * shifted offsets: a tenth of the CPU of reading and writing the rows again. The fields are those of parquet.thrift,
 * apache/parquet-format.
 */
import { type FileHandle, open } from "node:fs/promises";
import { binaryField, readStruct, Struct, writeStruct } from "./thrift.js";

const MAGIC = Buffer.from("PAR1");
const SCHEMA_ELEMENT = { name: 4, children: 5 } as const;
const FILE = { schema: 2, rows: 3, rowGroups: 4, keyValues: 5 } as const;
const ROW_GROUP = { columns: 1, sizeBytes: 2, rows: 3, fileOffset: 5, ordinal: 7 } as const;
const CHUNK = { fileOffset: 2, metadata: 3, offsetIndex: 4, columnIndex: 6 } as const;
const CHUNK_METADATA = { dataPage: 9, indexPage: 10, dictionaryPage: 11, bloomFilter: 14 } as const;

/** Smaller row groups than this on average are better written anew: readers pay for each of them. */
const GROUP_ROWS_MIN = 16_384;
const GROUP_BYTES_MIN = 4 << 20;

/**
 * Writes the joined file and returns its rows; undefined, with nothing written, where the files have other columns than
 * `names`, in this order, where their schemas differ, or their row groups are too small to be kept.
 */
export async function joinParquet(
  paths: string[],
  names: string[],
  outPath: string,
  metadata: Record<string, string>,
): Promise<{ rows: number } | undefined> {
  if (paths.length === 0 || !(await areJoinable(paths, names))) return undefined;
  return { rows: await writeJoined(paths, outPath, metadata) };
}

/** One file at a time, here and when they are copied: an hour of many gigabytes has a thousand of them. */
async function withSource<T>(
  path: string,
  task: (footer: Struct, file: FileHandle, footerOffset: number) => Promise<T>,
): Promise<T> {
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
    return await task(readStruct(footer), file, footerOffset);
  } finally {
    await file.close();
  }
}

/** Whether they have one schema, and row groups that are worth their keep. */
async function areJoinable(paths: string[], names: string[]): Promise<boolean> {
  const sum = { groups: 0, rows: 0, sizeBytes: 0 };
  let first: string | undefined;
  for (const path of paths) {
    const isAlike = await withSource(path, async (footer) => {
      for (const group of footer.list(FILE.rowGroups) as Struct[]) {
        sum.groups++;
        sum.rows += Number(group.get(ROW_GROUP.rows) ?? 0n);
        sum.sizeBytes += Number(group.get(ROW_GROUP.sizeBytes) ?? 0n);
      }
      const schema = schemaText(footer);
      if (first === undefined && columnsOf(footer).join() !== names.join()) return false;
      first ??= schema;
      return schema === first;
    });
    if (!isAlike) return false;
  }
  const isLarge = sum.rows / sum.groups >= GROUP_ROWS_MIN || sum.sizeBytes / sum.groups >= GROUP_BYTES_MIN;
  return sum.groups <= 1 || isLarge;
}

/** Their names. A part of an earlier version may lack the last ones: columns are only ever added. */
function columnsOf(footer: Struct): string[] {
  const elements = footer.list(FILE.schema) as Struct[];
  const names: string[] = [];
  let below = 0;
  for (const element of elements.slice(1)) {
    if (below === 0) names.push(String(element.get(SCHEMA_ELEMENT.name)));
    else below--;
    below += Number(element.get(SCHEMA_ELEMENT.children) ?? 0n);
  }
  return names;
}

/** The root's children are counted in it; row counts are elsewhere. */
function schemaText(footer: Struct): string {
  return writeStruct(new Struct(footer.fields.filter(({ id }) => id === FILE.schema))).toString("latin1");
}

async function writeJoined(
  paths: string[],
  outPath: string,
  metadata: Record<string, string>,
): Promise<number> {
  const out = await open(outPath, "w");
  try {
    await out.appendFile(MAGIC);
    let position = MAGIC.length;
    let rows = 0n;
    let joined: Struct | undefined;
    // Encoded: as objects, those of a thousand files would take hundreds of megabytes.
    const groups: Buffer[] = [];
    // For all files, unless one is larger: a new one for each makes the collector run.
    let buffer = Buffer.alloc(0);
    for (const path of paths) {
      await withSource(path, async (footer, file, footerOffset) => {
        const shift = BigInt(position - MAGIC.length);
        for (const group of footer.list(FILE.rowGroups) as Struct[]) {
          shiftGroup(group, shift, groups.length);
          rows += group.get(ROW_GROUP.rows) as bigint;
          groups.push(writeStruct(group));
        }
        if (buffer.length < Math.min(footerOffset, COPY_BYTES))
          buffer = Buffer.allocUnsafeSlow(Math.min(footerOffset, COPY_BYTES));
        await copyRange(file, MAGIC.length, footerOffset, out, buffer);
        position += footerOffset - MAGIC.length;
        joined ??= footer;
      });
    }
    const footer = writeFooter(joined as Struct, groups, rows, metadata);
    const length = Buffer.alloc(4);
    length.writeUInt32LE(footer.length);
    await out.appendFile(Buffer.concat([footer, length, MAGIC]));
    return Number(rows);
  } finally {
    await out.close();
  }
}

/** The first file's, but for what is the joined one's own. */
function writeFooter(
  footer: Struct,
  groups: Buffer[],
  rows: bigint,
  metadata: Record<string, string>,
): Buffer {
  footer.change(FILE.rows, () => rows);
  footer.setStructs(FILE.rowGroups, groups);
  footer.setStructs(
    FILE.keyValues,
    Object.entries(metadata).map(([key, value]) => new Struct([binaryField(1, key), binaryField(2, value)])),
  );
  return writeStruct(footer);
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

async function copyRange(
  from: FileHandle,
  start: number,
  end: number,
  to: FileHandle,
  buffer: Buffer,
): Promise<void> {
  for (let position = start; position < end; ) {
    const { bytesRead } = await from.read(buffer, 0, Math.min(buffer.length, end - position), position);
    if (bytesRead === 0) throw new Error("a Parquet file ended while it was copied");
    await to.appendFile(buffer.subarray(0, bytesRead));
    position += bytesRead;
  }
}
