import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { describe, expect, it, onTestFinished } from "vitest";
import { parseHour } from "../../src/hour.js";
import {
  fromMetadata,
  type ManifestEntry,
  openManifest,
  toMetadata,
  writeManifest,
} from "../../src/tier1/manifest.js";

const facts = {
  attempt: "01J",
  inputs: "abc",
  objects: 3,
  rows: 5,
  quarantined: 1,
  quarantinedBytes: 7,
  rescued: 4,
  schemaVersion: 2,
  recipe: `${"0a".repeat(8)}-${"0b".repeat(8)}`,
};
const header = {
  ...facts,
  format: 1,
  dataset: "d",
  hour: parseHour("2022-07-26T00"),
  createdAt: "2022-07-26T01:05:00.000Z",
  records: 6,
  partSha256: "0f".repeat(32),
  quarantineSha256: "0e".repeat(32),
  settings: { raw: "{HH}/", records: "$", unknown: "rescue", zone: "UTC" },
  schemaDigest: "0a".repeat(8),
} as const;

const of = { ...header, again: "`hourpack run`" };

const entries: ManifestEntry[] = ['a\u2028"\n', "b", "😀"].map((key) => ({
  key,
  etag: "e",
  sizeBytes: 1,
  records: 2,
  quarantined: 0,
}));

async function written(list: ManifestEntry[] = entries): Promise<Buffer> {
  const dir = mkdtempSync(join(tmpdir(), "hourpack-manifest-"));
  onTestFinished(() => rmSync(dir, { recursive: true }));
  const body = await writeManifest(join(dir, "m.gz"), header, list);
  return body instanceof Uint8Array ? Buffer.from(body) : readFileSync(body.path);
}

async function entriesOf(bytes: Buffer): Promise<ManifestEntry[]> {
  const found: ManifestEntry[] = [];
  for await (const entry of (await openManifest(bytes, "m", of)).entries()) found.push(entry);
  return found;
}

/** With another line in the place of one. */
function withLine(bytes: Buffer, at: number, line: unknown): Buffer {
  const lines = gunzipSync(bytes).toString().split("\n");
  lines[at] = typeof line === "string" ? line : JSON.stringify(line);
  return gzipSync(lines.join("\n"));
}

