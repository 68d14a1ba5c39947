/**
 * Stands between a client and the server, and counts requests and bytes of bodies. Signatures stay valid: the
 * client signs the meter's host, which is passed on. Use it to count, never to measure time.
 */
import { createServer, request } from "node:http";

/** @typedef {{ requests: Record<string, number>, bytesRead: number, gets: string[] }} Count */

/** @param {string} endpoint */
export async function startMeter(endpoint) {
  const target = new URL(endpoint);
  /** @type {Count} */
  let count = { requests: {}, bytesRead: 0, gets: [] };
  const server = createServer((asked, answer) => {
    const { method = "", url = "", headers } = asked;
    count.requests[method] = (count.requests[method] ?? 0) + 1;
    const isObject = method === "GET" && !url.includes("list-type=2");
    if (isObject) count.gets.push(url.split("?")[0]);
    const options = { host: target.hostname, port: target.port, method, path: url, headers };
    const passed = request(options, (got) => {
      answer.writeHead(got.statusCode ?? 502, got.headers);
      if (isObject) got.on("data", (chunk) => (count.bytesRead += chunk.length));
      got.pipe(answer);
    });
    passed.on("error", () => answer.destroy());
    asked.pipe(passed);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(undefined)));
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  return {
    endpoint: `http://127.0.0.1:${port}`,
    /** What was counted since the last call. @returns {Count} */
    take() {
      const taken = count;
      count = { requests: {}, bytesRead: 0, gets: [] };
      return taken;
    },
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
