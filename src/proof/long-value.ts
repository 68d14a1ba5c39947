/** Finds where a value begins and ends that is too long to look at in one piece, without keeping it. */
import { Cursor } from "./cursor.js";
import { CLOSE_ARRAY, isDelimiter, isOpener, OPEN_ARRAY, skipBlanks } from "./first-line.js";
import { Damage } from "./json.js";
import { Scanner } from "./scan.js";

/** Offsets in the object. */
interface LongValue {
  start: number;
  end: number;
  /** Whether it is an element of a top-level array. */
  isElement: boolean;
}

/**
 * The next value. The first one after an array's opening bracket is an element, too. The cursor holds up to
 * about `maxBytes`. The value has no size if that array is empty, or if only blanks are left.
 */
export async function findLongValue(
  cursor: Cursor,
  inArray: boolean,
  maxBytes: number,
): Promise<LongValue | Damage> {
  const ahead = new Cursor({ pieces: () => cursor.ahead(maxBytes) });
  try {
    await skipBlanks(ahead);
    const isFirst = !inArray && ahead.bytes(1)[0] === OPEN_ARRAY;
    if (isFirst) {
      ahead.drop(1);
      await skipBlanks(ahead);
    }
    const isElement = inArray || isFirst;
    const start = cursor.at + ahead.at;
    const byte = ahead.bytes(1)[0];
    const isNone = isFirst ? byte === CLOSE_ARRAY : byte === undefined;
    if (!isNone) await skipValue(ahead, isElement);
    return { start, end: cursor.at + ahead.at, isElement };
  } catch (error) {
    if (error instanceof Damage) return error;
    throw error;
  } finally {
    await ahead.close();
  }
}

/** Throws Damage. */
async function skipValue(ahead: Cursor, isElement: boolean): Promise<void> {
  const scanner = new Scanner();
  const isOpen = !isOpener(ahead.bytes(1)[0]);
  let end = -1;
  for (await ahead.fill(1); end < 0 && ahead.heldBytes > 0; await ahead.fill(1)) {
    const bytes = ahead.bytes(ahead.heldBytes);
    end = scanner.scan(bytes);
    ahead.drop(end < 0 ? bytes.length : end);
  }
  if (end < 0 && !scanner.isWhole) throw new Damage("a value does not end");
  const next = ahead.bytes(1)[0];
  if (isOpen && next !== undefined && !isDelimiter(next, isElement)) throw new Damage("no JSON value");
}
