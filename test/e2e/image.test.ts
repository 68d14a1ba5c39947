/** The image of the Dockerfile, built step by step, and what deploy/ does with it, against MinIO and moto. */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseAllDocuments } from "yaml";
import { credentialsWith, type PolicyStatement } from "../support/assume-role.js";
import { stackOf } from "../support/cloudformation.js";
import { removeTree } from "../support/debian.js";
import {
  buildImage,
  type ContainerOptions,
  contextFiles,
  type Image,
  runImage,
} from "../support/dockerfile.js";
import { METRICS, metricsIn } from "../support/metric-names.js";
import { createBucket, credentialsEnv, type S3Server, startMinio } from "../support/minio.js";
import { type Moto, startMoto } from "../support/moto.js";
import { freePort } from "../support/processes.js";
import { asRoot } from "../support/root-filesystem.js";
import { Bucket } from "../support/s3.js";

const ROOT = resolve(import.meta.dirname, "../..");
const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");

let work: string;
let image: Image;
let minio: S3Server;
let moto: Moto;
let raw: Bucket;
let lake: Bucket;

beforeAll(async () => {
  work = mkdtempSync(join(tmpdir(), "hourpack-image-"));
  // One by one: what has started is stopped, though the next one fails.
  minio = await startMinio();
  moto = await startMoto();
  image = await buildImage(ROOT, work);
  raw = new Bucket(minio, await createBucket(minio));
  lake = new Bucket(minio, await createBucket(minio));
});

afterAll(async () => {
  raw?.close();
  lake?.close();
  await Promise.all([minio?.stop(), moto?.stop(), removeTree(work)]);
});

let runs = 0;

/** Runs the image with a new spool. */
async function container(args: string[], options: Omit<ContainerOptions, "volumes"> = {}) {
  const spool = join(work, `spool-${runs++}`);
  mkdirSync(spool);
  await asRoot("chown", image.user, spool);
  const volumes = Object.fromEntries(image.volumes.map((target) => [target, spool]));
  return runImage(image, args, { ...options, volumes });
}

/** The result that `--json` prints, wherever what is told on stderr came between. */
function resultIn(output: string): Record<string, unknown> {
  const lines = output.split("\n").filter((line) => line.startsWith("{"));
  return JSON.parse(lines.at(-1) ?? "");
}

function hourKey(prefix: string, hour: string, name: string): string {
  const [date, HH] = hour.split("T");
  const [yyyy, MM, dd] = (date ?? "").split("-");
  return `${prefix}year=${yyyy}/month=${MM}/day=${dd}/hour=${HH}/${name}`;
}

/** The newest hour that is over. */
function lastHour(): string {
  return new Date(Date.now() - 3_600_000).toISOString().slice(0, 13);
}

describe("the image", () => {
  it("is made from what it needs and nothing else", () => {
    const sent = contextFiles(ROOT);
    expect(sent).toContain("src/index.ts");
    expect(sent.filter((path) => /^(?!src\/|bin\/)/.test(path))).toEqual([
      ".npmrc",
      "LICENSE",
      "README.md",
      "package-lock.json",
      "package.json",
      "tsconfig.build.json",
      "tsconfig.json",
    ]);
    const found = execFileSync("ls", [join(image.root, "app"), join(image.root, "app/node_modules/.bin")], {
      encoding: "utf8",
    });
    expect(found).not.toMatch(/\b(?:src|vitest|tsc|biome)\b/);
  });

  it("starts hourpack under tini, as a user who may write the spool alone", async () => {
    const { version } = JSON.parse(read("package.json"));
    expect(await container(["--version"])).toEqual({ exitCode: 0, output: `${version}\n` });
    const entrypoint = image.entrypoint.slice(0, 2);
    const look =
      "cat /proc/1/comm; id -u; for dir in / /app /tmp /etc /spool; do touch $dir/x && echo wrote $dir; done";
    const { output } = await container(["sh", "-c", look], { entrypoint });
    expect(output.split("\n").filter((line) => !line.startsWith("touch:"))).toEqual([
      "tini",
      "10001",
      "wrote /spool",
      "",
    ]);
  });

  it("is healthy where /healthz says so", { timeout: 60_000 }, async () => {
    const port = await freePort();
    const entrypoint = image.healthcheck.map((word) => word.replace(":9464", `:${port}`));
    const ask = async () => (await container([], { entrypoint })).exitCode;
    expect(await ask()).toBe(1);
    let status = 200;
    const asked: string[] = [];
    const server: Server = createServer((request, response) => {
      asked.push(request.url ?? "");
      response.writeHead(status).end();
    });
    await new Promise<void>((done) => server.listen(port, "127.0.0.1", done));
    try {
      expect(await ask()).toBe(0);
      status = 503;
      expect(await ask()).toBe(1);
      expect(asked).toEqual(["/healthz", "/healthz"]);
    } finally {
      server.close();
    }
  });
});

