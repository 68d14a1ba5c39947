/** Keys and names of files, apart from any file system. */
import { deflateRawSync, inflateRawSync } from "node:zlib";

/**
 * The same names, in the same order; takes them out of the array. Those of a large folder are kept deflated: a million as
 * JavaScript values take 120 MB for as long as their files are looked at, and packed 35.
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
/** The one character that no name of a file has, besides the slash of folders. */
const SEPARATOR = "\0";

/** Of keys in order: with these looked at, the folders of all of them are known. */
export function firstsOfFolders(keys: string[]): string[] {
  return keys.filter((key, i) => i === 0 || folderOf(key) !== folderOf(keys[i - 1] as string));
}

/** The key of the folder that it lies in, with a slash at its end as any folder's has; empty for the root. */
export function folderOf(key: string): string {
  return key.slice(0, key.lastIndexOf("/", key.length - 2) + 1);
}

/** No segment of it leads up, and it does not begin at the root. */
export function isPlain(key: string): boolean {
  return !/(^|\/)\.\.?(\/|$)|^\/|\0/.test(key);
}
