/** Runs docs/start.md from its first command to its last, in one folder and on a real MinIO, and compares what is printed. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CreateBucketCommand } from "@aws-sdk/client-s3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type S3Server, startMinio } from "../support/minio.js";
import { type Block, blocksOf, commandsOf, prepareFolder, textOf } from "../support/pages.js";
import { Bucket } from "../support/s3.js";

const blocks = blocksOf(textOf("docs/start.md"));
/** The test's own checkout is installed already. */
const NOT_RUN = ["npm ci", "npm link"];

let work: string;
let folder: string;
let minio: S3Server;
let env: NodeJS.ProcessEnv;
const buckets = new Map<string, Bucket>();

beforeAll(async () => {
  work = mkdtempSync(join(tmpdir(), "hourpack-start-"));
  folder = join(work, "folder");
  mkdirSync(folder);
  minio = await startMinio();
  env = prepareFolder(folder);
  for (const name of ["lake-raw", "lake"]) {
    const bucket = new Bucket(minio, name);
    await bucket.client.send(new CreateBucketCommand({ Bucket: name }));
    buckets.set(name, bucket);
  }
});
afterAll(async () => {
  for (const bucket of buckets.values()) bucket.close();
  await minio?.stop();
  rmSync(work, { recursive: true, force: true });
});

/** `lake-raw/a/key` */
function placeOf(path: string): { bucket: Bucket; key: string } {
  const [name = "", ...rest] = path.split("/");
  const bucket = buckets.get(name);
  if (!bucket) throw new Error(`the page names a bucket that is not there: ${name}`);
  return { bucket, key: rest.join("/") };
}

/** What the page exports, for every command after it. */
const exported: string[] = [];

/** Standard output and standard error as they come. */
function run(command: string): string {
  if (command.startsWith("export ")) exported.push(command);
  const line = [...exported, command]
    .join("\n")
    .replace("http://127.0.0.1:9000", minio.endpoint)
    .replace("AWS_ACCESS_KEY_ID=minioadmin", `AWS_ACCESS_KEY_ID=${minio.accessKeyId}`)
    .replace("AWS_SECRET_ACCESS_KEY=minioadmin", `AWS_SECRET_ACCESS_KEY=${minio.secretAccessKey}`);
  const ended = spawnSync("sh", ["-c", `exec 2>&1\n${line}`], { cwd: folder, env, encoding: "utf8" });
  expect(ended.status, `${command}\n${ended.stdout}`).toBe(0);
  return ended.stdout;
}

/** Sizes and durations differ from run to run; `…` on the page is anything. */
function patternOf(line: string): RegExp {
  const parts = masked(line).split("…");
  return new RegExp(`^${parts.map((part) => part.replaceAll(/[\\^$.*+?()[\]{}|]/g, "\\$&")).join(".*")}$`);
}

function masked(line: string): string {
  return line.trimEnd().replaceAll(/\b\d[\d,.]* (KB|MB|s|ms)(?!\w)/g, "# $1");
}

/** Each line of the page is one of the printed lines, in the page's order. */
function expectPrinted(page: string, printed: string): void {
  const lines = printed.split("\n").map(masked);
  let from = 0;
  for (const line of page.trimEnd().split("\n")) {
    const at = lines.findIndex((candidate, i) => i >= from && patternOf(line).test(candidate));
    expect(at, `the page says\n${line}\nand printed was\n${printed}`).toBeGreaterThanOrEqual(from);
    from = at + 1;
  }
}

/** Puts the page's lines in the place of those of hourpack.yaml that are about the same key. */
function editConfig(block: Block): void {
  const file = join(folder, "hourpack.yaml");
  let text = readFileSync(file, "utf8");
  for (const line of block.text.trimEnd().split("\n")) {
    const [key = ""] = /^\s*\w+:/.exec(line) ?? [];
    const old = new RegExp(`^${key}.*$`, "m");
    expect(text, `hourpack.yaml has no line for "${line}"`).toMatch(old);
    text = text.replace(old, () => line);
  }
  writeFileSync(file, text);
}

/** The keys below a prefix are those of the page and the ones that are still to be swept. */
async function expectKeys(prefix: string, text: string): Promise<void> {
  const { bucket, key } = placeOf(prefix);
  const keys = (await bucket.keys(key)).map((found) => found.slice(key.length));
  const patterns = text
    .trimEnd()
    .split("\n")
    .map((line) => patternOf(line.split("  ")[0] as string));
  for (const pattern of patterns) expect(keys).toContainEqual(expect.stringMatching(pattern));
  const unknown = keys.filter((found) => !patterns.some((pattern) => pattern.test(found)));
  // Bookkeeping comes and goes.
  expect(unknown.filter((found) => !/^_hourpack\/(?:claims|sweep)/.test(found))).toEqual([]);
}

/** The test has a MinIO; the page's is the release that deploy/ has, with the buckets that the page goes on with. */
function expectStartOf(block: Block): void {
  const [image = ""] = /minio\/minio:\S+/.exec(block.text) ?? [];
  expect(textOf("deploy/compose/compose.yaml")).toContain(`image: ${image}\n`);
  const made = [...block.text.matchAll(/ s3 mb s3:\/\/([a-z-]+)/g)].map(([, name]) => name);
  expect(made.sort()).toEqual([...buckets.keys()].sort());
}

/** It copies this object to where the test has put it. */
function expectSyncOf(block: Block, path: string): void {
  const [, from = "", to = ""] = / s3 sync \.\/(\S+\/) s3:\/\/(\S+)$/.exec(block.text.trimEnd()) ?? [];
  expect([from, path.startsWith(from || "nowhere")]).toEqual([to, true]);
}

describe("docs/start.md", () => {
  it("is true from its first command to its last", { timeout: 300_000 }, async () => {
    let printed = "";
    let ran = 0;
    let late = "";
    for (const block of blocks) {
      const [mark, argument = ""] = block.mark.split(": ");
      if (mark === "object" || mark === "late") {
        const { bucket, key } = placeOf(argument);
        // As the page says, the last line of c.json has no end.
        await bucket.put(key, block.text.replace(/cut o\n$/, "cut o"));
        late = argument;
      } else if (mark === "minio") expectStartOf(block);
      else if (mark === "sync") expectSyncOf(block, late);
      else if (mark === "edit" || mark === "glue") editConfig(block);
      else if (mark === "keys") await expectKeys(argument, block.text);
      else if (block.language === "text") expectPrinted(block.text, printed);
      else {
        expect(block.language, block.text).toBe("sh");
        const commands = commandsOf(block).filter((command) => !NOT_RUN.includes(command));
        printed = commands.map(run).join("");
        ran += commands.length;
      }
    }
    expect(ran).toBeGreaterThan(14);
  });

  it("has an edit that Athena's tables follow", () => {
    // The last edit of the page.
    expect(readFileSync(join(folder, "hourpack.yaml"), "utf8")).toContain("{ type: glue, database: lake }");
    expect(run("hourpack ddl --hour 2022-07-26T00")).toContain("`lake`.`events_raw`");
  });
});
