/**
 * What kind of trouble an error is, named by what its reader should do:
 * - `invalid`: arguments, configuration, credentials or rights are wrong; change them: another try ends alike.
 * - `unavailable`: a store, a catalog or a disk did not do its part; another try may end well.
 * - `conflict`: the world changed under us (a race, objects that move); plan again.
 * - `data`: the data break the contract; a person must say what is meant.
 * - `interrupted`: a signal or the caller ended the run.
 * - `internal`: a bug of ours.
 */
export type ErrorKind = "invalid" | "unavailable" | "conflict" | "data" | "interrupted" | "internal";

export interface ErrorDetails {
  /** The stage that was at work, such as `list` or `publish`. */
  stage?: string;
  /** The thing it was done to: an `s3://` URI, a path, `hourpack.yaml:12`. Never a credential or signed URL. */
  location?: string;
  /** What to do next, as one sentence. */
  hint?: string;
  /** What it was seen by, such as pieces of quarantine: more than a message can name. `--json` and logs have it. */
  evidence?: readonly object[];
  cause?: unknown;
}

/**
 * The one error class. `message` says what was being done to which thing and why it failed. What is `invalid` was written by somebody,
 * perhaps in a wrong place, where nobody knows of it that it is a webhook's address or a signed one: of those it says the host.
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

  /** The same trouble, told in other words or of another place; what is not said stays as it is. */
  with({ message = this.message, ...details }: ErrorDetails & { message?: string }): HourpackError {
    const { kind, stage, location, hint, evidence, cause } = this;
    return new HourpackError(kind, message, { stage, location, hint, evidence, cause, ...details });
  }
}

/** Of each web address with a query, or with what may be a token in its path, the scheme and the host. */
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

/** What errors that are alike have in common, whatever each of them happened to: what is to be done about them. */
export function causeOf({ kind, message, location = "", hint, cause }: HourpackError): string {
  // Of a bug, what went wrong beneath what was being done in each hour.
  const said = cause === undefined ? message : reasonOf(cause);
  // A command to type names the hour.
  return `${kind} ${hint?.replaceAll(/`hourpack [^`]*`/g, "") ?? said.replaceAll(location, "")}`;
}

/** Each cause once, by the first that it was met with: which hours failed of it is told beside. */
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

/** Of several failures: the code that they have in common, else `someFailed`; `done` where there are none. */
export function exitCodeOfAll(codes: number[]): number {
  const [code = EXIT.done] = codes;
  return codes.every((other) => other === code) ? code : EXIT.someFailed;
}

/** What was thrown while one of several things was done, so that it can be told with the others. */
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

/** A message where the name of its dataset or hour stands before it: `plan mmp 2022-07-26T00: why` is `why` there. */
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

/** Limits of a process that files and connections come up against: no bug, and nothing that the store did. */
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

/** The same, where such a limit was the reason told as that: somebody has to raise it. */
export function withLimitTold(error: unknown): unknown {
  const reason = reasonOf(error);
  const [, hint] = PROCESS_LIMITS.find(([pattern]) => pattern.test(reason)) ?? [];
  if (hint === undefined || isHourpackError(error, "data")) return error;
  const { stage, location } = isHourpackError(error) ? error : {};
  return new HourpackError("invalid", reason, { stage, location, hint, cause: error });
}

/** Of what the file system refused. Some codes come again, until somebody gives rights or mends a path. */
export function kindOfSystemError(error: unknown): "invalid" | "unavailable" {
  const { code = "" } = error as NodeJS.ErrnoException;
  return ["EACCES", "EPERM", "EROFS", "ENOTDIR", "EISDIR", "ELOOP"].includes(code)
    ? "invalid"
    : "unavailable";
}

/** Undefined where what is looked at is damaged. */
export async function unlessDamaged<T>(look: Promise<T>): Promise<T | undefined> {
  return look.catch((error) => {
    if (isHourpackError(error, "data")) return undefined;
    throw error;
  });
}
