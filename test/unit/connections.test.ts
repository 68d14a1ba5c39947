/** Requests over persistent connections, against servers that write every byte of their answers themselves. */
import { execFileSync } from "node:child_process";
import { getEventListeners, once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { createServer as createTlsServer, type TLSSocket } from "node:tls";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { Connections, type ConnectionsOptions } from "../../src/store/s3/connections.js";
import { isTransient } from "../../src/store/s3/errors.js";

/** Answers the `nth` request (from 1 on) of the server; `path` is what it asks for. */
type Answering = (socket: Socket, request: { nth: number; path: string }) => unknown;

const ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
  vi.unstubAllEnvs();
});

class Peer {
  readonly paths: string[] = [];
  readonly sockets: Socket[] = [];
  private readonly server: Server;
  private readonly scheme: string;

  private constructor(answering: Answering, tls?: { key: Buffer; cert: Buffer }) {
    const serve = (socket: Socket) => {
      this.sockets.push(socket.on("error", () => {}).setNoDelay(true));
      let text = "";
      socket.on("data", (bytes) => {
        text += bytes;
        for (let end = text.indexOf("\r\n\r\n"); end >= 0; end = text.indexOf("\r\n\r\n")) {
          const path = text.split(" ")[1] ?? "";
          text = text.slice(end + 4);
          answering(socket, { nth: this.paths.push(path), path });
        }
      });
    };
    this.server = tls ? createTlsServer(tls, serve).on("tlsClientError", () => {}) : createServer(serve);
    this.scheme = tls ? "https" : "http";
    ends.push(() => void this.stop());
  }

  static async start(answering: Answering, tls?: { key: Buffer; cert: Buffer }): Promise<Peer> {
    const peer = new Peer(answering, tls);
    await once(peer.server.listen(0, "127.0.0.1"), "listening");
    return peer;
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }

  connections(
    options: Partial<ConnectionsOptions> = {},
    host = "127.0.0.1",
    scheme = this.scheme,
  ): Connections {
    const { port } = this.server.address() as AddressInfo;
    const origin = new URL(`${scheme}://${host}:${port}`);
    const limits = { max: 4, connectTimeoutMs: 60_000, timeoutMs: 60_000, ...options };
    const connections = new Connections(origin, limits);
    ends.push(() => connections.close());
    return connections;
  }
}

const asked = (
  path = "/",
  more: { signal?: AbortSignal; allocate?: (sizeBytes: number) => Buffer } = {},
) => ({
  method: "GET" as const,
  head: `GET ${path} HTTP/1.1\r\nhost: here\r\n`,
  allocate: Buffer.alloc,
  ...more,
});
const ok = (body: string, ...lines: string[]) =>
  [`HTTP/1.1 200 OK`, `Content-Length: ${body.length}`, ...lines, "", body].join("\r\n");
const text = (answer: { bytes: Buffer | undefined }) => answer.bytes?.toString();
const echo: Answering = (socket, { path }) => socket.write(ok(path));
const until = (isSo: () => boolean) => vi.waitFor(() => expect(isSo()).toBe(true), { timeout: 10_000 });