interface ContainerDefinition {
  Command: string[];
  User: string;
  MountPoints: { ContainerPath: string }[];
  Environment: { Name: string; Value: string }[];
}

describe("the Fargate task", () => {
  const stack = () =>
    stackOf(read("deploy/cloudformation/hourpack.yaml"), {
      RawBucket: raw.name,
      RawPrefix: "events/",
      Tier1Bucket: lake.name,
      Tier1Prefix: "events-parquet/",
      Table: "events",
      Image: "hourpack",
      Subnets: "subnet-1",
      SecurityGroups: "sg-1",
      "AWS::Partition": "aws",
      "AWS::Region": "us-east-1",
      "AWS::AccountId": "123456789012",
      "AWS::StackName": "hourpack",
    });

  it("packs an hour with its own variables and policy, and may do nothing else", {
    timeout: 120_000,
  }, async () => {
    const { TaskDefinition = {}, TaskRole = {} } = stack().resources;
    const [definition] = TaskDefinition["ContainerDefinitions"] as unknown as ContainerDefinition[];
    const [policy] = TaskRole["Policies"] as unknown as {
      PolicyDocument: { Statement: PolicyStatement[] };
    }[];
    const ofS3 = policy?.PolicyDocument.Statement.filter(({ Sid }) => Sid !== "TellGlue") ?? [];
    expect(definition?.User).toBe(image.user);
    expect(definition?.MountPoints.map(({ ContainerPath }) => ContainerPath)).toEqual(image.volumes);
    const env = {
      ...(await credentialsWith(minio, ofS3)),
      ...Object.fromEntries(definition?.Environment.map(({ Name, Value }) => [Name, Value]) ?? []),
      // What is not on AWS here.
      HOURPACK_S3_ENDPOINT: minio.endpoint,
      HOURPACK_S3_FORCE_PATH_STYLE: "true",
      HOURPACK_CATALOG_ENDPOINT: moto.endpoint,
    };
    const hour = lastHour();
    await raw.put(hourKey("events/", hour, "a.json"), '{"id":1,"name":"a"}\n{"id":2,"name":"b"}\n{"id":');
    const run = await container([...(definition?.Command ?? []), "--hour", hour], { env });
    expect(run.exitCode, run.output).toBe(0);
    expect(resultIn(run.output)).toMatchObject({
      type: "result",
      exitCode: 0,
      packed: 1,
      rows: 2,
      quarantined: 1,
    });
    const parts = (await lake.keys("events-parquet/year=")).map((key) => key.split("/").at(-1));
    expect(parts).toEqual([`events-${hour.replace(/\D/g, "")}.snappy.parquet`]);

    const elsewhere = await container([...(definition?.Command ?? []), "--hour", hour], {
      env: { ...env, HOURPACK_TIER1: `s3://${lake.name}/other/` },
    });
    expect(resultIn(elsewhere.output)).toMatchObject({ exitCode: 2 });
    expect(elsewhere.output).toContain("(403 AccessDenied)");
    expect(await lake.keys("other/")).toEqual([]);
  });
});

describe("the CronJob", () => {
  it("has arguments that pack what is due", { timeout: 60_000 }, async () => {
    const [cronJob] = parseAllDocuments(read("deploy/kubernetes/cronjob.yaml")).map((document) =>
      document.toJS(),
    );
    const [{ args }] = cronJob.spec.jobTemplate.spec.template.spec.containers;
    const dataset = {
      raw: `s3://${raw.name}/cron/year={yyyy}/month={MM}/day={dd}/hour={HH}/`,
      tier1: `s3://${lake.name}/cron-parquet/`,
      table: "cron",
    };
    const config = join(work, "cron.yaml");
    const s3 = { endpoint: minio.endpoint, forcePathStyle: true };
    writeFileSync(
      config,
      JSON.stringify({ s3, datasets: { cron: dataset }, run: { lookBack: "3h", settle: "0s" } }),
    );
    const hour = lastHour();
    await raw.put(hourKey("cron/", hour, "a.json"), '{"id":1}\n');
    const { exitCode, output } = await container(args, {
      env: credentialsEnv(minio),
      mounts: [{ source: config, target: "/etc/hourpack/hourpack.yaml", isReadOnly: true }],
    });
    expect(exitCode, output).toBe(0);
    expect(resultIn(output)).toMatchObject({ packed: 1, empty: 2, rows: 1 });
  });
});

