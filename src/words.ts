/** Numbers in sentences. */

/** `36,000`. Without Intl, which takes 7 ms to come up. */
export function count(number: number): string {
  return String(Math.round(number)).replace(/\B(?=(\d{3})+$)/g, ",");
}

/** `1 object`, `3 objects` */
export function counted(number: number, noun: string): string {
  const plural = /[^aeiou]y$/.test(noun) ? `${noun.slice(0, -1)}ies` : `${noun}s`;
  return `${count(number)} ${number === 1 ? noun : plural}`;
}
