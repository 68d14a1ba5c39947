/**
 * GETs of objects, the hot path of an hour of small ones: connections of our own and a cached signing key take a tenth of
 * the CPU that the SDK's GetObject takes. Whatever is out of the ordinary is asked again through the SDK, which knows it all.
 */
import { hash } from "node:crypto";
import type { S3Client } from "@aws-sdk/client-s3";
import type { S3Settings } from "../config/settings.js";
import { HourpackError } from "../errors.js";
import { Connections } from "./connections.js";
import { codeOf, statusOf } from "./s3-errors.js";
import { encodePath, GetSigner } from "./s3-sign.js";
import { GETS_MAX, type GetOptions } from "./store.js";

type Sdk = typeof import("@aws-sdk/client-s3");

/** What an answer says besides its body. */
interface Answer {
  status: number;
  etag: string;
  encryption: string;
  /** All of the object's bytes, and not a range of them. */
  isWhole: boolean;
  bytes: Buffer;
}

interface Direct {
  connections: Connections;
  /** Of the bucket, without a slash at its end. */
  path: string;
  signer: GetSigner;
}

export class ObjectReader {
  private readonly bucket: string;
  private readonly uri: string;
  private readonly settings: S3Settings;
  private readonly sdk: Sdk;
  private readonly client: S3Client;
  private direct: Promise<Direct | undefined> | undefined;
  /** Off where an ETag of 32 hex digits turned out to be no MD5. ETags of directory buckets never are. */
  private comparesMd5: boolean;
  /** An ETag was the MD5 once: this store's are, and one that is not means damage. */
  private hasMatched = false;
  private readonly odd = new Map<string, string>();

  constructor(bucket: string, settings: S3Settings, sdk: Sdk, client: S3Client) {
    this.bucket = bucket;
    this.uri = `s3://${bucket}/`;
    this.settings = settings;
    this.sdk = sdk;
    this.client = client;
    this.comparesMd5 = !bucket.endsWith("--x-s3");
  }

  /** One try. Throws `conflict` where the object is gone or another version, and what the SDK or `Connections` throw. */
  async get(key: string, options: GetOptions): Promise<Buffer> {
    this.direct ??= this.openDirect();
    const direct = await this.direct;
    let answer = direct && (await this.ask(direct, key, options));
    if (answer && (answer.status >= 500 || answer.status === 429)) throw this.busy(key, answer);
    // A redirect, a refusal, expired credentials, a clock that is off: not often, and best told by the SDK.
    if (!answer || ![200, 206, 404, 412].includes(answer.status)) answer = await this.send(key, options);
    return this.checked(key, options, answer);
  }

  async close(): Promise<void> {
    (await this.direct)?.connections.close();
  }

  private checked(key: string, { etag, range, sizeBytes }: GetOptions, answer: Answer): Buffer {
    if (answer.status === 412 || (etag !== undefined && answer.etag !== etag && answer.status < 300))
      throw this.changed(key, "ETag changed since it was listed");
    if (answer.status === 404) throw this.changed(key, "it is gone");
    const announced = range ? range.end - range.start : (sizeBytes ?? answer.bytes.length);
    if (answer.bytes.length !== announced) {
      throw new HourpackError(
        "unavailable",
        `read ${this.uri}${key}: ${answer.bytes.length} of ${announced} bytes came`,
        { location: this.uri + key },
      );
    }
    if (answer.isWhole && answer.encryption === "") this.checkMd5(key, answer);
    return answer.bytes;
  }

  /**
   * The ETag of an object written whole, and not encrypted with KMS or a customer's key, is its MD5 (S3 User Guide,
   * "Object ETag"). A look-alike may have other ideas: the same bytes twice under one ETag are what it has.
   */
  private checkMd5(key: string, { etag, bytes }: Answer): void {
    if (!this.comparesMd5 || !/^[0-9a-f]{32}$/.test(etag)) return;
    const md5 = hash("md5", bytes);
    if (md5 === etag) {
      this.hasMatched = true;
      return;
    }
    if (!this.hasMatched && this.odd.get(key) === md5) {
      this.comparesMd5 = false;
      this.odd.clear();
      return;
    }
    this.odd.set(key, md5);
    throw new HourpackError(
      "unavailable",
      `read ${this.uri}${key}: its bytes have the MD5 ${md5}, its ETag says ${etag}`,
      { location: this.uri + key, hint: "The body was damaged on its way: run again." },
    );
  }

  private busy(key: string, { status, bytes }: Answer): HourpackError {
    const code = /<Code>([A-Za-z]+)<\/Code>/.exec(bytes.toString("latin1"))?.[1] ?? "";
    return new HourpackError(
      "unavailable",
      `read ${this.uri}${key}: the store answered ${status} ${code}`.trimEnd(),
      {
        location: this.uri + key,
        hint: "The store is busy or unwell: run again, or lower --s3-concurrency.",
      },
    );
  }

