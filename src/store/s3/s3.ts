/** A bucket of S3, MinIO or a look-alike, over the official SDK. */
import { stat } from "node:fs/promises";
import type { ListMultipartUploadsCommandInput } from "@aws-sdk/client-s3";
import pRetry from "p-retry";
import { ulid } from "ulid";
import type { S3Settings } from "../../config/settings.js";
import { HourpackError } from "../../errors.js";
import { probePrefix } from "../../layout.js";
import { codeOf, statusOf } from "../../sdk-errors.js";
import { countRetry, RETRIES_MAX, Wait } from "../../waiting.js";
import { Pace } from "../pace.js";
import { honoursDeletes, honoursWrites } from "../probe.js";
import {
  type Body,
  changed,
  GETS_MAX,
  type GetOptions,
  type ObjectHead,
  type ObjectInfo,
  type PutOptions,
  type PutOutcome,
  type Store,
} from "../store.js";
import { openAccess, type S3Access } from "./client.js";
import { isTransient, mayHaveExpired, s3Error } from "./errors.js";
import { Gate } from "./gate.js";
import { ObjectReader } from "./get.js";
import { headOf, unquoted } from "./headers.js";
import { type ListedPage, Lister, type PageRequest } from "./list.js";
import { Md5Check } from "./md5.js";
import { ObjectWriter, PART_BYTES } from "./put.js";

interface S3StoreOptions {
  /** Keys in a page of a listing; S3 allows 1 to 1000. */
  pageKeys?: number;
}

/** Opens no connection yet. Credentials and region come from the SDK's chain unless the settings name a region. */
export async function openS3Store(
  bucket: string,
  settings: S3Settings,
  options: S3StoreOptions = {},
): Promise<Store> {
  return new S3Store(openAccess(bucket, settings), options.pageKeys ?? 1000);
}

const CONFLICTS_MAX = 5;
const GETS_AT_FIRST = 32;

class S3Store implements Store {
  readonly kind = "s3";
  readonly uri: string;
  private readonly access: S3Access;
  private readonly pageKeys: number;
  private readonly probes = new Map<string, Promise<boolean>>();
  private readonly md5: Md5Check;
  private readonly reader: ObjectReader;
  private readonly writer: ObjectWriter;
  private readonly lister: Lister;
  private readonly pace: Pace;
  /** As last renewed. */
  private credentials: Promise<unknown> = Promise.resolve();

  constructor(access: S3Access, pageKeys: number) {
    const { bucket, settings } = access;
    this.access = access;
    this.pageKeys = pageKeys;
    this.uri = access.uri;
    this.md5 = new Md5Check(bucket, settings);
    this.reader = new ObjectReader(access, this.md5);
    this.writer = new ObjectWriter(access);
    this.lister = new Lister(access);
    this.pace = new Pace({
      start: Math.min(GETS_AT_FIRST, settings.concurrency ?? GETS_AT_FIRST),
      max: settings.concurrency ?? GETS_MAX,
      isRefusal: isTransient,
      location: this.uri,
    });
  }

  async *list(prefix: string, options: { signal?: AbortSignal } = {}): AsyncGenerator<ObjectInfo[]> {
    const asked = { prefix, maxKeys: this.pageKeys };
    for await (const { objects } of this.pages(asked, options.signal)) yield objects;
  }

  /**
   * A store refuses a request that was signed by another clock, and the SDK sets its own clock by the
   * refusal.
   */
  get clockOffsetMs(): number {
    return this.access.client.config.systemClockOffset;
  }

  async listPrefixes(prefix: string, options: { signal?: AbortSignal } = {}): Promise<string[]> {
    const found: string[] = [];
    for await (const { prefixes } of this.pages({ prefix, delimiter: "/" }, options.signal))
      found.push(...prefixes);
    return found;
  }

  async head(key: string, options: { signal?: AbortSignal } = {}): Promise<ObjectHead | undefined> {
    const { signal } = options;
    return this.call("head", key, signal, (abortSignal) => this.headOnce(key, abortSignal)).catch(
      async (error: HourpackError) => {
        // Asks for the reason of a 403 only now that the error is reported.
        if (statusOf(error.cause) !== 403) throw error;
        throw this.told(await this.withReason(error.cause, key, signal), "head", key, signal);
      },
    );
  }

  private async headOnce(key: string, abortSignal: AbortSignal | undefined): Promise<ObjectHead | undefined> {
    const { client, sdk, direct, target } = this.access;
    const answer = await direct.send({ doing: "head", method: "HEAD", key, signal: abortSignal });
    if (answer?.status === 404) return undefined;
    const told = answer?.status === 200 ? headOf(key, answer.headers) : undefined;
    if (told) return told;
    try {
      const input = { ...target, Key: key };
      const head = await client.send(new sdk.HeadObjectCommand(input), { abortSignal });
      return {
        key,
        sizeBytes: head.ContentLength ?? 0,
        etag: unquoted(head.ETag),
        lastModifiedMs: head.LastModified?.getTime() ?? 0,
        metadata: head.Metadata ?? {},
      };
    } catch (error) {
      if (statusOf(error) === 404) return undefined;
      // The reason tells whether the token expired. If so, it is renewed.
      throw statusOf(error) === 400 ? await this.withReason(error, key, abortSignal) : error;
    }
  }

