/** Numbers in sentences. */

/** `36,000` */
export function count(number: number): string {
  return Math.round(number).toLocaleString("en-US");
}

/** `1 object`, `3 objects` */
export function counted(number: number, noun: string): string {
  const plural = /[^aeiou]y$/.test(noun) ? `${noun.slice(0, -1)}ies` : `${noun}s`;
  return `${count(number)} ${number === 1 ? noun : plural}`;
}
