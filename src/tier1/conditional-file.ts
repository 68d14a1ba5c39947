/** A small file of tier 1 that several workers read and change. Every write is conditional; the loser of a race reads again. */
import { type ErrorDetails, HourpackError, isHourpackError } from "../errors.js";
import type { Store } from "../store/store.js";

export interface FileFormat<T> {
  /** Throws `data` if the bytes are not in this format. */
  parse(bytes: Buffer, location: string): T;
  serialise(content: T): Buffer;
  /** What the error says was being done if the file keeps changing: `read`, or `note hours in`. */
  doing: { read: string; change: string };
  contended: ErrorDetails;
}

export class ConditionalFile<T> {
  readonly key: string;
  private readonly store: Store;
  private readonly format: FileFormat<T>;
  /** The content as last read: most reads find it unchanged, by a HEAD. */
  private last: { content: T; etag: string } | undefined;

  constructor(store: Store, key: string, format: FileFormat<T>) {
    this.store = store;
    this.key = key;
    this.format = format;
  }

  /** Undefined if there is no file. Callers must not change the content. Throws `conflict` if the file keeps changing. */
  async read(signal?: AbortSignal): Promise<T | undefined> {
    return (await this.stored(signal))?.content;
  }

  /**
   * Writes what `next` makes of the content, and returns it. Writes nothing if `next` returns what it was given, or undefined.
   * After a lost race it calls `next` again with what the winner wrote. Throws `conflict` if it loses too often.
   */
  async change(
    next: (content: T | undefined) => Promise<T | undefined>,
    signal?: AbortSignal,
  ): Promise<T | undefined> {
    const { store, key, format } = this;
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      const stored = await this.stored(signal);
      const content = await next(stored?.content);
      if (content === undefined || content === stored?.content) return content;
      const bytes = format.serialise(content);
      // Read back before it is written: a file that nobody can read would stop every later run.
      format.parse(bytes, store.uri + key);
      const put = await store.put(key, bytes, {
        condition: stored ? { etag: stored.etag } : { absent: true },
        contentType: "application/json",
        signal,
      });
      if (put.outcome === "written") return content;
    }
    throw this.contended(format.doing.change);
  }

  private async stored(signal: AbortSignal | undefined): Promise<{ content: T; etag: string } | undefined> {
    const { store, key, format } = this;
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      const head = await store.head(key, { signal });
      if (!head) return undefined;
      const { etag } = head;
      if (this.last?.etag === etag) return this.last;
      const bytes = await store.get(key, { etag, signal }).catch((error) => {
        if (!isHourpackError(error, "conflict")) throw error;
      });
      // The file was replaced between the two requests: read the new one.
      if (!bytes) continue;
      this.last = { content: format.parse(bytes, store.uri + key), etag };
      return this.last;
    }
    throw this.contended(format.doing.read);
  }

  private contended(doing: string): HourpackError {
    const location = this.store.uri + this.key;
    return new HourpackError("conflict", `${doing} ${location}: it changed ${ATTEMPTS_MAX} times under us`, {
      location,
      ...this.format.contended,
    });
  }
}

const ATTEMPTS_MAX = 20;
