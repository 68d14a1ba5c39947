/** A real S3 for the tests: a given one, MinIO from the PATH or the cache, or MinIO built into the cache. */
import { randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CreateBucketCommand, S3Client } from "@aws-sdk/client-s3";
import type { S3Settings } from "../../src/config/settings.js";
import { cacheDir, madeOnce } from "./cache.js";
import { freePort, onPath, runToEnd, startServer } from "./processes.js";

const MINIO = "github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c";
const VERSITYGW = "github.com/versity/versitygw/cmd/versitygw@v1.8.0";

export const KMS_KEY = "hourpack-key";

export interface S3Server {
  endpoint: string;
  accessKeyId: string;
  secretAccessKey: string;
  stop(): Promise<void>;
}

export async function startMinio(): Promise<S3Server> {
  const given = process.env["HOURPACK_TEST_S3_ENDPOINT"];
  if (given) {
    const { AWS_ACCESS_KEY_ID: accessKeyId = "", AWS_SECRET_ACCESS_KEY: secretAccessKey = "" } = process.env;
    return { endpoint: given, accessKeyId, secretAccessKey, stop: async () => {} };
  }
  const command = await goProgram("minio", MINIO);
  return startOnDirectory("MinIO", async (dir, port, keys) =>
    startServer(
      "MinIO",
      command,
      [
        "server",
        dir,
        "--address",
        `127.0.0.1:${port}`,
        "--console-address",
        `127.0.0.1:${await freePort()}`,
        "--quiet",
      ],
      {
        MINIO_ROOT_USER: keys.accessKeyId,
        MINIO_ROOT_PASSWORD: keys.secretAccessKey,
        MINIO_BROWSER: "off",
        // A key of its own, so that it can encrypt when a write asks for it.
        MINIO_KMS_SECRET_KEY: `${KMS_KEY}:${randomBytes(32).toString("base64")}`,
      },
      async () => (await fetch(`http://127.0.0.1:${port}/minio/health/ready`)).ok,
    ),
  );
}

/** A second, independent S3 implementation: a gateway over a directory. */
export async function startVersitygw(): Promise<S3Server> {
  const command = await goProgram("versitygw", VERSITYGW);
  return startOnDirectory("versitygw", (dir, port, keys) =>
    startServer(
      "versitygw",
      command,
      [
        "--port",
        `127.0.0.1:${port}`,
        "--access",
        keys.accessKeyId,
        "--secret",
        keys.secretAccessKey,
        "posix",
        dir,
      ],
      {},
      async () => (await fetch(`http://127.0.0.1:${port}/`)).status > 0,
    ),
  );
}

async function startOnDirectory(
  name: string,
  start: (
    dir: string,
    port: number,
    keys: Pick<S3Server, "accessKeyId" | "secretAccessKey">,
  ) => Promise<{ stop(): Promise<void> }>,
): Promise<S3Server> {
  const keys = { accessKeyId: "hourpack-test", secretAccessKey: randomBytes(12).toString("hex") };
  const dir = mkdtempSync(join(tmpdir(), `hourpack-${name.toLowerCase()}-`));
  const port = await freePort();
  const server = await start(dir, port, keys);
  const stop = async () => {
    await server.stop();
    rmSync(dir, { recursive: true, force: true });
  };
  return { endpoint: `http://127.0.0.1:${port}`, ...keys, stop };
}

async function goProgram(name: string, module: string): Promise<string> {
  const path = join(cacheDir(), "bin", name);
  const found = () => onPath(name) ?? (existsSync(path) ? path : undefined);
  return madeOnce(name, found, async () => {
    if (!onPath("go")) {
      throw new Error(
        `the S3 tests need ${name}: install Go 1.24 or later (it is then built once), or put ${name} on the PATH`,
      );
    }
    process.stderr.write(`building ${name} into ${cacheDir()}; this takes some minutes, once\n`);
    await runToEnd("go", ["install", module], { GOBIN: join(cacheDir(), "bin") });
  });
}

export function s3Settings(server: Pick<S3Server, "endpoint">, more: Partial<S3Settings> = {}): S3Settings {
  return {
    endpoint: server.endpoint,
    region: "us-east-1",
    forcePathStyle: true,
    concurrency: 16,
    timeoutMs: 30_000,
    retryBudgetMs: 30_000,
    write: {},
    ...more,
  };
}

/** The environment variables that the SDK's credential chain reads. */
export function credentialsEnv(
  server: Pick<S3Server, "accessKeyId" | "secretAccessKey">,
): Record<string, string> {
  return {
    AWS_ACCESS_KEY_ID: server.accessKeyId,
    AWS_SECRET_ACCESS_KEY: server.secretAccessKey,
    AWS_REGION: "us-east-1",
    AWS_EC2_METADATA_DISABLED: "true",
  };
}

let buckets = 0;

export async function createBucket(server: S3Server): Promise<string> {
  const bucket = `t-${process.pid}-${Date.now().toString(36)}-${buckets++}`;
  const client = new S3Client({
    endpoint: server.endpoint,
    region: "us-east-1",
    forcePathStyle: true,
    credentials: { accessKeyId: server.accessKeyId, secretAccessKey: server.secretAccessKey },
  });
  await client.send(new CreateBucketCommand({ Bucket: bucket }));
  client.destroy();
  return bucket;
}
