/**
 * A directory as a store, for one machine only. Links and locks keep what S3 promises by conditional writes.
 */
import { createHash, randomBytes } from "node:crypto";
import type { BigIntStats, Dirent } from "node:fs";
import { constants } from "node:fs";
import { link, opendir, readdir, rename, rm, stat, unlink } from "node:fs/promises";
import { dirname, join, resolve, sep } from "node:path";
import { HourpackError } from "../errors.js";
import { isSkippedKey } from "../layout.js";
import { compareUtf8 } from "../listing.js";
import { withFileLock } from "../lock.js";
import { makeFolders } from "../make-folders.js";
import { Aside, putBackIn, TEMPORARY } from "./local-aside.js";
import {
  close,
  etagOf,
  etagOfFile,
  fstat,
  infoOf,
  interrupted,
  isFolder,
  isMissing,
  lstat,
  openForReading,
  read,
  realOf,
  refused,
  requireDisk,
  requireFile,
  requireNoLink,
  sizeOf,
  skipped,
  syncFolder,
  writeWhole,
} from "./local-files.js";
import { firstsOfFolders, folderOf, isPlain, packed } from "./local-names.js";
import { Pace } from "./pace.js";
import type { Body, GetOptions, ObjectHead, ObjectInfo, PutOptions, PutOutcome, Store } from "./store.js";
import { changed } from "./store.js";

const PAGE_OBJECTS = 1000;
/** Windows has no such flags. */
const NO_FOLLOW = constants.O_NOFOLLOW as number | undefined;
/** A pipe that nobody writes to opens all the same, and is then found to be no file. */
const READ = constants.O_RDONLY | ((constants.O_NONBLOCK as number | undefined) ?? 0);
const FOLDERS_MAX = 10_000;
/** Enough to keep Node.js' four threads for the file system busy, few enough to stay in the caches. */
const READS_AT_A_TIME = 16;

export class LocalStore implements Store {
  readonly kind = "local";
  readonly uri: string;
  readonly clockOffsetMs = 0;
  private readonly root: string;
  /** Folders known to lie inside the root, links resolved: their paths by their keys. */
  private readonly inside = new Map<string, string>();
  private readonly pace: Pace;
  private readonly aside = new Aside();

  constructor(root: string) {
    this.root = resolve(root);
    requireDisk(this.root);
    this.uri = `${this.root}/`;
    this.pace = new Pace({
      start: READS_AT_A_TIME,
      max: READS_AT_A_TIME,
      isRefusal: () => false,
      location: this.uri,
    });
  }

  async *list(prefix: string, options: { signal?: AbortSignal } = {}): AsyncGenerator<ObjectInfo[]> {
    let keys: string[] = [];
    const folder = prefix.slice(0, prefix.lastIndexOf("/") + 1);
    for await (const key of this.keysUnder(folder, prefix)) {
      interrupted(options.signal, `list ${this.uri}${prefix}`);
      keys.push(key);
      if (keys.length === PAGE_OBJECTS) {
        yield this.infosOf(keys);
        keys = [];
      }
    }
    if (keys.length > 0) yield this.infosOf(keys);
  }

  async listPrefixes(prefix: string, _options: { signal?: AbortSignal } = {}): Promise<string[]> {
    const folder = prefix.slice(0, prefix.lastIndexOf("/") + 1);
    const entries = await this.entriesOf(folder);
    return entries
      .filter((entry) => entry.isDirectory())
      .map((entry) => `${folder}${entry.name}/`)
      .filter((name) => name.startsWith(prefix));
  }

  async head(key: string): Promise<ObjectHead | undefined> {
    const stats = await this.statOf(key);
    if (!stats?.isFile()) return undefined;
    return { ...infoOf(key, stats), lastModifiedMs: Number(stats.mtimeMs), metadata: {} };
  }

  ready(): Promise<void> {
    return this.pace.ready();
  }

  get(key: string, options: GetOptions = {}): Promise<Buffer> {
    return this.pace.run(() => this.read(key, options));
  }

  private async read(key: string, options: GetOptions): Promise<Buffer> {
    interrupted(options.signal, `read ${this.uri}${key}`);
    const file = await this.openFile(key);
    try {
      // The ETag gives the size of the file, and is compared once the bytes have been read.
      const etag = options.etag ?? (await etagOfFile(file, this.uri + key));
      const fileBytes = sizeOf(etag);
      const start = options.range?.start ?? 0;
      const end = Math.min(options.range?.end ?? fileBytes, fileBytes);
      const sizeBytes = Math.max(0, end - start);
      const bytes = (options.allocate ?? Buffer.allocUnsafe)(sizeBytes).subarray(0, sizeBytes);
      const { bytesRead } =
        bytes.length > 0 ? await read(file, bytes, 0, bytes.length, start) : { bytesRead: 0 };
      if (etagOf(await fstat(file, { bigint: true })) !== etag)
        throw changed("read", this.uri + key, "ETag changed since it was listed");
      if (bytesRead !== bytes.length) throw changed("read", this.uri + key, "it changed while it was read");
      return bytes;
    } catch (error) {
      if (error instanceof HourpackError) throw error;
      throw this.failed(error, `read ${this.uri}${key}`);
    } finally {
      await close(file);
    }
  }