describe("an answer", () => {
  it("comes with its status, what it says of the object, and its bytes", async () => {
    const peer = await Peer.start((socket) =>
      socket.write(ok("bytes", 'ETAG:\t"a1" \t', "Content-Range: bytes 0-4/9", "Server: x")),
    );
    expect(await peer.connections().send(asked())).toEqual({
      status: 200,
      headers: { "content-length": "5", etag: '"a1"', "content-range": "bytes 0-4/9" },
      bytes: Buffer.from("bytes"),
    });
  });

  it("may come byte by byte", async () => {
    const peer = await Peer.start(async (socket) => {
      for (const byte of ok("one\r\n\r\ntwo", 'ETag: "a1"')) {
        socket.write(byte);
        await turn();
      }
    });
    const connections = peer.connections();
    for (let nth = 0; nth < 3; nth++) {
      const answer = await connections.send(asked());
      expect([answer.headers["etag"], text(answer)]).toEqual(['"a1"', "one\r\n\r\ntwo"]);
    }
    expect(peer.sockets).toHaveLength(1);
  });

  it("goes into the buffer that is allocated for it, and no further", async () => {
    const peer = await Peer.start((socket) => socket.write(ok("12345")));
    const buffer = Buffer.alloc(8, "-");
    const answer = await peer.connections().send(asked("/", { allocate: () => buffer }));
    expect([text(answer), buffer.toString()]).toEqual(["12345", "12345---"]);
  });

  it("may be empty", async () => {
    const connections = (await Peer.start((socket) => socket.write(ok("")))).connections();
    expect(text(await connections.send(asked()))).toBe("");
    expect(text(await connections.send(asked()))).toBe("");
  });

  it("of a refusal is no object: nothing is allocated for it", async () => {
    const peer = await Peer.start((socket) => socket.write(ok("<Code>").replace("200 OK", "503 Busy")));
    const allocate = () => expect.unreachable();
    const answer = await peer.connections().send(asked("/", { allocate }));
    expect([answer.status, text(answer)]).toEqual([503, "<Code>"]);
  });

  it.each([
    ["HTTP/1.0", ok("body").replace("1.1", "1.0")],
    ["Connection: close", ok("body", "Connection: keep-alive", "Connection: Close")],
    ["bytes beyond its length", `${ok("body")}more`],
    ["a second answer behind it", `${ok("body")}${ok("not yours")}`],
  ])("is the connection's last: %s", async (_, first) => {
    const peer = await Peer.start((socket, { nth }) => socket.write(nth === 1 ? first : ok("next")));
    const connections = peer.connections({ max: 1 });
    const both = await Promise.all([connections.send(asked()), connections.send(asked())]);
    expect(both.map(text)).toEqual(["body", "next"]);
    expect(peer.sockets).toHaveLength(2);
  });

  it("that nobody asked for ends its connection", async () => {
    const peer = await Peer.start((socket, { nth }) => socket.write(ok(`${nth}`)));
    const connections = peer.connections();
    await connections.send(asked());
    peer.sockets[0]!.write(ok("not yours"));
    await until(() => peer.sockets[0]!.destroyed);
    expect(text(await connections.send(asked()))).toBe("2");
  });
});

describe("a request that is no GET", () => {
  const request = (method: "HEAD" | "PUT" | "DELETE", body?: Buffer) => ({
    method,
    head: `${method} / HTTP/1.1\r\nhost: here\r\n${body ? `content-length: ${body.length}\r\n` : ""}`,
    body,
  });

  it("of a HEAD reads no body, whatever length is told, and the connection goes on", async () => {
    const peer = await Peer.start((socket) =>
      socket.write(
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nX-Amz-Meta-Attempt: 01A\r\nLast-Modified: now\r\n\r\n",
      ),
    );
    const connections = peer.connections();
    for (let i = 0; i < 2; i++) {
      expect(await connections.send(request("HEAD"))).toMatchObject({
        status: 200,
        headers: { "content-length": "9", "x-amz-meta-attempt": "01A", "last-modified": "now" },
      });
    }
    expect(peer.sockets.length).toBe(1);
  });

  it("sends the body of a PUT after its head", async () => {
    let received = Buffer.alloc(0);
    const body = Buffer.alloc(300_000, "b");
    const server = createServer((socket) =>
      socket.on("data", (chunk) => {
        received = Buffer.concat([received, chunk]);
        if (received.indexOf("\r\n\r\n") + 4 + body.length === received.length)
          socket.write('HTTP/1.1 200 OK\r\nETag: "e"\r\nContent-Length: 0\r\n\r\n');
      }),
    );
    await once(server.listen(0, "127.0.0.1"), "listening");
    const { port } = server.address() as AddressInfo;
    const limits = { max: 1, connectTimeoutMs: 60_000, timeoutMs: 60_000 };
    const connections = new Connections(new URL(`http://127.0.0.1:${port}`), limits);
    ends.push(() => {
      connections.close();
      server.close();
    });
    expect(await connections.send(request("PUT", body))).toMatchObject({
      status: 200,
      headers: { etag: '"e"' },
    });
    expect(received.subarray(-body.length).equals(body)).toBe(true);
  });

  it("of a DELETE takes 204 for an answer, and the connection goes on", async () => {
    const peer = await Peer.start((socket) => socket.write("HTTP/1.1 204 No Content\r\n\r\n"));
    const connections = peer.connections();
    for (let i = 0; i < 2; i++) expect((await connections.send(request("DELETE"))).status).toBe(204);
    expect(peer.sockets.length).toBe(1);
  });

  it.each([
    ["PUT", Buffer.from("b")],
    ["DELETE", undefined],
  ] as const)("is not made twice where the connection is cut off: %s", async (method, body) => {
    const peer = await Peer.start((socket, { path }) =>
      path === "/first" ? socket.write(ok("1")) : socket.destroy(),
    );
    const connections = peer.connections();
    await connections.send(asked("/first"));
    await expect(connections.send(request(method, body))).rejects.toMatchObject({ code: "ECONNRESET" });
    expect(peer.sockets.length).toBe(1);
  });
});

