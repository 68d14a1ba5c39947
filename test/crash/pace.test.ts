/** Stores that are slow or accept few connections: the run finds its pace, reports it, and packs the hour. */
import { mkdtempSync, rmSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  expectedHours,
  FIRST_HOUR,
  objectsOf,
  rawTemplate,
  readLake,
  S3Files,
  seed,
  TABLE,
} from "../support/hour-of-events.js";
import { createBucket, credentialsEnv, type S3Server, startMinio } from "../support/minio.js";
import { S3Proxy } from "../support/proxy.js";
import { type DuckdbReader, openDuckdbReader } from "../support/readers.js";
import { type WorkerEnd, work } from "../support/worker.js";

const OBJECTS = 3_000;
const RAW = "raw/";
const objects = objectsOf(FIRST_HOUR, OBJECTS, { records: 1 });

let server: S3Server;
let files: S3Files;
let reader: DuckdbReader;
const workDir = mkdtempSync(join(tmpdir(), "hourpack-pace-"));

beforeAll(async () => {
  server = await startMinio();
  files = new S3Files(server, await createBucket(server));
  reader = await openDuckdbReader();
  await seed(files, RAW, objects);
});

afterAll(async () => {
  reader?.close();
  files?.close();
  await server?.stop();
  rmSync(workDir, { recursive: true, force: true });
});

/** Packs the hour through the endpoint, exactly; what was said meanwhile. */
async function packThrough(endpoint: string, tier1: string): Promise<{ end: WorkerEnd; notices: string[] }> {
  const args = ["run", "--hour", FIRST_HOUR, "--table", TABLE, "--spool-dir", join(workDir, "spool")];
  const s3 = ["--s3-endpoint", endpoint, "--s3-force-path-style"];
  const places = ["--raw", rawTemplate(files, RAW), "--tier1", files.uri + tier1];
  const end = await work([...args, ...s3, ...places], credentialsEnv(server), 240_000);
  expect(end.code, end.stderr).toBe(0);
  expect((await readLake(files, tier1, reader)).hours).toEqual(expectedHours(RAW, objects));
  const notices = end.records.filter(({ type }) => type === "notice").map(({ text }) => String(text));
  return { end, notices };
}

describe("the pace of reading", { timeout: 300_000 }, () => {
  it("hides a store that takes 200 ms for each request", async () => {
    let inFlight = 0;
    let most = 0;
    const proxy = await S3Proxy.start(server, {
      before: async ({ operation }) => {
        if (operation !== "GetObject") return;
        most = Math.max(most, ++inFlight);
        await setTimeout(200);
        inFlight--;
      },
    });
    try {
      const { notices } = await packThrough(proxy.endpoint, "slow/");
      expect(most).toBeGreaterThan(64);
      expect(most).toBeLessThanOrEqual(256);
      expect(notices.join()).toMatch(/GETs at a time now: the store serves more than with 32/);
    } finally {
      await proxy.stop();
    }
  });

  it("fits a store that takes ten connections and cuts off the others", async () => {
    const open = new Set<Socket>();
    let cutOff = 0;
    const { hostname, port } = new URL(server.endpoint);
    const gate = createServer((client) => {
      if (open.size >= 10) {
        cutOff++;
        return void client.destroy();
      }
      open.add(client);
      const store = connect(Number(port), hostname);
      client.pipe(store).pipe(client);
      for (const end of [client, store]) {
        end.on("error", () => {});
        end.on("close", () => {
          open.delete(client);
          client.destroy();
          store.destroy();
        });
      }
    });
    await new Promise<void>((resolve) => gate.listen(0, "127.0.0.1", resolve));
    try {
      const { notices } = await packThrough(
        `http://127.0.0.1:${(gate.address() as AddressInfo).port}`,
        "ten/",
      );
      expect(cutOff).toBeGreaterThan(0);
      expect(notices.join()).toMatch(/GETs were refused or cut off: (8|4) at a time now/);
    } finally {
      for (const client of open) client.destroy();
      await new Promise((resolve) => gate.close(resolve));
    }
  });
});
