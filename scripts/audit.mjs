// Fails if a package that hourpack runs on has a known vulnerability of high or critical severity (`npm
// audit`). If a registry takes no audits, as mirrors do not, or does not answer, that is said on standard
// error and is no failure of ours.
import { spawnSync } from "node:child_process";

const BAD = ["high", "critical"];
/** What a registry without such an endpoint answers. */
const NO_ENDPOINT = [404, 405, 501];

const { stdout, stderr, error } = spawnSync("npm", ["audit", "--omit=dev", "--json"], { encoding: "utf8" });
const report = readReport(stdout ?? "");
if (report.vulnerabilities) {
  const bad = Object.values(report.vulnerabilities).filter(({ severity }) => BAD.includes(severity));
  for (const vulnerability of bad) say(described(vulnerability));
  const { dependencies, vulnerabilities } = report.metadata;
  say(`${dependencies.prod} packages, ${vulnerabilities.total} advisories, ${bad.length} high or critical`);
  process.exitCode = bad.length > 0 ? 1 : 0;
} else if (NO_ENDPOINT.includes(report.statusCode)) {
  say(`NOT DONE: the registry takes no audits (${report.message})`);
} else {
  say(`NOT DONE: npm audit failed: ${report.message ?? error?.message ?? (stderr || stdout)}`);
}

function readReport(text) {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}

function described({ name, severity, range, via }) {
  const causes = via.map((cause) =>
    typeof cause === "string" ? `by ${cause}` : `${cause.title} ${cause.url}`,
  );
  return `${severity}: ${name} ${range}: ${causes.join("; ")}`;
}

function say(text) {
  process.stderr.write(`audit: ${text}\n`);
}