  async put(key: string, body: Body, options: PutOptions = {}): Promise<PutOutcome> {
    interrupted(options.signal, `write ${this.uri}${key}`);
    const path = await this.pathOf(key);
    const temporary = join(dirname(path), TEMPORARY + randomBytes(8).toString("hex"));
    try {
      await makeFolders(dirname(path));
      await this.pathOf(key);
      await writeWhole(temporary, body);
      await options.before?.();
      const outcome = await this.publish(temporary, path, key, options);
      await syncFolder(dirname(path));
      return outcome;
    } catch (error) {
      if (error instanceof HourpackError) throw error;
      throw this.failed(error, `write ${path}`);
    } finally {
      await rm(temporary, { force: true });
    }
  }

  async delete(key: string, options: { etag?: string; signal?: AbortSignal } = {}): Promise<void> {
    interrupted(options.signal, `delete ${this.uri}${key}`);
    const path = await this.pathOf(key);
    try {
      if (options.etag === undefined) await unlink(path);
      else await this.deleteVersion(path, key, options.etag);
    } catch (error) {
      if (isMissing(error)) return;
      if (error instanceof HourpackError) throw error;
      throw this.failed(error, `delete ${path}`);
    }
  }

  private async deleteVersion(path: string, key: string, etag: string): Promise<void> {
    const found = await this.statOf(key);
    const isOther = found && etagOf(found) !== etag;
    if (isOther || !(await this.aside.deleteVersion(path, etag)))
      throw changed("delete", this.uri + key, "ETag changed");
  }

  async honoursConditions(): Promise<boolean> {
    return true;
  }

  async honoursConditionalDeletes(): Promise<boolean> {
    return true;
  }

  async putBack(prefix: string): Promise<number> {
    let count = 0;
    for await (const { folder, names } of this.temporariesUnder(prefix))
      count += await this.putBackIn(folder, names);
    return count;
  }

  private async putBackIn(folder: string, names: string[]): Promise<number> {
    try {
      return await putBackIn(join(this.root, folder), names);
    } catch (error) {
      throw this.failed(error, `put back what a process that is gone left aside in ${this.uri}${folder}`);
    }
  }

  async dropUnfinished(prefix: string, beforeMs: number): Promise<number> {
    let dropped = 0;
    for await (const { folder, names } of this.temporariesUnder(prefix)) {
      await this.putBackIn(folder, names);
      for (const name of names) {
        const head = await this.head(folder + name);
        if (!head || head.lastModifiedMs >= beforeMs) continue;
        await this.delete(head.key);
        dropped++;
      }
    }
    return dropped;
  }

  async close(): Promise<void> {}

  /** `link` creates only if nothing is there. A replacement compares and renames under a kernel lock. */
  private async publish(
    temporary: string,
    path: string,
    key: string,
    { condition }: PutOptions,
  ): Promise<PutOutcome> {
    if (condition === undefined) {
      await rename(temporary, path);
    } else if ("absent" in condition) {
      try {
        await link(temporary, path);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
        await requireFile(path);
        return { outcome: "refused", reason: "it exists" };
      }
    } else {
      const lockPath = join(this.root, "_hourpack", "locks", `${hashOf(key)}.lock`);
      const replaced = await withFileLock(lockPath, async () => {
        const stats = await this.statOf(key);
        if (!stats || etagOf(stats) !== condition.etag) return false;
        await rename(temporary, path);
        return true;
      });
      if (!replaced) return { outcome: "refused", reason: "it is another version" };
    }
    const stats = await stat(path, { bigint: true });
    return { outcome: "written", etag: etagOf(stats) };
  }

  /** Keys in UTF-8 order. A folder sorts as its name with a slash, because its keys begin that way. */
  private async *keysUnder(folder: string, prefix: string): AsyncGenerator<string> {
    for (const name of await this.namesOf(folder, prefix)) {
      const key = folder + name;
      if (name.startsWith(TEMPORARY)) continue;
      if (name.endsWith("/")) {
        if (key.startsWith(prefix) || prefix.startsWith(key)) yield* this.keysUnder(key, prefix);
      } else if (key.startsWith(prefix)) {
        yield key;
      }
    }
  }

