/** GETs of objects: the hot path of an hour of small ones. */
import { Readable } from "node:stream";
import { HourpackError } from "../../errors.js";
import { codeOf, statusOf } from "../../sdk-errors.js";
import { changed, type GetOptions } from "../store.js";
import type { S3Access } from "./client.js";
import { unquoted } from "./headers.js";
import type { Md5Check } from "./md5.js";

/** What an answer says besides its body. */
interface Answer {
  status: number;
  etag: string;
  encryption: string;
  /** Which of the object's bytes these are; undefined if they are all of them. */
  contentRange: string | undefined;
  bytes: Buffer;
}

export class ObjectReader {
  private readonly access: S3Access;
  private readonly uri: string;
  private readonly md5: Md5Check;

  constructor(access: S3Access, md5: Md5Check) {
    this.access = access;
    this.uri = access.uri;
    this.md5 = md5;
  }

  /**
   * One try. Throws `conflict` if the object is gone or another version, and what the SDK or `DirectRequests`
   * throw.
   */
  async get(key: string, options: GetOptions): Promise<Buffer> {
    const answer = await this.ask(key, options);
    // A redirect, a refusal, expired credentials or a wrong clock is rare, and the SDK reports it best.
    const isPlain = answer && [200, 206, 404, 412].includes(answer.status);
    return this.checked(key, options, isPlain ? answer : await this.send(key, options));
  }

  private checked(key: string, { etag, range, sizeBytes }: GetOptions, answer: Answer): Buffer {
    if (answer.status === 412 || (etag !== undefined && answer.etag !== etag && answer.status < 300))
      throw changed("read", this.uri + key, "ETag changed since it was listed");
    if (answer.status === 404) throw changed("read", this.uri + key, "it is gone");
    if (range) this.checkRange(key, range, answer);
    const announced = range ? range.end - range.start : (sizeBytes ?? answer.bytes.length);
    if (answer.bytes.length !== announced) {
      throw new HourpackError(
        "unavailable",
        `read ${this.uri}${key}: ${answer.bytes.length} of ${announced} bytes came`,
        { location: this.uri + key },
      );
    }
    const { start, end, objectBytes } = rangeOf(answer) ?? {};
    // `bytes 0-719/720` is the whole object, too.
    if (start === 0 && end === objectBytes && answer.encryption === "")
      this.md5.read(key, answer.etag, answer.bytes);
    return answer.bytes;
  }

  /**
   * A server that knows no ranges answers with the whole object, which is right only if all of it was asked
   * for.
   */
  private checkRange(key: string, range: { start: number; end: number }, answer: Answer): void {
    const came = rangeOf(answer);
    if (came?.start === range.start && came.end === range.end) return;
    throw new HourpackError(
      "unavailable",
      `read ${this.uri}${key}: bytes ${range.start} to ${range.end - 1} were asked for, and ${answer.contentRange ?? "the whole object"} came`,
      {
        location: this.uri + key,
        hint: "Does a proxy or cache before the store drop the Range header? Large objects are read in ranges.",
      },
    );
  }

  private async send(key: string, { etag, range, sizeBytes, allocate, signal }: GetOptions): Promise<Answer> {
    const { client, sdk, target } = this.access;
    const input = {
      ...target,
      Key: key,
      IfMatch: etag === undefined ? undefined : `"${etag}"`,
      Range: range && `bytes=${range.start}-${range.end - 1}`,
    };
    try {
      const got = await client.send(new sdk.GetObjectCommand(input), { abortSignal: signal });
      const announced = range ? range.end - range.start : sizeBytes;
      const bytes = await bodyOf((got.Body as Readable | undefined) ?? Readable.from([]), announced);
      return {
        status: 200,
        etag: unquoted(got.ETag),
        contentRange: got.ContentRange,
        encryption: encryptionOf(got.ServerSideEncryption, got.SSECustomerAlgorithm),
        bytes: allocate ? copied(bytes, allocate) : bytes,
      };
    } catch (error) {
      const status = statusOf(error);
      const isGone = codeOf(error) === "NoSuchKey" || (status === 404 && codeOf(error) !== "NoSuchBucket");
      if (status !== 412 && !isGone) throw error;
      return {
        status: isGone ? 404 : 412,
        etag: "",
        encryption: "",
        contentRange: undefined,
        bytes: Buffer.alloc(0),
      };
    }
  }

  /** Undefined if the answer or the ETag has a form that is left to the SDK. */
  private async ask(key: string, options: GetOptions): Promise<Answer | undefined> {
    const { etag, range, allocate, signal } = options;
    const answer = await this.access.direct.send({
      doing: "read",
      method: "GET",
      key,
      headers: {
        "if-match": etag === undefined ? undefined : `"${etag}"`,
        range: range && `bytes=${range.start}-${range.end - 1}`,
      },
      allocate,
      signal,
    });
    // A refusal needs only its status.
    if (!answer || (!answer.bytes && answer.status < 400)) return undefined;
    const { status, headers, bytes } = answer;
    return {
      status,
      etag: unquoted(headers["etag"]),
      contentRange: headers["content-range"],
      encryption: encryptionOf(
        headers["x-amz-server-side-encryption"],
        headers["x-amz-server-side-encryption-customer-algorithm"],
      ),
      bytes: bytes ?? Buffer.alloc(0),
    };
  }
}

/** An answer that does not say how long it is may not end: more than a byte too many is not read. */
async function bodyOf(body: Readable, announced = Number.POSITIVE_INFINITY): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    sizeBytes += chunk.length;
    if (sizeBytes > announced) break;
  }
  return Buffer.concat(chunks);
}

/**
 * Copies the bytes to where the caller wants them. If they do not fit there, returns them as they are: their
 * length tells.
 */
function copied(bytes: Buffer, allocate: (sizeBytes: number) => Buffer): Buffer {
  const into = allocate(bytes.length);
  if (into.length < bytes.length) return bytes;
  bytes.copy(into);
  return into.subarray(0, bytes.length);
}

const RANGE = /^bytes (\d+)-(\d+)\/(\d+|\*)$/;

/**
 * Which bytes came, and of how many (NaN if that is not given). Undefined if the header is not as HTTP
 * defines it.
 */
function rangeOf({ contentRange, bytes }: Answer) {
  if (!contentRange) return { start: 0, end: bytes.length, objectBytes: bytes.length };
  const [, start, last, objectBytes] = RANGE.exec(contentRange)?.map(Number) ?? [];
  return start === undefined ? undefined : { start, end: Number(last) + 1, objectBytes: Number(objectBytes) };
}

/** Empty if the ETag of a whole object is its MD5: not encrypted, or encrypted with S3's own keys. */
function encryptionOf(serverSide: string | undefined, customer: string | undefined): string {
  return /kms/.test(serverSide ?? "") ? String(serverSide) : (customer ?? "");
}
