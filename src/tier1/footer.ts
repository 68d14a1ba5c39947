/** What a part says about itself in its Parquet footer. */
import type { FileMetaData } from "hyparquet";
import type { ObjectHead, Store } from "../store/store.js";
import { fromMetadata, type PartFacts } from "./manifest.js";

/** Reads the footer of an object, in a few ranges. Throws hyparquet's error if the object is not a whole Parquet file. */
export async function readFooter(
  store: Store,
  { key, etag, sizeBytes }: Pick<ObjectHead, "key" | "etag" | "sizeBytes">,
  signal: AbortSignal | undefined,
): Promise<FileMetaData> {
  const slice = async (start: number, end = sizeBytes) =>
    new Uint8Array(await store.get(key, { etag, range: { start, end }, signal })).buffer;
  const { parquetMetadataAsync } = await import("hyparquet");
  return parquetMetadataAsync({ byteLength: sizeBytes, slice });
}

/** Undefined if the file is not a part of hourpack's. */
export function factsIn({ key_value_metadata: pairs = [] }: FileMetaData): PartFacts | undefined {
  return fromMetadata(Object.fromEntries(pairs.map(({ key, value }) => [key, value ?? ""])));
}
