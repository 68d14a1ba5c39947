/** Finds the records in a value, and what is left of the value beside them. */
import { type Json, Obj, objectOf, Unread } from "./json.js";

/**
 * Walks to the array. The envelope is what is left of the value beside it. Undefined if a key on the way
 * repeats, or leads to no array.
 */
export function takePath(value: Json, path: string[]): { items: Json[] | Unread; envelope: Obj } | undefined {
  const object = objectOf(value);
  if (!object) return undefined;
  const [key, ...rest] = path;
  const envelope = new Obj();
  let found: Json | undefined;
  for (const [i, name] of object.keys.entries()) {
    const member = object.values[i] ?? null;
    if (name !== key) envelope.set(name, member);
    else if (found !== undefined) return undefined;
    else found = member;
  }
  if (found === undefined || key === undefined) return undefined;
  if (rest.length === 0) {
    const isArray = Array.isArray(found) || (found instanceof Unread && found.isArray);
    return isArray ? { items: found as Json[] | Unread, envelope } : undefined;
  }
  const inner = takePath(found, rest);
  if (!inner) return undefined;
  if (inner.envelope.keys.length > 0) envelope.set(key, inner.envelope);
  return { items: inner.items, envelope };
}

export interface Element {
  value: Json;
  start: number;
  end: number;
}

export function* placesOf(items: Json[], spans: number[]): Generator<Element, void> {
  for (const [i, value] of items.entries()) {
    yield { value, start: spans[2 * i] as number, end: spans[2 * i + 1] as number };
  }
}
