/** What a request or an answer says about an object, in HTTP's terms and in the SDK's. */
import type { PutObjectCommandInput } from "@aws-sdk/client-s3";
import type { S3Settings } from "../../config/settings.js";
import type { ObjectHead, PutOptions } from "../store.js";

type WriteInput = Omit<PutObjectCommandInput, "Body" | "Bucket" | "Key">;

/** Goes into every way of writing an object. */
export function writeInput(write: S3Settings["write"], { condition, ...options }: PutOptions): WriteInput {
  return {
    ContentType: options.contentType,
    Metadata: options.metadata,
    IfNoneMatch: condition && "absent" in condition ? "*" : undefined,
    IfMatch: condition && "etag" in condition ? `"${condition.etag}"` : undefined,
    ServerSideEncryption: write.serverSideEncryption,
    SSEKMSKeyId: write.kmsKeyId,
    StorageClass: write.storageClass as never,
    Tagging: write.tags && new URLSearchParams(write.tags).toString(),
  };
}

/** "PutObject, Request Syntax", S3 API Reference. */
export function writeHeaders(input: WriteInput): Record<string, string | undefined> {
  const headers: Record<string, string | undefined> = {
    "content-type": input.ContentType,
    "if-none-match": input.IfNoneMatch,
    "if-match": input.IfMatch,
    "x-amz-server-side-encryption": input.ServerSideEncryption,
    "x-amz-server-side-encryption-aws-kms-key-id": input.SSEKMSKeyId,
    "x-amz-storage-class": input.StorageClass,
    "x-amz-tagging": input.Tagging,
  };
  for (const [name, value] of Object.entries(input.Metadata ?? {}))
    headers[`${META}${name.toLowerCase()}`] = value;
  return headers;
}

/** Undefined if the headers do not give the size. */
export function headOf(key: string, headers: Record<string, string>): ObjectHead | undefined {
  const sizeBytes = headers["content-length"] ?? "";
  if (!/^\d{1,15}$/.test(sizeBytes)) return undefined;
  const metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (name.startsWith(META)) metadata[name.slice(META.length)] = value;
  }
  return {
    key,
    sizeBytes: Number(sizeBytes),
    etag: unquoted(headers["etag"]),
    lastModifiedMs: Date.parse(headers["last-modified"] ?? "") || 0,
    metadata,
  };
}

const META = "x-amz-meta-";

export function unquoted(etag: string | undefined): string {
  return (etag ?? "").replace(/^"|"$/g, "");
}