  /** The answer to a HEAD has no body to name the reason of a 400 or a 403; a GET's has one. */
  private async withReason(refused: unknown, key: string, signal: AbortSignal | undefined): Promise<unknown> {
    const asked = this.reader.get(key, { range: { start: 0, end: 1 }, signal });
    return asked.then(
      () => refused,
      (error: unknown) => (statusOf(error) === statusOf(refused) ? error : refused),
    );
  }

  async get(key: string, options: GetOptions = {}): Promise<Buffer> {
    try {
      return await this.pace.run(() => this.reader.get(key, options));
    } catch (error) {
      const isTriedAgain = isTransient(error) || mayHaveExpired(error);
      if (options.signal?.aborted || !isTriedAgain) throw this.told(error, "read", key, options.signal);
      countRetry({ location: this.uri + key });
    }
    return this.call("read", key, options.signal, (signal) =>
      this.pace.run(() => this.reader.get(key, { ...options, signal })),
    );
  }

  ready(): Promise<void> {
    return this.pace.ready();
  }

  /**
   * If an answer is lost, the retry can be refused because the first try succeeded. A HEAD tells who wrote
   * what is there: the object's metadata names its attempt.
   */
  async put(key: string, body: Body, options: PutOptions = {}): Promise<PutOutcome> {
    const sizeBytes = body instanceof Uint8Array ? body.length : (await stat(body.path)).size;
    const gate = new Gate(options.before);
    const isLarge = sizeBytes > PART_BYTES;
    if (!isLarge) await options.before?.();
    for (let attempt = 1; ; attempt++) {
      try {
        const etag = await this.call("write", key, options.signal, (abortSignal) =>
          isLarge
            ? this.writer.parts(key, gate.after(body), options, abortSignal)
            : this.writer.whole(key, body, sizeBytes, options, abortSignal),
        );
        if (body instanceof Uint8Array) this.md5.written(etag, body);
        return { outcome: "written", etag };
      } catch (error) {
        if (gate.failure) throw gate.failure.error;
        const code = codeOf(error instanceof HourpackError ? error.cause : error);
        const status = statusOf(error instanceof HourpackError ? error.cause : error);
        if (status === 412) return { outcome: "refused", reason: "another version is there (412)" };
        const isGone = code === "NoSuchKey" && options.condition !== undefined && "etag" in options.condition;
        if (isGone || code === "NoSuchUpload")
          return { outcome: "refused", reason: `the version to replace is gone (${code})` };
        // S3 answers 409 if two conditional writes meet. Starts a new upload under the same condition.
        if (status === 409 && attempt < CONFLICTS_MAX) continue;
        if (status === 409) return { outcome: "refused", reason: "others are writing it (409)" };
        throw error;
      }
    }
  }

  async delete(key: string, options: { etag?: string; signal?: AbortSignal } = {}): Promise<void> {
    const { client, sdk, direct, target } = this.access;
    const input = {
      ...target,
      Key: key,
      IfMatch: options.etag === undefined ? undefined : `"${options.etag}"`,
    };
    let tries = 0;
    await this.call("delete", key, options.signal, async (abortSignal) => {
      tries++;
      const headers = { "if-match": input.IfMatch };
      const request = { doing: "delete", method: "DELETE", key, headers, signal: abortSignal } as const;
      if ((await direct.send(request))?.status === 204) return;
      try {
        await client.send(new sdk.DeleteObjectCommand(input), { abortSignal });
      } catch (error) {
        // An earlier try that had no answer may have deleted it, and what is there now came after that.
        if (statusOf(error) === 412 && tries > 1) return;
        if (statusOf(error) === 412) throw changed("delete", this.uri + key, "ETag changed");
        if (codeOf(error) !== "NoSuchKey") throw error;
      }
    });
  }

  honoursConditions(prefix: string): Promise<boolean> {
    return this.probed(`writes ${prefix}`, () => honoursWrites(this, probePrefix(prefix) + ulid()));
  }

  honoursConditionalDeletes(prefix: string): Promise<boolean> {
    return this.probed(`deletes ${prefix}`, () => honoursDeletes(this, probePrefix(prefix) + ulid()));
  }

