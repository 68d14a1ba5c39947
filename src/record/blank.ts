/** White space as RFC 8259 defines it, as a byte or as a unit of a text. */
export function isBlank(unit: number | undefined): boolean {
  return unit === 0x20 || unit === 0x0a || unit === 0x0d || unit === 0x09;
}

/** The first place from here on that is not white space. */
export function skipBlank(text: string, from: number): number {
  let position = from;
  while (isBlank(text.charCodeAt(position))) position++;
  return position;
}
