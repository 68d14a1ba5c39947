/** Reads the project's pages as a reader would: fenced blocks, the commands in them, and code in the prose. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, join, resolve } from "node:path";
import { cleanEnv, HOURPACK } from "./cli.js";

export const ROOT = resolve(import.meta.dirname, "../..");

/** README.md and every page under docs/, relative to the checkout. */
export function allPages(): string[] {
  const docs = readdirSync(join(ROOT, "docs"), { recursive: true, encoding: "utf8" });
  const pages = docs.filter((path) => path.endsWith(".md")).map((path) => join("docs", path));
  return ["README.md", ...pages.sort()];
}

export function textOf(page: string): string {
  return readFileSync(join(ROOT, page), "utf8");
}

export interface Block {
  /** The text of the `<!-- … -->` above it, such as `config` or `sample: a/key`. */
  mark: string;
  language: string;
  text: string;
}

/** The fenced blocks in order, including those indented in a list. */
export function blocksOf(text: string): Block[] {
  const fence = /(?:^[ \t]*<!-- (.+?) -->\n)?^([ \t]*)```(\w*)\n(.*?)^\2```/gms;
  return [...text.matchAll(fence)].map(([, mark = "", indent = "", language = "", body = ""]) => ({
    mark,
    language,
    text: body.replaceAll(new RegExp(`^${indent}`, "gm"), ""),
  }));
}

/** The commands of a `sh` block: one for each line with its continuations, and those after `&&` and `|`. */
export function commandsOf(block: Block): string[] {
  if (block.language !== "sh") return [];
  return block.text
    .replaceAll(/\\\n\s*/g, "")
    .split("\n")
    .flatMap(commandsOfLine);
}

function commandsOfLine(line: string): string[] {
  // Quoted text is skipped as a whole.
  const pieces = line.match(/'[^']*'|"[^"]*"|&&|\||(?:^|\s)#.*$|[^'"&|#]+|./g) ?? [];
  const commands = [""];
  for (const piece of pieces) {
    if (piece === "&&" || piece === "|") commands.push("");
    else if (!/^\s?#/.test(piece)) commands.push(commands.pop() + piece);
  }
  return commands.map((command) => command.trim()).filter(Boolean);
}

/** The code in the prose, each piece on one line. */
export function inlineCodeOf(text: string): string[] {
  const prose = text.replace(/^[ \t]*```.*?^[ \t]*```/gms, "");
  return [...prose.matchAll(/`([^`]+)`/g)].map(([, code = ""]) => code.replaceAll(/\s+/g, " "));
}

/** The words after `hourpack` or `node bin/hourpack.js`, also if `sudo` or `systemd-run` starts it. Undefined for another command. */
export function hourpackCall(command: string): string | undefined {
  return /^(?:sudo (?:systemd-run .*?)?)?(?:node bin\/hourpack\.js|hourpack) (.*)$/.exec(command)?.[1];
}

/** Makes `hourpack` and `node bin/hourpack.js` in a folder run the local build. Returns the environment for it. */
export function prepareFolder(folder: string): NodeJS.ProcessEnv {
  for (const name of ["bin", ".path"]) mkdirSync(join(folder, name), { recursive: true });
  writeFileSync(join(folder, "bin/hourpack.js"), `import ${JSON.stringify(HOURPACK)};\n`);
  writeFileSync(join(folder, "package.json"), '{"type":"module"}');
  const script = `#!/bin/sh\nexec "${process.execPath}" "${HOURPACK}" "$@"\n`;
  writeFileSync(join(folder, ".path/hourpack"), script, { mode: 0o755 });
  const env = cleanEnv();
  return {
    ...env,
    PATH: [join(folder, ".path"), env["PATH"]].join(delimiter),
    HOURPACK_SPOOL_DIR: join(folder, ".spool"),
  };
}
