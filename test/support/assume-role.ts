/** MinIO credentials that a policy limits, from its AssumeRole: what AWS grants a role with that policy. */
import { createHash, createHmac } from "node:crypto";
import type { S3Server } from "./minio.js";

export interface PolicyStatement {
  Sid: string;
  Effect: string;
  Action: string | string[];
  Resource: string | string[];
  Condition?: Record<string, Record<string, string>>;
}

/** The environment variables of temporary credentials that allow what the statements say, and nothing else. */
export async function credentialsWith(
  server: S3Server,
  statements: PolicyStatement[],
): Promise<Record<string, string>> {
  const policy = JSON.stringify({ Version: "2012-10-17", Statement: statements });
  const body = new URLSearchParams({
    Action: "AssumeRole",
    Version: "2011-06-15",
    DurationSeconds: "3600",
    Policy: policy,
  }).toString();
  const answer = await fetch(`${server.endpoint}/`, { method: "POST", headers: signed(server, body), body });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`MinIO grants no credentials: ${answer.status} ${text}`);
  const value = (name: string) => new RegExp(`<${name}>([^<]+)</${name}>`).exec(text)?.[1] ?? "";
  return {
    AWS_ACCESS_KEY_ID: value("AccessKeyId"),
    AWS_SECRET_ACCESS_KEY: value("SecretAccessKey"),
    AWS_SESSION_TOKEN: value("SessionToken"),
    AWS_REGION: "us-east-1",
    AWS_EC2_METADATA_DISABLED: "true",
  };
}

/** Signature version 4 of a form POST to `/`. Source: AWS IAM user guide, "Create a signed AWS API request". */
function signed(server: S3Server, body: string): Record<string, string> {
  const { host } = new URL(server.endpoint);
  const time = new Date().toISOString().replace(/[-:]|\.\d+/g, "");
  const day = time.slice(0, 8);
  const scope = `${day}/us-east-1/sts/aws4_request`;
  const type = "application/x-www-form-urlencoded";
  const names = "content-type;host;x-amz-date";
  const request = `POST\n/\n\ncontent-type:${type}\nhost:${host}\nx-amz-date:${time}\n\n${names}\n${sha256(body)}`;
  const toSign = `AWS4-HMAC-SHA256\n${time}\n${scope}\n${sha256(request)}`;
  const key = [day, "us-east-1", "sts", "aws4_request"].reduce<string | Buffer>(
    (secret, part) => createHmac("sha256", secret).update(part).digest(),
    `AWS4${server.secretAccessKey}`,
  );
  const signature = createHmac("sha256", key).update(toSign).digest("hex");
  return {
    "content-type": type,
    "x-amz-date": time,
    authorization: `AWS4-HMAC-SHA256 Credential=${server.accessKeyId}/${scope}, SignedHeaders=${names}, Signature=${signature}`,
  };
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
