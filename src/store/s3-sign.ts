/**
 * Signature Version 4 for GETs of objects, with all that the requests of a second share made once: a hundred times
 * cheaper than the general signer. After "Authenticating Requests: Using the Authorization Header (AWS Signature
 * Version 4)", S3 API Reference.
 */
import { createHmac, createSecretKey, hash, type KeyObject } from "node:crypto";

export interface Credentials {
  accessKeyId: string;
  secretAccessKey: string;
  sessionToken?: string;
}

/** Of the empty body that a GET has. */
const EMPTY_SHA256 = hash("sha256", "");

/** What is the same for all GETs of a second. */
interface Second {
  second: number;
  /** Sent with each: header lines. */
  lines: string;
  /** Of the canonical request, after the path. */
  canonicalTail: string;
  /** Of the string to sign, before the canonical request's hash. */
  head: string;
  /** Of the authorization, before the signature. */
  authorization: string;
  key: KeyObject;
}

/** Signs GETs to one host. Headers beyond those that it gives need not be signed, but for `x-amz-*`. */
export class GetSigner {
  private readonly host: string;
  private readonly region: string;
  private readonly service: string;
  private readonly credentials: () => Promise<Credentials>;
  private readonly more: Record<string, string>;
  private second: Second | undefined;

  /** `credentials` are asked for once a second. `more`: further `x-amz-*` headers, to be sent and signed. */
  constructor(
    scope: { host: string; region: string; service: string },
    credentials: () => Promise<Credentials>,
    more: Record<string, string> = {},
  ) {
    this.host = scope.host;
    this.region = scope.region;
    this.service = scope.service;
    this.credentials = credentials;
    this.more = more;
  }

  /** The lines of a GET, to which others may be added. `path` as it is sent, already encoded. */
  async head(path: string, nowMs: number): Promise<string> {
    const now = Math.floor(nowMs / 1000);
    if (this.second?.second !== now) this.second = this.prepare(now, await this.credentials());
    const { lines, canonicalTail, head, authorization, key } = this.second;
    const digest = hash("sha256", `GET\n${path}${canonicalTail}`);
    const signature = createHmac("sha256", key)
      .update(head + digest)
      .digest("hex");
    return `GET ${path} HTTP/1.1\r\n${lines}authorization: ${authorization}${signature}\r\n`;
  }

  private prepare(second: number, credentials: Credentials): Second {
    const time = new Date(second * 1000).toISOString().replace(/[-:]|\.\d{3}/g, "");
    const day = time.slice(0, 8);
    const headers: Record<string, string> = {
      host: this.host,
      "x-amz-content-sha256": EMPTY_SHA256,
      "x-amz-date": time,
      ...this.more,
      ...(credentials.sessionToken ? { "x-amz-security-token": credentials.sessionToken } : {}),
    };
    const names = Object.keys(headers).sort();
    const list = names.join(";");
    const lines = (end: string) => names.map((name) => `${name}:${headers[name]}${end}`).join("");
    const scope = `${day}/${this.region}/${this.service}/aws4_request`;
    return {
      second,
      lines: lines("\r\n"),
      canonicalTail: `\n\n${lines("\n")}\n${list}\n${EMPTY_SHA256}`,
      head: `AWS4-HMAC-SHA256\n${time}\n${scope}\n`,
      authorization: `AWS4-HMAC-SHA256 Credential=${credentials.accessKeyId}/${scope}, SignedHeaders=${list}, Signature=`,
      key: this.signingKey(day, credentials),
    };
  }

  private signingKey(day: string, credentials: Credentials): KeyObject {
    let secret: Buffer = Buffer.from(`AWS4${credentials.secretAccessKey}`);
    for (const part of [day, this.region, this.service, "aws4_request"])
      secret = createHmac("sha256", secret).update(part).digest();
    return createSecretKey(secret);
  }
}

/** A key as a path: every byte escaped but the unreserved ones and the slash. An hour's keys share their folder. */
export function encodePath(key: string): string {
  const cut = key.lastIndexOf("/") + 1;
  const folder = key.slice(0, cut);
  if (folder !== lastFolder.plain) lastFolder = { plain: folder, encoded: encoded(folder) };
  return lastFolder.encoded + encoded(key.slice(cut));
}

let lastFolder = { plain: "", encoded: "" };

function encoded(text: string): string {
  if (/^[A-Za-z0-9._~/-]*$/.test(text)) return text;
  return encodeURIComponent(text)
    .replaceAll("%2F", "/")
    .replace(/[!'()*]/g, (letter) => `%${letter.charCodeAt(0).toString(16).toUpperCase()}`);
}
