/**
 * Compares bodies with their ETags. If an object was written whole, and not encrypted with KMS or a
 * customer's key, its ETag is its MD5 (S3 User Guide, "Object ETag"). A look-alike may have other ideas.
 */
import { hash } from "node:crypto";
import type { S3Settings } from "../../config/settings.js";
import { HourpackError } from "../../errors.js";
import { tell } from "../../waiting.js";

/**
 * Settings of stores whose ETags are MD5s: a body, written or read, had the MD5 that its ETag says. The
 * stores of one endpoint share settings.
 */
const proved = new WeakSet<S3Settings>();

export class Md5Check {
  private readonly uri: string;
  private readonly settings: S3Settings;
  /** ETags of directory buckets are never MD5s. For a look-alike's bucket, this is found out. */
  private isOff: boolean;
  /** For keys whose body has another MD5 than its ETag says: that MD5. */
  private readonly odd = new Map<string, string>();

  constructor(bucket: string, settings: S3Settings) {
    this.uri = `s3://${bucket}/`;
    this.settings = settings;
    this.isOff = bucket.endsWith("--x-s3");
  }

  /**
   * Learns from the ETag that the store gives a body of ours. A run's first writes come before it reads
   * anything of others.
   */
  written(etag: string, body: Uint8Array): void {
    if (!proved.has(this.settings) && hash("md5", body) === etag) proved.add(this.settings);
  }

  /**
   * Throws `unavailable` if the bytes are not those of the ETag. If no ETag ever was an MD5, bytes that come
   * twice alike are what the store has. A cache or proxy could have damaged them alike, so this is reported.
   */
  read(key: string, etag: string, bytes: Uint8Array): void {
    if (this.isOff || !/^[0-9a-f]{32}$/.test(etag)) return;
    const md5 = hash("md5", bytes);
    if (md5 === etag) {
      proved.add(this.settings);
      return;
    }
    if (!proved.has(this.settings) && this.odd.get(key) === md5) {
      this.isOff = true;
      this.odd.clear();
      tell(
        `${this.uri}${key} has the MD5 ${md5}, its ETag says ${etag}: this store's ETags seem to be no MD5s, and what is read there is not compared with them`,
      );
      return;
    }
    this.odd.set(key, md5);
    throw new HourpackError(
      "unavailable",
      `read ${this.uri}${key}: its bytes have the MD5 ${md5}, its ETag says ${etag}`,
      {
        location: this.uri + key,
        hint: "The body was damaged on its way: run again. Where that does not help, look for a proxy or cache before the store, and at the object itself.",
      },
    );
  }
}
