/** Structured logs: JSON lines on standard error. Each has the run's id, and nothing that looks like a credential. */
import { HourpackError } from "./errors.js";
import { require } from "./require.js";

export const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export type Fields = Record<string, unknown>;

export interface Log {
  /** Nothing is logged: progress is shown in words instead. */
  readonly isSilent: boolean;
  debug(text: string, fields?: Fields): void;
  info(text: string, fields?: Fields): void;
  warn(text: string, fields?: Fields): void;
  error(text: string, fields?: Fields): void;
  /** A log whose lines carry these fields too, such as `{ dataset, hour }`. */
  with(fields: Fields): Log;
}

interface LogOptions {
  level: LogLevel;
  /** Fields on each line, such as `{ runId }`. */
  fields?: Fields;
  /** Receives whole lines; standard error if absent. */
  write?: (line: string) => void;
}

/** Opens a log. Loads the logger only if there is something to log. */
export async function openLog(options: LogOptions): Promise<Log> {
  if (options.level === "silent") return SILENT;
  const { pino, stdTimeFunctions } = require("pino") as typeof import("pino");
  const write = options.write ?? ((line: string) => void process.stderr.write(line));
  const logger = pino(
    {
      level: options.level,
      base: options.fields ?? {},
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { error: errorFields },
    },
    { write: (line: string) => write(withoutCredentials(line)) },
  );
  return wrap(logger);
}

type Logger = import("pino").Logger;

function wrap(logger: Logger): Log {
  return {
    isSilent: false,
    debug: (text, fields = {}) => logger.debug(fields, text),
    info: (text, fields = {}) => logger.info(fields, text),
    warn: (text, fields = {}) => logger.warn(fields, text),
    error: (text, fields = {}) => logger.error(fields, text),
    with: (fields) => wrap(logger.child(fields)),
  };
}

const SILENT: Log = { isSilent: true, debug() {}, info() {}, warn() {}, error() {}, with: () => SILENT };

/** An error as JSON: its kind, message and location, and what to do. */
export function errorFields(error: unknown): Fields {
  if (error instanceof HourpackError) {
    const { kind, message, stage, location, hint, evidence } = error;
    return { kind, message, stage, location, hint, evidence };
  }
  return { kind: "internal", message: error instanceof Error ? error.message : String(error) };
}

/**
 * Redacts what looks like a credential: AWS key ids, signatures of signed URLs, passwords in URLs, values of members or
 * parameters whose name says that they are secret, and the process's own secrets.
 */
export function withoutCredentials(text: string): string {
  let clean = text;
  for (const [pattern, replacement] of CREDENTIALS) clean = clean.replace(pattern, replacement);
  for (const name of ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"]) {
    const secret = process.env[name];
    if (secret !== undefined && secret.length >= SECRET_CHARS_MIN) clean = clean.replaceAll(secret, REDACTED);
  }
  return clean;
}

const REDACTED = "[redacted]";
/** Shorter secrets, such as a test server's `minioadmin`, are words that occur elsewhere too. */
const SECRET_CHARS_MIN = 16;

const SECRET_NAME = String.raw`[\w-]*(?:secret|passw(?:or)?d|token|authorization|credential|api[_-]?key|access[_-]?key)[\w-]*`;

const CREDENTIALS: [RegExp, string][] = [
  // Key ids begin with AKIA (long-term) or ASIA (temporary). Source: AWS IAM user guide, "IAM identifiers".
  [/\b(?:AKIA|ASIA)[A-Z0-9]{16}\b/g, REDACTED],
  [/\b(X-Amz-(?:Signature|Credential|Security-Token)=)[^&\s"'\\]+/gi, `$1${REDACTED}`],
  // Signatures of AWS before version 4 and of Google (`Signature`), and of Azure (`sig`).
  [/([?&](?:Signature|sig)=)[^&\s"'\\]+/gi, `$1${REDACTED}`],
  // Also URLs with a slash too few, or without a scheme.
  // A secret key may contain slashes; a slash after digits ends a port.
  [/((?:\b[a-z][a-z0-9+.-]*:\/{1,3}|(?<![\w:/])\/\/)[^\s/:@"']*):(?!\d+\/)[^\s"']+@/gi, `$1:${REDACTED}@`],
  [/\b(https?:\/\/)[^\s/:@"']+@/gi, `$1${REDACTED}@`],
  [/\b(Bearer|AWS4-HMAC-SHA256) +[^"'\\\r\n]+/g, `$1 ${REDACTED}`],
  [new RegExp(String.raw`("${SECRET_NAME}"\s*:\s*)"(?:[^"\\]|\\.)*"`, "gi"), `$1"${REDACTED}"`],
  [new RegExp(String.raw`\b(${SECRET_NAME}=)[^&\s"'\\]+`, "gi"), `$1${REDACTED}`],
];
