/** Stands in for the base image `node:<major>-<release>-slim`: Debian's minimal system, with Node and npm in /usr/local. */
import { existsSync, mkdtempSync } from "node:fs";
import { mkdir, readdir, rename } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { cacheDir, madeOnce } from "./cache.js";
import { debianFiles } from "./linters.js";
import { onPath, runToEnd } from "./processes.js";
import { asRoot } from "./root-filesystem.js";

/** The npm version that comes with each Node. Source: nodejs.org, "Node.js releases". */
const NPM_OF_NODE: Record<string, string> = { "22": "10", "24": "11" };

/** Returns a folder in the cache, for callers to copy. */
export function debianWithNode(release: string, nodeMajor: string): Promise<string> {
  const home = join(cacheDir(), `${release}-node-${nodeMajor}`);
  return madeOnce(
    basename(home),
    () => (existsSync(home) ? home : undefined),
    async () => {
      process.stderr.write(`making Debian ${release} with Node ${nodeMajor} in ${home}\n`);
      const work = mkdtempSync(join(tmpdir(), "hourpack-debian-"));
      try {
        const root = join(work, "root");
        await makeDebian(release, root, work);
        await addNode(nodeMajor, root, work);
        await asRoot("cp", "-a", root, `${home}.${process.pid}`);
        await rename(`${home}.${process.pid}`, home);
      } finally {
        await removeTree(work);
      }
    },
  );
}

/** Removes a folder whose files may belong to other users. */
export async function removeTree(folder: string): Promise<void> {
  await asRoot("rm", "-rf", "--one-file-system", folder);
}

async function makeDebian(release: string, root: string, work: string): Promise<void> {
  const mmdebstrap = onPath("mmdebstrap") ?? join(await debianFiles("mmdebstrap"), "usr/bin/mmdebstrap");
  const tar = join(work, "base.tar");
  const options = ["--variant=apt", "--include=ca-certificates", "--quiet"];
  await runToEnd("perl", [mmdebstrap, ...options, release, tar]);
  await mkdir(root);
  await asRoot("tar", "-x", "--numeric-owner", "--exclude=./dev/*", "-C", root, "-f", tar);
}

/** Installs Node and npm from npm's packages, laid out as in the base image. */
async function addNode(major: string, root: string, work: string): Promise<void> {
  const prefix = join(work, "npm");
  const npm = NPM_OF_NODE[major];
  if (!npm) throw new Error(`which npm comes with Node ${major} is not known here`);
  const packages = [`node-linux-${process.arch}@${major}`, `npm@${npm}`];
  await runToEnd("npm", ["install", "--prefix", prefix, "--ignore-scripts", "--no-audit", ...packages]);
  const local = join(root, "usr/local");
  const modules = join(prefix, "node_modules");
  const [node] = (await readdir(modules)).filter((name) => name.startsWith("node-linux-"));
  await asRoot("install", "-D", join(modules, node as string, "bin/node"), join(local, "bin/node"));
  await asRoot("mkdir", "-p", join(local, "lib/node_modules"));
  await asRoot("cp", "-r", join(modules, "npm"), join(local, "lib/node_modules/npm"));
  await asRoot("chown", "-R", "0:0", local);
  await asRoot("ln", "-s", "../lib/node_modules/npm/bin/npm-cli.js", join(local, "bin/npm"));
}
