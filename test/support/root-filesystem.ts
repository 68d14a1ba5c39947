/** A command in a root file system of its own: chroot, in new mount and process namespaces. */
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { cacheDir } from "./cache.js";
import { type Verdict, verdictOf } from "./linters.js";
import { onPath, runToEnd } from "./processes.js";

export interface Mount {
  source: string;
  /** Absolute, in the root. It must be there where the root is read-only. */
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
  /** Names, certificates and proxies of the machine come along, so that package clients find their way. */
  isBuildStep?: boolean;
  timeoutMs?: number;
  /** Told how to send a signal to the command. */
  onStart?: (send: (signal: NodeJS.Signals) => void) => void;
}

/** $1 is the root; mounts come as triples until `--`, then follows the command. Everything mounted ends with it. */
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

/** The command is process 1 of its namespace; when it ends everything in it ends. Needs root, or user namespaces. */
export async function runInRoot(root: string, command: string[], options: RootOptions): Promise<Verdict> {
  const { env, user, workdir, isReadOnly = false, isBuildStep = false, timeoutMs, onStart } = options;
  const mounts = [...(options.mounts ?? []), ...(isBuildStep ? machineMounts() : [])];
  const variables = { ...(isBuildStep ? machineEnv() : {}), ...env };
  const [uid, gid] = user.split(":");
  const enter = [
    ...["sh", "-c", ENTER, "sh", root, isReadOnly ? "ro" : "rw"],
    ...mounts.flatMap((mount) => [mount.source, mount.target, mount.isReadOnly ? "ro" : "rw"]),
    "--",
    // What `chroot` starts is looked for on the outer PATH, so it is named in full.
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

/** `unshare` itself passes no signal on; its child is the command. */
function onlyChildOf(pid: number): number {
  const [child] = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ");
  return Number(child);
}

/** Only root may mount and change owners; others are root of a user namespace, with the ids of /etc/subuid. */
export function unshared(command: string[]): string[] {
  if (process.getuid?.() === 0) return command;
  if (!onPath("newuidmap")) {
    throw new Error(
      "performing the Dockerfile needs root, or Debian's package uidmap and a line in /etc/subuid",
    );
  }
  return ["unshare", "--user", "--map-root-user", "--map-auto", ...command];
}

/** Files of other users are within reach, too. */
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
