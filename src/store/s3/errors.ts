/** Says in one sentence what went wrong at S3, with the remedy. */
import { HourpackError, isHourpackError } from "../../errors.js";
import { codeOf, isNetworkCode, isPassing, type SdkError, statusOf } from "../../sdk-errors.js";

/** Empty if the body names none. */
export function codeOfAnswer(body: Buffer | undefined): string {
  return /<Code>([A-Za-z]+)<\/Code>/.exec(body?.toString("latin1") ?? "")?.[1] ?? "";
}

/** A refusal in the form that the SDK gives it ("Error responses", S3 API Reference). */
export function refusal(status: number, body: Buffer | undefined): Error {
  const code = codeOfAnswer(body);
  const [, message = ""] = /<Message>([^<]*)<\/Message>/.exec(body?.toString("utf8") ?? "") ?? [];
  return Object.assign(new Error(message || code), {
    name: code || String(status),
    Code: code || undefined,
    $metadata: { httpStatusCode: status },
  });
}

/**
 * The answer to a HEAD has no body to name the code: the credentials may have expired, or a clock was set
 * meanwhile.
 */
export function mayHaveExpired(error: unknown): boolean {
  const isNameless = (error as SdkError | undefined)?.Code === undefined;
  return codeOf(error) === "ExpiredToken" || (isNameless && [400, 403].includes(statusOf(error) ?? 0));
}

/** Whether another try may end differently: no answer, a broken one, throttling, a server error. */
export function isTransient(error: unknown): boolean {
  if (isHourpackError(error)) return error.kind === "unavailable";
  const { message = "" } = error as SdkError;
  return isPassing(error) || /aborted|premature|unexpected end|XML parse error/i.test(message);
}

interface Where {
  bucket: string;
  endpoint?: string;
}

/** Hints, by code, for what somebody has to mend. */
const HINTS: [RegExp, (where: Where) => string][] = [
  [/^NoSuchBucket$/, ({ bucket }) => `Create the bucket ${bucket}, or mend its name in the configuration.`],
  [
    /^(InvalidAccessKeyId|SignatureDoesNotMatch)$/,
    () => "The credentials are wrong: check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY or the profile.",
  ],
  [/^ExpiredToken$/, () => "The credentials have expired: renew them (for SSO, `aws sso login`)."],
  [
    /^(AccessDenied|Forbidden|403)$/,
    ({ bucket }) =>
      `Grant these credentials access to ${bucket}: ListBucket, GetObject, and PutObject where it writes.`,
  ],
  [
    /^(PermanentRedirect|AuthorizationHeaderMalformed|IllegalLocationConstraintException)$/,
    () => "The bucket is in another region: set s3.region (or AWS_REGION) to it.",
  ],
  [
    /^(CredentialsProviderError|NoCredentials)$/,
    () => {
      const { AWS_PROFILE: profile } = process.env;
      return profile
        ? `AWS_PROFILE is ${profile}, which gives none: is there such a profile in ~/.aws/config or ~/.aws/credentials, and is it logged in (for SSO, \`aws sso login\`)?`
        : "No credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or a role.";
    },
  ],
  [/^RequestTimeTooSkewed$/, () => "This machine's clock is off by more than 15 minutes: set it."],
];

/** Hints, by message, for errors without a code of their own. */
const HINTS_BY_MESSAGE: typeof HINTS = [
  [/region is missing|region not accepted/i, () => "Set s3.region or AWS_REGION."],
  [
    /begins or ends with white space/,
    () =>
      "Take it away where the credentials are kept: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or the profile; it may be the newline at the end of a file.",
  ],
  [
    // Our message, and the SDK's.
    /character .*\bheader\b/i,
    () =>
      "Check AWS_ACCESS_KEY_ID and AWS_SESSION_TOKEN, or the profile: a newline came with it, or a letter that is not ASCII.",
  ],
  [/must be made to API port/i, noApiHint],
  [
    /wrong version number/i,
    ({ endpoint = "the endpoint" }) => `Nobody speaks TLS at ${endpoint}: is it http:// and not https://?`,
  ],
];

/**
 * A refusal by S3 has a code of its own, except in answer to a HEAD: there a 404 is no error, and a 403 has
 * its own hint.
 */
function isNoApi(error: unknown, { endpoint }: Where): boolean {
  const status = statusOf(error) ?? 0;
  const isCoded = (error as SdkError).Code !== undefined;
  return (
    endpoint !== undefined && !isCoded && status >= 400 && status < 500 && ![403, 408, 429].includes(status)
  );
}

/** MinIO's console answers on another port than its API. */
function noApiHint({ endpoint = "the endpoint" }: Where): string {
  return `Is ${endpoint} the address of S3's API? (MinIO's console has a port of its own.)`;
}

/** If one of these is set, credentials come from a service, which may be away for a moment. */
const ROLE_VARIABLES = [
  "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
  "AWS_CONTAINER_CREDENTIALS_FULL_URI",
  "AWS_WEB_IDENTITY_TOKEN_FILE",
];

/**
 * Whether the problem may pass by itself before a later run: a clock is set, a role's credentials come or are
 * renewed.
 */
function mayPass(error: unknown): boolean {
  const isAwaited = /^(CredentialsProviderError|NoCredentials)$/.test(codeOf(error));
  return (
    isTransient(error) ||
    codeOf(error) === "ExpiredToken" ||
    (isAwaited && ROLE_VARIABLES.some((name) => process.env[name]))
  );
}

export function s3Error(
  error: unknown,
  doing: string,
  location: string,
  context: Where & { signal?: AbortSignal },
): HourpackError {
  if (context.signal?.aborted)
    return new HourpackError("interrupted", `${doing} ${location}: interrupted`, { location });
  const told = (kind: "invalid" | "unavailable", reason: string, hint: string) =>
    new HourpackError(kind, `${doing} ${location}: ${reason}`, { location, hint, cause: error });
  const code = codeOf(error);
  const status = statusOf(error);
  const { message = "", code: systemCode = "" } = error as SdkError;
  const reason = `${message || code || "no answer"}${status ? ` (${status} ${code})` : ""}`;
  const unlessItPasses = mayPass(error) ? "unavailable" : "invalid";
  const known =
    HINTS.find(([pattern]) => pattern.test(code)) ??
    HINTS_BY_MESSAGE.find(([pattern]) => pattern.test(message));
  if (known) return told(unlessItPasses, reason, known[1](context));
  if (isNetworkCode(systemCode) || systemCode === "ENOTFOUND") {
    const { endpoint } = context;
    return told(
      "unavailable",
      `no connection to ${endpoint ?? "S3"} (${systemCode})`,
      `Is the store running at ${endpoint ?? "the AWS endpoint"}, and can this machine reach it?`,
    );
  }
  // The answer to a HEAD has no body to give the reason.
  if (status === 403) {
    return told(
      unlessItPasses,
      "the store refused these credentials (403)",
      `Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY or the profile, and that they may use the bucket ${context.bucket}: ListBucket, GetObject, and PutObject where it writes.`,
    );
  }
  if (isNoApi(error, context))
    return told("invalid", `it answered ${status} without a reason of S3's`, noApiHint(context));
  return told(
    "unavailable",
    reason,
    "The store did not answer as it should; the next run goes on from here.",
  );
}