describe("a manifest", () => {
  it("gives back its header and entries, whatever their keys are", async () => {
    const bytes = await written();
    expect((await openManifest(bytes, "m", of)).header).toEqual(header);
    expect(await entriesOf(bytes)).toEqual(entries);
  });

  it.each([
    ["no gzip", (bytes: Buffer) => bytes.subarray(1)],
    ["cut off", (bytes: Buffer) => bytes.subarray(0, bytes.length - 12)],
    [
      "short of a line",
      (bytes: Buffer) => gzipSync(gunzipSync(bytes).toString().split("\n").slice(0, -2).join("\n")),
    ],
    ["of an unknown format", () => gzipSync('{"format":9}\n')],
    ["null", () => gzipSync("null\n")],
    ["of an object that is null", (bytes: Buffer) => withLine(bytes, 1, "null")],
    ["of an object without a name", (bytes: Buffer) => withLine(bytes, 1, "{}")],
    ["of a key that is a number", (bytes: Buffer) => withLine(bytes, 1, { ...entries[0], key: 5 })],
    ["of a number that is text", (bytes: Buffer) => withLine(bytes, 1, { ...entries[0], records: "2" })],
    ["of another hour", (bytes: Buffer) => withLine(bytes, 0, { ...header, hour: "2022-07-26T01" })],
    ["of another attempt", (bytes: Buffer) => withLine(bytes, 0, { ...header, attempt: "01K" })],
  ])("that is %s is told as damaged", async (_, damage) => {
    await expect(entriesOf(damage(await written()))).rejects.toMatchObject({
      kind: "data",
      hint: expect.any(String),
    });
  });

  it.each([
    ["partSha256", ["0f", `${"0f".repeat(31)}0G`, "0F".repeat(32), 7, null, undefined]],
    ["quarantineSha256", ["", "0f".repeat(33), 7, null, undefined]],
    ["schemaDigest", ["0a", "0a".repeat(32), 7, null, undefined]],
  ])("whose %s is none is told as damaged", async (name, values) => {
    for (const value of values)
      await expect(
        entriesOf(withLine(await written(), 0, { ...header, [name]: value })),
        String(value),
      ).rejects.toMatchObject({
        kind: "data",
        message: `read manifest m: it is damaged (its ${name} is no digest)`,
      });
  });

  it("needs no quarantineSha256 where nothing is quarantined", async () => {
    const whole = { ...header, quarantined: 0, quarantineSha256: undefined };
    expect(await entriesOf(withLine(await written(), 0, whole))).toEqual(entries);
  });

  it.each([
    [
      "recipe",
      ["", "0a".repeat(8), `${header.recipe}-${"0c".repeat(8)}`, 7, null, undefined],
      "not two digests",
    ],
    [
      "settings",
      [{}, { ...header.settings, zone: undefined }, { ...header.settings, raw: 7 }, "UTC", null, undefined],
      "lack raw, records, unknown or zone",
    ],
  ])("that does not say by which %s it was made is told as damaged", async (name, values, why) => {
    for (const value of values)
      await expect(
        entriesOf(withLine(await written(), 0, { ...header, [name]: value })),
        JSON.stringify(value),
      ).rejects.toMatchObject({ kind: "data", message: expect.stringMatching(`its ${name} (is )?${why}`) });
  });

  it("whose givenUp are no journals is told as damaged", async () => {
    const opened = async (givenUp: unknown) =>
      openManifest(withLine(await written(), 0, { ...header, givenUp }), "m", of);
    for (const value of [
      "",
      "01K00000000000000000000000",
      ["01K"],
      ["01k00000000000000000000000"],
      [7],
      null,
    ])
      await expect(opened(value), String(value)).rejects.toMatchObject({
        kind: "data",
        message: "read manifest m: it is damaged (its givenUp are no journals)",
      });
    const givenUp = ["01K00000000000000000000000"];
    expect((await opened(givenUp)).header).toMatchObject({ givenUp });
  });

  it("names the version that was passed over beside the one that the rows came from, or is told as damaged", async () => {
    const entry = { ...(entries[0] as ManifestEntry), passedOver: { etag: "f", sizeBytes: 0 } };
    expect(await entriesOf(await written([entry, ...entries.slice(1)]))).toEqual([
      entry,
      ...entries.slice(1),
    ]);
    const malformed = [null, 7, "f", {}, { etag: "f" }, { sizeBytes: 1 }];
    for (const passedOver of [...malformed, { etag: 7, sizeBytes: 1 }, { etag: "f", sizeBytes: -1 }])
      await expect(
        entriesOf(withLine(await written(), 1, { ...entry, passedOver })),
        JSON.stringify(passedOver),
      ).rejects.toThrow("read manifest m: it is damaged (line 2 names no object)");
  });

  it("with keys out of order is told as damaged", async () => {
    await expect(entriesOf(await written([...entries].reverse()))).rejects.toMatchObject({ kind: "data" });
  });
});

describe("what a part tells of itself", () => {
  it("comes back from metadata, whose names S3 gives in lower case", () => {
    const metadata = toMetadata(facts);
    expect(Object.keys(metadata)).toContain("hourpack-schema-version");
    expect(fromMetadata(metadata)).toEqual(facts);
  });

  it("is nothing where a fact is missing or no number", () => {
    for (const name of Object.keys(toMetadata(facts))) {
      const { [name]: _, ...others } = toMetadata(facts);
      expect(fromMetadata(others), name).toBeUndefined();
    }
    for (const text of ["many", "-5", " ", "1e3", "0x10"])
      expect(fromMetadata({ ...toMetadata(facts), "hourpack-rows": text }), text).toBeUndefined();
  });
});
