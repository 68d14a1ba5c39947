/** Texts as wide as a terminal shows them: a letter may take two of its columns, or none. */
import stringWidth from "string-width";

/** Of a text that is longer than any line the count of its characters is enough: finding its letters takes minutes for a million. */
export function screenWidth(text: string): number {
  return text.length > LONG_CHARS ? text.length : stringWidth(text);
}

const LONG_CHARS = 4_000;

/** As much of its beginning as so many columns hold. */
export function startWithin(text: string, chars: number): string {
  if (screenWidth(text) <= chars) return text;
  let width = 0;
  for (const { segment, index } of letters.segment(text.slice(0, LONG_CHARS))) {
    width += stringWidth(segment);
    if (width > chars) return text.slice(0, index);
  }
  return text.slice(0, LONG_CHARS);
}

/** As much of its end. */
export function endWithin(text: string, chars: number): string {
  let end = Array.from(letters.segment(text), ({ segment }) => segment);
  while (end.length > 0 && screenWidth(end.join("")) > chars) end = end.slice(1);
  return end.join("");
}

export function padded(text: string, chars: number): string {
  return text + " ".repeat(Math.max(0, chars - screenWidth(text)));
}

const letters = new Intl.Segmenter();
