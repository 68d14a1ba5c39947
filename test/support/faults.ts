/** What can go wrong between a worker and its store, as answers of the proxy. A seeded random chooses the requests. */
import { setTimeout } from "node:timers/promises";
import {
  type Answer,
  type Exchange,
  type Fault,
  headersWithout,
  type ProxyHooks,
  type Reply,
} from "./proxy.js";

/** An error as S3 sends it. The answer to a HEAD has no body. */
function s3ErrorAnswer(status: number, code: string, message: string, headers: string[] = []): Answer {
  const body = Buffer.from(
    `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code><Message>${message}</Message><RequestId>1</RequestId></Error>`,
  );
  return { status, headers: ["Content-Type", "application/xml", ...headers], body };
}

const refusal =
  (status: number, code: string, message: string, headers?: () => string[]): Fault =>
  async () => ({ kind: "answer", answer: s3ErrorAnswer(status, code, message, headers?.()) });

/** A refusal that is not tried again: somebody has to fix it. */
export const ACCESS_DENIED = refusal(403, "AccessDenied", "Access Denied");

/** Forwards the request, and spoils the answer. */
const spoiled =
  (spoil: (answer: Answer) => Reply): Fault =>
  async (_, forward) => {
    const answer = await forward();
    return answer.body.length > 1 && answer.status < 300 ? spoil(answer) : { kind: "answer", answer };
  };

const half = (answer: Answer) => answer.body.length >> 1;

const withLengthOf = (answer: Answer, length: number): Answer => ({
  ...answer,
  headers: [...headersWithout(answer.headers, ["content-length"]), "Content-Length", String(length)],
});

/** Replaces a digit by another: the text stays JSON with another value. `place` chooses the digit. */
export function corrupted(answer: Answer, place: number): Answer {
  const body = Buffer.from(answer.body);
  const digits = [...body.keys()].filter((at) => body[at]! >= 0x31 && body[at]! <= 0x38);
  const at = digits[place % digits.length] ?? half(answer);
  body[at] = (body[at] as number) + 1;
  return { ...answer, body };
}

/** Makes every corruption different: the same bytes twice would count as what the store has. */
let places = 0;

const HOUR_MS = 3_600_000;

export const FAULTS = {
  "500 InternalError": refusal(500, "InternalError", "We encountered an internal error. Please try again."),
  "503 SlowDown": refusal(503, "SlowDown", "Please reduce your request rate."),
  "429 TooManyRequests": refusal(429, "TooManyRequests", "Please reduce your request rate."),
  "no answer, nothing done": async () => ({ kind: "silence" }),
  "no answer, but done": async (_, forward) => {
    await forward();
    return { kind: "silence" };
  },
  "reset, nothing done": async () => ({ kind: "reset" }),
  "reset, but done": async (_, forward) => {
    await forward();
    return { kind: "reset" };
  },
  "reset in mid-body": spoiled((answer) => ({ kind: "reset", answer, cutAt: half(answer) })),
  "silence in mid-body": spoiled((answer) => ({ kind: "silence", answer, cutAt: half(answer) })),
  "short body": spoiled((answer) => {
    const body = answer.body.subarray(0, half(answer));
    return { kind: "answer", answer: withLengthOf({ ...answer, body }, body.length) };
  }),
  "Content-Length too large": spoiled((answer) => ({
    kind: "reset",
    answer: withLengthOf(answer, answer.body.length + 7),
    cutAt: answer.body.length,
  })),
  "Content-Length too small": spoiled((answer) => ({
    kind: "answer",
    answer: withLengthOf(answer, half(answer)),
  })),
  "a corrupted byte": spoiled((answer) => ({ kind: "answer", answer: corrupted(answer, places++) })),
  "clock skew": refusal(
    403,
    "RequestTimeTooSkewed",
    "The difference between the request time and the current time is too large.",
    // The SDK corrects its clock by this Date, and by the store's own at the next refusal.
    () => ["Date", new Date(Date.now() + HOUR_MS).toUTCString()],
  ),
  "expired token": refusal(400, "ExpiredToken", "The provided token has expired."),
  "slow answer": async (_, forward) => {
    await setTimeout(300);
    return { kind: "answer", answer: await forward() };
  },
} satisfies Record<string, Fault>;

export type FaultName = keyof typeof FAULTS;

/** Faults that only an object's own bytes can show: a listing has no ETag. */
const BODIES_ONLY: readonly FaultName[] = ["a corrupted byte"];

function concerns(name: FaultName, exchange: Exchange): boolean {
  return !BODIES_ONLY.includes(name) || exchange.operation === "GetObject";
}

/** The fault at a share of the requests. `struck` counts the hits. */
export function faultsAt(
  name: FaultName,
  share: number,
  seed: number,
): ProxyHooks & { struck: () => number } {
  const random = seededRandom(seed);
  let struck = 0;
  return {
    fault: (exchange) => {
      if (!concerns(name, exchange) || random() >= share) return undefined;
      struck++;
      return FAULTS[name];
    },
    struck: () => struck,
  };
}

/** Numbers in [0, 1), the same for the same seed (a 32-bit xorshift-multiply). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32;
  };
}
