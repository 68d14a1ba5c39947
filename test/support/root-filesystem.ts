/** Runs a command in its own root file system: chroot, in new mount and process namespaces. */
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { cacheDir } from "./cache.js";
import { type Verdict, verdictOf } from "./linters.js";
import { onPath, runToEnd } from "./processes.js";

export interface Mount {
  source: string;
  /** Absolute path in the root. It must exist if the root is read-only. */
  target: string;
  isReadOnly?: boolean;
}

export interface RootOptions {
  env: Record<string, string>;
  /** `uid:gid` */
  user: string;
  workdir: string;
  mounts?: Mount[];
  isReadOnly?: boolean;
  /** Brings the machine's name resolution, certificates and proxies along, which package clients need. */
  isBuildStep?: boolean;
  timeoutMs?: number;
  /** Receives a function that sends the command a signal. */
  onStart?: (send: (signal: NodeJS.Signals) => void) => void;
}

/** $1 is the root. Mounts follow as triples until `--`, then the command. All mounts end with the command. */
const ENTER = `set -e
root=$1 mode=$2; shift 2
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
while [ "$1" != -- ]; do
  if [ -d "$1" ]; then mkdir -p "$root$2"; else mkdir -p "$root$(dirname "$2")"; [ -e "$root$2" ] || : > "$root$2"; fi
  mount --bind "$1" "$root$2"
  if [ "$3" = ro ]; then mount -o remount,bind,ro "$root$2"; fi
  shift 3
done
shift
if [ "$mode" = ro ]; then mount -o remount,bind,ro "$root"; fi
exec "$@"`;

/** Runs the command as process 1 of its namespace, which ends with it. Needs root or user namespaces. */
export async function runInRoot(root: string, command: string[], options: RootOptions): Promise<Verdict> {
  const { env, user, workdir, isReadOnly = false, isBuildStep = false, timeoutMs, onStart } = options;
  const mounts = [...(options.mounts ?? []), ...(isBuildStep ? machineMounts() : [])];
  const variables = { ...(isBuildStep ? machineEnv() : {}), ...env };
  const [uid, gid] = user.split(":");
  const enter = [
    ...["sh", "-c", ENTER, "sh", root, isReadOnly ? "ro" : "rw"],
    ...mounts.flatMap((mount) => [mount.source, mount.target, mount.isReadOnly ? "ro" : "rw"]),
    "--",
    // chroot searches the outer PATH, so the program is named in full.
    ...["chroot", root, "/usr/bin/setpriv", `--reuid=${uid}`, `--regid=${gid}`, "--clear-groups"],
    ...(isReadOnly ? ["--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"] : []),
    ...["/usr/bin/env", "-i", ...Object.entries(variables).map(([name, value]) => `${name}=${value}`)],
    ...["/bin/sh", "-c", 'cd "$1" && shift && exec "$@"', "sh", workdir, ...command],
  ];
  const [program = "", ...args] = unshared([
    "unshare",
    "--mount",
    "--pid",
    "--fork",
    "--kill-child",
    ...enter,
  ]);
  return verdictOf(program, args, {
    timeoutMs,
    onStart: (pid) => onStart?.((signal) => process.kill(onlyChildOf(pid), signal)),
  });
}

/** The command's process id: `unshare` passes no signals on, and the command is its only child. */
function onlyChildOf(pid: number): number {
  const [child] = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ");
  return Number(child);
}

/** Only root may mount and change owners. Other users become root of a user namespace, with the ids of /etc/subuid. */
export function unshared(command: string[]): string[] {
  if (process.getuid?.() === 0) return command;
  if (!onPath("newuidmap")) {
    throw new Error(
      "performing the Dockerfile needs root, or Debian's package uidmap and a line in /etc/subuid",
    );
  }
  return ["unshare", "--user", "--map-root-user", "--map-auto", ...command];
}

/** Runs a command that may also touch files of other users. */
export async function asRoot(...command: string[]): Promise<void> {
  const [program = "", ...args] = unshared(command);
  await runToEnd(program, args);
}

function machineMounts(): Mount[] {
  const bundle = process.env["NODE_EXTRA_CA_CERTS"];
  const files = ["/etc/resolv.conf", "/etc/hosts", ...(bundle ? [bundle] : [])];
  const npmCache = join(cacheDir(), "npm");
  mkdirSync(npmCache, { recursive: true });
  return [
    ...files.map((path) => ({ source: path, target: path, isReadOnly: true })),
    { source: npmCache, target: "/root/.npm" },
  ];
}

function machineEnv(): Record<string, string> {
  const isWanted = /^(?:NODE_EXTRA_CA_CERTS|(?:https?|no|all)_proxy|npm_config_(?:registry|cafile))$/i;
  return Object.fromEntries(
    Object.entries(process.env).filter(
      (entry): entry is [string, string] => isWanted.test(entry[0]) && entry[1] !== undefined,
    ),
  );
}
