/** The recipes' samples are packed with their configurations and answer their queries. */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { hourpack } from "../support/cli.js";

const DOCS = resolve(import.meta.dirname, "../../docs");
const HOUR = "2022-07-26T00";

let work: string;
beforeAll(() => {
  work = mkdtempSync(join(tmpdir(), "hourpack-recipes-"));
});
afterAll(() => rmSync(work, { recursive: true, force: true }));

function recipes(): string[] {
  return readdirSync(join(DOCS, "recipes")).filter((name) => name.endsWith(".md"));
}

/** The block below `<!-- name -->` or `<!-- name: argument -->`. */
function blockOf(page: string, name: string): { argument: string; text: string } {
  const [, argument = "", text] =
    new RegExp(`<!-- ${name}(?:: (\\S+))? -->\\n\`\`\`\\w+\\n(.*?)\n\`\`\``, "s").exec(page) ?? [];
  if (text === undefined) throw new Error(`there is no block "${name}"`);
  return { argument, text };
}

/** What a recipe promises of its sample. */
const PACKED: Record<string, { rows: number; quarantined: number; rescued: number; answers: unknown[] }> = {
  "firehose.md": {
    rows: 2,
    quarantined: 0,
    rescued: 0,
    answers: [
      { page: "/", views: 1, slowest: 12 },
      { page: "/cart", views: 1, slowest: 48 },
    ],
  },
  "cloudtrail.md": { rows: 1, quarantined: 0, rescued: 0, answers: [{ eventname: "GetObject", calls: 1 }] },
  "appsflyer.md": {
    rows: 1,
    quarantined: 0,
    rescued: 1,
    answers: [{ event_value_comic_id: "c-9", revenue: "1.500000" }],
  },
  "kinesis-lambda.md": {
    rows: 2,
    quarantined: 0,
    rescued: 1,
    answers: [
      { order_id: 17, total: "12.50", arrival: "2022-07-26 00:00:01.987" },
      { order_id: 18, total: "3.99", arrival: "2022-07-26 00:00:02.1" },
    ],
  },
  "vector.md": {
    rows: 2,
    quarantined: 0,
    rescued: 0,
    answers: [
      { host: "web-1", lines: 1 },
      { host: "web-2", lines: 1 },
    ],
  },
  "migrating-from-lambda-ctas.md": {
    rows: 2,
    quarantined: 1,
    rescued: 1,
    answers: [
      { id: 1, price: "1.50", sent_at: "2022-07-26 00:00:01", _rescued_data: null },
      { id: 2, price: "12.00", sent_at: "2022-07-26 00:10:00", _rescued_data: '{"coupon":"SUMMER"}' },
    ],
  },
};

describe("the recipes", () => {
  it("are all tried here", () => {
    expect(recipes().sort()).toEqual(Object.keys(PACKED).sort());
  });

  for (const [name, { rows, quarantined, rescued, answers }] of Object.entries(PACKED)) {
    it(`${name} packs its sample and answers its query`, async () => {
      const page = readFileSync(join(DOCS, "recipes", name), "utf8");
      const cwd = join(work, name);
      const { argument: path, text } = blockOf(page, "sample");
      mkdirSync(dirname(join(cwd, path)), { recursive: true });
      writeFileSync(join(cwd, path), path.endsWith(".gz") ? gzipSync(text) : text);
      // Buckets are directories here, and Glue is a file.
      writeFileSync(join(cwd, "hourpack.yaml"), blockOf(page, "config").text.replaceAll("s3://", "./"));
      const env = { HOURPACK_CATALOG: "local" };
      const run = await hourpack(["run", "--hour", HOUR, "--json"], { cwd, env });
      expect(run.code, run.stdout + run.stderr).toBe(0);
      expect(run.result).toMatchObject({ packed: 1, rows, quarantined, rescued });
      const query = await hourpack(["query", blockOf(page, "query").text, "--json"], { cwd, env });
      expect(query.code, query.stderr).toBe(0);
      const answered = query.records.filter(({ type }) => type === "row").map(({ row }) => row);
      expect(answered.map(textOf).sort()).toEqual(answers.map(textOf).sort());
    });
  }

  it("have a Lambda that writes what the recipe shows", () => {
    const page = readFileSync(join(DOCS, "recipes/kinesis-lambda.md"), "utf8");
    const [, source = ""] = /```js\n(.*?)\n```/s.exec(page) ?? [];
    const { argument, text } = blockOf(page, "sample");
    const lines = text.split("\n").map((line) => JSON.parse(line));
    const Records = lines.map(({ event_id, partition_key, arrival, data }) => ({
      eventID: event_id,
      kinesis: {
        partitionKey: partition_key,
        approximateArrivalTimestamp: arrival,
        data: Buffer.from(data).toString("base64"),
      },
    }));
    // The client is replaced by one that prints: this is about key and body.
    const program = source
      .replace(/^import .*$/m, "class PutObjectCommand { constructor(input) { this.input = input; } }")
      .replace("new S3Client({})", "{ send: ({ input }) => console.log(JSON.stringify(input)) }");
    const printed = execFileSync(
      process.execPath,
      ["--input-type=module", "--eval", `${program}\nawait handler(${JSON.stringify({ Records })});`],
      { encoding: "utf8", env: { ...process.env, BUCKET: "lake-raw" } },
    );
    const { Bucket, Key, Body } = JSON.parse(printed);
    expect({ path: `${Bucket}/${Key}`, body: Body }).toEqual({ path: argument, body: `${text}\n` });
  });
});

function textOf(answer: unknown): string {
  return JSON.stringify(answer);
}

describe("the guide for Fargate", () => {
  it("gives the stack parameters that it has", () => {
    const page = readFileSync(join(DOCS, "deploy/ecs-fargate.md"), "utf8");
    const template = readFileSync(join(DOCS, "../deploy/cloudformation/hourpack.yaml"), "utf8");
    const [, overrides = ""] = /--parameter-overrides(.*?)\n```/s.exec(page) ?? [];
    const given = [...overrides.matchAll(/\b([A-Z]\w+)=/g)].map((match) => match[1] as string);
    expect(given.length).toBeGreaterThan(8);
    for (const name of given) expect(template).toMatch(new RegExp(`^ {2}${name}:$`, "m"));
    // What has no default is given.
    const { Parameters } = parse(template, { logLevel: "silent" }) as { Parameters: Record<string, object> };
    for (const [name, parameter] of Object.entries(Parameters))
      if (!("Default" in parameter)) expect(given).toContain(name);
  });
});
