import { execFileSync } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { rename, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { HourpackError } from "../../src/errors.js";
import { compareUtf8 } from "../../src/listing.js";
import { LocalStore } from "../../src/store/local.js";
import { openS3Store } from "../../src/store/s3/s3.js";
import type { ObjectInfo, Store } from "../../src/store/store.js";
import { FAULTS } from "../support/faults.js";
import {
  createBucket,
  credentialsEnv,
  type S3Server,
  s3Settings,
  startMinio,
  startVersitygw,
} from "../support/minio.js";
import { S3Proxy } from "../support/proxy.js";

interface Subject {
  store: Store;
  isS3: boolean;
  stop(): Promise<void>;
}

async function s3Subject(start: () => Promise<S3Server>): Promise<Subject> {
  const server = await start();
  Object.assign(process.env, credentialsEnv(server));
  const bucket = await createBucket(server);
  const store = await openS3Store(bucket, s3Settings(server), { pageKeys: 2 });
  const stop = async () => {
    await store.close();
    await server.stop();
  };
  return { store, isS3: true, stop };
}

async function localSubject(): Promise<Subject> {
  const root = mkdtempSync(join(tmpdir(), "hourpack-store-"));
  const stop = async () => rmSync(root, { recursive: true, force: true });
  return { store: new LocalStore(root), isS3: false, stop };
}

async function listAll(store: Store, prefix: string): Promise<ObjectInfo[]> {
  const found: ObjectInfo[] = [];
  for await (const page of store.list(prefix)) found.push(...page);
  return found;
}

const bytes = (text: string) => Buffer.from(text);

describe.each([
  ["MinIO", () => s3Subject(startMinio)],
  ["versitygw", () => s3Subject(startVersitygw)],
  ["a directory", localSubject],
])("a store over %s", (_, make) => {
  let subject: Subject;
  let store: Store;
  beforeAll(async () => {
    subject = await make();
    store = subject.store;
  });
  afterAll(() => subject?.stop());

  it("lists page after page, in UTF-8 order of the keys", async () => {
    const names = [
      "a",
      "a.b",
      "a/b",
      "a0",
      "é",
      "😀",
      "\uffee",
      "sp ace",
      "plus+",
      "per%20cent",
      "quo'te\"",
      "a/b/c",
      "z=1/y=2/x",
    ];
    const keys = names.map((name) => `list/${name}.json`);
    for (const key of keys) await store.put(key, bytes(key));
    const listed = await listAll(store, "list/");
    expect(listed.map(({ key }) => key)).toEqual([...keys].sort(compareUtf8));
    expect(listed.map(({ sizeBytes }) => sizeBytes)).toEqual(
      [...keys].sort(compareUtf8).map((key) => Buffer.byteLength(key)),
    );
    for (const { key, etag } of listed) expect((await store.get(key, { etag })).toString()).toBe(key);
  });

  it("lists by a prefix that is no folder, and nothing where nothing is", async () => {
    for (const key of ["pre/fix-1", "pre/fix-2/x", "pre/other"]) await store.put(key, bytes("1"));
    expect((await listAll(store, "pre/fix")).map(({ key }) => key)).toEqual(["pre/fix-1", "pre/fix-2/x"]);
    expect(await listAll(store, "nothing/")).toEqual([]);
    expect(await store.listPrefixes("pre/")).toEqual(["pre/fix-2/"]);
  });

  it("heads what is there, and tells what is not", async () => {
    const put = await store.put("head/a", bytes("12345"), { metadata: { "hourpack-attempt": "A1" } });
    const head = await store.head("head/a");
    expect(head).toMatchObject({
      key: "head/a",
      sizeBytes: 5,
      etag: put.outcome === "written" ? put.etag : "",
    });
    expect(head?.metadata).toEqual(subject.isS3 ? { "hourpack-attempt": "A1" } : {});
    expect(Math.abs(Date.now() - (head?.lastModifiedMs ?? 0))).toBeLessThan(60_000);
    expect(await store.head("head/b")).toBeUndefined();
  });

  it("tells a name in a folder from the same one above, whichever folder was looked at first", async () => {
    await store.put("levels/x.json", bytes("above"));
    await store.put("levels/in/x.json", bytes("in the folder"));
    expect(await listAll(store, "levels/in/no")).toEqual([]);
    expect(await listAll(store, "levels/no")).toEqual([]);
    for (const [key, text] of [
      ["levels/in/x.json", "in the folder"],
      ["levels/x.json", "above"],
    ] as const) {
      const head = await store.head(key);
      expect(head?.sizeBytes).toBe(text.length);
      expect((await store.get(key, { etag: head?.etag })).toString()).toBe(text);
    }
  });

  it("reads whole objects, ranges and empty ones", async () => {
    await store.put("get/a", bytes("0123456789"));
    await store.put("get/empty", bytes(""));
    expect((await store.get("get/a")).toString()).toBe("0123456789");
    expect((await store.get("get/a", { range: { start: 2, end: 5 } })).toString()).toBe("234");
    expect((await store.get("get/empty")).length).toBe(0);
  });

  it("reads only the version that was listed", async () => {
    await store.put("version/a", bytes("one"));
    const [before] = await listAll(store, "version/");
    await store.put("version/a", bytes("other"));
    await expect(store.get("version/a", { etag: before?.etag })).rejects.toMatchObject({ kind: "conflict" });
    await store.delete("version/a");
    await expect(store.get("version/a")).rejects.toMatchObject({ kind: "conflict", message: /it is gone/ });
    await store.delete("version/a");
  });

  it("lets one of 20 racing creators win, and leaves what it wrote", async () => {
    const puts = await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        store.put("race/create", bytes(`writer ${i}`), { condition: { absent: true } }),
      ),
    );
    const winners = puts.flatMap((put, i) => (put.outcome === "written" ? [i] : []));
    expect(winners).toHaveLength(1);
    expect((await store.get("race/create")).toString()).toBe(`writer ${winners[0]}`);
  });

  it("lets one of 20 replacers of one version win", async () => {
    await store.put("race/replace", bytes("old"));
    const etag = (await store.head("race/replace"))?.etag ?? "";
    const puts = await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        store.put("race/replace", bytes(`writer ${i}`), { condition: { etag } }),
      ),
    );
    const winners = puts.flatMap((put, i) => (put.outcome === "written" ? [i] : []));
    expect(winners).toHaveLength(1);
    expect((await store.get("race/replace")).toString()).toBe(`writer ${winners[0]}`);
  });

  it("refuses to replace what is not there", async () => {
    const put = await store.put("race/nothing", bytes("x"), { condition: { etag: "0".repeat(32) } });
    expect(put.outcome).toBe("refused");
    expect(await store.head("race/nothing")).toBeUndefined();
  });

  it("writes a file of many parts, whole and under a condition", async () => {
    const dir = mkdtempSync(join(tmpdir(), "hourpack-put-"));
    onTestFinished(() => rmSync(dir, { recursive: true }));
    const path = join(dir, "big");
    const big = Buffer.alloc(40 << 20, "0123456789abcdef");
    writeFileSync(path, big);
    const metadata = { "hourpack-attempt": "B1" };
    const first = await store.put("big/a", { path }, { condition: { absent: true }, metadata });
    expect(first.outcome).toBe("written");
    expect((await store.get("big/a")).equals(big)).toBe(true);
    if (subject.isS3) expect((await store.head("big/a"))?.metadata).toEqual(metadata);
    expect((await store.put("big/a", { path }, { condition: { absent: true } })).outcome).toBe("refused");
    const etag = (await store.head("big/a"))?.etag ?? "";
    expect((await store.put("big/a", { path }, { condition: { etag: "0".repeat(32) } })).outcome).toBe(
      "refused",
    );
    expect((await store.put("big/a", { path }, { condition: { etag } })).outcome).toBe("written");
  });

  it.each([
    ["small", 10],
    ["large", 20_000_000],
  ])("shows nothing of a %s file before it is told to", async (size, sizeBytes) => {
    const dir = mkdtempSync(join(tmpdir(), "hourpack-before-"));
    onTestFinished(() => rmSync(dir, { recursive: true }));
    const path = join(dir, "file");
    writeFileSync(path, Buffer.alloc(sizeBytes, "x"));
    const key = `before/${size}`;
    let seen: unknown = "nobody looked";
    const before = async () => {
      seen = await store.head(key);
    };
    await store.put(key, { path }, { before, condition: { absent: true } });
    expect(seen).toBeUndefined();
    expect((await store.head(key))?.sizeBytes).toBe(sizeBytes);

    const refused = `before/${size}-refused`;
    let asked = 0;
    const refuse = async () => {
      asked++;
      throw new HourpackError("unavailable", "not verified");
    };
    await expect(store.put(refused, { path }, { before: refuse })).rejects.toThrow("not verified");
    expect(asked).toBe(1);
    expect(await store.head(refused)).toBeUndefined();
    expect(await store.dropUnfinished(refused, Date.now() + 60_000)).toBe(0);
  });

  it("honours conditions, and leaves no trace of having asked", async () => {
    expect(await store.honoursConditions("probe/")).toBe(true);
    expect(await listAll(store, "probe/")).toEqual([]);
  });

  it("stops at a signal", async () => {
    const signal = AbortSignal.abort();
    await expect(store.get("get/a", { signal })).rejects.toMatchObject({ kind: "interrupted" });
  });

  it("deletes nothing after a signal", async () => {
    await store.put("kept/a", bytes("kept"));
    const signal = AbortSignal.abort();
    const etag = (await store.head("kept/a"))?.etag;
    for (const options of [{ signal }, { etag, signal }])
      await expect(store.delete("kept/a", options)).rejects.toMatchObject({ kind: "interrupted" });
    expect(await store.get("kept/a")).toEqual(bytes("kept"));
  });
});

