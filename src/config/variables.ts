/** Environment variables that look like ours but are not. */
import { nearest } from "./spelling.js";

/** Variables besides those of the fields. */
const OTHERS = ["HOURPACK_CONFIG", "HOURPACK_HOOK_URL", "HOURPACK_LOG_LEVEL"];
/** Variables that this project's tests and benchmark read. */
const OF_TESTS = /^HOURPACK_(CACHE$|TEST_|PROPERTY_)/;
/** Variables that Kubernetes sets in every pod for a Service whose name begins with hourpack. */
const OF_KUBERNETES =
  /^HOURPACK_(\w+_)?(SERVICE_(HOST|PORT(_\w+)?)|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$/;

/**
 * One sentence for each variable that is set but not read. These are not errors, because others also write
 * the environment, as Kubernetes does.
 */
export async function unreadVariables(env: NodeJS.ProcessEnv): Promise<string[]> {
  const names = Object.keys(env).filter((name) => name.startsWith("HOURPACK_") && env[name]);
  if (names.length === 0) return [];
  const { FIELD_FLAGS } = await import("./flags.js");
  const known = [...FIELD_FLAGS.map(({ variable }) => variable), ...OTHERS];
  const bare = (name: string) => name.slice("HOURPACK_".length);
  return names
    .filter((name) => !known.includes(name) && !OF_TESTS.test(name) && !OF_KUBERNETES.test(name))
    .sort()
    .map((name) => {
      const meant = nearest(bare(name), known.map(bare));
      const remedy = meant
        ? `did you mean HOURPACK_${meant}?`
        : "docs/configuration.md has the variables that there are";
      return `the variable ${name} is not read: ${remedy}`;
    });
}
