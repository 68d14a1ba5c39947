/** What `expire` deleted: a line of what it had proved, and a line an object, written before the first of them goes. */
import { Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { HourpackError, reasonOf } from "./errors.js";
import { DAY_MS, type Hour } from "./hour.js";
import { journalPrefix } from "./layout.js";
import { linesOf } from "./lines.js";
import { compareUtf8 } from "./listing.js";
import type { Manifest, ManifestEntry, ManifestHeader } from "./manifest.js";
import type { Store } from "./store/store.js";

/** So long after its end nothing of an hour is ever expired: one that is younger has no journal. */
export const EXPIRE_AFTER_MIN_MS = DAY_MS;

export interface JournalHeader {
  format: 1;
  dataset: string;
  hour: Hour;
  at: string;
  /** The part that the objects' records had been found in. */
  part: { attempt: string; etag: string; rows: number };
}

export type JournalEntry = Pick<ManifestEntry, "key" | "etag" | "sizeBytes">;

/** In key order, as the manifest has them. */
export async function* journalLines(
  header: JournalHeader,
  entries: Iterable<JournalEntry>,
): AsyncGenerator<string> {
  yield `${JSON.stringify(header)}\n`;
  for (const { key, etag, sizeBytes } of entries) yield `${JSON.stringify({ key, etag, sizeBytes })}\n`;
}

/** The journals of an hour, oldest first. Throws `data` where one is damaged. */
export async function readJournals(
  store: Store,
  tier1Prefix: string,
  hour: Hour,
  signal?: AbortSignal,
): Promise<Journals> {
  const keys: string[] = [];
  for await (const page of store.list(journalPrefix(tier1Prefix, hour), { signal })) {
    keys.push(...page.map(({ key }) => key));
  }
  const read = (key: string) => linesOfJournal(store, key, signal);
  const headers: JournalHeader[] = [];
  for (const key of keys) {
    const { value: header } = await read(key).next();
    if (typeof (header as JournalHeader | undefined)?.part?.attempt !== "string")
      throw damaged(store, key, "it has no header");
    headers.push(header as JournalHeader);
  }
  return new Journals(
    headers,
    keys.map((key) => read(key) as AsyncGenerator<JournalEntry>),
  );
}

export class Journals {
  readonly headers: JournalHeader[];
  private readonly streams: AsyncGenerator<JournalEntry>[];
  private next: (JournalEntry | undefined)[] | undefined;

  constructor(headers: JournalHeader[], streams: AsyncGenerator<JournalEntry>[]) {
    this.headers = headers;
    this.streams = streams;
  }

  get isEmpty(): boolean {
    return this.headers.length === 0;
  }

  /** Without those of rows that were given up since: of parts from before the remainder was packed. */
  binding({ remainderOf = "" }: Pick<ManifestHeader, "remainderOf">): JournalHeader[] {
    return this.headers.filter(({ part }) => part.attempt >= remainderOf);
  }

  /**
   * The first object that was deleted and that this part was not made of: an older version of it was put back, without the
   * rows. To be asked instead of `names`, and not besides it.
   */
  async missingIn({ header, entries }: Manifest): Promise<string | undefined> {
    if (this.headers.at(-1)?.part.attempt === header.attempt) return undefined;
    const binding = new Set(this.binding(header));
    const next = (await this.first()).map((entry, i) =>
      binding.has(this.headers[i] as JournalHeader) ? entry : undefined,
    );
    for await (const entry of entries()) {
      for (const [i, stream] of this.streams.entries()) {
        const deleted = next[i];
        if (!deleted || compareUtf8(deleted.key, entry.key) > 0) continue;
        if (deleted.key !== entry.key || deleted.etag !== entry.etag) return deleted.key;
        next[i] = await after(stream);
      }
    }
    return next.find((deleted) => deleted !== undefined)?.key;
  }

  /** Whether this version of the object is named. To be asked in key order: the journals are read along with it. */
  async names({ key, etag }: JournalEntry): Promise<boolean> {
    this.next ??= await this.first();
    let isNamed = false;
    for (const [i, stream] of this.streams.entries()) {
      for (let entry = this.next[i]; entry && compareUtf8(entry.key, key) <= 0; entry = this.next[i]) {
        isNamed ||= entry.key === key && entry.etag === etag;
        this.next[i] = await after(stream);
      }
    }
    return isNamed;
  }

  /** Before its entries each has its header. */
  private first(): Promise<(JournalEntry | undefined)[]> {
    return Promise.all(this.streams.map((stream) => after(stream).then(() => after(stream))));
  }
}

async function after(stream: AsyncGenerator<JournalEntry>): Promise<JournalEntry | undefined> {
  const { value, done } = await stream.next();
  return done ? undefined : value;
}

async function* linesOfJournal(store: Store, key: string, signal?: AbortSignal): AsyncGenerator<unknown> {
  const bytes = await store.get(key, { signal });
  try {
    for await (const line of linesOf(Readable.from([bytes]).pipe(createGunzip()))) yield JSON.parse(line);
  } catch (error) {
    throw damaged(store, key, reasonOf(error), error);
  }
}

function damaged(store: Store, key: string, why: string, cause?: unknown): HourpackError {
  return new HourpackError("data", `read the journal ${store.uri}${key}: it is damaged (${why})`, {
    location: store.uri + key,
    cause,
    hint: "It names raw objects that expire deleted; bring it back from an older version of the object.",
  });
}
