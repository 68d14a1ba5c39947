/** What the AWS SDK throws, and whether another try may end otherwise. What is read by hand comes in the same form. */

export interface SdkError {
  name?: string;
  Code?: string;
  code?: string;
  message?: string;
  cause?: unknown;
  $metadata?: { httpStatusCode?: number; clockSkewCorrected?: boolean };
  $retryable?: object;
}

export function codeOf(error: unknown): string {
  const { Code, name, code } = (error ?? {}) as SdkError;
  return Code ?? (name && name !== "Error" ? name : (code ?? ""));
}

export function statusOf(error: unknown): number | undefined {
  return (error as SdkError | undefined)?.$metadata?.httpStatusCode;
}

/** Throttling, errors of the service, no answer in time, and others who change the same thing. */
const PASSING =
  /^(Throttling(Exception)?|ThrottledException|TooManyRequests(Exception)?|RequestLimitExceeded|SlowDown|RequestTimeout(Exception)?|RequestTimeTooSkewed|TimeoutError|OperationTimeoutException|ConcurrentModificationException|InternalServiceException|InternalServerException|InternalFailure|InternalError|ServiceUnavailable(Exception)?)$/;
const NETWORK = /^(ECONNRESET|ECONNREFUSED|ECONNABORTED|EPIPE|ETIMEDOUT|EAI_AGAIN|ENETUNREACH|EHOSTUNREACH)$/;

/** Whether a refusal of this name may be none the next time; also of one entry of a batch. */
export function isPassingCode(code: string | undefined): boolean {
  return code !== undefined && PASSING.test(code);
}

export function isNetworkCode(code: string | undefined): boolean {
  return code !== undefined && NETWORK.test(code);
}

export function isPassing(error: unknown): boolean {
  const { code, message = "", cause, $metadata, $retryable } = error as SdkError;
  const status = statusOf(error) ?? 0;
  return (
    status === 429 ||
    status >= 500 ||
    isPassingCode(codeOf(error)) ||
    $retryable !== undefined ||
    // The SDK has set its clock by the answer.
    $metadata?.clockSkewCorrected === true ||
    isNetworkCode(code) ||
    isNetworkCode((cause as SdkError | undefined)?.code) ||
    /socket hang up/i.test(message)
  );
}
