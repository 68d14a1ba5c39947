/**
 * Bodies compared with their ETags. The ETag of an object written whole, and not encrypted with KMS or a customer's key,
 * is its MD5 (S3 User Guide, "Object ETag"); a look-alike may have other ideas.
 */
import { hash } from "node:crypto";
import type { S3Settings } from "../../config/settings.js";
import { HourpackError } from "../../errors.js";
import { tell } from "../../waiting.js";

/** Where a body had the MD5 that its ETag says, written or read, ETags are MD5s: the stores of one endpoint share settings. */
const proved = new WeakSet<S3Settings>();

export class Md5Check {
  private readonly uri: string;
  private readonly settings: S3Settings;
  /** ETags of directory buckets never are MD5s; of a look-alike's bucket that is found out. */
  private isOff: boolean;
  /** Of keys whose bodies have another MD5 than their ETag says: which. */
  private readonly odd = new Map<string, string>();

  constructor(bucket: string, settings: S3Settings) {
    this.uri = `s3://${bucket}/`;
    this.settings = settings;
    this.isOff = bucket.endsWith("--x-s3");
  }

  /** What the store answers to a body that is ours, before anything of others is read: a run's first writes tell. */
  written(etag: string, body: Uint8Array): void {
    if (!proved.has(this.settings) && hash("md5", body) === etag) proved.add(this.settings);
  }

  /**
   * Throws `unavailable` where the bytes are not those of the ETag. Where no ETag ever was an MD5, the same bytes twice
   * under one that is none are what the store has; a cache or proxy could have damaged them alike, so that is told.
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
