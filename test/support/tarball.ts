/** Installs the tarball that `npm pack` makes of the checkout in an empty folder, as a stranger would. */
import { cpSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { cleanEnv } from "./cli.js";
import { verdictOf } from "./linters.js";

const ROOT = resolve(import.meta.dirname, "../..");

export interface Installed {
  /** The folder; it contains only what npm put there. */
  home: string;
  /** The files in the tarball. */
  files: string[];
  /** The command, by the name that npm gave it. */
  command: string;
}

export async function installTarball(work: string): Promise<Installed> {
  const packed = await npm(copyOfCheckout(work), "pack", "--json", "--pack-destination", work);
  // The output of `prepare` comes before the answer.
  const [{ filename, files }] = JSON.parse(packed.slice(packed.search(/^\[/m)));
  const home = join(work, "home");
  mkdirSync(home);
  writeFileSync(join(home, "package.json"), '{"name":"stranger","private":true,"type":"module"}');
  await npm(home, "install", "--prefer-offline", join(work, filename));
  return {
    home,
    files: files.map(({ path }: { path: string }) => path),
    command: join(home, "node_modules/.bin/hourpack"),
  };
}

/** A copy, so that the build of `npm pack` disturbs nobody. It includes files of each kind that must stay out of the tarball. */
function copyOfCheckout(work: string): string {
  const copy = join(work, "checkout");
  mkdirSync(copy);
  const left = new Set(["node_modules", "dist", ".git", "fixtures", "bench"]);
  for (const name of readdirSync(ROOT).filter((entry) => !left.has(entry))) {
    cpSync(join(ROOT, name), join(copy, name), { recursive: true });
  }
  symlinkSync(join(ROOT, "node_modules"), join(copy, "node_modules"));
  return copy;
}

async function npm(cwd: string, ...args: string[]): Promise<string> {
  const { exitCode, output } = await verdictOf(
    "npm",
    [...args, "--no-audit", "--no-fund", "--loglevel=error"],
    { cwd, env: cleanEnv(), timeoutMs: 400_000 },
  );
  if (exitCode !== 0)
    throw new Error(`npm ${args.join(" ")} in ${cwd}: exit code ${exitCode}\n${output.slice(-3000)}`);
  return output;
}