describe("an answer in another form", () => {
  const answer = (...lines: string[]) => [...lines, "", "12345"].join("\r\n");
  const long = "x".repeat(70_000);
  it.each([
    ["before the answer", 100, answer("HTTP/1.1 100 Continue", "") + ok("12345")],
    ["without a body", 204, answer("HTTP/1.1 204 No Content", "Content-Length: 9")],
    ["not modified", 304, answer("HTTP/1.1 304 Not Modified", "Content-Length: 9")],
    ["without a length", 200, answer("HTTP/1.1 200 OK")],
    ["chunked", 200, answer("HTTP/1.1 200 OK", "Transfer-Encoding: chunked")],
    ["chunked, with a length", 200, ok("12345", "Transfer-Encoding: chunked")],
    ["chunked, with a blank before the colon", 200, ok("12345", "Transfer-Encoding : chunked")],
    ["encoded in no way", 200, ok("12345", "Transfer-Encoding:")],
    ["two lengths", 200, ok("12345", "Content-Length: 4")],
    ["one length twice", 200, ok("12345", "content-length: 5")],
    ["a signed length", 200, answer("HTTP/1.1 200 OK", "Content-Length: +5")],
    ["a length without end", 200, answer("HTTP/1.1 200 OK", `Content-Length: 5${"0".repeat(30)}`)],
    ["a folded line", 200, answer("HTTP/1.1 200 OK", "Content-Length: 5", " 0")],
    ["a line feed alone", 200, ok("12345", "Server: x\nContent-Length: 4")],
    ["a carriage return alone", 200, ok("12345", "Server: x\rContent-Length: 4")],
    ["a long refusal", 403, ok(long).replace("200 OK", "403 Forbidden")],
  ])("is left to others, with its connection: %s", async (_, status, bytes) => {
    const peer = await Peer.start((socket) => socket.write(bytes));
    const allocate = () => expect.unreachable();
    const answered = await peer.connections().send(asked("/", { allocate }));
    expect([answered.status, answered.bytes]).toEqual([status, undefined]);
    await until(() => peer.sockets[0]!.destroyed);
  });

  it.each([
    ["no HTTP", "SSH-2.0-OpenSSH\r\n\r\n"],
    ["HTTP/2", "HTTP/2 200\r\nContent-Length: 0\r\n\r\n"],
    ["a head without end", `HTTP/1.1 200 OK\r\nServer: ${"x".repeat(20_000)}`],
  ])("is a broken connection: %s", async (_, bytes) => {
    const peer = await Peer.start((socket) => socket.write(bytes));
    await expect(peer.connections().send(asked())).rejects.toMatchObject({ code: "ECONNRESET" });
    await until(() => peer.sockets[0]!.destroyed);
  });
});

