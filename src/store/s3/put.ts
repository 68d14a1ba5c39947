/** PUTs of objects: whole ones, and large ones in parts. */
import { createReadStream } from "node:fs";
import { Readable } from "node:stream";
import { HourpackError } from "../../errors.js";
import { require } from "../../require.js";
import type { Body, PutOptions } from "../store.js";
import type { S3Access } from "./client.js";
import { refusal } from "./errors.js";
import { unquoted, writeHeaders, writeInput } from "./headers.js";

/** Larger files go up in parts of this size. */
export const PART_BYTES = 16 << 20;
/** The condition did not hold, or two writes met. */
const REFUSED = [404, 409, 412];

/** Each method is one try. It returns the ETag, and throws what the SDK or `DirectRequests` throw. */
export class ObjectWriter {
  private readonly access: S3Access;

  constructor(access: S3Access) {
    this.access = access;
  }

  async whole(
    key: string,
    body: Body,
    sizeBytes: number,
    options: PutOptions,
    abortSignal: AbortSignal | undefined,
  ): Promise<string> {
    const { settings, sdk, client, direct, target } = this.access;
    const about = writeInput(settings.write, options);
    if (body instanceof Uint8Array) {
      const headers = writeHeaders(about);
      const request = { doing: "write", method: "PUT", key, headers, body, signal: abortSignal } as const;
      const answer = await direct.send(request);
      if (answer?.status === 200 && answer.headers["etag"]) return unquoted(answer.headers["etag"]);
      if (answer && REFUSED.includes(answer.status)) throw refusal(answer.status, answer.bytes);
    }
    const sent = body instanceof Uint8Array ? body : createReadStream(body.path);
    const input = { ...target, ...about, Key: key, Body: sent, ContentLength: sizeBytes };
    try {
      const put = await client.send(new sdk.PutObjectCommand(input), { abortSignal });
      return this.written(key, put.ETag);
    } finally {
      // It closes itself at its end, which a request that failed has not read.
      if (sent instanceof Readable) sent.destroy();
    }
  }

  /** CompleteMultipartUpload carries the condition. The parts of a failed upload are dropped. */
  async parts(
    key: string,
    body: AsyncGenerator<Uint8Array>,
    options: PutOptions,
    abortSignal: AbortSignal | undefined,
  ): Promise<string> {
    const { settings, client, target } = this.access;
    const { Upload } = require("@aws-sdk/lib-storage") as typeof import("@aws-sdk/lib-storage");
    const upload = new Upload({
      client,
      partSize: PART_BYTES,
      queueSize: 2,
      params: {
        ...target,
        ...writeInput(settings.write, options),
        Key: key,
        Body: Readable.from(body),
      },
    });
    const abort = () => void upload.abort();
    abortSignal?.addEventListener("abort", abort, { once: true });
    try {
      return this.written(key, (await upload.done()).ETag);
    } finally {
      abortSignal?.removeEventListener("abort", abort);
    }
  }

  /** S3 names the version that it stored. An answer without one comes from something before the store: nothing is known then. */
  private written(key: string, etag: string | undefined): string {
    if (etag) return unquoted(etag);
    const location = this.access.uri + key;
    throw new HourpackError(
      "unavailable",
      `write ${location}: the answer has no ETag, so nobody knows whether it was stored`,
      { location, hint: "Does a proxy or load balancer before the store answer in its place?" },
    );
  }
}