describe("what S3 refuses is told with the remedy", () => {
  let server: S3Server;
  beforeAll(async () => {
    server = await startMinio();
    Object.assign(process.env, credentialsEnv(server));
  });
  afterAll(() => server?.stop());

  const quick = { retryBudgetMs: 300, timeoutMs: 2000 };

  it("a missing bucket", async () => {
    const store = await openS3Store("no-such-bucket", s3Settings(server, quick));
    await expect(listAll(store, "")).rejects.toMatchObject({
      kind: "invalid",
      hint: /Create the bucket no-such-bucket/,
    });
  });

  it("a wrong secret, which is never told", async () => {
    const secret = "not-the-secret-at-all";
    process.env["AWS_SECRET_ACCESS_KEY"] = secret;
    const bucket = "any-bucket";
    const store = await openS3Store(bucket, s3Settings(server, quick));
    const error = await listAll(store, "").catch((caught) => caught);
    process.env["AWS_SECRET_ACCESS_KEY"] = server.secretAccessKey;
    expect(error).toMatchObject({ kind: "invalid", hint: /credentials are wrong/ });
    expect(`${error.message}${error.hint}${error.stack}`).not.toContain(secret);
  });

  it.each<[string, Record<string, string>, string, RegExp]>([
    [
      "a wrong secret",
      { AWS_SECRET_ACCESS_KEY: "not-the-secret-at-all" },
      "SignatureDoesNotMatch",
      /are wrong/,
    ],
    ["an unknown key", { AWS_ACCESS_KEY_ID: "nobody-at-all" }, "InvalidAccessKeyId", /are wrong/],
  ])("%s, where a HEAD is refused: its answer has no body", async (_, wrong, code, hint) => {
    Object.assign(process.env, wrong);
    onTestFinished(() => {
      Object.assign(process.env, credentialsEnv(server));
    });
    const proxy = await S3Proxy.start(server);
    onTestFinished(() => proxy.stop());
    const methods: string[] = [];
    proxy.hooks.before = async ({ method }) => {
      methods.push(method);
    };
    const store = await openS3Store("any-bucket", s3Settings(proxy, quick));
    await expect(store.head("a")).rejects.toMatchObject({
      kind: "invalid",
      message: expect.stringMatching(new RegExp(`^head s3://any-bucket/a: .* \\(403 ${code}\\)$`)),
      hint: expect.stringMatching(hint),
    });
    // Asked once, when all tries are over: without the SDK, and with it.
    expect(methods.filter((method) => method === "GET")).toHaveLength(2);
  });

  it("a token that expired, where a HEAD is refused, too: its answer has no body", async () => {
    const proxy = await S3Proxy.start(server, { fault: () => FAULTS["expired token"] });
    onTestFinished(() => proxy.stop());
    const store = await openS3Store("any-bucket", s3Settings(proxy, quick));
    await expect(store.head("a")).rejects.toMatchObject({
      kind: "unavailable",
      message: "head s3://any-bucket/a: The provided token has expired. (400 ExpiredToken)",
      hint: /renew them/,
    });
  });

  it("an endpoint where nobody listens", async () => {
    const store = await openS3Store("any-bucket", s3Settings({ endpoint: "http://127.0.0.1:9" }, quick));
    await expect(listAll(store, "")).rejects.toMatchObject({
      kind: "unavailable",
      message: /no connection/,
      hint: /running/,
    });
  });

  it.each([
    ["whole", 1 << 20],
    ["in parts", 40 << 20],
  ])(
    "an endpoint where nobody listens: a file that was to be sent %s is closed again",
    async (_, sizeBytes) => {
      const folder = mkdtempSync(join(tmpdir(), "hourpack-refused-"));
      onTestFinished(() => rmSync(folder, { recursive: true }));
      const path = join(folder, "part.parquet");
      writeFileSync(path, Buffer.alloc(sizeBytes));
      const settings = s3Settings({ endpoint: "http://127.0.0.1:9" }, { ...quick, retryBudgetMs: 2_000 });
      const store = await openS3Store("any-bucket", settings);
      await expect(store.put("part.parquet", { path })).rejects.toMatchObject({ kind: "unavailable" });
      await expect.poll(() => descriptorsOf(path)).toBe(0);
    },
  );
});

