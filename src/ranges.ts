/** Reads objects of any size, a piece at a time. */
import type { ObjectInfo, Store } from "./store/store.js";

/** The range for a part, which may be larger than memory. */
export const PART_RANGE_BYTES = 16 << 20;

/** Reads one version of an object in ranges. Requests a range only after the caller has taken the previous one. */
export async function* inRanges(
  store: Store,
  { key, etag, sizeBytes }: ObjectInfo,
  options: { rangeBytes: number; signal?: AbortSignal | undefined },
): AsyncGenerator<Buffer> {
  const { rangeBytes, signal } = options;
  for (let start = 0; start < sizeBytes; start += rangeBytes) {
    const range = { start, end: Math.min(start + rangeBytes, sizeBytes) };
    yield await store.get(key, { etag, range, signal });
  }
}