describe("connections", () => {
  it("are used over and over, at most `max` at a time", async () => {
    const held: (() => void)[] = [];
    const peer = await Peer.start(async (socket, { path }) => {
      held.push(() => socket.write(ok(path)));
      if (held.length < 3) return;
      // A fourth would come now.
      await turn();
      for (const answer of held.splice(0)) answer();
    });
    const connections = peer.connections({ max: 3 });
    const paths = Array.from({ length: 48 }, (_, i) => `/${i}`);
    const answers = await Promise.all(paths.map((path) => connections.send(asked(path))));
    expect(answers.map(text)).toEqual(paths);
    expect(peer.sockets).toHaveLength(3);
  });

  it("are given to the GETs in their order", async () => {
    const peer = await Peer.start(echo);
    const connections = peer.connections({ max: 1 });
    const paths = ["/1", "/2", "/3", "/4"];
    await Promise.all(paths.map((path) => connections.send(asked(path))));
    expect(peer.paths).toEqual(paths);
  });

  it("that end while they idle are rebuilt", async () => {
    const peer = await Peer.start(echo);
    const connections = peer.connections();
    await connections.send(asked("/1"));
    peer.sockets[0]!.end();
    await once(peer.sockets[0]!, "close");
    expect(text(await connections.send(asked("/2")))).toBe("/2");
    expect(peer.paths).toEqual(["/1", "/2"]);
  });

  it("that end just as they are used: the GET is made on another", async () => {
    const peer = await Peer.start((socket, { nth }) =>
      nth === 3 ? socket.destroy() : echo(socket, { nth, path: `${nth}` }),
    );
    const connections = peer.connections({ max: 1 });
    for (const expected of ["1", "2", "4"]) expect(text(await connections.send(asked()))).toBe(expected);
  });

  it.each([
    ["a new one is cut off, too", 3, (socket: Socket) => socket.destroy()],
    ["some of the answer had come", 2, (socket: Socket) => socket.write("HTTP", () => socket.destroy())],
  ])("that are cut off fail the GET: %s", async (_, requests, cut) => {
    const peer = await Peer.start((socket, { nth }) => (nth === 1 ? socket.write(ok("1")) : cut(socket)));
    const connections = peer.connections();
    await connections.send(asked());
    await expect(connections.send(asked())).rejects.toMatchObject({ code: "ECONNRESET" });
    expect(peer.paths).toHaveLength(requests);
  });

  it("that end in the body fail the GET", async () => {
    const peer = await Peer.start((socket) => socket.end(ok("12345").slice(0, -1)));
    await expect(peer.connections().send(asked())).rejects.toMatchObject({ code: "ECONNRESET" });
  });

  it("that are refused fail each GET, the waiting ones, too", async () => {
    const peer = await Peer.start(echo);
    const connections = peer.connections({ max: 2 });
    await peer.stop();
    const all = await Promise.allSettled([1, 2, 3, 4, 5].map(() => connections.send(asked())));
    for (const one of all)
      expect(one).toMatchObject({ status: "rejected", reason: { code: "ECONNREFUSED" } });
  });

  it("reach an address of IPv6", async () => {
    const peer = await Peer.start(echo);
    expect(text(await peer.connections({}, "[::ffff:127.0.0.1]").send(asked("/six")))).toBe("/six");
  });

  it("go on after an `allocate` that throws", async () => {
    const connections = (await Peer.start(echo)).connections({ max: 1 });
    const allocate = () => {
      throw new RangeError("too much");
    };
    await expect(connections.send(asked("/", { allocate }))).rejects.toThrow("too much");
    expect(text(await connections.send(asked("/next")))).toBe("/next");
  });
});

describe("silence", () => {
  it.each([
    ["in the head", "HTTP/1.1 200 OK\r\nContent-"],
    ["in the body", ok("12345").slice(0, -1)],
    ["instead of an answer", ""],
  ])("%s ends in ETIMEDOUT, and the GETs that wait go on", async (_, bytes) => {
    const peer = await Peer.start((socket, { nth }) => socket.write(nth === 1 ? bytes : ok("2")));
    const connections = peer.connections({ max: 1, timeoutMs: 100 });
    const [first, second] = await Promise.allSettled([connections.send(asked()), connections.send(asked())]);
    expect(first).toMatchObject({ status: "rejected", reason: { code: "ETIMEDOUT" } });
    expect(second).toMatchObject({ status: "fulfilled", value: { bytes: Buffer.from("2") } });
  });

  it("of a server that does not shake hands ends in ETIMEDOUT", async () => {
    const peer = await Peer.start(() => {});
    const connections = peer.connections({ connectTimeoutMs: 100 }, "127.0.0.1", "https");
    await expect(connections.send(asked())).rejects.toMatchObject({ code: "ETIMEDOUT" });
  });
});

describe("an abort", () => {
  it("ends the GETs of its signal, waiting or not, and no others", async () => {
    const peer = await Peer.start((socket, { path }) => {
      if (path !== "/held") echo(socket, { nth: 0, path });
    });
    const connections = peer.connections({ max: 2 });
    const controller = new AbortController();
    const { signal } = controller;
    const held = [1, 2, 3, 4].map(() => connections.send(asked("/held", { signal })));
    const others = [1, 2, 3].map(() =>
      connections.send(asked("/other", { signal: new AbortController().signal })),
    );
    await until(() => peer.paths.length === 2);
    controller.abort();
    const ended = await Promise.allSettled(held);
    expect(ended.map((one) => String((one as PromiseRejectedResult).reason))).toEqual(
      Array(4).fill("Error: interrupted"),
    );
    expect((await Promise.all(others)).map(text)).toEqual(["/other", "/other", "/other"]);
    await expect(connections.send(asked("/other", { signal }))).rejects.toThrow("interrupted");
    expect(peer.paths).toEqual(["/held", "/held", "/other", "/other", "/other"]);
  });

  it("while it connects leaves nothing open", async () => {
    const peer = await Peer.start(echo);
    const controller = new AbortController();
    const got = peer.connections().send(asked("/", { signal: controller.signal }));
    controller.abort();
    await expect(got).rejects.toThrow("interrupted");
    expect(peer.paths).toEqual([]);
  });

  it("leaves the buffer of its GET alone from then on", async () => {
    const body = "x".repeat(1 << 20);
    const peer = await Peer.start((socket) => socket.write(ok(body)));
    const connections = peer.connections({ max: 1 });
    const controller = new AbortController();
    const buffer = Buffer.alloc(body.length);
    const allocate = () => {
      controller.abort();
      return buffer;
    };
    const got = connections.send(asked("/", { signal: controller.signal, allocate }));
    await expect(got).rejects.toThrow("interrupted");
    expect(text(await connections.send(asked()))).toBe(body);
    expect(buffer.every((byte) => byte === 0)).toBe(true);
  });

  it("is listened for once a signal, and not after the last GET", async () => {
    const connections = (await Peer.start(echo)).connections();
    const { signal } = new AbortController();
    const all = Array.from({ length: 2_000 }, () => connections.send(asked("/", { signal })));
    expect(getEventListeners(signal, "abort")).toHaveLength(1);
    await Promise.all(all);
    expect(getEventListeners(signal, "abort")).toHaveLength(0);
  });
});

