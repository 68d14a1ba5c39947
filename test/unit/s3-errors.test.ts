/** What S3 refuses: who has to fix it, and the exit code that says so. */
import { afterEach, describe, expect, it, vi } from "vitest";
import { exitCodeOf } from "../../src/errors.js";
import { isTransient, s3Error } from "../../src/store/s3/errors.js";

const ENDPOINT = "http://127.0.0.1:9001";

const told = (name: string, status?: number, code = "", more: { Code?: string; endpoint?: string } = {}) => {
  const error = Object.assign(new Error(`it says ${name}`), {
    name,
    code,
    Code: more.Code,
    $metadata: { httpStatusCode: status },
  });
  return s3Error(error, "list", "s3://raw/events/", { bucket: "raw", endpoint: more.endpoint });
};

afterEach(() => vi.unstubAllEnvs());

describe("exit code", () => {
  it.each<[string, number | undefined, RegExp]>([
    ["NoSuchBucket", 404, /Create the bucket raw, or mend its name/],
    ["AccessDenied", 403, /Grant these credentials access to raw/],
    ["SignatureDoesNotMatch", 403, /credentials are wrong/],
    ["", 403, /may use the bucket raw/],
    ["PermanentRedirect", 301, /another region/],
    ["CredentialsProviderError", undefined, /No credentials were found/],
  ])("2 where another try would end alike: %s", (name, status, hint) => {
    vi.stubEnv("AWS_PROFILE", undefined);
    const error = told(name, status);
    expect([exitCodeOf(error), error.hint]).toEqual([2, expect.stringMatching(hint)]);
  });

  it.each<[string, number | undefined, string?]>([
    ["Error", undefined, "ECONNREFUSED"],
    ["SlowDown", 503],
    ["ExpiredToken", 400],
    ["RequestTimeTooSkewed", 403],
  ])("10 where it may pass: %s %s %s", (name, status, code) => {
    expect(exitCodeOf(told(name, status, code))).toBe(10);
  });

  it("2 where the profile that is named gives no credentials", () => {
    vi.stubEnv("AWS_PROFILE", "prod");
    const error = told("CredentialsProviderError");
    expect([exitCodeOf(error), error.hint]).toEqual([2, expect.stringMatching(/^AWS_PROFILE is prod, /)]);
  });

  it("10 where a role's credentials did not come", () => {
    vi.stubEnv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/x");
    expect(exitCodeOf(told("CredentialsProviderError"))).toBe(10);
  });

  it.each([
    ["Unknown", 400],
    ["NotFound", 404],
    ["Error", 405],
  ])("2 where another than S3 answers at the endpoint: %s %i", (name, status) => {
    const error = told(name, status, "", { endpoint: ENDPOINT });
    expect([exitCodeOf(error), error.message, error.hint]).toEqual([
      2,
      `list s3://raw/events/: it answered ${status} without a reason of S3's`,
      expect.stringContaining(`Is ${ENDPOINT} the address of S3's API?`),
    ]);
  });

  it("2 where MinIO's console says that it is not the API", () => {
    const text = "S3 API Requests must be made to API port.";
    const refused = { Code: "InvalidArgument", $metadata: { httpStatusCode: 400 } };
    const where = { bucket: "raw", endpoint: ENDPOINT };
    const error = s3Error(Object.assign(new Error(text), refused), "list", "s3://raw/", where);
    expect([exitCodeOf(error), error.hint]).toEqual([2, expect.stringContaining(`Is ${ENDPOINT} the`)]);
  });

  it.each(['Invalid character in header content ["authorization"]', "Region not accepted: region=x"])(
    "2 where it is the configuration that the SDK could not send: %s",
    (text) => {
      const error = s3Error(new TypeError(text), "list", "s3://raw/", { bucket: "raw", endpoint: ENDPOINT });
      expect([exitCodeOf(error), error.hint]).toEqual([
        2,
        expect.stringMatching(/AWS_(REGION|SESSION_TOKEN)/),
      ]);
    },
  );

  it.each<[string, number, { Code?: string; endpoint?: string }]>([
    ["XMinioStorageFull", 400, { Code: "XMinioStorageFull", endpoint: ENDPOINT }],
    ["Error", 429, { endpoint: ENDPOINT }],
    // Only AWS is asked without one.
    ["Unknown", 400, {}],
  ])("10 where S3 itself did: %s %i %j", (name, status, more) => {
    const error = told(name, status, "", more);
    expect([exitCodeOf(error), error.hint]).toEqual([10, expect.not.stringContaining("address")]);
  });
});

describe("another try", () => {
  const refused = (name: string) =>
    Object.assign(new Error(name), { name, $metadata: { httpStatusCode: 400 } });

  it.each(["SlowDown", "ThrottledException", "RequestTimeoutException", "InternalError"])(
    "is made, by whichever service it is said: %s",
    (name) => {
      expect(isTransient(refused(name))).toBe(true);
    },
  );

  it("is not made where it would end alike", () => {
    expect(isTransient(refused("AccessDenied"))).toBe(false);
  });
});
