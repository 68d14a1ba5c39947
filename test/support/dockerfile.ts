/**
 * Builds a Dockerfile without a container engine: each step runs by chroot in its own namespaces, in its own root file system
 * made from Debian's packages. Knows only the instructions that ours uses, and throws on others.
 */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join, posix } from "node:path";
import { debianWithNode } from "./debian.js";
import { runToEnd } from "./processes.js";
import { asRoot, type Mount, type RootOptions, runInRoot } from "./root-filesystem.js";

interface Instruction {
  name: string;
  /** Continued lines joined by a space. */
  text: string;
}

/** An image's configuration and files. */
export interface Image {
  root: string;
  base: string;
  env: Record<string, string>;
  user: string;
  workdir: string;
  volumes: string[];
  entrypoint: string[];
  cmd: string[];
  healthcheck: string[];
  stopSignal: string;
}

function parseDockerfile(text: string): Instruction[] {
  const lines = text.split("\n").filter((line) => !/^\s*#/.test(line) && line.trim() !== "");
  const joined = lines.join("\n").replace(/\\\n\s*/g, " ");
  return joined.split("\n").map((line) => {
    const [, name = "", rest = ""] = /^(\S+)\s+(.*)$/.exec(line) ?? [];
    return { name: name.toUpperCase(), text: rest.trim() };
  });
}

/** The files of the build context that .dockerignore lets through, relative to it. Knows `*`, plain names, and `!` before either. */
export function contextFiles(contextDir: string): string[] {
  const rules = readFileSync(join(contextDir, ".dockerignore"), "utf8")
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"));
  const isSent = (path: string): boolean => {
    let isIgnored = false;
    for (const rule of rules) {
      const name = rule.replace(/^!/, "");
      if (name === "*" || path === name || path.startsWith(`${name}/`)) isIgnored = !rule.startsWith("!");
    }
    return !isIgnored;
  };
  const files: string[] = [];
  const walk = (folder: string): void => {
    for (const entry of readdirSync(join(contextDir, folder), { withFileTypes: true })) {
      const path = posix.join(folder, entry.name);
      if (!isSent(path)) continue;
      if (entry.isDirectory()) walk(path);
      else files.push(path);
    }
  };
  walk("");
  return files.sort();
}

/** Builds the stages in order; the last one is the image. */
export async function buildImage(contextDir: string, workDir: string): Promise<Image> {
  const instructions = parseDockerfile(readFileSync(join(contextDir, "Dockerfile"), "utf8"));
  const sent = join(workDir, "context");
  await mkdir(sent, { recursive: true });
  const copy = 'cd "$1" && shift && exec cp --parents -t "$@"';
  await runToEnd("sh", ["-c", copy, "sh", contextDir, sent, ...contextFiles(contextDir)]);
  const build = new Build(workDir, sent);
  for (const instruction of instructions) await build.perform(instruction);
  return build.image();
}

class Build {
  private readonly workDir: string;
  private readonly context: string;
  private readonly args: Record<string, string> = {};
  private readonly stages = new Map<string, Image>();
  private current: Image | undefined;

  constructor(workDir: string, context: string) {
    this.workDir = workDir;
    this.context = context;
  }

  image(): Image {
    if (!this.current) throw new Error("the Dockerfile has no FROM");
    return this.current;
  }

  async perform({ name, text }: Instruction): Promise<void> {
    if (name === "ARG") return void Object.assign(this.args, pairsOf(text));
    if (name === "FROM") return this.from(text);
    const image = this.image();
    switch (name) {
      case "RUN":
        return this.run(image, text);
      case "COPY":
        return this.copy(image, text);
      case "WORKDIR":
        image.workdir = posix.resolve(image.workdir, text);
        return void (await mkdir(join(image.root, image.workdir), { recursive: true }));
      case "ENV":
        return void Object.assign(image.env, pairsOf(text));
      case "USER":
        image.user = text;
        return;
      case "VOLUME":
        return void image.volumes.push(...(JSON.parse(text) as string[]));
      case "ENTRYPOINT":
        image.entrypoint = JSON.parse(text);
        return;
      case "CMD":
        image.cmd = JSON.parse(text);
        return;
      case "HEALTHCHECK":
        image.healthcheck = JSON.parse(text.slice(text.indexOf("[")));
        return;
      case "STOPSIGNAL":
        image.stopSignal = text;
        return;
      case "EXPOSE":
        return;
    }
    throw new Error(`no way to perform ${name} ${text}`);
  }

  private async from(text: string): Promise<void> {
    const [, image = "", stage = String(this.stages.size)] = /^(\S+)(?:\s+AS\s+(\S+))?$/i.exec(text) ?? [];
    const base = image.replace(/\$\{(\w+)\}/g, (_, arg: string) => this.args[arg] ?? "");
    const [, major = "", release = ""] = /^node:(\d+)-(\w+)-slim$/.exec(base) ?? [];
    if (!release) throw new Error(`no stand-in for the base image ${base}`);
    const root = join(this.workDir, stage);
    await asRoot("cp", "-a", "--reflink=auto", await debianWithNode(release, major), root);
    this.current = {
      root,
      base,
      env: { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" },
      user: "0:0",
      workdir: "/",
      volumes: [],
      entrypoint: [],
      cmd: [],
      healthcheck: [],
      stopSignal: "SIGTERM",
    };
    this.stages.set(stage, this.current);
  }

  private async run(image: Image, text: string): Promise<void> {
    const { exitCode, output } = await runInRoot(image.root, ["/bin/sh", "-c", text], {
      env: image.env,
      user: image.user,
      workdir: image.workdir,
      isBuildStep: true,
      timeoutMs: 300_000,
    });
    if (exitCode !== 0) throw new Error(`RUN ${text}: exit code ${exitCode}\n${output.slice(-4000)}`);
  }

  private async copy(image: Image, text: string): Promise<void> {
    const words = text.split(/\s+/);
    const option = words[0]?.startsWith("--") ? words.shift() : undefined;
    const stage = option && this.stages.get(option.replace(/^--from=/, ""));
    if (option && !stage) throw new Error(`no way to perform COPY ${text}`);
    const target = words.pop() as string;
    const to = join(image.root, posix.resolve(image.workdir, target));
    for (const source of words) {
      const from = join(stage ? stage.root : this.context, source);
      const isInto = !statSync(from).isDirectory() && (words.length > 1 || target.endsWith("/"));
      // A folder's content goes into the target; a file goes into it or becomes it.
      await mkdir(isInto || statSync(from).isDirectory() ? to : join(to, ".."), { recursive: true });
      await asRoot("cp", "-a", statSync(from).isDirectory() ? `${from}/.` : from, to);
    }
  }
}

export interface ContainerOptions {
  env?: Record<string, string>;
  mounts?: Mount[];
  /** The folder outside for each volume; it must be writable for the image's user. */
  volumes: Record<string, string>;
  /** Replaces the image's own. */
  entrypoint?: string[];
  timeoutMs?: number;
  onStart?: RootOptions["onStart"];
}

/** Runs the image as an engine does with `--read-only --cap-drop ALL`: only its volumes are writable. */
export function runImage(image: Image, args: string[], options: ContainerOptions) {
  return runInRoot(image.root, [...(options.entrypoint ?? image.entrypoint), ...args], {
    env: { ...image.env, ...options.env },
    user: image.user,
    workdir: image.workdir,
    mounts: [
      ...(options.mounts ?? []),
      ...Object.entries(options.volumes).map(([target, source]) => ({ source, target })),
    ],
    isReadOnly: true,
    timeoutMs: options.timeoutMs,
    onStart: options.onStart,
  });
}

/** `A=b C="d e"` */
function pairsOf(text: string): Record<string, string> {
  return Object.fromEntries(
    [...text.matchAll(/(\w+)=(?:"([^"]*)"|(\S+))/g)].map(([, name, quoted, plain]) => [
      name as string,
      quoted ?? plain ?? "",
    ]),
  );
}
