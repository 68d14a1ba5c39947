/** Journals of what `expire` deleted: a line with what it proved, then a line for each object. Written before the first deletion. */
import { posix } from "node:path";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { HourpackError, isHourpackError, reasonOf } from "../errors.js";
import { DAY_MS, type Hour } from "../hour.js";
import { journalPrefix } from "../layout.js";
import { compareUtf8, type Listing } from "../listing.js";
import { inRanges } from "../ranges.js";
import type { ObjectInfo, Store } from "../store/store.js";
import { firstOf, linesOf } from "../streams.js";
import type { Manifest, ManifestEntry, ManifestHeader } from "./manifest.js";

/** Nothing of an hour expires earlier than this after its end, so a younger hour has no journal. */
export const EXPIRE_AFTER_MIN_MS = DAY_MS;

export interface JournalHeader {
  format: 1;
  dataset: string;
  hour: Hour;
  at: string;
  /** Number of objects that the journal names. */
  objects: number;
  /** The part in which the objects' records were found. */
  part: { attempt: string; etag: string; rows: number };
}

export type JournalEntry = Pick<ManifestEntry, "key" | "etag" | "sizeBytes">;

/** The lines of a journal. `entries` are in key order, as in the manifest. */
export async function* journalLines(
  header: JournalHeader,
  entries: Iterable<JournalEntry>,
): AsyncGenerator<string> {
  yield `${JSON.stringify(header)}\n`;
  for (const { key, etag, sizeBytes } of entries) yield `${JSON.stringify({ key, etag, sizeBytes })}\n`;
}

/** The journals of an hour, oldest first. Throws `data` if one is damaged. */
export async function readJournals(
  store: Store,
  tier1Prefix: string,
  hour: Hour,
  signal?: AbortSignal,
): Promise<Journals> {
  const journals: Journal[] = [];
  for (const object of await journalObjects(store, tier1Prefix, hour, signal)) {
    const header = await firstOf(linesOfJournal(store, object, signal));
    if (!isHeader(header)) throw damaged(store, object.key, "it has no whole header");
    if (header.hour !== hour) throw damaged(store, object.key, `it is that of ${header.hour}`);
    journals.push({ id: idOf(object), header, entries: () => entriesOf(store, object, signal) });
  }
  return new Journals(journals);
}

/** The ids of an hour's journals. Reads none of them: rows can be given up whatever a journal says. */
export async function journalIds(
  store: Store,
  tier1Prefix: string,
  hour: Hour,
  signal?: AbortSignal,
): Promise<string[]> {
  return (await journalObjects(store, tier1Prefix, hour, signal)).map(idOf);
}

async function journalObjects(
  store: Store,
  tier1Prefix: string,
  hour: Hour,
  signal: AbortSignal | undefined,
): Promise<ObjectInfo[]> {
  const objects: ObjectInfo[] = [];
  for await (const page of store.list(journalPrefix(tier1Prefix, hour), { signal })) objects.push(...page);
  return objects;
}

/** The ULID of the expiry, which is in the journal's key. */
function idOf({ key }: ObjectInfo): string {
  return posix.basename(key).replace(/\..*$/, "");
}

interface Journal {
  id: string;
  header: JournalHeader;
  /** Reads its entries, in key order. */
  entries(): AsyncGenerator<JournalEntry>;
}

export class Journals {
  private readonly journals: Journal[];
  private asked: Promise<Cursor[]> | undefined;

  constructor(journals: Journal[]) {
    this.journals = journals;
  }

  get headers(): JournalHeader[] {
    return this.journals.map(({ header }) => header);
  }

  get isEmpty(): boolean {
    return this.journals.length === 0;
  }

  /**
   * The journals, reduced to objects that are gone. An object that is still listed in the same version was named but not
   * deleted: the expiry ended first.
   */
  async goneFrom(listing: Listing): Promise<Journals> {
    if (this.isEmpty) return this;
    await listing.whole;
    const reduced = this.journals.map((journal) => ({
      ...journal,
      entries: () => unlisted(journal.entries(), listing),
    }));
    const firsts = await Promise.all(reduced.map(({ entries }) => firstOf(entries())));
    return new Journals(reduced.filter((_, i) => firsts[i] !== undefined));
  }

  /** Without the journals whose rows were given up since. */
  binding({ givenUp = [] }: Pick<ManifestHeader, "givenUp">): Journals {
    return this.only(({ id }) => !givenUp.includes(id));
  }

