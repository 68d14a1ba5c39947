/**
 * An HTTP proxy in front of a real S3, or of moto as Glue and Athena. It numbers the requests of a run. It can hold or drop
 * each one before it is forwarded or after it was answered, and can answer with a fault. It reads every answer whole before it
 * passes any of it on, so that "answered" is one instant.
 */
import {
  createServer,
  request as httpRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";

export interface Exchange {
  /** Counts from 1, in the order of arrival. */
  n: number;
  method: string;
  /** Path and query as they came, encoded. */
  target: string;
  /** Decoded, without the query: `/bucket/key`. */
  path: string;
  query: URLSearchParams;
  headers: IncomingHttpHeaders;
  /** Named as AWS does: `GetObject`, `ListObjectsV2`, `CompleteMultipartUpload`, `BatchCreatePartition`. */
  operation: string;
  body: Buffer;
}

export interface Answer {
  status: number;
  /** Name, value, name, value, as they came. */
  headers: string[];
  body: Buffer;
}

/** What the client gets: an answer, a broken connection, or silence. */
export type Reply =
  | { kind: "answer"; answer: Answer }
  /** The connection breaks after `cutAt` bytes of the body, or before the first header if `cutAt` is absent. */
  | { kind: "reset"; answer?: Answer; cutAt?: number }
  /** Nothing more comes after `cutAt` bytes of the body, or from the start if it is absent. The connection stays open. */
  | { kind: "silence"; answer?: Answer; cutAt?: number };

/** Makes the reply. Decides whether the store sees the request at all, or one with another body. */
export type Fault = (exchange: Exchange, forward: (body?: Buffer) => Promise<Answer>) => Promise<Reply>;

export interface ProxyHooks {
  /** The whole request is here, and the store has not seen it. With `drop` it never will. */
  before?(exchange: Exchange): unknown;
  /** The store has answered, and the client does not know it. With `drop` it never will. */
  answered?(exchange: Exchange, answer: Answer): unknown;
  /** Returns undefined for a request without a fault. */
  fault?(exchange: Exchange): Fault | undefined;
}

export class S3Proxy {
  readonly endpoint: string;
  readonly exchanges: Exchange[] = [];
  hooks: ProxyHooks = {};
  private readonly stopServer: () => Promise<void>;

  private constructor(endpoint: string, stopServer: () => Promise<void>) {
    this.endpoint = endpoint;
    this.stopServer = stopServer;
  }

  static async start(upstream: { endpoint: string }, hooks: ProxyHooks = {}): Promise<S3Proxy> {
    const target = new URL(upstream.endpoint);
    const server = createServer((request, response) => {
      void proxy.serve(target, request, response).catch(() => response.destroy());
    });
    // Connections must survive the pauses of the tests.
    server.requestTimeout = 0;
    server.keepAliveTimeout = 60_000;
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const proxy = new S3Proxy(`http://127.0.0.1:${port}`, async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    });
    proxy.hooks = hooks;
    return proxy;
  }

  stop(): Promise<void> {
    return this.stopServer();
  }

  private async serve(target: URL, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await buffer(request);
    const exchange = exchangeOf(request, body, this.exchanges.length + 1);
    this.exchanges.push(exchange);
    if ((await this.hooks.before?.(exchange)) === "drop") return void response.destroy();
    // If the client is gone, its request must not happen any more.
    if (response.destroyed) return;
    const forward = (other: Buffer = body) => forwarded(target, request, other);
    const fault = this.hooks.fault?.(exchange);
    const reply: Reply = fault ? await fault(exchange, forward) : { kind: "answer", answer: await forward() };
    if (reply.answer && (await this.hooks.answered?.(exchange, reply.answer)) === "drop") {
      return void response.destroy();
    }
    send(response, reply, exchange.method === "HEAD");
  }
}

/** SigV4 signs the Host header, so the client's goes through unchanged. */
function forwarded(target: URL, request: IncomingMessage, body: Buffer): Promise<Answer> {
  const { rawHeaders } = request;
  const headers =
    headerOf(rawHeaders, "content-length") === undefined
      ? rawHeaders
      : [...headersWithout(rawHeaders, ["content-length"]), "Content-Length", String(body.length)];
  return new Promise((resolve, reject) => {
    const upstream = httpRequest(
      {
        host: target.hostname,
        port: target.port,
        method: request.method,
        path: request.url,
        headers: headers as never,
        setHost: false,
      },
      (incoming) => {
        buffer(incoming).then(
          (bytes) =>
            resolve({ status: incoming.statusCode ?? 502, headers: incoming.rawHeaders, body: bytes }),
          reject,
        );
      },
    );
    upstream.on("error", reject);
    upstream.end(body);
  });
}

function send(response: ServerResponse, reply: Reply, isHead: boolean): void {
  const { answer } = reply;
  if (!answer) {
    if (reply.kind === "reset") response.destroy();
    return;
  }
  // Stops Node from adding headers that the store did not send.
  response.sendDate = false;
  response.writeHead(answer.status, withLength(answer, isHead));
  if (isHead) return void response.end();
  if (reply.kind === "answer") {
    response.end(answer.body);
    return;
  }
  response.flushHeaders();
  response.write(answer.body.subarray(0, reply.cutAt ?? 0), () => {
    if (reply.kind === "reset") response.destroy();
  });
}

/** A body that was read whole has a length and is not chunked. */
function withLength(answer: Answer, isHead: boolean): string[] {
  const named = headersWithout(answer.headers, ["transfer-encoding", "connection", "keep-alive"]);
  return isHead || headerOf(named, "content-length") !== undefined || answer.status === 204
    ? named
    : [...named, "Content-Length", String(answer.body.length)];
}

function headerOf(headers: string[], name: string): string | undefined {
  const at = headers.findIndex((text, i) => i % 2 === 0 && text.toLowerCase() === name);
  return at < 0 ? undefined : headers[at + 1];
}

export function headersWithout(headers: string[], names: string[]): string[] {
  return headers.filter((_, i) => !names.includes((headers[i - (i % 2)] ?? "").toLowerCase()));
}

function exchangeOf(request: IncomingMessage, body: Buffer, n: number): Exchange {
  const target = request.url ?? "/";
  const url = new URL(target, "http://proxy");
  const method = request.method ?? "GET";
  const path = decodeURIComponent(url.pathname);
  const { headers } = request;
  // Glue and Athena: `AWSGlue.GetTable`.
  const named = String(headers["x-amz-target"] ?? "");
  const operation = named.slice(named.indexOf(".") + 1) || operationOf(method, url);
  return { n, method, target, path, query: url.searchParams, headers, operation, body };
}

function operationOf(method: string, { pathname, searchParams: query }: URL): string {
  if (query.has("uploads")) return method === "GET" ? "ListMultipartUploads" : "CreateMultipartUpload";
  if (query.has("uploadId")) {
    const names: Record<string, string> = {
      PUT: "UploadPart",
      POST: "CompleteMultipartUpload",
      DELETE: "AbortMultipartUpload",
    };
    return names[method] ?? "ListParts";
  }
  if (method === "GET" && (query.has("list-type") || /^\/[^/]*\/?$/.test(pathname))) return "ListObjectsV2";
  const verbs: Record<string, string> = {
    GET: "GetObject",
    HEAD: "HeadObject",
    PUT: "PutObject",
    DELETE: "DeleteObject",
  };
  return verbs[method] ?? method;
}
