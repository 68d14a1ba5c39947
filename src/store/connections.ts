/**
 * GETs over connections that stay open: as much of HTTP/1.1 (RFC 9112) as an answer with its length before it needs, at
 * half of the CPU that a general client takes (docs/decisions/0004-gets-over-sockets.md). Of an answer in any other form only
 * the head is read, and the connection is given up: the caller asks again by other means.
 */
import { connect as connectTcp, isIP, type OnReadOpts, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";

export interface HttpAnswer {
  status: number;
  /** Those that say something of an object, by their names in lower case. */
  headers: Record<string, string>;
  /** Undefined where the body does not come with its length before it: none of it was read. */
  bytes: Buffer | undefined;
}

export interface HttpGet {
  /** The request's lines, without the empty one at their end. */
  head: string;
  /** Where the body of a 200 or 206 goes: a buffer of at least this size. */
  allocate: (sizeBytes: number) => Buffer;
  signal?: AbortSignal;
}

export interface ConnectionsOptions {
  /** At a time; further GETs wait. */
  max: number;
  connectTimeoutMs: number;
  /** So long may nothing come. */
  timeoutMs: number;
}

/** A GET under way. */
interface Pending extends HttpGet {
  resolve: (answer: HttpAnswer) => void;
  reject: (error: unknown) => void;
}

/** The connections to one origin. */
export class Connections {
  private readonly origin: URL;
  private readonly options: ConnectionsOptions;
  private readonly all = new Set<Connection>();
  private readonly idle: Connection[] = [];
  private readonly waiting: Pending[] = [];
  private readonly watched = new WeakSet<AbortSignal>();

  constructor(origin: URL, options: ConnectionsOptions) {
    this.origin = origin;
    this.options = options;
  }

  /** Rejects with an error of the system or of TLS, `ETIMEDOUT` and `ECONNRESET` among them. */
  get(request: HttpGet): Promise<HttpAnswer> {
    return new Promise((resolve, reject) => {
      const { signal } = request;
      if (signal?.aborted) throw interrupted();
      if (signal) this.watch(signal);
      this.begin({ ...request, resolve, reject });
    });
  }

  close(): void {
    for (const connection of this.all) connection.fail(broken("ECONNRESET", "the store was closed"));
  }

  private begin(pending: Pending): void {
    let connection = this.idle.pop();
    if (!connection && this.all.size < this.options.max) {
      connection = new Connection(this.origin, this.options, {
        onIdle: (idle) => this.goOn(idle),
        onClosed: (closed) => this.drop(closed),
      });
      this.all.add(connection);
    }
    if (connection) connection.begin(pending);
    else this.waiting.push(pending);
  }

  private goOn(connection: Connection): void {
    const next = this.waiting.shift();
    if (next) connection.begin(next);
    else this.idle.push(connection);
  }

  private drop(connection: Connection): void {
    this.all.delete(connection);
    const at = this.idle.indexOf(connection);
    if (at >= 0) this.idle.splice(at, 1);
    const next = this.waiting.shift();
    if (next) this.begin(next);
  }

  /** One listener a signal, however many GETs it is for. */
  private watch(signal: AbortSignal): void {
    if (this.watched.has(signal)) return;
    this.watched.add(signal);
    const abort = () => {
      for (const pending of this.waiting.splice(0)) {
        if (pending.signal === signal) pending.reject(interrupted());
        else this.waiting.push(pending);
      }
      for (const connection of [...this.all]) {
        if (connection.signal === signal) connection.fail(interrupted());
      }
    };
    signal.addEventListener("abort", abort, { once: true });
  }
}

interface Owner {
  onIdle: (connection: Connection) => void;
  onClosed: (connection: Connection) => void;
}

/** What is read lies here until the callback returns, whichever connection it came from: no two are in it at a time. */
const READ_BUFFER = Buffer.allocUnsafeSlow(64 << 10);
const HEAD_BYTES_MAX = 64 << 10;
const HEAD_END = Buffer.from("\r\n\r\n");
const HEADERS =
  /\r\n(content-length|content-range|connection|etag|transfer-encoding|x-amz-server-side-encryption[a-z-]*):[ \t]*([^\r\n]*)/gi;

class Connection {
  private readonly socket: Socket;
  private readonly owner: Owner;
  private pending: Pending | undefined;
  /** Of a head that has not come whole. */
  private headBytes: Buffer | undefined;
  private answer: (HttpAnswer & { bytes: Buffer }) | undefined;
  private received = 0;
  /** No other request may follow this one. */
  private isLast = false;
  private isClosed = false;

  constructor(origin: URL, { connectTimeoutMs, timeoutMs }: ConnectionsOptions, owner: Owner) {
    this.owner = owner;
    const onread: OnReadOpts = {
      buffer: READ_BUFFER,
      callback: (sizeBytes) => {
        this.read(READ_BUFFER.subarray(0, sizeBytes));
        return true;
      },
    };
    const isTls = origin.protocol === "https:";
    const host = origin.hostname.replace(/^\[|\]$/g, "");
    const port = Number(origin.port) || (isTls ? 443 : 80);
    const options = { host, port, onread };
    this.socket = isTls
      ? connectTls({ ...options, ...(isIP(host) ? {} : { servername: host }) })
      : connectTcp(options);
    this.socket.setNoDelay(true);
    this.socket.setTimeout(connectTimeoutMs);
    this.socket
      .once(isTls ? "secureConnect" : "connect", () => this.socket.setTimeout(timeoutMs))
      .once("timeout", () => this.fail(broken("ETIMEDOUT", "no answer in time")))
      .once("end", () => this.fail(broken("ECONNRESET", "the connection was closed")))
      .once("error", (error) => this.fail(error))
      .once("close", () => this.fail(broken("ECONNRESET", "the connection was closed")));
  }

  get signal(): AbortSignal | undefined {
    return this.pending?.signal;
  }

  begin(pending: Pending): void {
    this.pending = pending;
    this.socket.write(`${pending.head}\r\n`, "latin1");
  }

  /** Also where nothing is under way: the connection is gone then. */
  fail(error: unknown): void {
    if (this.isClosed) return;
    this.isClosed = true;
    const { pending } = this;
    this.pending = undefined;
    this.socket.destroy();
    this.owner.onClosed(this);
    pending?.reject(error);
  }

  private read(chunk: Buffer): void {
    try {
      const body = this.answer ? chunk : this.readHead(chunk);
      if (body && this.answer) this.readBody(body, this.answer);
    } catch (error) {
      // Such as a length that no buffer has.
      this.fail(error);
    }
  }

  /** What follows the head; undefined where it is not whole yet, or there is nothing to be read. */
  private readHead(chunk: Buffer): Buffer | undefined {
    const { pending } = this;
    if (!pending) throw broken("ECONNRESET", "an answer without a request");
    const bytes = this.headBytes ? Buffer.concat([this.headBytes, chunk]) : chunk;
    const end = bytes.indexOf(HEAD_END);
    if (end < 0) {
      if (bytes.length > HEAD_BYTES_MAX) throw broken("ECONNRESET", "the head of the answer has no end");
      this.headBytes = Buffer.from(bytes);
      return undefined;
    }
    this.headBytes = undefined;
    const { status, headers, isHttp11 } = parsedHead(bytes.toString("latin1", 0, end));
    const sizeBytes = /^\d+$/.test(headers["content-length"] ?? "") ? Number(headers["content-length"]) : -1;
    if (sizeBytes < 0 || headers["transfer-encoding"] || status < 200) {
      this.pending = undefined;
      this.fail(undefined);
      pending.resolve({ status, headers, bytes: undefined });
      return undefined;
    }
    const isObject = status === 200 || status === 206;
    this.answer = {
      status,
      headers,
      bytes: isObject ? pending.allocate(sizeBytes).subarray(0, sizeBytes) : Buffer.allocUnsafe(sizeBytes),
    };
    this.received = 0;
    this.isLast = !isHttp11 || /\bclose\b/i.test(headers["connection"] ?? "");
    return bytes.subarray(end + HEAD_END.length);
  }

  private readBody(chunk: Buffer, answer: HttpAnswer & { bytes: Buffer }): void {
    const taken = chunk.copy(answer.bytes, this.received);
    this.received += taken;
    if (this.received < answer.bytes.length) return;
    const { pending } = this;
    this.pending = undefined;
    this.answer = undefined;
    // More than was announced: what comes next could not be told from it.
    if (this.isLast || taken < chunk.length) this.fail(undefined);
    else this.owner.onIdle(this);
    pending?.resolve(answer);
  }
}

function parsedHead(head: string): { status: number; headers: Record<string, string>; isHttp11: boolean } {
  const [, minor, status] = /^HTTP\/1\.([01]) (\d{3})/.exec(head) ?? [];
  if (status === undefined) throw broken("ECONNRESET", "this is no answer in HTTP/1.1");
  const headers: Record<string, string> = {};
  for (const [, name, value] of head.matchAll(HEADERS))
    headers[(name as string).toLowerCase()] = value as string;
  return { status: Number(status), headers, isHttp11: minor === "1" };
}

function broken(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}

function interrupted(): Error {
  return new Error("interrupted");
}
