/** `scripts/audit.mjs` as CI runs it, against a registry of the test's own. */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { text } from "node:stream/consumers";
import { describe, expect, it } from "vitest";

const ROOT = resolve(import.meta.dirname, "../..");

interface Advisory {
  name: string;
  severity: string;
}

/** `status`: what the registry answers to an audit; with 200 the advisory, if any. */
async function audit(status: number, advisory?: Advisory): Promise<{ code: number | null; told: string }> {
  const registry = createServer((request, response) => {
    request.resume();
    if (request.method !== "POST") return void response.end(JSON.stringify(packument(request.url ?? "")));
    response.writeHead(status, { "content-type": "application/json" });
    const entry = { id: 1, title: "a planted weakness", url: "http://advisory/1", vulnerable_versions: "*" };
    response.end(JSON.stringify(advisory ? { [advisory.name]: [{ ...entry, ...advisory }] } : {}));
  });
  await new Promise<void>((ready) => registry.listen(0, "127.0.0.1", ready));
  // npm keeps what it has worked out of an advisory.
  const cache = mkdtempSync(join(tmpdir(), "hourpack-audit-"));
  const { port } = registry.address() as AddressInfo;
  try {
    const child = spawn(process.execPath, ["scripts/audit.mjs"], {
      cwd: ROOT,
      env: {
        ...process.env,
        npm_config_registry: `http://127.0.0.1:${port}/`,
        npm_config_fetch_retries: "0",
        npm_config_cache: cache,
      },
      stdio: ["ignore", "ignore", "pipe"],
    });
    const [told, code] = await Promise.all([
      text(child.stderr),
      new Promise<number | null>((done, fail) => child.on("error", fail).on("close", done)),
    ]);
    return { code, told };
  } finally {
    registry.closeAllConnections();
    registry.close();
    rmSync(cache, { recursive: true, force: true });
  }
}

/** The one version that is installed. */
function packument(url: string) {
  const name = url.slice(1);
  const { version } = JSON.parse(readFileSync(join(ROOT, "node_modules", name, "package.json"), "utf8"));
  return { name, "dist-tags": { latest: version }, versions: { [version]: { name, version } } };
}

describe("scripts/audit.mjs", () => {
  it("passes where nothing is known", async () => {
    const { code, told } = await audit(200);
    expect(told).toMatch(/0 advisories, 0 high or critical/);
    expect(code).toBe(0);
  });

  it.each(["high", "critical"])(
    "fails for an advisory of %s severity, and names the package",
    async (severity) => {
      const { code, told } = await audit(200, { name: "valibot", severity });
      expect(told).toContain(`${severity}: valibot *: a planted weakness http://advisory/1`);
      expect(code).toBe(1);
    },
  );

  it("passes for an advisory of moderate severity", async () => {
    const { code, told } = await audit(200, { name: "valibot", severity: "moderate" });
    expect(told).toMatch(/1 advisories, 0 high or critical/);
    expect(code).toBe(0);
  });

  it("leaves out what only the tests run on", async () => {
    expect((await audit(200, { name: "vitest", severity: "critical" })).code).toBe(0);
  });

  it.each([404, 405, 501])("passes where the registry takes no audits (%i), and says so", async (status) => {
    const { code, told } = await audit(status);
    expect(told).toMatch(/NOT DONE: the registry takes no audits/);
    expect(code).toBe(0);
  });

  it("passes where the registry fails, and says so", async () => {
    const { code, told } = await audit(500);
    expect(code).toBe(0);
    expect(told).toContain("NOT DONE");
  });
});
