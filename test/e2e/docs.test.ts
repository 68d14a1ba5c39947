/** Every page: its commands run, or are listed as unable to run here. The commands, flags, files and pages it names exist. */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { CreateBucketCommand } from "@aws-sdk/client-s3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { HOURPACK } from "../support/cli.js";
import { credentialsEnv, type S3Server, startMinio } from "../support/minio.js";
import {
  allPages,
  type Block,
  blocksOf,
  commandsOf,
  hourpackCall,
  inlineCodeOf,
  prepareFolder,
  ROOT,
  textOf,
} from "../support/pages.js";
import { Bucket } from "../support/s3.js";

const PAGES = allPages();

/** The objects of the hours that the pages name, below `year=…/`. */
const OBJECTS = ["2022/07/26/00", "2022/07/31/23", "2024/01/01/00"].map((hour) => {
  const [yyyy, MM, dd, HH] = hour.split("/");
  return `events/year=${yyyy}/month=${MM}/day=${dd}/hour=${HH}/a.json`;
});
const BODY = '{"id":1,"name":"open","price":1.50,"sent_at":"2022-07-26 00:00:01"}\n';

/** Beginnings of commands that are other programs'. What they are given is checked below and in deploy.test.ts. */
const OTHER_PROGRAMS = [
  ...[
    "ecr create-repository",
    "ecr get-login-password",
    "cloudformation deploy",
    "ecs run-task",
    "logs tail",
  ].map((command) => `aws ${command}`),
  "aws --endpoint-url http://127.0.0.1:9000 s3",
  ...["build", "login", "push", "compose", "run"].map((command) => `docker ${command}`),
  ...["create secret", "create job", "logs", "rollout status", "port-forward"].map(
    (command) => `kubectl --namespace hourpack ${command}`,
  ),
  "kubectl apply",
  ...["npm ci", "npm link", "npm pack", "npm run", "npm test", "sudo npm install"],
  ...["sudo systemctl", "systemctl list-timers", "journalctl"],
  ...["sudo mkdir", "sudo mv", "sudo cp", "sudo sh"],
  ...["export", "cat", "zcat", "head"],
];

/** Where else a block's commands are run as they are printed. */
function isRunElsewhere(page: string, block: Block): boolean {
  if (page === "docs/start.md") return true;
  const [, example] = /^example: (\w+)$/.exec(block.mark) ?? [];
  if (page !== "README.md" || example === undefined) return false;
  return readFileSync(join(import.meta.dirname, "readme.test.ts"), "utf8").includes(
    `runExample("${example}"`,
  );
}

interface Called {
  page: string;
  command: string;
}

const all = PAGES.flatMap((page) =>
  blocksOf(textOf(page)).flatMap((block) =>
    commandsOf(block).map((command) => ({
      page,
      command,
      isOurs: hourpackCall(command) !== undefined,
      isElsewhere: isRunElsewhere(page, block),
    })),
  ),
);
const toRun: Called[] = all.filter(({ isOurs, isElsewhere }) => isOurs && !isElsewhere);

