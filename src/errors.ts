/**
 * The kind of an error, named by what its reader should do:
 * - `invalid`: arguments, configuration, credentials or rights are wrong; change them, since another try fails the same way.
 * - `unavailable`: a store, a catalog or a disk failed; another try may succeed.
 * - `conflict`: the world changed under us (a race, objects that move); plan again.
 * - `data`: the data break the contract; a person must decide.
 * - `interrupted`: a signal or the caller ended the run.
 * - `internal`: a bug of ours.
 */
export type ErrorKind = "invalid" | "unavailable" | "conflict" | "data" | "interrupted" | "internal";

export interface ErrorDetails {
  /** The stage that was at work, such as `list` or `publish`. */
  stage?: string;
  /** The thing being worked on: an `s3://` URI, a path, `hourpack.yaml:12`. Never a credential or signed URL. */
  location?: string;
  /** What to do next, as one sentence. */
  hint?: string;
  /** What shows the trouble, such as pieces of quarantine: more than a message can name. `--json` and logs include it. */
  evidence?: readonly object[];
  cause?: unknown;
}

/**
 * The one error class. `message` says what was being done to which thing and why it failed. The text of an `invalid` error may
 * quote what a user wrote in the wrong place, such as a webhook's address or a signed URL, so it shows only the host of those.
 */
export class HourpackError extends Error {
  readonly kind: ErrorKind;
  readonly stage: string | undefined;
  readonly location: string | undefined;
  readonly hint: string | undefined;
  readonly evidence: readonly object[] | undefined;

  constructor(kind: ErrorKind, message: string, details: ErrorDetails = {}) {
    const told = (text: string) => (kind === "invalid" ? withoutAddresses(text) : text);
    super(told(message), details.cause === undefined ? undefined : { cause: details.cause });
    this.name = "HourpackError";
    this.kind = kind;
    this.stage = details.stage;
    this.location = details.location && told(details.location);
    this.hint = details.hint && told(details.hint);
    this.evidence = details.evidence;
  }

  /** The same error with some details replaced; the others stay. */
  with({ message = this.message, ...details }: ErrorDetails & { message?: string }): HourpackError {
    const { kind, stage, location, hint, evidence, cause } = this;
    return new HourpackError(kind, message, { stage, location, hint, evidence, cause, ...details });
  }
}

/** Cuts each web address that has a query, or a possible token in its path, down to its scheme and host. */
function withoutAddresses(text: string): string {
  return text.replace(
    /\b(https?:\/{1,3})(?:[^\s"')]*@)?([^\s/?#"'():@]+(?::\d+)?)(?=\/[^\s"')]*[\w-]{16}|(?:\/[^\s"')]*)?\?[^\s"')])[^\s"')]*[^\s"'):,.;]/gi,
    "$1$2/…",
  );
}

/** The one guard: is this one of ours (and of this kind)? */
export function isHourpackError(error: unknown, kind?: ErrorKind): error is HourpackError {
  return error instanceof HourpackError && (kind === undefined || error.kind === kind);
}

/** A key that similar errors share, whatever hour each of them is about: what to do about them. */
export function causeOf({ kind, message, location = "", hint, cause }: HourpackError): string {
  // The underlying reason of a bug; the message around it names the hour.
  const said = cause === undefined ? message : reasonOf(cause);
  // A command in the hint names the hour.
  return `${kind} ${hint?.replaceAll(/`hourpack [^`]*`/g, "") ?? said.replaceAll(location, "")}`;
}

/** The first error of each cause. The caller reports the hours that failed separately. */
export function firstOfEach(errors: HourpackError[]): HourpackError[] {
  const found = new Map<string, HourpackError>();
  for (const error of errors) if (!found.has(causeOf(error))) found.set(causeOf(error), error);
  return [...found.values()];
}

/** Documented process exit codes. `someFailed` is used when the failed hours have different ones. */
export const EXIT = {
  done: 0,
  bug: 1,
  invalid: 2,
  someFailed: 3,
  unavailable: 10,
  changing: 11,
  data: 12,
  interrupted: 130,
} as const;

export function exitCodeOf(error: unknown): number {
  if (!isHourpackError(error)) return EXIT.bug;
  switch (error.kind) {
    case "invalid":
      return EXIT.invalid;
    case "unavailable":
      return EXIT.unavailable;
    case "conflict":
      return EXIT.changing;
    case "data":
      return EXIT.data;
    case "interrupted":
      return EXIT.interrupted;
    case "internal":
      return EXIT.bug;
  }
}

/** The exit code that all failures share, else `someFailed`; `done` if there are none. */
export function exitCodeOfAll(codes: number[]): number {
  const [code = EXIT.done] = codes;
  return codes.every((other) => other === code) ? code : EXIT.someFailed;
}

/** Turns whatever one of several tasks threw into an error that can be reported with the others. */
export function asHourpackError(
  error: unknown,
  doing: string,
  signal: AbortSignal | undefined,
): HourpackError {
  const thrown = withLimitTold(error);
  if (thrown instanceof HourpackError) return thrown;
  if (signal?.aborted) return new HourpackError("interrupted", `${doing}: interrupted`);
  return new HourpackError("internal", `${doing}: ${reasonOf(error)}`, { cause: error });
}

/** A message for output that prints the dataset or hour before it: `plan mmp 2022-07-26T00: why` becomes `why`. */
export function besideName(name: string, message: string): string {
  const [verb] = message.split(" ", 1);
  const doing = `${verb} ${name}: `;
  return message.startsWith(doing) ? message.slice(doing.length) : message;
}

/** The text of whatever was thrown, for use as a reason inside a message. */
export function reasonOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return reasonOf(error.errors[0]);
  if (error instanceof Error) return error.message || error.name;
  return String(error);
}

/** Process limits that files and connections can hit: neither a bug nor the store's fault. */
const PROCESS_LIMITS: [RegExp, string][] = [
  [
    /\bEMFILE\b|too many open files/i,
    "Raise the number of files that the process may have open: `ulimit -n 1024`, or LimitNOFILE= of its service.",
  ],
  [
    /\bEFBIG\b|file too large/i,
    "Raise the size that a file of the process may have: `ulimit -f unlimited`, or LimitFSIZE= of its service.",
  ],
];

/** The error, as `invalid` with a hint if a process limit was its reason: somebody has to raise the limit. */
export function withLimitTold(error: unknown): unknown {
  const reason = reasonOf(error);
  const [, hint] = PROCESS_LIMITS.find(([pattern]) => pattern.test(reason)) ?? [];
  if (hint === undefined || isHourpackError(error, "data")) return error;
  const { stage, location } = isHourpackError(error) ? error : {};
  return new HourpackError("invalid", reason, { stage, location, hint, cause: error });
}

/** The kind of a file system error. Some codes come back until somebody grants rights or fixes a path. */
export function kindOfSystemError(error: unknown): "invalid" | "unavailable" {
  const { code = "" } = error as NodeJS.ErrnoException;
  return ["EACCES", "EPERM", "EROFS", "ENOTDIR", "EISDIR", "ELOOP"].includes(code)
    ? "invalid"
    : "unavailable";
}

/** Undefined if `look` finds damage (throws `data`). */
export async function unlessDamaged<T>(look: Promise<T>): Promise<T | undefined> {
  return look.catch((error) => {
    if (isHourpackError(error, "data")) return undefined;
    throw error;
  });
}
