/** A folder with a configuration and one packed hour of two records, for the tests of one file. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, expect } from "vitest";
import { hourpack } from "./cli.js";

export const CONFIG = `datasets:
  events: { raw: './raw/{yyyy}/{MM}/{dd}/{HH}/', tier1: ./lake/, table: events, columns: { id: bigint, big: 'struct<n:bigint,all:array<bigint>>' } }
catalog: { type: local, path: ./catalog.duckdb }
`;

export function packedFolder(name: string) {
  const root = mkdtempSync(join(tmpdir(), `hourpack-${name}-`));
  const put = (path: string, text: string): void => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  };
  const here = (...args: string[]) => hourpack(args, { cwd: root });
  beforeAll(async () => {
    put("hourpack.yaml", CONFIG);
    put(
      "raw/2022/07/26/00/a.json",
      '{"id":1,"big":{"n":12345678901,"all":[1,9007199254740993]}}\n{"id":2}\n',
    );
    const ran = await here("run", "--hour", "2022-07-26T00");
    expect(ran.code, ran.stderr).toBe(0);
  });
  afterAll(() => rmSync(root, { recursive: true, force: true }));
  return { root, put, here };
}
