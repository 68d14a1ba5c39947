/** hourpack completion: a shell script that asks this command what can stand at the cursor. */
import { EXIT } from "../errors.js";
import type { Command } from "./command.js";
import { ENTRIES, entryNamed, GLOBAL_OPTIONS } from "./entries.js";

export const command: Command = {
  options: {
    line: { type: "string", describe: "What was typed up to the cursor: print what can come there" },
  },
  examples: [
    ["$0 completion >> ~/.bashrc", "for bash"],
    ["$0 completion >> ~/.zshrc", "for zsh, which it is where SHELL says so"],
  ],
  async handler(args, { output }) {
    const line = args["line"];
    const isCandidates = typeof line === "string";
    const words = isCandidates ? await candidates(line) : [];
    const shell = /zsh/.test(process.env["SHELL"] ?? "") ? "zsh" : "bash";
    const script = SCRIPTS[shell];
    output.result(isCandidates ? { words } : { shell, script });
    const text = isCandidates ? words.map((word) => `${word}\n`).join("") : script;
    if (!output.json) await output.write(text);
    return EXIT.done;
  },
};

/**
 * Commands, flags of the command, or choices of the flag before. Nothing if the shell's file names belong
 * there.
 */
async function candidates(line: string): Promise<string[]> {
  const words = line.split(/\s+/).slice(1);
  const typed = words.pop() ?? "";
  const entry = words.map(entryNamed).find((found) => found !== undefined);
  const options = { ...GLOBAL_OPTIONS, ...(entry && (await entry.load()).command.options) };
  const last = words.at(-1)?.replace(/^--/, "") ?? "";
  const before = options[last];
  const flags = Object.entries(options).flatMap(([name, { hidden, isOn }]) =>
    hidden ? [] : isOn ? [`--${name}`, `--no-${name}`] : [`--${name}`],
  );
  const names = ENTRIES.map(({ name }) => name);
  const possible =
    before && before.type !== "boolean"
      ? (before.choices ?? before.offers ?? (last === "dataset" ? await datasetsFor(words) : []))
      : entry || typed.startsWith("-")
        ? flags
        : names;
  return possible.filter((word) => word.startsWith(typed));
}

/** The datasets of the configuration, as `--dataset` takes them. None if it cannot be read. */
async function datasetsFor(words: string[]): Promise<string[]> {
  const { loadSettings } = await import("../config/load.js");
  const files = words.flatMap((word, i) => {
    if (word === "--config") return [words[i + 1]];
    return word.startsWith("--config=") ? [word.slice("--config=".length)] : [];
  });
  const settings = await loadSettings({ file: files.at(-1) }).catch(() => undefined);
  const names = settings?.datasets.map(({ name }) => name) ?? [];
  return [...new Set(names.flatMap((name) => [name.replace(/\/.*/, ""), name]))];
}

/** Does without mapfile, which the bash of macOS (3.2) does not have. */
const BASH = `# hourpack: bash
_hourpack() {
  local IFS=$'\\n'
  COMPREPLY=($(hourpack completion --line "\${COMP_LINE:0:COMP_POINT}" 2>/dev/null))
}
complete -o bashdefault -o default -F _hourpack hourpack
`;

/** A new ~/.zshrc has not called compinit, and there is no compdef without it. */
const ZSH = `# hourpack: zsh
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }
_hourpack() {
  local -a found
  found=("\${(@f)$(hourpack completion --line "$LBUFFER" 2>/dev/null)}")
  if [[ -n "$found" ]]; then compadd -- $found; else _files; fi
}
compdef _hourpack hourpack
`;

const SCRIPTS = { bash: BASH, zsh: ZSH };
