/** Keys and names of files, apart from any file system. */
import { deflateRawSync, inflateRawSync } from "node:zlib";

/**
 * Returns the same names in the same order, and takes them out of the array. The names of a large folder are
 * kept deflated: while their files are looked at, a million names take 120 MB as JavaScript values, and 35 MB
 * packed.
 */
export function packed(names: string[]): Iterable<string> {
  if (names.length <= PAGE_NAMES) return names;
  const pages: Buffer[] = [];
  for (let start = 0; start < names.length; start += PAGE_NAMES) {
    const page = names.slice(start, start + PAGE_NAMES).join(SEPARATOR);
    pages.push(deflateRawSync(page, { level: 1 }));
  }
  names.length = 0;
  return unpacked(pages);
}

function* unpacked(pages: Buffer[]): Generator<string> {
  for (const page of pages) yield* inflateRawSync(page).toString("utf8").split(SEPARATOR);
}

const PAGE_NAMES = 1000;
/** The one character, besides the slash, that no file name contains. */
const SEPARATOR = "\0";

/**
 * For keys in order, the first key of each folder: once these are looked at, the folders of all keys are
 * known.
 */
export function firstsOfFolders(keys: string[]): string[] {
  return keys.filter((key, i) => i === 0 || folderOf(key) !== folderOf(keys[i - 1] as string));
}

/** The key of the folder that holds it, with a trailing slash like every folder's key. Empty for the root. */
export function folderOf(key: string): string {
  return key.slice(0, key.lastIndexOf("/", key.length - 2) + 1);
}

/** Whether no segment leads up and the key does not begin at the root. */
export function isPlain(key: string): boolean {
  return !/(^|\/)\.\.?(\/|$)|^\/|\0/.test(key);
}
