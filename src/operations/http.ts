/** What a worker serves over HTTP: /metrics for Prometheus, /healthz and /readyz for whoever restarts it. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { HourpackError, reasonOf } from "../errors.js";
import type { Metrics } from "./metrics.js";
import type { Readiness } from "./readiness.js";

export interface StatusServer {
  /** `http://127.0.0.1:9464`, with the port that was actually taken. */
  url: string;
  close(): Promise<void>;
}

/** Throws `invalid` if the server cannot listen on the address. */
export async function serveStatus(
  listen: { host: string; port: number },
  metrics: Metrics,
  readiness: Readiness,
): Promise<StatusServer> {
  const server = createServer((request, response) => {
    answer(request, metrics, readiness).then(
      (reply) => send(response, request, reply),
      (error) => send(response, request, { status: 500, body: `${reasonOf(error)}\n` }),
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) => reject(cannotListen(listen, error as NodeJS.ErrnoException)));
    server.listen(listen.port, listen.host, resolve);
  });
  const { address, family, port } = server.address() as AddressInfo;
  return {
    url: `http://${family === "IPv6" ? `[${address}]` : address}:${port}`,
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

interface Reply {
  status: number;
  body: string;
  type?: string;
}

async function answer(request: IncomingMessage, metrics: Metrics, readiness: Readiness): Promise<Reply> {
  if (request.method !== "GET" && request.method !== "HEAD") return { status: 405, body: "GET only\n" };
  switch ((request.url ?? "/").replace(/\?.*$/s, "")) {
    case "/metrics":
      return { status: 200, body: await metrics.text(), type: metrics.contentType };
    case "/healthz":
      // Any answer at all shows that the process lives.
      return { status: 200, body: "ok\n" };
    case "/readyz": {
      const { isReady, reason } = readiness.state();
      return { status: isReady ? 200 : 503, body: `${reason}\n` };
    }
    default:
      return { status: 404, body: "/metrics, /healthz, /readyz\n" };
  }
}

function send(response: ServerResponse, request: IncomingMessage, { status, body, type }: Reply): void {
  response.writeHead(status, {
    "content-type": type ?? "text/plain; charset=utf-8",
    "content-length": Buffer.byteLength(body),
    "cache-control": "no-store",
    ...(status === 405 ? { allow: "GET, HEAD" } : {}),
  });
  response.end(request.method === "HEAD" ? undefined : body);
}

function cannotListen(
  { host, port }: { host: string; port: number },
  error: NodeJS.ErrnoException,
): HourpackError {
  const reasons: Record<string, string> = {
    EADDRINUSE: "the port is taken",
    EADDRNOTAVAIL: "this machine has no such address",
    EACCES: "this user may not use that port",
  };
  const reason = reasons[error.code ?? ""] ?? reasonOf(error);
  return new HourpackError("invalid", `listen on ${host}:${port}: ${reason}`, {
    location: "--listen",
    hint: "Choose another address with --listen host:port, or --listen off.",
    cause: error,
  });
}
