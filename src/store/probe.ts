/** What a store promises of conditions, found out by trying. */
import { isHourpackError } from "../errors.js";
import type { Store } from "./store.js";

/** Deleting a version that never was must leave the one that is. */
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

/** A second creation and a replacement of a version that never was must both be refused. */
export async function honoursWrites(store: Store, key: string): Promise<boolean> {
  let isAsked = false;
  try {
    const first = await store.put(key, Buffer.from("probe"), { condition: { absent: true } });
    isAsked = true;
    const second = await store.put(key, Buffer.from("again"), { condition: { absent: true } });
    const third = await store.put(key, Buffer.from("other"), { condition: { etag: NEVER } });
    // Refused though the key is ours alone: the answer to our own creation was lost.
    const isThere = first.outcome === "written" || (await store.head(key)) !== undefined;
    return isThere && second.outcome === "refused" && third.outcome === "refused";
  } finally {
    const gone = store.delete(key);
    // Where it could not be written either, that is what is told.
    await (isAsked ? gone : gone.catch(() => {}));
  }
}

const NEVER = "0".repeat(32);
