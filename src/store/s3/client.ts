/** The official SDK's client, as all requests of a store that go through it share it. */
import type { S3Client, S3ClientConfig } from "@aws-sdk/client-s3";
import type { S3Settings } from "../../config/settings.js";
import { require } from "../../require.js";

type Sdk = typeof import("@aws-sdk/client-s3");

export function openClient(sdk: Sdk, settings: S3Settings): S3Client {
  const { NodeHttpHandler } =
    require("@smithy/node-http-handler") as typeof import("@smithy/node-http-handler");
  const config: S3ClientConfig = {
    ...(settings.endpoint ? { endpoint: settings.endpoint } : {}),
    ...(settings.region ? { region: settings.region } : {}),
    forcePathStyle: settings.forcePathStyle ?? false,
    // Retries happen in one place, `call` below, where the body of a GET is covered, too.
    maxAttempts: 1,
    // Newer checksums by default are more than MinIO of some years ago and other look-alikes take.
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
    followRegionRedirects: true,
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
