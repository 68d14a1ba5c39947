/** How far this machine's clock is from the store's. */
import type { S3Settings } from "../../config/settings.js";
import { EXIT, reasonOf } from "../../errors.js";
import type { Verdict } from "./check.js";

/**
 * S3 refuses requests that are signed more than 15 minutes off. Source: AWS S3 API reference,
 * RequestTimeTooSkewed.
 */
const SKEW_MAX_MS = 15 * 60_000;
const SKEW_NOTED_MS = 30_000;
const TIMEOUT_MS = 5_000;

/** Asks without credentials: the answer may be a refusal, because only its Date counts. */
export async function checkClock(
  s3: S3Settings,
  options: { settleMs: number; nowMs: () => number; region?: string },
): Promise<Verdict> {
  const url = s3.endpoint ?? `https://s3.${s3.region ?? options.region ?? "us-east-1"}.amazonaws.com/`;
  let date: string | null;
  const askedMs = options.nowMs();
  try {
    const response = await fetch(url, {
      method: "HEAD",
      redirect: "manual",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    date = response.headers.get("date");
  } catch (error) {
    const { cause } = error as { cause?: { code?: string } };
    return { status: "skipped", message: `${url} did not answer (${cause?.code ?? reasonOf(error)})` };
  }
  const nowMs = (askedMs + options.nowMs()) / 2;
  const storeMs = Date.parse(date ?? "");
  if (Number.isNaN(storeMs)) return { status: "skipped", message: `${url} tells no date` };
  return judgeSkew(nowMs - storeMs, options.settleMs);
}

/** If the clock is ahead by more than `settle`, an hour counts as closed while it is still being written. */
export function judgeSkew(aheadMs: number, settleMs: number): Verdict {
  // The header gives whole seconds.
  const offMs = Math.max(0, Math.abs(aheadMs) - 1000);
  const word = aheadMs > 0 ? "ahead of" : "behind";
  if (offMs === 0) return { status: "ok", message: "in step with the store's" };
  const message = `${Math.round(offMs / 1000)} s ${word} the store's`;
  const hint = "Set this machine's clock: let chrony, systemd-timesyncd or the host keep it.";
  const isTooFar = offMs > SKEW_MAX_MS || (aheadMs > 0 && offMs > settleMs);
  if (isTooFar) return { status: "failed", message, hint, exitCode: EXIT.invalid };
  return offMs > SKEW_NOTED_MS ? { status: "warning", message, hint } : { status: "ok", message };
}
