/**
 * Requests over connections that stay open. It reads answers that announce their length, which takes little
 * of HTTP/1.1 (RFC 9112) and half the CPU of a general client (docs/decisions/0004-requests-over-sockets.md).
 * For an answer in any other form, only the head is read and the connection is given up: the caller asks
 * again by other means.
 */
import { connect as connectTcp, isIP, type OnReadOpts, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";

export interface HttpAnswer {
  status: number;
  /** The headers that say something about an object, names in lower case. */
  headers: Record<string, string>;
  /** Undefined if the body does not announce its length: none of it was read. */
  bytes: Buffer | undefined;
}

export interface HttpRequest {
  method: "GET" | "HEAD" | "PUT" | "DELETE";
  /** The request's lines, including the first one and `content-length`, without the empty line at the end. */
  head: string;
  body?: Uint8Array;
  /**
   * Returns the buffer for the body of a 200 or 206, of at least this size. Without it, a new buffer is made.
   */
  allocate?: (sizeBytes: number) => Buffer;
  signal?: AbortSignal;
}

export interface ConnectionsOptions {
  /** Connections at a time; further requests wait. */
  max: number;
  connectTimeoutMs: number;
  /** How long nothing may come before a request fails. */
  timeoutMs: number;
}

/** A request under way. */
interface Pending extends HttpRequest {
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
  private readonly watched = new Map<AbortSignal, { requests: number; abort: () => void }>();
  private isClosed = false;

  constructor(origin: URL, options: ConnectionsOptions) {
    this.origin = origin;
    this.options = options;
  }

  /** Rejects with a system or TLS error, such as `ETIMEDOUT` or `ECONNRESET`. */
  async send(request: HttpRequest): Promise<HttpAnswer> {
    const { signal } = request;
    if (signal?.aborted) throw interrupted();
    if (this.isClosed) throw closed();
    if (signal) this.watch(signal);
    try {
      return await new Promise((resolve, reject) => this.begin({ ...request, resolve, reject }));
    } finally {
      if (signal) this.unwatch(signal);
    }
  }

  /** Rejects the requests under way and waiting; they are not worth another try. */
  close(): void {
    this.isClosed = true;
    for (const pending of this.waiting.splice(0)) pending.reject(closed());
    for (const connection of [...this.all]) connection.fail(closed());
  }

  private begin(pending: Pending): void {
    let connection = this.idle.pop();
    if (!connection && this.all.size < this.options.max) {
      connection = new Connection(this.origin, this.options, {
        onIdle: (idle) => this.goOn(idle),
        onClosed: (gone, again) => this.drop(gone, again),
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

  private drop(connection: Connection, again: Pending | undefined): void {
    this.all.delete(connection);
    const at = this.idle.indexOf(connection);
    if (at >= 0) this.idle.splice(at, 1);
    const next = again ?? this.waiting.shift();
    if (next) this.begin(next);
  }

  /**
   * One listener per signal, for any number of requests, and none once they have ended: the signal may
   * outlive us.
   */
  private watch(signal: AbortSignal): void {
    const watched = this.watched.get(signal) ?? { requests: 0, abort: () => this.abort(signal) };
    if (watched.requests++ > 0) return;
    this.watched.set(signal, watched);
    signal.addEventListener("abort", watched.abort);
  }

  private unwatch(signal: AbortSignal): void {
    const watched = this.watched.get(signal);
    if (!watched || --watched.requests > 0) return;
    this.watched.delete(signal);
    signal.removeEventListener("abort", watched.abort);
  }

  private abort(signal: AbortSignal): void {
    for (const pending of this.waiting.splice(0)) {
      if (pending.signal === signal) pending.reject(interrupted());
      else this.waiting.push(pending);
    }
    for (const connection of [...this.all]) {
      if (connection.signal === signal) connection.fail(interrupted());
    }
  }
}

interface Owner {
  onIdle: (connection: Connection) => void;
  /** `again`: a request to repeat on another connection. */
  onClosed: (connection: Connection, again: Pending | undefined) => void;
}

/**
 * All connections read into this buffer. Each callback is done with it when it returns, and no two run at a
 * time.
 */
const READ_BUFFER = Buffer.allocUnsafeSlow(64 << 10);
/** The limit of Node's own client. */
const HEAD_BYTES_MAX = 16 << 10;
/** For the body of an answer that is not an object. */
const REFUSAL_BYTES_MAX = 64 << 10;
const HEAD_END = Buffer.from("\r\n\r\n");
/** A line that continues on the next one, or ends in an unusual way: others may read it differently. */
const ODD_LINES = /(?<!\r)\n|\r(?!\n[^ \t])/;
const HEADERS =
  /\r\n(content-length|content-range|connection|etag|last-modified|transfer-encoding|x-amz-meta-[\w-]+|x-amz-server-side-encryption[a-z-]*)[ \t]*:[ \t]*([^\r\n]*)/gi;

class Connection {
  private readonly socket: Socket;
  private readonly owner: Owner;
  private pending: Pending | undefined;
  /** A head that has not arrived whole yet. */
  private headBytes: Buffer | undefined;
  private answer: (HttpAnswer & { bytes: Buffer }) | undefined;
  private received = 0;
  /** No other request may follow this one. */
  private isLast = false;
  /**
   * The connection has answered before, and nothing has come since. If it is cut off now, the server closed
   * it as idle just as it was used. A request that only reads can be made again (RFC 9112, 9.3.1).
   */
  private mayBeStale = false;
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
      .on("error", (error) => this.fail(error))
      .once("close", () => this.fail(broken("ECONNRESET", "the connection was closed")));
  }

  get signal(): AbortSignal | undefined {
    return this.pending?.signal;
  }

  begin(pending: Pending): void {
    this.pending = pending;
    if (pending.body) this.socket.cork();
    this.socket.write(`${pending.head}\r\n`, "latin1");
    if (!pending.body) return;
    this.socket.write(pending.body);
    this.socket.uncork();
  }

  /** With no request under way, this only drops the connection. */
  fail(error: unknown): void {
    if (this.isClosed) return;
    this.isClosed = true;
    const { pending } = this;
    this.pending = undefined;
    this.socket.destroy();
    const isSafe = pending?.method === "GET" || pending?.method === "HEAD";
    const again = this.mayBeStale && isSafe && isCutOff(error) ? pending : undefined;
    this.owner.onClosed(this, again);
    if (!again) pending?.reject(error);
  }

  private read(chunk: Buffer): void {
    this.mayBeStale = false;
    try {
      const body = this.answer ? chunk : this.readHead(chunk);
      // After a failure, the request's buffer may belong to another request by now.
      if (body && this.answer && !this.isClosed) this.readBody(body, this.answer);
    } catch (error) {
      // For example, a length that no buffer can have.
      this.fail(error);
    }
  }

  /**
   * Returns what follows the head. Undefined if the head is not complete yet, or if there is nothing to read.
   */
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
    const { status, headers, isHttp11, sizeBytes } = parsedHead(
      bytes.toString("latin1", 0, end),
      pending.method,
    );
    const isObject = status === 200 || status === 206;
    if (sizeBytes === undefined || (!isObject && sizeBytes > REFUSAL_BYTES_MAX)) {
      this.pending = undefined;
      this.fail(undefined);
      pending.resolve({ status, headers, bytes: undefined });
      return undefined;
    }
    const allocate = (isObject && pending.allocate) || Buffer.allocUnsafeSlow;
    const buffer = allocate(sizeBytes);
    if (buffer.length < sizeBytes) throw new Error("more bytes came than were asked for");
    this.answer = { status, headers, bytes: buffer.subarray(0, sizeBytes) };
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
    this.mayBeStale = true;
    // More bytes than announced: what comes next could not be told from them.
    if (this.isLast || taken < chunk.length) this.fail(undefined);
    else this.owner.onIdle(this);
    pending?.resolve(answer);
  }
}

interface Head {
  status: number;
  headers: Record<string, string>;
  isHttp11: boolean;
  /** Undefined if the body does not announce one length, or if the head can be read in more than one way. */
  sizeBytes: number | undefined;
}

function parsedHead(head: string, method: HttpRequest["method"]): Head {
  const [, minor, code] = /^HTTP\/1\.([01]) (\d{3})(?!\d)/.exec(head) ?? [];
  if (code === undefined) throw broken("ECONNRESET", "this is no answer in HTTP/1.1");
  const status = Number(code);
  const headers: Record<string, string> = {};
  for (const [, name = "", value = ""] of head.matchAll(HEADERS)) {
    const known = name.toLowerCase();
    // Two headers of one name become a list, and a list of lengths is not to be believed.
    headers[known] = (known in headers ? `${headers[known]}, ${value}` : value).trimEnd();
  }
  const length = headers["content-length"] ?? "";
  // These have no body, whatever length they announce (RFC 9112, 6.3). Neither is an answer to a GET of ours.
  const isBodiless = status === 204 || status === 304;
  const hasNone = method === "HEAD" || (isBodiless && method !== "GET");
  const isPlain =
    status >= 200 &&
    headers["transfer-encoding"] === undefined &&
    (hasNone || (!isBodiless && /^\d{1,15}$/.test(length))) &&
    !ODD_LINES.test(head);
  const sizeBytes = hasNone ? 0 : Number(length);
  return { status, headers, isHttp11: minor === "1", sizeBytes: isPlain ? sizeBytes : undefined };
}

function broken(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}

function isCutOff(error: unknown): boolean {
  return ["ECONNRESET", "EPIPE"].includes((error as { code?: string } | undefined)?.code ?? "");
}

function closed(): Error {
  return new Error("the store was closed");
}

function interrupted(): Error {
  return new Error("interrupted");
}
