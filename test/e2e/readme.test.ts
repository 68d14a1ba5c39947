/** The README's examples run as printed; only hosts, keys and the checkout's path are filled in. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { CreateBucketCommand } from "@aws-sdk/client-s3";
import { asyncBufferFromFile, parquetMetadataAsync } from "hyparquet";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { cleanEnv, HOURPACK } from "../support/cli.js";
import { githubEvents } from "../support/github-events.js";
import { type S3Server, startMinio } from "../support/minio.js";
import { Bucket } from "../support/s3.js";

const HOUR_FOLDER = "year=2015/month=01/day=01/hour=01/";
const PART = `${HOUR_FOLDER}events-2015010101.snappy.parquet`;
const readme = readFileSync(join(import.meta.dirname, "../../README.md"), "utf8");
const { objects, sums } = githubEvents();

let dir: string;
let minio: S3Server;
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "hourpack-readme-"));
  minio = await startMinio();
});
afterAll(async () => {
  await minio?.stop();
  rmSync(dir, { recursive: true, force: true });
});

describe("the README", () => {
  it("packs a directory and queries it", async () => {
    const root = join(dir, "directory");
    mkdirSync(join(root, "events", HOUR_FOLDER), { recursive: true });
    for (const [i, body] of objects.entries())
      writeFileSync(join(root, "events", HOUR_FOLDER, `e-${i}.json`), body);
    const printed = runExample("directory", root);
    expect(printed).toContain("1,000 rows");
    expect(printed).toContain("PushEvent");
    const footer = await parquetMetadataAsync(await asyncBufferFromFile(join(root, "lake/events", PART)));
    expect(Number(footer.num_rows)).toBe(sums.rows);
  });

  it("packs from MinIO to MinIO", async () => {
    const raw = new Bucket(minio, "lake-raw");
    const lake = new Bucket(minio, "lake");
    for (const bucket of [raw, lake])
      await bucket.client.send(new CreateBucketCommand({ Bucket: bucket.name }));
    await Promise.all(objects.map((body, i) => raw.put(`events/${HOUR_FOLDER}e-${i}.json`, body)));
    mkdirSync(join(dir, "minio"));
    expect(runExample("minio", join(dir, "minio"))).toContain("1,000 rows");
    expect(await lake.keys("events/year")).toEqual([`events/${PART}`]);
    raw.close();
    lake.close();
  });

  it("shows a configuration that is valid, and names every command and exit code", () => {
    const root = join(dir, "configuration");
    mkdirSync(root);
    writeFileSync(join(root, "hourpack.yaml"), blockOf("configuration", "yaml"));
    expect(run("node bin/hourpack.js ddl", root)).toContain("CREATE EXTERNAL TABLE");
    const help = run("node bin/hourpack.js --help", root);
    for (const [, command] of help.matchAll(/^ {2}hourpack (\w+)/gm))
      expect(readme).toContain(`hourpack ${command}`);
    for (const code of [0, 1, 2, 3, 10, 11, 12, 130])
      expect(readme).toMatch(new RegExp(`^\\| ${code} +\\|`, "m"));
  });
});

describe("the library", () => {
  it("packs an hour from code, as the README shows", () => {
    const root = join(dir, "library");
    mkdirSync(join(root, "events", HOUR_FOLDER), { recursive: true });
    for (const [i, body] of objects.entries())
      writeFileSync(join(root, "events", HOUR_FOLDER, `e-${i}.json`), body);
    writeFileSync(
      join(root, "hourpack.yaml"),
      "datasets: { events: { raw: './events/year={yyyy}/month={MM}/day={dd}/hour={HH}/', tier1: ./lake/, table: events } }",
    );
    const library = pathToFileURL(resolve(HOURPACK, "../../dist/index.js")).href;
    writeFileSync(
      join(root, "pack.mjs"),
      blockOf("library", "ts").replace('"hourpack"', JSON.stringify(library)),
    );
    expect(run("node pack.mjs", root)).toBe(`2015-01-01T01 packed ${sums.rows}\n`);
  });
});

/** The fenced block after `<!-- example: name -->`. */
function blockOf(name: string, language: string): string {
  const found = new RegExp(`<!-- example: ${name} -->\\n\`\`\`${language}\\n([^]*?)\`\`\``).exec(readme);
  if (!found?.[1]) throw new Error(`the README has no example "${name}" in ${language}`);
  return found[1];
}

function runExample(name: string, cwd: string): string {
  return run(
    blockOf(name, "sh")
      .replaceAll("http://127.0.0.1:9000", minio.endpoint)
      .replace("AWS_ACCESS_KEY_ID=minioadmin", `AWS_ACCESS_KEY_ID=${minio.accessKeyId}`)
      .replace("AWS_SECRET_ACCESS_KEY=minioadmin", `AWS_SECRET_ACCESS_KEY=${minio.secretAccessKey}`),
    cwd,
  );
}

function run(script: string, cwd: string): string {
  const commands = script.replaceAll("node bin/hourpack.js", `"${process.execPath}" "${HOURPACK}"`);
  const ended = spawnSync("sh", ["-euc", commands], { cwd, env: cleanEnv(), encoding: "utf8" });
  expect(ended.status, ended.stderr).toBe(0);
  return ended.stdout;
}
