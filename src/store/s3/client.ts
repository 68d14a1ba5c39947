/** What all requests to a bucket share: the official SDK's client, and the direct connections beside it. */
import type { S3Client, S3ClientConfig } from "@aws-sdk/client-s3";
import type { S3Settings } from "../../config/settings.js";
import { require } from "../../require.js";
import { DirectRequests } from "./direct.js";

type Sdk = typeof import("@aws-sdk/client-s3");

export interface S3Access {
  bucket: string;
  /** `s3://bucket/` */
  uri: string;
  settings: S3Settings;
  sdk: Sdk;
  client: S3Client;
  direct: DirectRequests;
  /** Goes into the input of every SDK command. */
  target: { Bucket: string; ExpectedBucketOwner: string | undefined };
}

export function openAccess(bucket: string, settings: S3Settings): S3Access {
  const sdk = require("@aws-sdk/client-s3") as Sdk;
  const client = openClient(sdk, settings);
  return {
    bucket,
    uri: `s3://${bucket}/`,
    settings,
    sdk,
    client,
    direct: new DirectRequests(bucket, settings, client),
    target: { Bucket: bucket, ExpectedBucketOwner: settings.expectedBucketOwner },
  };
}

function openClient(sdk: Sdk, settings: S3Settings): S3Client {
  const { NodeHttpHandler } =
    require("@smithy/node-http-handler") as typeof import("@smithy/node-http-handler");
  const config: S3ClientConfig = {
    ...(settings.endpoint ? { endpoint: settings.endpoint } : {}),
    ...(settings.region ? { region: settings.region } : {}),
    forcePathStyle: settings.forcePathStyle ?? false,
    // `call` in s3.ts makes all retries, so that they cover the body of a GET, too.
    maxAttempts: 1,
    // MinIO of some years ago and other look-alikes do not take the newer default checksums.
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
    followRegionRedirects: true,
    logger: SILENT,
    requestHandler: new NodeHttpHandler({
      connectionTimeout: Math.min(settings.timeoutMs, 10_000),
      requestTimeout: settings.timeoutMs,
      throwOnRequestTimeout: true,
      // Covers a body that stops coming: `requestTimeout` ends with the first header.
      socketTimeout: settings.timeoutMs,
      socketAcquisitionWarningTimeout: 600_000,
      httpAgent: { maxSockets: SDK_SOCKETS_MAX, keepAlive: true },
      httpsAgent: { maxSockets: SDK_SOCKETS_MAX, keepAlive: true },
    }),
  };
  return new sdk.S3Client(config);
}

const SDK_SOCKETS_MAX = 40;

/**
 * The caller reports what goes wrong. Without a logger the SDK writes to the console about a failed upload.
 */
const SILENT = { trace() {}, debug() {}, info() {}, warn() {}, error() {} };
