/** What went wrong at an AWS catalog, in one sentence with the remedy. */
import { HourpackError, reasonOf } from "../errors.js";
import type { SdkError } from "../sdk-errors.js";

/** For a call that succeeded although its answer says that the task is not done and must be repeated. */
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
  // Somebody has to mend these: another try ends the same way.
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
