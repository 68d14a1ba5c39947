/** Errors of the AWS SDK, and whether another try may succeed. Errors of our own HTTP requests have the same form. */

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

/** Throttling, errors of the service, timeouts, and concurrent changes of the same thing. */
const PASSING =
  /^(Throttling(Exception)?|ThrottledException|TooManyRequests(Exception)?|RequestLimitExceeded|SlowDown|RequestTimeout(Exception)?|RequestTimeTooSkewed|TimeoutError|OperationTimeoutException|ConcurrentModificationException|InternalServiceException|InternalServerException|InternalFailure|InternalError|ServiceUnavailable(Exception)?)$/;
const NETWORK = /^(ECONNRESET|ECONNREFUSED|ECONNABORTED|EPIPE|ETIMEDOUT|EAI_AGAIN|ENETUNREACH|EHOSTUNREACH)$/;

/** Whether a request that was refused with this code may succeed the next time. Also for a single entry of a batch request. */
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
    // The SDK has corrected its clock from the answer.
    $metadata?.clockSkewCorrected === true ||
    isNetworkCode(code) ||
    isNetworkCode((cause as SdkError | undefined)?.code) ||
    /socket hang up/i.test(message)
  );
}
