import { HourpackError } from "../errors.js";

/** One object in a listing. ETags are opaque here and carry no quotes. */
export interface ObjectInfo {
  key: string;
  sizeBytes: number;
  etag: string;
}

export interface ObjectHead extends ObjectInfo {
  lastModifiedMs: number;
  /** User metadata, keys in lower case. Always empty in a directory, which has nowhere to keep it. */
  metadata: Record<string, string>;
}

/** `absent`: write only if nothing is there yet. `etag`: replace only this very version. */
export type PutCondition = { absent: true } | { etag: string };

/** Bytes, or a file that holds them. */
export type Body = Uint8Array | { path: string };

export interface PutOptions {
  condition?: PutCondition;
  metadata?: Record<string, string>;
  contentType?: string;
  /**
   * Awaited before anything becomes visible, while the bytes of a large body are on their way. If it rejects,
   * nothing is written, and the put rejects with its error.
   */
  before?: () => Promise<void>;
  signal?: AbortSignal;
}

/**
 * `refused`: the condition did not hold (412, 409 until the retries ended, or NoSuchKey under an ETag).
 * Nothing was written.
 */
export type PutOutcome = { outcome: "written"; etag: string } | { outcome: "refused"; reason: string };

export interface GetOptions {
  /** Reads only this version; another one throws `conflict`. */
  etag?: string;
  /** Bytes from `start` up to but not including `end`. */
  range?: { start: number; end: number };
  /** The size as listed: a body of another size is never returned. */
  sizeBytes?: number;
  /**
   * Returns the buffer for the bytes, whichever way they come: at least this size, overwritten. Without it, a
   * new buffer is made.
   */
  allocate?: (sizeBytes: number) => Buffer;
  signal?: AbortSignal;
}

/**
 * A bucket, or a directory that stands for one. Keys are relative to it, use `/` and never begin with one.
 *
 * Errors, for every verb: `unavailable` (no answer, throttled to the end), `invalid` (access denied, no or wrong
 * credentials, bucket missing; a key that would leave a directory's root), both with a hint; `interrupted` (the signal).
 * Retries happen inside.
 */
export interface Store {
  readonly kind: "s3" | "local";
  /** `s3://bucket/` or `/an/absolute/dir/`. Messages begin with it, and `uri + key` names an object. */
  readonly uri: string;
  /**
   * How far the store's clock is ahead of this machine's, in ms, by its answers so far. 0 if it is within
   * minutes.
   */
  readonly clockOffsetMs: number;

  /** Pages of objects whose key begins with `prefix`, in UTF-8 byte order of the key over all pages. */
  list(prefix: string, options?: { signal?: AbortSignal }): AsyncIterable<ObjectInfo[]>;

  /** The names directly under `prefix` (a listing with the delimiter `/`): `year=2022/`, … with trailing slash, prefix included. */
  listPrefixes(prefix: string, options?: { signal?: AbortSignal }): Promise<string[]>;

  /** Undefined if there is no such object. */
  head(key: string, options?: { signal?: AbortSignal }): Promise<ObjectHead | undefined>;

  /**
   * The object's bytes. Throws `conflict` if it is missing, or another version than `etag`. A short body is
   * never returned.
   */
  get(key: string, options?: GetOptions): Promise<Buffer>;

  /**
   * Resolves when a GET could begin at once: a store takes only so many at a time, and further ones wait.
   * Callers with many GETs to make wait here before each.
   */
  ready(): Promise<void>;

  /**
   * Writes the whole body or nothing. A file is streamed (in parts if it is big) or linked, so it must not be
   * changed any more. An unknown outcome throws `unavailable`.
   */
  put(key: string, body: Body, options?: PutOptions): Promise<PutOutcome>;

  /**
   * Deletes; a missing object is no error. With `etag`, deletes only this version: another one throws
   * `conflict`, unless an earlier try had no answer. That one may have deleted the version, and the other one
   * may have come since.
   */
  delete(key: string, options?: { etag?: string; signal?: AbortSignal }): Promise<void>;

  /**
   * Drops what writes to keys under `prefix` left unfinished before `beforeMs`: multipart uploads, temporary
   * files. In a directory, what deletions left aside comes back, as by `putBack`.
   * Returns how many were dropped. (MinIO lists uploads for an exact key only.)
   */
  dropUnfinished(prefix: string, beforeMs: number, options?: { signal?: AbortSignal }): Promise<number>;

  /**
   * Only a directory has this. Puts back what deletions under `prefix` had put aside when their processes
   * died. Leaves alone what is at work. Returns how many objects came back.
   */
  putBack?(prefix: string): Promise<number>;

  /**
   * Whether `delete` with an ETag spares another version, found out like `honoursConditions`. MinIO ignores
   * the ETag.
   */
  honoursConditionalDeletes(prefix: string): Promise<boolean>;

  /**
   * Whether conditional writes are enforced, found out by trying under `<prefix>_hourpack/probe/…`. The
   * result is remembered for the store's life.
   */
  honoursConditions(prefix: string): Promise<boolean>;

  close(): Promise<void>;
}

/**
 * GETs in flight at most, unless the settings say otherwise: an S3 that takes 200 ms for each serves a
 * thousand a second.
 */
export const GETS_MAX = 256;

/** The object is gone, or is another version than the one that was asked for. */
export function changed(doing: "read" | "delete", location: string, why: string): HourpackError {
  return new HourpackError("conflict", `${doing} ${location}: ${why}`, { location });
}
