/** What a Parquet footer says, by the field numbers of parquet.thrift (apache/parquet-format), and how to change it. */
import type { Struct } from "./thrift.js";

export const FILE = { schema: 2, rows: 3, rowGroups: 4, keyValues: 5, columnOrders: 7 } as const;
export const ROW_GROUP = {
  columns: 1,
  plainBytes: 2,
  rows: 3,
  fileOffset: 5,
  sizeBytes: 6,
  ordinal: 7,
} as const;
const SCHEMA_ELEMENT = { name: 4, children: 5 } as const;
const CHUNK = { fileOffset: 2, metadata: 3, offsetIndex: 4, columnIndex: 6 } as const;
const CHUNK_METADATA = {
  plainBytes: 6,
  sizeBytes: 7,
  dataPage: 9,
  indexPage: 10,
  dictionaryPage: 11,
  bloomFilter: 14,
  bloomFilterBytes: 15,
} as const;
const OFFSETS = ["dataPage", "indexPage", "dictionaryPage", "bloomFilter"] as const;

/** Bytes of a file, up to and without `end`. */
export interface Span {
  start: number;
  end: number;
}

/** The names of the columns. The fields of structs are not among them. */
export function columnsOf(footer: Struct): string[] {
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

/** Removes the last column, which has no fields, from the footer. Returns where its bytes lie in the file. */
export function dropLast(footer: Struct): Span[] {
  const [root] = footer.list(FILE.schema) as Struct[];
  root?.change(SCHEMA_ELEMENT.children, (count) => (count as bigint) - 1n);
  footer.list(FILE.schema).pop();
  footer.list(FILE.columnOrders).pop();
  return (footer.list(FILE.rowGroups) as Struct[]).flatMap((group) => {
    const metadata = (group.list(ROW_GROUP.columns).pop() as Struct).get(CHUNK.metadata) as Struct;
    const less = (id: number) => (value: unknown) => (value as bigint) - numberOf(metadata, id);
    group.change(ROW_GROUP.plainBytes, less(CHUNK_METADATA.plainBytes));
    group.change(ROW_GROUP.sizeBytes, less(CHUNK_METADATA.sizeBytes));
    return bytesOf(metadata);
  });
}

/** A chunk's pages begin with the dictionary if it has one. Its bloom filter lies elsewhere. */
function bytesOf(metadata: Struct): Span[] {
  const first = metadata.get(CHUNK_METADATA.dictionaryPage) ?? metadata.get(CHUNK_METADATA.dataPage);
  const spans = [[Number(first), numberOf(metadata, CHUNK_METADATA.sizeBytes)] as const];
  const bloomFilter = metadata.get(CHUNK_METADATA.bloomFilter);
  if (bloomFilter !== undefined)
    spans.push([Number(bloomFilter), numberOf(metadata, CHUNK_METADATA.bloomFilterBytes)]);
  return spans.map(([start, sizeBytes]) => ({ start, end: start + Number(sizeBytes) }));
}

function numberOf(struct: Struct, id: number): bigint {
  return (struct.get(id) as bigint | undefined) ?? 0n;
}

/** Shifts every offset that a row group knows, and sets its place among the others. */
export function shiftGroup(group: Struct, moved: (offset: bigint) => bigint, ordinal: number): void {
  const move = (value: unknown) => moved(value as bigint);
  group.change(ROW_GROUP.fileOffset, move);
  group.change(ROW_GROUP.ordinal, () => BigInt(ordinal));
  for (const chunk of group.list(ROW_GROUP.columns) as Struct[]) {
    // Deprecated, and 0 if a writer leaves it out.
    chunk.change(CHUNK.fileOffset, (value) => (value === 0n ? 0n : move(value)));
    chunk.change(CHUNK.offsetIndex, move);
    chunk.change(CHUNK.columnIndex, move);
    const metadata = chunk.get(CHUNK.metadata) as Struct | undefined;
    for (const name of OFFSETS) metadata?.change(CHUNK_METADATA[name], move);
  }
}
