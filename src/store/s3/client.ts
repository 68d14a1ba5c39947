/** What all requests to a bucket share: the official SDK's client, and the connections beside it. */
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
  /** In the input of every command of the SDK. */
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
    // Retries happen in one place, `call` of s3.ts, where the body of a GET is covered, too.
    maxAttempts: 1,
    // Newer checksums by default are more than MinIO of some years ago and other look-alikes take.
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
    followRegionRedirects: true,
    logger: SILENT,
    requestHandler: new NodeHttpHandler({
      connectionTimeout: Math.min(settings.timeoutMs, 10_000),
      requestTimeout: settings.timeoutMs,
      throwOnRequestTimeout: true,
      // A body that stops coming, too: requestTimeout ends with the first header.
      socketTimeout: settings.timeoutMs,
      socketAcquisitionWarningTimeout: 600_000,
      httpAgent: { maxSockets: SDK_SOCKETS_MAX, keepAlive: true },
      httpsAgent: { maxSockets: SDK_SOCKETS_MAX, keepAlive: true },
    }),
  };
  return new sdk.S3Client(config);
}

const SDK_SOCKETS_MAX = 40;

/** What goes wrong is told by whoever asked: without a logger the SDK writes of an upload that failed to the console. */
const SILENT = { trace() {}, debug() {}, info() {}, warn() {}, error() {} };
