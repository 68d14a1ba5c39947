/** Names of a folder on their way into a listing. */
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
