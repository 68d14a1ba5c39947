/** Reads hourpack.yaml, and remembers the line of each value. */
import { readFile } from "node:fs/promises";
import type { Document, Node, Pair } from "yaml";
import { HourpackError, reasonOf } from "../errors.js";
import { require } from "../require.js";

type Yaml = typeof import("yaml");

export type ConfigPath = readonly (string | number)[];

export interface ConfigFile {
  /** As the caller named it, for messages. */
  path: string;
  /** Plain JSON values. */
  value: Record<string, unknown>;
  /** The line of a value's key, counted from 1. For a missing value, that of the nearest thing above it. */
  lineOf(path: ConfigPath): number;
  /** How many characters precede the value's key on its line. */
  indentOf(path: ConfigPath): number;
}

/**
 * `path` is the file's name in messages. Throws `invalid`, with the line, if the file cannot be read or is
 * not a YAML map; custom tags are refused. The file may be a pipe, such as `<(sops -d hourpack.yaml)`:
 * signals are handled while nobody writes to it.
 */
export async function readConfigFile(absolutePath: string, path: string): Promise<ConfigFile> {
  let text: string;
  try {
    text = await readFile(absolutePath, "utf8");
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const reason = code === "ENOENT" ? "there is no such file" : message;
    throw new HourpackError("invalid", `read the configuration ${path}: ${reason}`, {
      location: path,
      cause: error,
      hint: "Name it with --config, or write one with `hourpack init`.",
    });
  }
  return parseConfig(text, path);
}

export function parseConfig(text: string, path: string): ConfigFile {
  const yaml = require("yaml") as Yaml;
  const lines = new yaml.LineCounter();
  const document = yaml.parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    schema: "core",
    merge: true,
  });
  const [problem] = [...document.errors, ...document.warnings];
  if (problem) {
    throw new HourpackError("invalid", `read the configuration: ${oneLine(problem.message)}`, {
      location: `${path}:${lines.linePos(problem.pos[0]).line}`,
      hint:
        problem.code === "TAG_RESOLVE_FAILED"
          ? "Tags such as !!js/function are not read; write the value plainly."
          : "Mend the YAML on that line; indentation with tabs and a missing space after a colon are common.",
    });
  }
  yaml.visit(document, {
    Pair(_, { key }) {
      if (!yaml.isScalar(key) || key.value !== "__proto__") return;
      throw new HourpackError("invalid", "read the configuration: nothing can have the name __proto__", {
        location: `${path}:${lines.linePos(key.range?.[0] ?? 0).line}`,
        hint: PROTO_HINT,
      });
    },
  });
  keepAsWritten(document, yaml);
  const value = plainValue(document, path);
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new HourpackError("invalid", "read the configuration: it is no map of settings", {
      location: `${path}:1`,
      hint: "It begins with `datasets:`; `hourpack init` writes one.",
    });
  }
  const placeOf = (at: ConfigPath) => lines.linePos(offsetOf(document.contents, at, yaml));
  return {
    path,
    value: value as Record<string, unknown>,
    lineOf: (at) => placeOf(at).line,
    indentOf: (at) => placeOf(at).col - 1,
  };
}

/** For anything named `__proto__`. */
export const PROTO_HINT = "Give it another name: JavaScript's objects take no member of this one.";

/** Numbers under `for:` name folders. Read as numbers, 1.10 would become 1.1, and 01 would become 1. */
function keepAsWritten(document: Document, yaml: Yaml): void {
  const resolved = (node: unknown) => (yaml.isAlias(node) ? node.resolve(document) : node);
  yaml.visit(document, {
    Pair(_, { key, value }) {
      const variables = resolved(value);
      if (!yaml.isScalar(key) || key.value !== "for" || !yaml.isMap(variables)) return;
      for (const values of variables.items.map((pair) => resolved(pair.value))) {
        for (const item of yaml.isSeq(values) ? values.items.map(resolved) : [])
          if (yaml.isScalar(item) && typeof item.value === "number") item.value = item.source;
      }
    },
  });
}

function plainValue(document: Document, path: string): unknown {
  try {
    return document.toJS();
  } catch (error) {
    // The library counts what aliases stand for, so a few lines cannot expand to gigabytes. A name without an
    // anchor may be a secret that is not quoted, so it is left out.
    const reason = reasonOf(error).replace(
      /^(Unresolved alias).*/s,
      "$1 (*name without its &name before it)",
    );
    throw new HourpackError("invalid", `read the configuration: ${reason}`, {
      location: `${path}:1`,
      hint: "Use fewer aliases (*name), or write what they stand for; a value that begins with * stands in quotes.",
    });
  }
}

/** Walks as far as the path exists. */
function offsetOf(contents: Node | null, path: ConfigPath, { isMap, isScalar, isSeq }: Yaml): number {
  let node: unknown = contents;
  let offset = contents?.range?.[0] ?? 0;
  for (const segment of path) {
    if (isMap(node)) {
      const pair: Pair | undefined = node.items.find(
        ({ key }) => isScalar(key) && String(key.value) === String(segment),
      );
      if (!pair) break;
      offset = (pair.key as Node).range?.[0] ?? offset;
      node = pair.value;
    } else if (isSeq(node)) {
      node = node.items[Number(segment)];
      offset = (node as Node | undefined)?.range?.[0] ?? offset;
    } else break;
  }
  return offset;
}

function oneLine(message: string): string {
  return message.split("\n")[0]?.replace(/ at line \d+, column \d+:?$/, "") ?? message;
}