it("closing ends what is under way and what waits, for good", async () => {
  const peer = await Peer.start((socket, { path }) => path === "/idle" && socket.write(ok("")));
  const connections = peer.connections({ max: 2 });
  await connections.send(asked("/idle"));
  const held = Array.from({ length: 9 }, () => connections.send(asked("/held")));
  await until(() => peer.paths.length === 3);
  connections.close();
  for (const one of await Promise.allSettled([...held, connections.send(asked("/late"))])) {
    expect(one).toMatchObject({ status: "rejected", reason: { message: "the store was closed" } });
    expect(isTransient((one as PromiseRejectedResult).reason)).toBe(false);
  }
  await until(() => peer.sockets.every((socket) => socket.destroyed));
  expect(peer.sockets).toHaveLength(2);
});

describe("the buffer that all connections share", () => {
  it.each(["plain", "TLS"])("mixes no answers: %s", async (kind) => {
    vi.stubEnv("NODE_TLS_REJECT_UNAUTHORIZED", "0");
    const bodyOf = (path: string) => Buffer.alloc(Number(path.slice(1)) * 997, path);
    const peer = await Peer.start(
      async (socket, { path }) => {
        const bytes = Buffer.concat([
          Buffer.from(ok("").replace(": 0", `: ${bodyOf(path).length}`)),
          bodyOf(path),
        ]);
        for (let at = 0; at < bytes.length; at += 40_009) {
          socket.write(bytes.subarray(at, at + 40_009));
          await turn();
        }
      },
      kind === "TLS" ? certificate : undefined,
    );
    const connections = peer.connections({ max: 8 });
    const paths = Array.from({ length: 300 }, (_, i) => `/${i + 1}`);
    const answers = await Promise.all(paths.map((path) => connections.send(asked(path))));
    for (const [i, { bytes }] of answers.entries()) expect(bytes?.equals(bodyOf(`/${i + 1}`))).toBe(true);
    expect(peer.sockets).toHaveLength(8);
  });
});

describe("TLS", () => {
  it("names the host to the server, where it has a name", async () => {
    vi.stubEnv("NODE_TLS_REJECT_UNAUTHORIZED", "0");
    const named: unknown[] = [];
    const peer = await Peer.start((socket, request) => {
      named.push((socket as TLSSocket).servername);
      echo(socket, request);
    }, certificate);
    for (const host of ["localhost", "127.0.0.1"]) await peer.connections({}, host).send(asked());
    expect(named).toEqual(["localhost", false]);
  });

  it("shows a server whose certificate is not trusted no request", async () => {
    const peer = await Peer.start(echo, certificate);
    const connections = peer.connections({ max: 1 });
    for (const path of ["/1", "/2"])
      await expect(connections.send(asked(path))).rejects.toMatchObject({
        code: "DEPTH_ZERO_SELF_SIGNED_CERT",
      });
    await until(() => peer.sockets.every((socket) => socket.destroyed));
    expect(peer.paths).toEqual([]);
  });
});

let certificate: { key: Buffer; cert: Buffer };
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "hourpack-tls-"));
  const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
  const options = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost";
  execFileSync("openssl", [...options.split(" "), "-keyout", key, "-out", cert], { stdio: "pipe" });
  certificate = { key: readFileSync(key), cert: readFileSync(cert) };
});
afterAll(() => rmSync(folder, { recursive: true }));
