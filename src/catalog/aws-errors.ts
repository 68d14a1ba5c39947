/** What went wrong at an AWS catalog: will it pass, and in one sentence with the remedy. */
import { HourpackError, reasonOf } from "../errors.js";

interface SdkError {
  name?: string;
  code?: string;
  cause?: unknown;
  $metadata?: { httpStatusCode?: number; clockSkewCorrected?: boolean };
  $retryable?: object;
}

/** Throttling, errors of the service, no answer in time, and others who change the same thing. */
const PASSING =
  /^(Throttling(Exception)?|ThrottledException|TooManyRequestsException|RequestLimitExceeded|SlowDown|RequestTimeout(Exception)?|TimeoutError|OperationTimeoutException|ConcurrentModificationException|InternalServiceException|InternalServerException|InternalFailure|InternalError|ServiceUnavailable(Exception)?)$/;
const NETWORK = /^(ECONNRESET|ECONNREFUSED|ECONNABORTED|EPIPE|ETIMEDOUT|EAI_AGAIN|ENETUNREACH|EHOSTUNREACH)$/;

/** Whether a refusal of this name may be none the next time; also of one entry of a batch. */
export function isPassingCode(code: string | undefined): boolean {
  return code !== undefined && PASSING.test(code);
}

export function isPassing(error: unknown): boolean {
  if (error instanceof HourpackError) return false;
  const { name, code = "", cause, $metadata, $retryable } = error as SdkError;
  const status = $metadata?.httpStatusCode ?? 0;
  return (
    status === 429 ||
    status >= 500 ||
    isPassingCode(name) ||
    $retryable !== undefined ||
    // The SDK has set its clock by the answer.
    $metadata?.clockSkewCorrected === true ||
    NETWORK.test(code) ||
    NETWORK.test((cause as SdkError | undefined)?.code ?? "") ||
    /socket hang up/i.test((error as Error).message ?? "")
  );
}

/** What an answer says between its lines: the task is not done, and to be repeated. */
export function notYet(code: string, message: string): Error {
  return Object.assign(new Error(message), { name: code, $retryable: {} });
}

export function awsError(
  error: unknown,
  doing: string,
  service: string,
  signal: AbortSignal | undefined,
): HourpackError {
  if (error instanceof HourpackError) return error;
  const { name = "", code = "" } = error as SdkError;
  if (signal?.aborted) return new HourpackError("interrupted", `${doing}: interrupted`, { cause: error });
  const hint = /AccessDenied/.test(name)
    ? `Grant these credentials the ${service} actions of deploy/iam-policy.json.`
    : /Credentials|ExpiredToken|UnrecognizedClient|InvalidSignature/.test(name)
      ? "The credentials are missing, wrong or expired: renew them."
      : /ECONN|ENOTFOUND|TimeoutError/.test(name + code)
        ? `Can this machine reach ${service}? Check catalog.endpoint and catalog.region.`
        : "What is published stays published; the next run registers it.";
  // What somebody has to mend: another try ends alike.
  const isRefusal = /AccessDenied|Credentials|UnrecognizedClient|InvalidSignature/.test(name);
  return new HourpackError(
    isRefusal ? "invalid" : "unavailable",
    `${doing}: ${reasonOf(error)} (${name || code})`,
    {
      stage: "register",
      hint,
      cause: error,
    },
  );
}
