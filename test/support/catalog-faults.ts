/** What can go wrong between a worker and Glue or Athena, as answers of the proxy in front of moto. */
import type { TableSpec } from "../../src/catalog/catalog.js";
import { partitionPrefix } from "../../src/layout.js";
import { FAULTS, seededRandom } from "./faults.js";
import type { Answer, Exchange, Fault, ProxyHooks } from "./proxy.js";

/** A refusal as Glue and Athena send it (AWS JSON 1.1). */
export function refusal(status: number, code: string, message = "no such luck"): Fault {
  const headers = ["Content-Type", "application/x-amz-json-1.1", "x-amzn-ErrorType", code];
  const body = Buffer.from(JSON.stringify({ __type: code, message }));
  return async () => ({ kind: "answer", answer: { status, headers, body } });
}

/** Refusals that pass without help. */
export const PASSING = {
  ThrottlingException: refusal(400, "ThrottlingException", "Rate exceeded"),
  "429 TooManyRequestsException": refusal(429, "TooManyRequestsException", "Rate exceeded"),
  "503 ServiceUnavailable": refusal(503, "ServiceUnavailable"),
  "500 InternalServiceException": refusal(500, "InternalServiceException"),
  OperationTimeoutException: refusal(400, "OperationTimeoutException"),
  ConcurrentModificationException: refusal(400, "ConcurrentModificationException"),
  "reset, nothing done": FAULTS["reset, nothing done"],
  "reset, but done": FAULTS["reset, but done"],
} satisfies Record<string, Fault>;

/** Each operation has its own shape: the tests know what they sent and what moto answers. */
type Json = ReturnType<typeof JSON.parse>;

export const jsonOf = (exchange: Pick<Exchange, "body">): Json => JSON.parse(exchange.body.toString("utf8"));

/** Forwards the request, and changes the JSON of the answer. */
export function retold(change: (answer: Json) => void): Fault {
  return async (_, forward) => ({ kind: "answer", answer: changed(await forward(), change) });
}

function changed(answer: Answer, change: (json: Json) => void): Answer {
  const json = answer.body.length > 0 ? JSON.parse(answer.body.toString("utf8")) : {};
  change(json);
  const body = Buffer.from(JSON.stringify(json));
  return { status: answer.status, headers: ["Content-Type", "application/x-amz-json-1.1"], body };
}

/** Changes the status of each statement that GetQueryExecution returns. */
export function standing(status: Record<string, unknown>): Fault {
  return retold(({ QueryExecution }) => Object.assign(QueryExecution.Status, status));
}

/** The fault at the first request of each operation. `struck` has the operations that it hit. */
export function firstOfEach(fault: Fault): ProxyHooks & { struck: Set<string> } {
  const struck = new Set<string>();
  return {
    struck,
    fault: ({ operation }) => {
      if (struck.has(operation)) return undefined;
      struck.add(operation);
      return fault;
    },
  };
}

export function at(operation: string, fault: Fault): ProxyHooks {
  return { fault: (exchange) => (exchange.operation === operation ? fault : undefined) };
}

/** The fault at a share of the requests. */
export function atShare(fault: Fault, share: number, seed: number): ProxyHooks & { struck: () => number } {
  const random = seededRandom(seed);
  let struck = 0;
  return {
    fault: () => {
      if (random() >= share) return undefined;
      struck++;
      return fault;
    },
    struck: () => struck,
  };
}

/** BatchCreatePartition refuses the entries for which `refuse` returns a code, and makes the others. */
export function partly(refuse: (values: string) => string | undefined): Fault {
  return async ({ body }, forward) => {
    const input = jsonOf({ body });
    const kept: unknown[] = [];
    const errors: unknown[] = [];
    for (const entry of input.PartitionInputList) {
      const ErrorCode = refuse(entry.Values.join("/"));
      if (ErrorCode === undefined) kept.push(entry);
      else {
        const ErrorDetail = { ErrorCode, ErrorMessage: `of ${entry.Values.join("/")}` };
        errors.push({ PartitionValues: entry.Values, ErrorDetail });
      }
    }
    const answer = await forward(Buffer.from(JSON.stringify({ ...input, PartitionInputList: kept })));
    const added = (json: Json) => {
      json.Errors = [...(json.Errors ?? []), ...errors];
    };
    return { kind: "answer", answer: changed(answer, added) };
  };
}

/** An update that does not name the newest version changes nothing, as in Glue but not in moto. */
export function guardingVersions(versionOf: (table: string) => Promise<string | undefined>): Fault {
  return async (exchange, forward) => {
    const { VersionId, TableInput } = jsonOf(exchange);
    if (VersionId === undefined || VersionId === (await versionOf(TableInput.Name)))
      return { kind: "answer", answer: await forward() };
    return PASSING.ConcurrentModificationException(exchange, forward);
  };
}

/** A table that no other test uses. */
export function spec(columns = ["id"]): TableSpec {
  const name = `faulted_${tables++}`;
  const location = `s3://lake/${name}/`;
  return {
    database: `db_${name}`,
    name,
    format: "parquet",
    location,
    columns: columns.map((column) => ({ name: column, type: { kind: "bigint" } })),
    registerText: "`hourpack register`",
    partitionLocation: (of) => location + partitionPrefix(of),
  };
}
let tables = 0;

/** What the SDK's clients require; moto ignores it. */
export const MOTO_ENV = {
  AWS_ACCESS_KEY_ID: "test",
  AWS_SECRET_ACCESS_KEY: "test",
  AWS_REGION: "us-east-1",
  AWS_EC2_METADATA_DISABLED: "true",
};
