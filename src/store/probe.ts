/** Finds out by trying what a store promises about conditions. */
import { isHourpackError } from "../errors.js";
import type { Store } from "./store.js";

/** Deleting a version that never existed must leave the existing one. */
export async function honoursDeletes(store: Store, key: string): Promise<boolean> {
  await store.put(key, Buffer.from("probe"));
  try {
    await store.delete(key, { etag: NEVER }).catch((error) => {
      if (!isHourpackError(error, "conflict")) throw error;
    });
    return (await store.head(key)) !== undefined;
  } finally {
    await store.delete(key);
  }
}

/** A second creation, and a replacement of a version that never existed, must both be refused. */
export async function honoursWrites(store: Store, key: string): Promise<boolean> {
  let isAsked = false;
  try {
    const first = await store.put(key, Buffer.from("probe"), { condition: { absent: true } });
    isAsked = true;
    const second = await store.put(key, Buffer.from("again"), { condition: { absent: true } });
    const third = await store.put(key, Buffer.from("other"), { condition: { etag: NEVER } });
    // Refused although the key is ours alone: the answer to our own creation was lost.
    const isThere = first.outcome === "written" || (await store.head(key)) !== undefined;
    return isThere && second.outcome === "refused" && third.outcome === "refused";
  } finally {
    const gone = store.delete(key);
    // If the key could not be written either, that is the error to report.
    await (isAsked ? gone : gone.catch(() => {}));
  }
}

const NEVER = "0".repeat(32);