  /**
   * The first deleted object that this part was not made of; undefined if there is none. If there is one, somebody put back an
   * older version of the part, without its rows.
   */
  async missingIn({ header, entries }: Manifest): Promise<string | undefined> {
    // This part has the objects of the journals that name this part.
    const others = this.binding(header).only((journal) => journal.header.part.attempt !== header.attempt);
    const cursors = await begin(others.journals);
    for await (const entry of entries()) {
      for (const cursor of cursors) {
        const deleted = cursor.entry;
        if (!deleted || compareUtf8(deleted.key, entry.key) > 0) continue;
        if (deleted.key !== entry.key || deleted.etag !== entry.etag) return deleted.key;
        cursor.entry = await after(cursor.stream);
      }
    }
    return cursors.find(({ entry }) => entry !== undefined)?.entry?.key;
  }

  /** Whether a journal names this version of the object. Call it in key order: it reads the journals along. */
  async names({ key, etag }: JournalEntry): Promise<boolean> {
    this.asked ??= begin(this.journals);
    let isNamed = false;
    for (const cursor of await this.asked) {
      for (let { entry } = cursor; entry && compareUtf8(entry.key, key) <= 0; entry = cursor.entry) {
        isNamed ||= entry.key === key && entry.etag === etag;
        cursor.entry = await after(cursor.stream);
      }
    }
    return isNamed;
  }

  private only(isKept: (journal: Journal) => boolean): Journals {
    return new Journals(this.journals.filter(isKept));
  }
}

/** A journal that is read along with another stream in key order. */
interface Cursor {
  stream: AsyncGenerator<JournalEntry>;
  entry: JournalEntry | undefined;
}

function begin(journals: Journal[]): Promise<Cursor[]> {
  return Promise.all(
    journals.map(async ({ entries }) => {
      const stream = entries();
      return { stream, entry: await after(stream) };
    }),
  );
}

async function after(stream: AsyncGenerator<JournalEntry>): Promise<JournalEntry | undefined> {
  const { value, done } = await stream.next();
  return done ? undefined : value;
}

async function* unlisted(
  entries: AsyncIterable<JournalEntry>,
  listing: Iterable<JournalEntry>,
): AsyncGenerator<JournalEntry> {
  const objects = listing[Symbol.iterator]();
  let next = objects.next();
  for await (const entry of entries) {
    while (!next.done && compareUtf8(next.value.key, entry.key) < 0) next = objects.next();
    const isListed = !next.done && next.value.key === entry.key && next.value.etag === entry.etag;
    if (!isListed) yield entry;
  }
}

/** The entries of a journal. Throws `data` if they are not as many as the header says. */
async function* entriesOf(
  store: Store,
  journal: ObjectInfo,
  signal: AbortSignal | undefined,
): AsyncGenerator<JournalEntry> {
  const lines = linesOfJournal(store, journal, signal);
  const { value: header } = await lines.next();
  const { objects } = header as JournalHeader;
  let count = 0;
  for await (const line of lines) {
    if (!isEntry(line)) throw damaged(store, journal.key, "a line names no object");
    count++;
    yield line;
  }
  if (count !== objects) throw damaged(store, journal.key, `it names ${count} of ${objects} objects`);
}

function isHeader(line: unknown): line is JournalHeader {
  const { format, at, objects, part } = (line ?? {}) as Partial<JournalHeader>;
  const { attempt, rows } = (part ?? {}) as Partial<JournalHeader["part"]>;
  const areTexts = typeof at === "string" && typeof attempt === "string";
  return format === 1 && areTexts && Number.isSafeInteger(objects) && Number.isSafeInteger(rows);
}

function isEntry(line: unknown): line is JournalEntry {
  const { key, etag } = (line ?? {}) as Partial<JournalEntry>;
  return typeof key === "string" && typeof etag === "string";
}

/** The parsed lines of a journal, read in ranges: mostly only the first is needed. */
async function* linesOfJournal(
  store: Store,
  journal: ObjectInfo,
  signal: AbortSignal | undefined,
): AsyncGenerator<unknown> {
  const plain = createGunzip();
  // A read error reaches whoever reads the lines.
  pipeline(inRanges(store, journal, { rangeBytes: RANGE_BYTES, signal }), plain).catch(() => {});
  try {
    for await (const line of linesOf(plain)) yield JSON.parse(line);
  } catch (error) {
    throw isHourpackError(error) ? error : damaged(store, journal.key, reasonOf(error), error);
  }
}

const RANGE_BYTES = 1 << 20;

function damaged(store: Store, key: string, why: string, cause?: unknown): HourpackError {
  return new HourpackError("data", `read the journal ${store.uri}${key}: it is damaged (${why})`, {
    location: store.uri + key,
    cause,
    hint: "It names raw objects that expire deleted; bring it back from an older version of the object.",
  });
}
