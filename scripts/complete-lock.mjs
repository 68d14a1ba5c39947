// npm leaves optional packages of other platforms out of package-lock.json if it did not see them while it
// resolved (npm/cli issue 4828), and `npm ci` then refuses the lock. This script adds them, and reads the
// platform from the package's name. Run it after `npm install`.
import { readFileSync, writeFileSync } from "node:fs";

const path = new URL("../package-lock.json", import.meta.url);
const lock = JSON.parse(readFileSync(path, "utf8"));
const systems = [
  "aix",
  "android",
  "darwin",
  "freebsd",
  "linux",
  "netbsd",
  "openbsd",
  "openharmony",
  "sunos",
  "win32",
];
const processors = [
  "arm64",
  "arm",
  "ia32",
  "loong64",
  "mips64el",
  "ppc64",
  "ppc64le",
  "riscv64",
  "s390x",
  "x64",
];

/** The `os`, `cpu` and `libc` fields that a name such as `cli-linux-arm64-musl` implies. */
function platformOf(name) {
  const words = name.split("/").at(-1).split(/[-.]/);
  const one = (choices) => choices.filter((choice) => words.includes(choice));
  const libc = words.some((word) => word.startsWith("musl"))
    ? ["musl"]
    : words.some((word) => word.startsWith("gnu"))
      ? ["glibc"]
      : [];
  return { ...field("cpu", one(processors)), ...field("libc", libc), ...field("os", one(systems)) };
}

function field(name, values) {
  return values.length > 0 ? { [name]: values } : {};
}

for (const entry of Object.values(lock.packages)) {
  for (const [name, range] of Object.entries(entry.optionalDependencies ?? {})) {
    const key = `node_modules/${name}`;
    if (lock.packages[key]) continue;
    const version = range.replace(/^[\^~]/, "");
    lock.packages[key] = {
      version,
      ...(entry.dev ? { dev: true } : {}),
      optional: true,
      ...platformOf(name),
    };
    console.log(`added ${name}@${version}`);
  }
}
const [root, ...others] = Object.entries(lock.packages);
lock.packages = Object.fromEntries([root, ...others.sort(([a], [b]) => (a < b ? -1 : 1))]);
writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`);
