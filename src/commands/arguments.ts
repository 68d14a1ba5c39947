/**
 * Turns what was typed into what a command gets. Node.js tells flags from words; what they mean is decided
 * here.
 */
import { parseArgs } from "node:util";
import { nearest } from "../config/spelling.js";
import { HourpackError } from "../errors.js";
import type { Args, Option, Options } from "./command.js";
import { ENTRIES, type Entry, usageOf } from "./entries.js";

/** `argv` without the command's name. Throws `invalid` with what was probably meant. */
export function readArguments(argv: string[], entry: Entry, options: Options): Args {
  const args: Args = {};
  const words: string[] = [];
  for (const token of tokensOf(argv, options)) {
    if (token.kind === "positional") words.push(token.value);
    if (token.kind !== "option") continue;
    // As it was typed: Node.js makes four flags of -hour.
    const shown = argv[token.index]?.replace(/=.*$/s, "") ?? token.rawName;
    const { name, value } = plainFlag(token, options) ?? unknownFlag(shown, entry, options);
    const option = options[name] as Option;
    const read = readValue(shown, option, value, token.inlineValue === true);
    if (option.array) args[name] = [...((args[name] as unknown[] | undefined) ?? []), read];
    else if (name in args) throw invalid(shown, `${shown} is given more than once`, "Give it once.");
    else args[name] = read;
  }
  for (const [name, option] of Object.entries(options)) {
    if (option.isRequired && !(name in args))
      throw invalid(`--${name}`, `${entry.name} needs --${name}`, `${option.describe}.`);
    if (option.default !== undefined) args[name] ??= option.default;
  }
  return { ...args, ...operandOf(words, entry) };
}

/**
 * For a command line that names no command: reports the word in its place, or a flag that resembles another.
 */
export function unknownCommand(argv: string[], options: Options): HourpackError {
  const word = tokensOf(argv, options).find((token) => token.kind === "positional")?.value;
  const help = "`hourpack --help` shows what there is.";
  if (word === undefined) {
    const [flag = ""] = argv;
    const isKnown = Object.hasOwn(options, flag.slice(2));
    const like = isKnown ? undefined : nearest(flag.replace(/^--?/, ""), Object.keys(options));
    if (like) return invalid(flag, `unknown flag ${flag}`, `Did you mean --${like}?`);
    // No command has a flag of one letter, while a long flag may belong to the command that is missing.
    if (/^-[^-]/.test(flag)) return invalid(flag, `unknown flag ${flag}`, help);
    return new HourpackError("invalid", "name a command", { hint: help });
  }
  const names = ["help", "version", ...ENTRIES.map(({ name }) => name)];
  const meant = nearest(word, names);
  return new HourpackError("invalid", `unknown command "${word}"`, {
    hint: meant ? `Did you mean \`hourpack ${meant}\`?` : help,
  });
}

function tokensOf(args: string[], options: Options) {
  const types = Object.entries(options).map(
    ([name, { type }]) => [name, { type: type === "boolean" ? type : "string" }] as const,
  );
  const config = { args, options: Object.fromEntries(types), strict: false, allowPositionals: true } as const;
  return parseArgs({ ...config, tokens: true }).tokens;
}

/** `--no-ahead` is `--ahead=false`. Undefined if there is no such flag. */
function plainFlag(
  { name, rawName, value }: { name: string; rawName: string; value?: string | undefined },
  options: Options,
): { name: string; value: string | undefined } | undefined {
  if (rawName.startsWith("--") && Object.hasOwn(options, name)) return { name, value };
  const positive = /^no-(.+)$/.exec(name)?.[1] ?? "";
  const isNegated = Object.hasOwn(options, positive) && options[positive]?.type === "boolean";
  return isNegated && value === undefined ? { name: positive, value: "false" } : undefined;
}

function readValue(shown: string, option: Option, value: string | undefined, isInline: boolean): unknown {
  if (option.type === "boolean") {
    if (value === undefined || value === "true" || value === "false") return value !== "false";
    throw invalid(shown, `${shown} must be true or false, not "${value}"`, `${option.describe}.`);
  }
  if (value === undefined || (value.startsWith("--") && !isInline))
    throw invalid(shown, `${shown} needs a value`, `Write ${shown} <${valueName(option)}>.`);
  if (option.choices && !option.choices.includes(value)) {
    const meant = nearest(value, option.choices);
    const hint = meant ? `Did you mean ${meant}?` : `It is one of ${option.choices.join(", ")}.`;
    throw invalid(shown, `${shown} cannot be "${value}"`, hint);
  }
  if (option.type !== "number") return value;
  if (value.trim() === "" || !Number.isFinite(Number(value)))
    throw invalid(shown, `${shown} must be a number, not "${value}"`, `${option.describe}.`);
  return Number(value);
}

/** `text`, as in `--hour <text>`. */
export function valueName({ type }: Option): string {
  return type === "number" ? "number" : "text";
}

function operandOf(words: string[], entry: Entry): Args {
  const { operand } = entry;
  const wanted = operand === undefined ? 0 : 1;
  if (words.length > wanted) {
    const hint = `\`hourpack ${entry.name} --help\` shows what there is.`;
    throw new HourpackError("invalid", `unknown argument "${words[wanted]}"`, { hint });
  }
  if (operand === undefined) return {};
  if (words.length === 0) {
    const hint = `Write \`hourpack ${usageOf(entry)}\`; \`hourpack ${entry.name} --help\` has examples.`;
    throw new HourpackError("invalid", `${entry.name} needs <${operand}>`, { hint });
  }
  return { [operand]: words[0] };
}

function unknownFlag(shown: string, entry: Entry, options: Options): never {
  const meant = nearest(shown.replace(/^--?(no-)?/, ""), Object.keys(options));
  const hint = meant ? `Did you mean --${meant}?` : `\`hourpack ${entry.name} --help\` shows what there is.`;
  throw invalid(shown, `unknown flag ${shown}`, hint);
}

function invalid(location: string, message: string, hint: string): HourpackError {
  return new HourpackError("invalid", message, { location, hint });
}