/** How often this process has a file open. */
function descriptorsOf(path: string): number {
  const targets = readdirSync("/proc/self/fd").map((name) => {
    try {
      return readlinkSync(`/proc/self/fd/${name}`);
    } catch {
      // That of the listing itself.
      return "";
    }
  });
  return targets.filter((target) => target === path).length;
}

describe("a directory keeps to its root", () => {
  const root = mkdtempSync(join(tmpdir(), "hourpack-root-"));
  const outside = mkdtempSync(join(tmpdir(), "hourpack-outside-"));
  afterAll(() => {
    for (const dir of [root, outside]) rmSync(dir, { recursive: true });
  });
  writeFileSync(join(outside, "secret"), "s");
  symlinkSync(outside, join(root, "link"));
  const store = new LocalStore(root);

  symlinkSync(join(outside, "secret"), join(root, "alias"));

  it("does not list through a link that leaves it", async () => {
    await expect(listAll(store, "link/")).rejects.toMatchObject({ kind: "invalid" });
  });

  it.each(["../x", "a/../../x", "a\0b", "link/secret", "./x", "alias"])("refuses %j", async (key) => {
    await expect(store.get(key)).rejects.toMatchObject({ kind: "invalid" });
    await expect(store.put(key, bytes("x"))).rejects.toMatchObject({ kind: "invalid" });
  });

  it("leaves nothing out in silence: no link to a folder, no name that is not UTF-8", async () => {
    const folder = mkdtempSync(join(root, "odd-"));
    const prefix = `${basename(folder)}/`;
    writeFileSync(join(folder, "\uFFFD.json"), "a name like any other");
    expect(await listAll(store, prefix)).toHaveLength(1);
    symlinkSync(folder, join(folder, "again"));
    await expect(listAll(store, prefix)).rejects.toMatchObject({
      kind: "invalid",
      message: expect.stringContaining("again: this is a link to a folder"),
    });
    rmSync(join(folder, "again"));
    writeFileSync(Buffer.concat([Buffer.from(`${folder}/`), Buffer.from([0xff])]), "x");
    await expect(listAll(store, prefix)).rejects.toMatchObject({
      message: expect.stringContaining("not UTF-8"),
    });
  });

  it("passes no link over whose target is away, but where its name is no object's", async () => {
    const folder = mkdtempSync(join(root, "away-"));
    const prefix = `${basename(folder)}/`;
    writeFileSync(join(folder, "a.json"), "{}");
    // What an editor leaves beside an open file.
    symlinkSync("user@host.1234", join(folder, ".#a.json"));
    expect((await listAll(store, prefix)).map(({ key }) => key)).toEqual([`${prefix}a.json`]);
    symlinkSync("../not-mounted/b.json", join(folder, "b.json"));
    await expect(listAll(store, prefix)).rejects.toMatchObject({
      kind: "invalid",
      message: expect.stringContaining("b.json: this is a link to ../not-mounted/b.json, where nothing is"),
      hint: expect.stringContaining("mounted"),
    });
    symlinkSync("not-mounted", join(root, "hour=00"));
    await expect(listAll(store, "hour=00/")).rejects.toThrow("hour=00: this is a link to not-mounted");
    await expect(listAll(store, "hour=00/more/")).rejects.toThrow("hour=00: this is a link to not-mounted");
    symlinkSync("loop", join(root, "loop"));
    await expect(listAll(store, "loop")).rejects.toMatchObject({ kind: "invalid", hint: /each other/ });
    expect(await listAll(store, "hour=01/")).toEqual([]);
  });

  it("takes no pipe, folder or dangling link for a file, nor waits for one, nor for whoever made it", async () => {
    execFileSync("mkfifo", [join(root, "pipe")]);
    mkdirSync(join(root, "folder.json"));
    symlinkSync("not-mounted", join(root, "dangling"));
    await expect(store.get("pipe")).rejects.toMatchObject({ kind: "invalid", hint: /Move it away/ });
    for (const [key, what] of [
      ["pipe", "a pipe or device"],
      ["folder.json", "a folder"],
      ["dangling", "a link to what is away"],
    ] as const) {
      expect(await store.head(key)).toBeUndefined();
      await expect(store.put(key, bytes("x"), { condition: { absent: true } })).rejects.toMatchObject({
        kind: "invalid",
        message: expect.stringContaining(`${key}: ${what} is in its place`),
      });
    }
  });

  it("lists what is there while others delete", async () => {
    const folder = mkdtempSync(join(root, "race-"));
    const names = Array.from({ length: 500 }, (_, i) => join(folder, `${i}.json`));
    for (const name of names) writeFileSync(name, "{}");
    const listing = listAll(store, `${basename(folder)}/`);
    await Promise.all([listing, ...names.map((name) => rm(name))]);
    expect((await listing).length).toBeLessThanOrEqual(names.length);
  });

  it("deletes the version that was asked for, and none that comes meanwhile", async () => {
    const path = join(root, "k");
    let deleted = 0;
    for (let i = 0; i < 300; i++) {
      writeFileSync(path, "old");
      writeFileSync(join(root, "new"), "new");
      const etag = (await store.head("k"))?.etag ?? "";
      const replace = async () => {
        // As many calls of the file system later as the deletion makes, more or less.
        for (let call = 0; call < i % 15; call++) await stat(root);
        await rename(join(root, "new"), path);
      };
      const [end] = await Promise.all([
        store.delete("k", { etag }).then(
          () => "deleted",
          (error) => error.kind,
        ),
        replace(),
      ]);
      // Deleted, the old one is what went; or it was too late for that.
      expect(["deleted", "conflict"]).toContain(end);
      expect((await store.get("k")).toString()).toBe("new");
      if (end === "deleted") deleted++;
      rmSync(path);
    }
    expect(deleted).toBeGreaterThan(0);
    expect((await listAll(store, "k")).concat(await listAll(store, "new"))).toEqual([]);
  });

  it("deletes a link itself where it stood for the version, before and after its target", async () => {
    const folder = mkdtempSync(join(root, "links-"));
    const key = (name: string) => `${basename(folder)}/${name}`;
    writeFileSync(join(folder, "a"), "1");
    for (const name of ["b", "c"]) symlinkSync("a", join(folder, name));
    const [etag = "", ...others] = (await listAll(store, key(""))).map((object) => object.etag);
    expect(others).toEqual([etag, etag]);
    await expect(store.delete(key("b"), { etag: "0-0-0" })).rejects.toMatchObject({
      kind: "conflict",
      message: `delete ${store.uri}${key("b")}: ETag changed`,
    });
    expect(readdirSync(folder)).toEqual(["a", "b", "c"]);
    await store.delete(key("b"), { etag });
    expect(readdirSync(folder)).toEqual(["a", "c"]);
    await store.delete(key("a"), { etag });
    await store.delete(key("c"), { etag });
    expect(readdirSync(folder)).toEqual([]);
    // Nothing is there any more, which is no error.
    await store.delete(key("c"), { etag });
  });

  it("shows no file that is still being written", async () => {
    const folder = mkdtempSync(join(root, "in-"));
    writeFileSync(join(folder, ".hourpack-tmp-0123"), "half");
    expect(await listAll(store, "in-")).toEqual([]);
  });
});
