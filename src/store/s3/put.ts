/** PUTs of objects: whole ones, and large ones in parts. */
import { createReadStream } from "node:fs";
import { Readable } from "node:stream";
import type { S3Client } from "@aws-sdk/client-s3";
import type { S3Settings } from "../../config/settings.js";
import { require } from "../../require.js";
import type { Body, PutOptions } from "../store.js";
import type { DirectRequests } from "./direct.js";
import { refusal } from "./errors.js";
import { unquoted, writeHeaders, writeInput } from "./headers.js";

type Sdk = typeof import("@aws-sdk/client-s3");

/** Files above this go up in parts of this size. */
export const PART_BYTES = 16 << 20;
/** A condition that did not hold, or two writes that met. */
const REFUSED = [404, 409, 412];

/** Each method is one try, answers with the ETag, and throws what the SDK or `DirectRequests` throw. */
export class ObjectWriter {
  private readonly settings: S3Settings;
  private readonly sdk: Sdk;
  private readonly client: S3Client;
  private readonly direct: DirectRequests;
  private readonly target: { Bucket: string; ExpectedBucketOwner: string | undefined };

  constructor(
    settings: S3Settings,
    sdk: Sdk,
    client: S3Client,
    direct: DirectRequests,
    target: ObjectWriter["target"],
  ) {
    this.settings = settings;
    this.sdk = sdk;
    this.client = client;
    this.direct = direct;
    this.target = target;
  }

  async whole(
    key: string,
    body: Body,
    sizeBytes: number,
    options: PutOptions,
    abortSignal: AbortSignal | undefined,
  ): Promise<string> {
    const about = writeInput(this.settings.write, options);
    if (body instanceof Uint8Array) {
      const headers = writeHeaders(about);
      const request = { doing: "write", method: "PUT", key, headers, body, signal: abortSignal } as const;
      const answer = await this.direct.send(request);
      if (answer?.status === 200 && answer.headers["etag"]) return unquoted(answer.headers["etag"]);
      if (answer && REFUSED.includes(answer.status)) throw refusal(answer.status, answer.bytes);
    }
    const input = {
      ...this.target,
      ...about,
      Key: key,
      Body: body instanceof Uint8Array ? body : createReadStream(body.path),
      ContentLength: sizeBytes,
    };
    const put = await this.client.send(new this.sdk.PutObjectCommand(input), { abortSignal });
    return unquoted(put.ETag);
  }

  /** The condition is that of CompleteMultipartUpload; parts of a failed upload are dropped. */
  async parts(
    key: string,
    body: AsyncGenerator<Uint8Array>,
    options: PutOptions,
    abortSignal: AbortSignal | undefined,
  ): Promise<string> {
    const { Upload } = require("@aws-sdk/lib-storage") as typeof import("@aws-sdk/lib-storage");
    const upload = new Upload({
      client: this.client,
      partSize: PART_BYTES,
      queueSize: 2,
      params: {
        ...this.target,
        ...writeInput(this.settings.write, options),
        Key: key,
        Body: Readable.from(body),
      },
    });
    const abort = () => void upload.abort();
    abortSignal?.addEventListener("abort", abort, { once: true });
    try {
      return unquoted((await upload.done()).ETag);
    } finally {
      abortSignal?.removeEventListener("abort", abort);
    }
  }
}