describe("the Deployment", () => {
  it("works, is probed, is measured and stops when it is told to", { timeout: 120_000 }, async () => {
    const [deployment] = parseAllDocuments(read("deploy/kubernetes/worker.yaml")).map((document) =>
      document.toJS(),
    );
    const [{ args, ports, livenessProbe, readinessProbe }] = deployment.spec.template.spec.containers;
    expect(args.join(" ")).toContain(`--listen 0.0.0.0:${ports[0].containerPort}`);
    const port = await freePort();
    const config = join(work, "worker.yaml");
    const dataset = {
      raw: `s3://${raw.name}/worker/year={yyyy}/month={MM}/day={dd}/hour={HH}/`,
      tier1: `s3://${lake.name}/worker-parquet/`,
      table: "worker",
    };
    const s3 = { endpoint: minio.endpoint, forcePathStyle: true };
    writeFileSync(
      config,
      JSON.stringify({ s3, datasets: { worker: dataset }, run: { lookBack: "3h", settle: "0s" } }),
    );
    await raw.put(hourKey("worker/", lastHour(), "a.json"), '{"id":1}\n');
    let send: (signal: NodeJS.Signals) => void = () => {};
    const ended = container(
      // On loopback here, and on a port that is free.
      args.map((word: string) => (word.endsWith(`:${ports[0].containerPort}`) ? `127.0.0.1:${port}` : word)),
      {
        env: credentialsEnv(minio),
        mounts: [{ source: config, target: "/etc/hourpack/hourpack.yaml", isReadOnly: true }],
        onStart: (sender) => (send = sender),
      },
    );
    const statusOf = (path: string) =>
      fetch(`http://127.0.0.1:${port}${path}`).then(
        ({ status }) => status,
        () => undefined,
      );
    try {
      await expect.poll(() => statusOf(readinessProbe.httpGet.path), { timeout: 60_000 }).toBe(200);
      expect(await statusOf(livenessProbe.httpGet.path)).toBe(200);
      const entrypoint = image.healthcheck.map((word) => word.replace(":9464", `:${port}`));
      expect((await container([], { entrypoint })).exitCode).toBe(0);
      const metrics = () => fetch(`http://127.0.0.1:${port}/metrics`).then((answer) => answer.text());
      await expect
        .poll(metrics, { timeout: 60_000 })
        .toContain('hourpack_hours_total{dataset="worker",outcome="packed"} 1');
      await expect.poll(async () => metricsIn(await metrics()), { timeout: 60_000 }).toEqual(METRICS);
    } finally {
      send("SIGTERM");
    }
    const { exitCode, output } = await ended;
    expect(exitCode, output).toBe(0);
    expect((await lake.keys("worker-parquet/year=")).length).toBe(1);
  });
});

describe("the compose project", () => {
  it("has a feeder whose hours hourpack packs", { timeout: 120_000 }, async () => {
    const env = { ...credentialsEnv(minio), AWS_ENDPOINT_URL_S3: minio.endpoint };
    const fed = await container([], {
      entrypoint: ["/usr/bin/tini", "--", "node", "/app/feed.mjs"],
      env: { ...env, FEED_BUCKET: raw.name, FEED_HOURS_BACK: "2", FEED_EVERY_MS: "10", FEED_TICKS: "2" },
      mounts: [{ source: join(ROOT, "deploy/compose/feed.mjs"), target: "/app/feed.mjs", isReadOnly: true }],
    });
    expect(fed.exitCode, fed.output).toBe(0);
    const config = join(work, "compose.yaml");
    const text = read("deploy/compose/hourpack.yaml")
      .replaceAll("s3://lake-raw/", `s3://${raw.name}/`)
      .replaceAll("s3://lake/", `s3://${lake.name}/`);
    writeFileSync(config, `${text}run: { lookBack: 2h, settle: 0s }\n`);
    const { exitCode, output } = await container(["run", "--json"], {
      env: { ...env, HOURPACK_S3_ENDPOINT: minio.endpoint },
      mounts: [{ source: config, target: "/etc/hourpack/hourpack.yaml", isReadOnly: true }],
    });
    expect(exitCode, output).toBe(0);
    const { packed, objects, rows, failed } = resultIn(output);
    expect({ packed, failed }).toEqual({ packed: 4, failed: 0 });
    expect([objects, rows].every((number) => Number(number) >= 240)).toBe(true);
  });
});
