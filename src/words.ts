/** Numbers and words of a shell in sentences. */

/** `36,000`. Without Intl, which takes 7 ms to come up. */
export function count(number: number): string {
  return String(Math.round(number)).replace(/\B(?=(\d{3})+$)/g, ",");
}

/** `a, b, c and 4 more`: the first few of `all`. */
export function listed(names: string[], most: number, all = names.length): string {
  const named = names.slice(0, most);
  const more = all - named.length;
  return named.join(", ") + (more > 0 ? ` and ${count(more)} more` : "");
}

/** `1 object`, `3 objects` */
export function counted(number: number, noun: string): string {
  const plural = /[^aeiou]y$/.test(noun) ? `${noun.slice(0, -1)}ies` : `${noun}s`;
  return `${count(number)} ${number === 1 ? noun : plural}`;
}

const OF_SEVERAL = { is: "are", was: "were", has: "have", it: "them", its: "their" } as const;

/** `is` of one, `are` of several: a word that agrees with a number. */
export function agreeing(number: number, word: keyof typeof OF_SEVERAL): string {
  return number === 1 ? word : OF_SEVERAL[word];
}

/** As a POSIX shell takes it for one word, and for nothing else. */
export function shellWord(text: string): string {
  return /^[\w./@%+:,=-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