  /** The temporary names, which no listing shows, folder by folder. */
  private async *temporariesUnder(prefix: string): AsyncGenerator<{ folder: string; names: string[] }> {
    const folders = [prefix.slice(0, prefix.lastIndexOf("/") + 1)];
    for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
      const path = await this.pathOf(folder);
      const names: string[] = [];
      try {
        for await (const entry of await opendir(path, { bufferSize: 1024 })) {
          const key = `${folder}${entry.name}/`;
          if (entry.name.startsWith(TEMPORARY)) names.push(entry.name);
          else if (entry.isDirectory() && (key.startsWith(prefix) || prefix.startsWith(key)))
            folders.push(key);
        }
      } catch (error) {
        if (!isMissing(error)) throw this.failed(error, `list ${path}`);
      }
      if (names.length > 0) yield { folder, names };
    }
  }

  /**
   * In UTF-8 order; folders have a trailing slash. Reads a few entries at a time: a million at once take
   * hundreds of megabytes.
   */
  private async namesOf(folder: string, prefix: string): Promise<Iterable<string>> {
    const path = await this.pathOf(folder);
    const names: string[] = [];
    try {
      for await (const entry of await opendir(path, { bufferSize: 1024 })) {
        const isWanted = `${folder}${entry.name}/`.startsWith(prefix);
        if (isWanted && entry.isSymbolicLink() && (await isFolder(join(path, entry.name))))
          throw skipped(join(path, entry.name), "this is a link to a folder, which is not followed");
        names.push(entry.isDirectory() ? `${entry.name}/` : entry.name);
      }
    } catch (error) {
      if (error instanceof HourpackError) throw error;
      if (!isMissing(error)) throw this.failed(error, `list ${path}`);
      await requireNoLink(path);
      return [];
    }
    return packed(names.sort(compareUtf8));
  }

  private async entriesOf(folder: string): Promise<Dirent[]> {
    const path = await this.pathOf(folder);
    try {
      return await readdir(path, { withFileTypes: true });
    } catch (error) {
      if (isMissing(error)) return [];
      throw this.failed(error, `list ${path}`);
    }
  }

  /** Takes a page's worth at a time, so that several threads ask the disk. */
  private async infosOf(keys: string[]): Promise<ObjectInfo[]> {
    for (const key of firstsOfFolders(keys)) await this.pathOf(key);
    const stats = await Promise.all(keys.map((key) => this.statOf(key)));
    for (const [i, key] of keys.entries()) if (!stats[i]) await this.requireGone(key);
    return keys.flatMap((key, i) => (stats[i]?.isFile() ? [infoOf(key, stats[i])] : []));
  }

  /** A listed key without a file behind its name was deleted meanwhile. If not, throws `invalid`. */
  private async requireGone(key: string): Promise<void> {
    const path = join(this.root, key);
    // A name that is not UTF-8 is read with this character in it, and no file has that name.
    if (key.includes("\uFFFD")) throw skipped(path, "its name is not UTF-8, which a key is");
    if (!isSkippedKey(key)) await requireNoLink(path);
  }

  /** In a known folder, one call is enough for a file that is no link. A link is not followed unchecked. */
  private async statOf(key: string): Promise<BigIntStats | undefined> {
    const known = this.knownPath(key);
    const path = known ?? (await this.pathOf(key));
    try {
      const found =
        known === undefined ? await stat(path, { bigint: true }) : await lstat(path, { bigint: true });
      return found.isSymbolicLink() ? await stat(await this.pathOf(key), { bigint: true }) : found;
    } catch (error) {
      if (error instanceof HourpackError) throw error;
      if (isMissing(error)) return undefined;
      throw this.failed(error, `look at ${path}`);
    }
  }

  private async openFile(key: string): Promise<number> {
    const known = NO_FOLLOW === undefined ? undefined : this.knownPath(key);
    try {
      if (known !== undefined) return await openForReading(known, READ | (NO_FOLLOW ?? 0));
    } catch (error) {
      if (isMissing(error)) throw changed("read", this.uri + key, "it is gone");
      if ((error as NodeJS.ErrnoException).code !== "ELOOP") throw this.failed(error, `read ${known}`);
    }
    const path = await this.pathOf(key);
    try {
      return await openForReading(path, READ);
    } catch (error) {
      if (isMissing(error)) throw changed("read", this.uri + key, "it is gone");
      throw this.failed(error, `read ${path}`);
    }
  }

  /** The path of a key in a folder whose links have been checked. The file itself may be a link. */
  private knownPath(key: string): string | undefined {
    if (!isPlain(key)) throw this.escaped(key);
    const folderKey = folderOf(key);
    const folder = this.inside.get(folderKey);
    return folder === undefined ? undefined : folder + sep + key.slice(folderKey.length);
  }

  /** The path of a key. Throws `invalid` if the key leaves the root, by its segments or by a link. */
  private async pathOf(key: string): Promise<string> {
    if (!isPlain(key)) throw this.escaped(key);
    const path = join(this.root, key);
    const folder = dirname(path);
    let real: string;
    let root: string;
    try {
      [real, root] = [await realOf(path), await realOf(this.root)];
    } catch (error) {
      throw this.failed(error, `look at ${path}`);
    }
    if (real !== root && !real.startsWith(root + sep)) throw this.escaped(key);
    if (folder.startsWith(this.root) && this.inside.size < FOLDERS_MAX && (await isFolder(folder)))
      this.inside.set(folderOf(key), folder);
    return path;
  }

  private escaped(key: string): HourpackError {
    return new HourpackError("invalid", `the key ${JSON.stringify(key)} leaves the directory ${this.root}`, {
      location: this.root,
      hint: "Keys of a directory store stay inside of it, links included.",
    });
  }

  private failed(error: unknown, doing: string): HourpackError {
    return refused(error, doing, this.root);
  }
}

function hashOf(key: string): string {
  return createHash("sha256").update(key).digest("hex").slice(0, 32);
}
