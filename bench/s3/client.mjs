/**
 * The smallest possible S3 client: undici's dispatch, and SigV4 by hand with the day's key cached. It makes
 * the benchmark's data, and hourpack is measured against it as the bare list + GET loop.
 */
import { createHash, createHmac, createSecretKey } from "node:crypto";
import { Pool } from "undici";

/** @typedef {{ endpoint: string, accessKeyId: string, secretAccessKey: string }} Server */

const REGION = "us-east-1";
const UNSIGNED = "UNSIGNED-PAYLOAD";
const SIGNED_HEADERS = "host;x-amz-content-sha256;x-amz-date";

export class BareS3 {
  /** @param {Server} server @param {number} connections @param {{ isPlain?: boolean }} [options] */
  constructor(server, connections, { isPlain = false } = {}) {
    this.server = server;
    this.isPlain = isPlain;
    this.host = new URL(server.endpoint).host;
    this.pool = new Pool(server.endpoint, { connections, pipelining: 1 });
    this.day = "";
    this.dayKey = createSecretKey(Buffer.alloc(1));
    this.second = 0;
    this.stamp = "";
  }

  /**
   * Returns the whole body of the answer. Throws if the status is not 2xx.
   * @param {string} method @param {string} path Encoded. @param {string} query Encoded and sorted.
   * @param {Buffer} [body]
   * @returns {Promise<Buffer>}
   */
  async request(method, path, query = "", body) {
    /** @type {Buffer[]} */
    const chunks = [];
    await this.send(method, path, query, body, (chunk) => chunks.push(chunk));
    return chunks.length === 1 ? chunks[0] : Buffer.concat(chunks);
  }

  /**
   * Reads an object, drops its bytes and returns how many there were.
   * @param {string} path @returns {Promise<number>}
   */
  async drain(path) {
    let sizeBytes = 0;
    await this.send("GET", path, "", undefined, (chunk) => {
      sizeBytes += chunk.length;
    });
    return sizeBytes;
  }

  /** All pages under a prefix. @param {string} bucket @param {string} prefix */
  async *list(bucket, prefix) {
    let token = "";
    do {
      const continued = token && `continuation-token=${encodeURIComponent(token)}&`;
      const query = `${continued}list-type=2&prefix=${encodeURIComponent(prefix)}`;
      const xml = (await this.request("GET", `/${bucket}`, query)).toString("utf8");
      const keys = [...xml.matchAll(/<Key>([^<]*)<\/Key>/g)].map((match) => match[1]);
      yield keys;
      token = /<NextContinuationToken>([^<]*)</.exec(xml)?.[1] ?? "";
    } while (token !== "");
  }

  /** Creates the bucket if it does not exist. @param {string} bucket */
  async createBucket(bucket) {
    await this.request("PUT", `/${bucket}`).catch((error) => {
      if (!String(error).includes("BucketAlreadyOwnedByYou")) throw error;
    });
  }

  /** Makes sure that the bucket exists, and deletes what earlier runs left in it. @param {string} bucket */
  async emptyBucket(bucket) {
    await this.createBucket(bucket);
    for await (const keys of this.list(bucket, "")) {
      await eachOf(keys, 8, async (key) => {
        await this.request("DELETE", `/${bucket}/${encodeKey(key)}`);
      });
    }
  }

  async close() {
    await this.pool.close();
  }

  /**
   * @param {string} method @param {string} path @param {string} query @param {Buffer | undefined} body
   * @param {(chunk: Buffer) => void} onChunk
   * @returns {Promise<void>}
   */
  send(method, path, query, body, onChunk) {
    const headers = this.headers(method, path, query);
    const sentPath = this.isPlain ? path.replaceAll("%3D", "=") : path;
    return new Promise((resolve, reject) => {
      let status = 0;
      let failed = "";
      this.pool.dispatch(
        { method, path: query ? `${sentPath}?${query}` : sentPath, headers, body },
        {
          onRequestStart() {},
          onResponseStart(_controller, statusCode) {
            status = statusCode;
          },
          onResponseData(_controller, chunk) {
            if (status < 300) onChunk(chunk);
            else failed += chunk.toString("utf8");
          },
          onResponseEnd() {
            if (status < 300) resolve();
            else reject(new Error(`${method} ${path}: ${status} ${failed.slice(0, 300)}`));
          },
          onResponseError(_controller, error) {
            reject(error);
          },
        },
      );
    });
  }

  /** @param {string} method @param {string} path @param {string} query */
  headers(method, path, query) {
    const second = Math.floor(Date.now() / 1000);
    if (second !== this.second) this.tick(second);
    const canonical = `${method}\n${path}\n${query}\nhost:${this.host}\nx-amz-content-sha256:${UNSIGNED}\nx-amz-date:${this.stamp}\n\n${SIGNED_HEADERS}\n${UNSIGNED}`;
    const scope = `${this.day}/${REGION}/s3/aws4_request`;
    const hash = createHash("sha256").update(canonical).digest("hex");
    const signature = createHmac("sha256", this.dayKey)
      .update(`AWS4-HMAC-SHA256\n${this.stamp}\n${scope}\n${hash}`)
      .digest("hex");
    return {
      host: this.host,
      "x-amz-content-sha256": UNSIGNED,
      "x-amz-date": this.stamp,
      authorization: `AWS4-HMAC-SHA256 Credential=${this.server.accessKeyId}/${scope}, SignedHeaders=${SIGNED_HEADERS}, Signature=${signature}`,
    };
  }

  /** @param {number} second */
  tick(second) {
    this.second = second;
    this.stamp = new Date(second * 1000).toISOString().replace(/[-:]|\.\d+/g, "");
    const day = this.stamp.slice(0, 8);
    if (day === this.day) return;
    this.day = day;
    const mac = (/** @type {any} */ key, /** @type {string} */ text) =>
      createHmac("sha256", key).update(text).digest();
    const key = mac(mac(mac(mac(`AWS4${this.server.secretAccessKey}`, day), REGION), "s3"), "aws4_request");
    this.dayKey = createSecretKey(key);
  }
}

/** A key in a path: every byte is escaped except the unreserved ones and the slash. @param {string} key */
export function encodeKey(key) {
  const escaped = (/** @type {string} */ letter) => `%${letter.charCodeAt(0).toString(16).toUpperCase()}`;
  return encodeURIComponent(key)
    .replaceAll("%2F", "/")
    .replace(/[!'()*]/g, escaped);
}

/**
 * Runs `width` tasks at a time.
 * @template T
 * @param {Iterable<T>} items @param {number} width @param {(item: T) => Promise<void>} task
 */
export async function eachOf(items, width, task) {
  const iterator = items[Symbol.iterator]();
  await Promise.all(
    Array.from({ length: width }, async () => {
      for (let next = iterator.next(); !next.done; next = iterator.next()) await task(next.value);
    }),
  );
}
