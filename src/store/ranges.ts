import type { ObjectInfo, Store } from "./store.js";

/** An object of any size, in ranges of one version. The next is asked for when the one before has been taken. */
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