  private changed(key: string, why: string): HourpackError {
    return new HourpackError("conflict", `read ${this.uri}${key}: ${why}`, { location: this.uri + key });
  }

  private async send(key: string, { etag, range, signal }: GetOptions): Promise<Answer> {
    const input = {
      Bucket: this.bucket,
      ExpectedBucketOwner: this.settings.expectedBucketOwner,
      Key: key,
      IfMatch: etag === undefined ? undefined : `"${etag}"`,
      Range: range && `bytes=${range.start}-${range.end - 1}`,
    };
    try {
      const got = await this.client.send(new this.sdk.GetObjectCommand(input), { abortSignal: signal });
      const bytes = (await got.Body?.transformToByteArray()) ?? new Uint8Array();
      return {
        status: 200,
        etag: unquoted(got.ETag),
        isWhole: isWhole(got.ContentRange),
        encryption: encryptionOf(got.ServerSideEncryption, got.SSECustomerAlgorithm),
        bytes: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength),
      };
    } catch (error) {
      const status = statusOf(error);
      const isGone = codeOf(error) === "NoSuchKey" || (status === 404 && codeOf(error) !== "NoSuchBucket");
      if (status !== 412 && !isGone) throw error;
      return {
        status: isGone ? 404 : 412,
        etag: "",
        encryption: "",
        isWhole: false,
        bytes: Buffer.alloc(0),
      };
    }
  }

  /** The SDK's own rules say where the bucket is and how it is signed for; undefined where that is not plain SigV4. */
  private async openDirect(): Promise<Direct | undefined> {
    const { config } = this.client;
    const endpoint = config.endpointProvider({
      Bucket: this.bucket,
      Region: await config.region(),
      UseFIPS: await config.useFipsEndpoint(),
      UseDualStack: await config.useDualstackEndpoint(),
      ForcePathStyle: this.settings.forcePathStyle ?? false,
      ...(this.settings.endpoint ? { Endpoint: this.settings.endpoint } : {}),
    });
    const scheme = endpoint.properties?.["authSchemes"] as
      | { name: string; signingName: string; signingRegion: string }[]
      | undefined;
    const [auth] = scheme ?? [];
    if (auth?.name !== "sigv4" || Object.keys(endpoint.headers ?? {}).length > 0) return undefined;
    const { host, pathname } = endpoint.url;
    const { concurrency, timeoutMs } = this.settings;
    const connections = new Connections(endpoint.url, {
      max: concurrency ?? GETS_MAX,
      connectTimeoutMs: Math.min(timeoutMs, 10_000),
      timeoutMs,
    });
    const path = pathname.replace(/\/$/, "");
    const { expectedBucketOwner } = this.settings;
    const more: Record<string, string> = expectedBucketOwner
      ? { "x-amz-expected-bucket-owner": expectedBucketOwner }
      : {};
    const scope = { host, region: auth.signingRegion, service: auth.signingName };
    const signer = new GetSigner(scope, config.credentials, more);
    return { connections, path, signer };
  }

  /** Undefined where the answer, or the ETag, is in a form that is left to the SDK. */
  private async ask(direct: Direct, key: string, options: GetOptions): Promise<Answer | undefined> {
    const { etag, range, allocate = Buffer.allocUnsafeSlow, signal } = options;
    if (etag !== undefined && !/^[\x20-\x7e]*$/.test(etag)) return undefined;
    const nowMs = Date.now() + this.client.config.systemClockOffset;
    let head = await direct.signer.head(`${direct.path}/${encodePath(key)}`, nowMs);
    if (etag !== undefined) head += `if-match: "${etag}"\r\n`;
    if (range) head += `range: bytes=${range.start}-${range.end - 1}\r\n`;
    const { status, headers, bytes } = await direct.connections.get({ head, allocate, signal });
    // The status of a refusal is all that is needed of it.
    if (!bytes && status < 400) return undefined;
    return {
      status,
      etag: unquoted(headers["etag"]),
      isWhole: isWhole(headers["content-range"]),
      encryption: encryptionOf(
        headers["x-amz-server-side-encryption"],
        headers["x-amz-server-side-encryption-customer-algorithm"],
      ),
      bytes: bytes ?? Buffer.alloc(0),
    };
  }
}

/** `bytes 0-719/720` is all of it, too. */
function isWhole(contentRange: string | undefined): boolean {
  if (!contentRange) return true;
  const [, start, end, total] = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(contentRange) ?? [];
  return start === "0" && Number(end) + 1 === Number(total);
}

/** Empty where the ETag of a whole object is its MD5 all the same: not encrypted, or by S3's own keys. */
function encryptionOf(serverSide: string | undefined, customer: string | undefined): string {
  return /kms/.test(serverSide ?? "") ? String(serverSide) : (customer ?? "");
}

export function unquoted(etag: string | undefined): string {
  return (etag ?? "").replace(/^"|"$/g, "");
}
