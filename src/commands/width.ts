/** How wide a terminal shows a text: a character may take two columns, or none. */
import stringWidth from "string-width";

/** A text longer than any line is measured by its length: splitting a million characters into graphemes takes minutes. */
export function screenWidth(text: string): number {
  return text.length > LONG_CHARS ? text.length : stringWidth(text);
}

const LONG_CHARS = 4_000;

/** As much of the beginning as fits into `chars` columns. */
export function startWithin(text: string, chars: number): string {
  if (screenWidth(text) <= chars) return text;
  let width = 0;
  for (const { segment, index } of graphemes(text.slice(0, LONG_CHARS))) {
    width += stringWidth(segment);
    if (width > chars) return text.slice(0, index);
  }
  return text.slice(0, LONG_CHARS);
}

/** As much of the end as fits into `chars` columns. */
export function endWithin(text: string, chars: number): string {
  if (screenWidth(text) <= chars) return text;
  const last = text.slice(-LONG_CHARS);
  let width = 0;
  let start = last.length;
  for (const { segment, index } of [...graphemes(last)].reverse()) {
    width += stringWidth(segment);
    if (width > chars) break;
    start = index;
  }
  return last.slice(start);
}

export function padded(text: string, chars: number): string {
  return text + " ".repeat(Math.max(0, chars - screenWidth(text)));
}

/** Made when first needed: most starts print no table. */
let segmenter: Intl.Segmenter | undefined;

function graphemes(text: string): Iterable<Intl.SegmentData> {
  segmenter ??= new Intl.Segmenter();
  return segmenter.segment(text);
}
