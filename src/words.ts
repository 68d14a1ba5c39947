/** Numbers, lists and shell words in sentences. */

/** `36,000`. Not by Intl, which takes 7 ms to load. */
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

/** The form of a word that agrees with a number: `is` for one, `are` for several. */
export function agreeing(number: number, word: keyof typeof OF_SEVERAL): string {
  return number === 1 ? word : OF_SEVERAL[word];
}

/** Quotes the text so that a POSIX shell takes it as exactly one word. */
export function shellWord(text: string): string {
  return /^[\w./@%+:,=-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