describe("the pages' commands", () => {
  let work: string;
  let minio: S3Server;

  beforeAll(async () => {
    work = mkdtempSync(join(tmpdir(), "hourpack-docs-"));
    minio = await startMinio();
    const raw = new Bucket(minio, "lake-raw");
    for (const name of ["lake-raw", "lake"]) await raw.client.send(new CreateBucketCommand({ Bucket: name }));
    for (const key of OBJECTS) await raw.put(key, BODY);
    raw.close();
  });
  afterAll(async () => {
    await minio?.stop();
    rmSync(work, { recursive: true, force: true });
  });

  it("are found: our own and those of others", () => {
    expect(toRun.length).toBeGreaterThan(5);
    // Every fence of shell is in the one language that is looked at.
    for (const page of PAGES) expect(textOf(page)).not.toMatch(/^[ \t]*```(?:bash|shell|console|zsh)\b/m);
    // What is shown as hourpack's in a shell block is taken for it.
    const others = all.filter(({ isOurs }) => !isOurs).map(({ command }) => command);
    expect(others.filter((command) => /^(?:sudo )?(?:hourpack|node) /.test(command))).toEqual([]);
    const isKnown = (command: string) => OTHER_PROGRAMS.some((known) => command.startsWith(known));
    expect(others.filter((command) => !isKnown(command))).toEqual([]);
    const unused = OTHER_PROGRAMS.filter((known) => !others.some((command) => command.startsWith(known)));
    expect(unused).toEqual([]);
  });

  for (const page of new Set(toRun.map((called) => called.page))) {
    it(`of ${page} run, one after another`, { timeout: 300_000 }, () => {
      const folder = join(work, page.replaceAll("/", "-"));
      mkdirSync(folder, { recursive: true });
      const env = {
        ...prepareFolder(folder),
        ...credentialsEnv(minio),
        HOURPACK_S3_ENDPOINT: minio.endpoint,
        HOURPACK_S3_FORCE_PATH_STYLE: "true",
        // There is no Glue here.
        HOURPACK_CATALOG: "local",
      };
      const config = blocksOf(textOf(page)).find(({ mark }) => mark === "config");
      if (config) writeFileSync(join(folder, "hourpack.yaml"), config.text);
      for (const { command } of toRun.filter((called) => called.page === page)) {
        const ended = spawnSync("sh", ["-c", command], { cwd: folder, env, encoding: "utf8" });
        expect(ended.status, `${command}\n${ended.stdout}${ended.stderr}`).toBe(0);
      }
    });
  }

  it("of npm are scripts that there are", () => {
    const { scripts } = JSON.parse(textOf("package.json")) as { scripts: Record<string, string> };
    for (const page of PAGES) {
      const code = [...all.filter((called) => called.page === page).map(({ command }) => command)];
      const calls = [...code, ...inlineCodeOf(textOf(page))].join("\n").matchAll(/\bnpm run ([\w:-]+)/g);
      for (const [call, script = ""] of calls) expect(scripts, `${page}: ${call}`).toHaveProperty([script]);
    }
  });
});

const helps = new Map<string, string>();
function helpOf(command: string): string {
  const known = helps.get(command);
  if (known !== undefined) return known;
  const args = [HOURPACK, ...command.split(" ").filter(Boolean), "--help", "--show-hidden"];
  const help = execFileSync(process.execPath, args, { encoding: "utf8" });
  helps.set(command, help);
  return help;
}

const flagsOf = (text: string) => text.match(/(?<=^| )--[a-z0-9-]+/g) ?? [];
const hasFlag = (help: string, flag: string) =>
  new RegExp(`${flag}(?![a-z0-9-])`).test(help.replace(/--\[no-\]([a-z0-9-]+)/g, "--$1 --no-$1"));
const commandNames = () => [...helpOf("").matchAll(/^ {2}hourpack (\w+)/gm)].map(([, name = ""]) => name);

/** Flags of other programs that stand alone in the prose. */
const OTHER_FLAGS = new Map([
  ["--platform", "docs/deploy/ecs-fargate.md"],
  ["--heap-growing-percent", "docs/performance.md"],
]);

describe("the pages name", () => {
  it("commands and flags that hourpack has", { timeout: 120_000 }, () => {
    const names = commandNames();
    expect(names.length).toBeGreaterThan(10);
    for (const page of PAGES) {
      const shell = all.filter((called) => called.page === page).map(({ command }) => command);
      for (const code of [...shell, ...inlineCodeOf(textOf(page))]) {
        const [command, ...rest] = (hourpackCall(code) ?? "").split(" ");
        if (!command || command.startsWith("-")) continue;
        expect(names, `${page}: ${code}`).toContain(command);
        for (const flag of flagsOf(` ${rest.join(" ")}`))
          expect(hasFlag(helpOf(command), flag), `${page}: ${code}: ${flag}`).toBe(true);
      }
    }
  });

  it("no flag in their prose that no command has", { timeout: 120_000 }, () => {
    const every = commandNames().map(helpOf).join("\n");
    const missing = PAGES.flatMap((page) =>
      inlineCodeOf(textOf(page))
        .filter((code) => code.startsWith("--"))
        .flatMap(flagsOf)
        .filter((flag) => !hasFlag(every, flag) && OTHER_FLAGS.get(flag) !== page)
        .map((flag) => `${page}: ${flag}`),
    );
    expect(missing).toEqual([]);
  });

  it("pages and files that are there", () => {
    const missing = PAGES.flatMap((page) => {
      const text = textOf(page);
      const linked = [...text.matchAll(/\]\((?!https?:)([^)#]+)[^)]*\)/g)].map(([, path = ""]) =>
        join(dirname(page), path),
      );
      const named = [...text.matchAll(/(?<![\w/.(-])(?:deploy|test|bench|fixtures|scripts)\/[\w./-]+/g)];
      const paths = [...linked, ...named.map(([path]) => path.replace(/\.$/, ""))];
      return paths.filter((path) => !existsSync(join(ROOT, path))).map((path) => `${page}: ${path}`);
    });
    expect(missing).toEqual([]);
  });

  it("each other: every page is linked to from another", () => {
    const linked = new Set(
      PAGES.flatMap((page) =>
        [...textOf(page).matchAll(/\]\((?!https?:)([^)#]+)[^)]*\)/g)].map(([, path = ""]) =>
          join(dirname(page), path),
        ),
      ),
    );
    const isLinked = (page: string) => linked.has(page) || linked.has(`${dirname(page)}/`);
    expect(PAGES.filter((page) => page !== "README.md" && !isLinked(page))).toEqual([]);
  });
});