  async dropUnfinished(
    prefix: string,
    beforeMs: number,
    options: { signal?: AbortSignal } = {},
  ): Promise<number> {
    const { signal } = options;
    const { client, sdk, target } = this.access;
    let dropped = 0;
    let marker: { KeyMarker?: string; UploadIdMarker?: string } | undefined = {};
    while (marker) {
      const input: ListMultipartUploadsCommandInput = { ...target, Prefix: prefix, ...marker };
      const page = await this.call("list uploads", prefix, signal, (abortSignal) =>
        client.send(new sdk.ListMultipartUploadsCommand(input), { abortSignal }),
      );
      for (const { Key, UploadId, Initiated } of page.Uploads ?? []) {
        if (!Key || !UploadId || !Initiated || Initiated.getTime() >= beforeMs) continue;
        await this.call("drop the unfinished upload of", Key, signal, (abortSignal) =>
          client
            .send(new sdk.AbortMultipartUploadCommand({ ...target, Key, UploadId }), { abortSignal })
            .catch((error) => {
              if (codeOf(error) !== "NoSuchUpload") throw error;
            }),
        );
        dropped++;
      }
      const { NextKeyMarker: KeyMarker, NextUploadIdMarker: UploadIdMarker } = page;
      if (page.IsTruncated && marker.KeyMarker === KeyMarker && marker.UploadIdMarker === UploadIdMarker)
        throw endless(`list the unfinished uploads of ${this.uri}${prefix}`);
      marker = page.IsTruncated ? { KeyMarker, UploadIdMarker } : undefined;
    }
    return dropped;
  }

  async close(): Promise<void> {
    await this.access.direct.close();
    this.access.client.destroy();
  }

  private async *pages(asked: PageRequest, signal: AbortSignal | undefined): AsyncGenerator<ListedPage> {
    let token: string | undefined;
    do {
      const page = await this.call("list", asked.prefix, signal, (abortSignal) =>
        this.lister.page({ ...asked, token }, abortSignal),
      );
      yield page;
      if (page.token !== undefined && page.token === token) throw endless(`list ${this.uri}${asked.prefix}`);
      token = page.token;
    } while (token !== undefined);
  }

  /** Asks once in the store's life, and again if there was no answer. */
  private probed(name: string, ask: () => Promise<boolean>): Promise<boolean> {
    let probe = this.probes.get(name);
    if (!probe) {
      probe = ask();
      this.probes.set(name, probe);
      probe.catch(() => this.probes.delete(name));
    }
    return probe;
  }

  /**
   * One request with its retries: jittered backoff, within the budget. What fails to the end is thrown as our
   * error.
   */
  private async call<T>(
    doing: string,
    key: string,
    signal: AbortSignal | undefined,
    task: (signal: AbortSignal | undefined) => Promise<T>,
  ): Promise<T> {
    const { client, settings } = this.access;
    let renewals = 0;
    let known = this.credentials;
    const wait = new Wait(`${doing} ${this.uri}${key}`, settings.endpoint ?? "S3", {
      mayTakeLong: doing === "write",
    });
    const attempt = async () => {
      known = this.credentials;
      await known.catch(() => undefined);
      return task(signal);
    };
    try {
      return await pRetry(attempt, {
        retries: RETRIES_MAX,
        minTimeout: 200,
        maxTimeout: 5000,
        randomize: true,
        maxRetryTime: settings.retryBudgetMs,
        signal,
        shouldRetry: async ({ error }) => {
          // Once a clock was set, other requests in flight may set it again, rightly or not.
          const isClockSet = Math.abs(client.config.systemClockOffset) >= CLOCK_SET_MS;
          const renewalsMax = isClockSet ? RETRIES_MAX : RENEWALS_MAX;
          const isExpired = renewals < renewalsMax && mayHaveExpired(error);
          if (isExpired) {
            renewals++;
            // If many requests are refused together, only one asks for new credentials.
            if (this.credentials === known)
              this.credentials = client.config.credentials({ forceRefresh: true });
            await this.credentials;
          }
          const isRetried = isExpired || isTransient(error);
          if (isRetried) wait.again(error, { location: this.uri + key });
          return isRetried;
        },
      });
    } catch (error) {
      throw this.told(error, doing, key, signal);
    } finally {
      wait.end();
    }
  }

  private told(error: unknown, doing: string, key: string, signal: AbortSignal | undefined): HourpackError {
    if (error instanceof HourpackError) return error;
    const { bucket, settings } = this.access;
    return s3Error(error, doing, this.uri + key, { bucket, endpoint: settings.endpoint, signal });
  }
}

function endless(doing: string): HourpackError {
  return new HourpackError(
    "unavailable",
    `${doing}: the store answers each page with the token of the same next page`,
    {
      hint: "Does a proxy or cache before the store drop the query, or repeat answers? Run again when it does not.",
    },
  );
}

/**
 * A refusal without a reason may come from a clock that the SDK has just set by a wrong one. Set twice, it is
 * right again.
 */
const RENEWALS_MAX = 3;
/** The SDK notes the offset of every answer. From this one on it takes its clock for wrong. */
const CLOCK_SET_MS = 240_000;
