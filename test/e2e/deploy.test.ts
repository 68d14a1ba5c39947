/** The files in deploy/, checked by the usual linters. image.test.ts shows that the image works. */
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse, parseAllDocuments } from "yaml";
import { loadSettings } from "../../src/config/load.js";
import { type Stack, stackOf } from "../support/cloudformation.js";
import {
  actionlint,
  cfnLint,
  composeGo,
  hadolint,
  kubernetesValidate,
  promtool,
  systemdAnalyze,
  type Verdict,
  verdictOf,
} from "../support/linters.js";
import { METRICS } from "../support/metric-names.js";

const ROOT = resolve(import.meta.dirname, "../..");
const DEPLOY = join(ROOT, "deploy");
const CLEAN: Verdict = { exitCode: 0, output: "" };
const FETCHED_ONCE_MS = 400_000;

let work: string;
beforeAll(() => {
  work = mkdtempSync(join(tmpdir(), "hourpack-deploy-"));
});
afterAll(() => rmSync(work, { recursive: true, force: true }));

function read(path: string): string {
  return readFileSync(join(ROOT, path), "utf8");
}

/** A copy with one thing broken, to see that the program minds. */
function broken(path: string, from: string | RegExp, to: string): string {
  const text = read(path);
  const changed = text.replace(from, to);
  expect(changed).not.toBe(text);
  const copy = join(work, `broken-${path.replaceAll("/", "-")}`);
  writeFileSync(copy, changed);
  return copy;
}

describe("the Dockerfile", () => {
  it("has nothing that hadolint minds", { timeout: FETCHED_ONCE_MS }, async () => {
    const program = await hadolint();
    expect(await verdictOf(program, [join(ROOT, "Dockerfile")])).toEqual(CLEAN);
    const bad = broken("Dockerfile", "WORKDIR /build", "WORKDIR build");
    expect((await verdictOf(program, [bad])).output).toContain("DL3000");
  });
});

describe("CloudFormation", () => {
  const stack = (more: Record<string, string> = {}): Stack =>
    stackOf(read("deploy/cloudformation/hourpack.yaml"), {
      RawBucket: "RAW_BUCKET",
      RawPrefix: "RAW_PREFIX/",
      Tier1Bucket: "TIER1_BUCKET",
      Tier1Prefix: "TIER1_PREFIX/",
      Table: "TABLE",
      Database: "DATABASE",
      Image: "IMAGE",
      Subnets: "subnet-1",
      SecurityGroups: "sg-1",
      "AWS::Partition": "aws",
      "AWS::Region": "REGION",
      "AWS::AccountId": "ACCOUNT",
      "AWS::StackName": "STACK",
      ...more,
    });
  const ATHENA = {
    Catalog: "athena",
    AthenaWorkgroup: "WORKGROUP",
    AthenaOutputBucket: "OUTPUT_BUCKET",
    AthenaOutputPrefix: "OUTPUT_PREFIX/",
  };
  const taskPolicy = (more: Record<string, string> = {}) => {
    const { Policies = [] } = stack(more).resources["TaskRole"] ?? {};
    const [policy] = Policies as unknown as {
      PolicyDocument: { Statement: { Sid: string; Action: string | string[] }[] };
    }[];
    return policy?.PolicyDocument ?? { Statement: [] };
  };

  it("has nothing that cfn-lint minds", { timeout: FETCHED_ONCE_MS }, async () => {
    const program = await cfnLint();
    const template = join(DEPLOY, "cloudformation/hourpack.yaml");
    expect(await verdictOf(program, ["--include-checks", "I", "--", template])).toEqual(CLEAN);
    const bad = broken("deploy/cloudformation/hourpack.yaml", "NetworkMode: awsvpc", "NetworkMode: bridged");
    expect((await verdictOf(program, [bad])).output).toContain("E3030");
  });

  it("gives the task what iam-policy.json gives by hand", () => {
    const byHand = JSON.parse(read("deploy/iam-policy.json"));
    expect(byHand).toEqual(taskPolicy(ATHENA));
    // As the pages say: those that name Athena are for it alone.
    const withoutAthena = byHand.Statement.filter(({ Sid }: { Sid: string }) => !Sid.includes("Athena"));
    expect({ ...byHand, Statement: withoutAthena }).toEqual(taskPolicy());
  });

  it("tells the task of its catalog", async () => {
    const environment = (more: Record<string, string>) => {
      const { ContainerDefinitions } = stack(more).resources["TaskDefinition"] ?? {};
      const [container] = ContainerDefinitions as unknown as {
        Environment: { Name: string; Value: string }[];
      }[];
      return Object.fromEntries(container?.Environment.map(({ Name, Value }) => [Name, Value]) ?? []);
    };
    const given = { RawBucket: "raw-bucket", Tier1Bucket: "tier1-bucket", Table: "table", Database: "lake" };
    const catalogOf = async (more: Record<string, string>) =>
      (await loadSettings({ env: environment({ ...given, ...more }), cwd: work })).catalog;
    expect(await catalogOf({})).toMatchObject({ type: "glue", database: "lake" });
    expect(await catalogOf({ ...ATHENA, AthenaOutputBucket: "output" })).toMatchObject({
      type: "athena",
      database: "lake",
      workgroup: "WORKGROUP",
      output: "s3://output/OUTPUT_PREFIX/",
    });
  });

  it("allows every call that the sources make, and no other", () => {
    const calls = ["store", "catalog"].flatMap((room) =>
      readdirSync(join(ROOT, "src", room), { recursive: true, encoding: "utf8" })
        .filter((name) => name.endsWith(".ts") && !/^(?:athena|look)/.test(name))
        .map((name): [string, string[]] => [
          room === "store" ? "s3" : "glue",
          [...read(`src/${room}/${name}`).matchAll(/\bsdk\.(\w+)Command\b/g)].map(
            (match) => match[1] as string,
          ),
        ]),
    );
    // An upload in parts is made by the library, with the same permission as a whole one.
    const needed = calls.flatMap(([service, names]) =>
      names.map((name) => IAM_ACTIONS[name] ?? `${service}:${name}`),
    );
    const { Statement } = taskPolicy();
    // BatchGetPartition is checked as GetPartition too.
    const allowed = Statement.flatMap(({ Action }) => Action).filter(
      (action) => action !== "glue:GetPartition",
    );
    expect([...new Set(allowed)].sort()).toEqual([...new Set([...needed, "s3:AbortMultipartUpload"])].sort());
  });

  it("allows every call to Athena, and no other", () => {
    const calls = [...read("src/catalog/athena.ts").matchAll(/\bsdk\.(\w+)Command\b/g)];
    const { Statement } = taskPolicy(ATHENA);
    const allowed = Statement.flatMap(({ Action }) => Action).filter((action) => /^athena:/.test(action));
    expect(allowed.sort()).toEqual([...new Set(calls.map(([, name]) => `athena:${name}`))].sort());
  });

  it("counts by members that a run's last line has", () => {
    const last = { type: "result", exitCode: 0, quarantined: 0 };
    const filters = Object.values(stack().resources).flatMap(
      ({ FilterPattern = [] }) => FilterPattern as string,
    );
    expect(filters).toHaveLength(3);
    const members = filters.flatMap((filter) => [...filter.matchAll(/\$\.(\w+)/g)].map((match) => match[1]));
    expect([...new Set(members)].sort()).toEqual(Object.keys(last).sort());
    expect(read("src/commands/run.ts")).toMatch(
      /output\.result\(fieldsOf\(.*return \{ runId, \.\.\.totalsOf\(/s,
    );
    expect(read("src/commands/output.ts")).toContain('record({ type: "result", ...this.cameTo, exitCode })');
  });
});

/** Where the permission has another name than the call. Source: S3 and Glue in the service authorization reference. */
const IAM_ACTIONS: Record<string, string> = {
  ListObjectsV2: "s3:ListBucket",
  HeadObject: "s3:GetObject",
  ListMultipartUploads: "s3:ListBucketMultipartUploads",
  CreateMultipartUpload: "s3:PutObject",
  UploadPart: "s3:PutObject",
  CompleteMultipartUpload: "s3:PutObject",
};

describe("Kubernetes", () => {
  const manifests = ["config", "cronjob", "worker"].map((name) => join(DEPLOY, `kubernetes/${name}.yaml`));

  it("fits the schemas of the oldest and the newest version in use", {
    timeout: FETCHED_ONCE_MS,
  }, async () => {
    const program = await kubernetesValidate();
    for (const version of ["1.31", "1.37"]) {
      const args = ["--strict", "--quiet", "--kubernetes-version", version];
      expect(await verdictOf(program, [...args, ...manifests])).toEqual(CLEAN);
    }
    const bad = broken("deploy/kubernetes/cronjob.yaml", "concurrencyPolicy:", "concurencyPolicy:");
    expect((await verdictOf(program, ["--strict", bad])).exitCode).not.toBe(0);
  });

  it("mounts a configuration that hourpack reads", async () => {
    const [, , map] = parseAllDocuments(read("deploy/kubernetes/config.yaml")).map((document) =>
      document.toJS(),
    );
    const file = join(work, "kubernetes.yaml");
    writeFileSync(file, map.data["hourpack.yaml"]);
    const { datasets, catalog } = await loadSettings({ file, env: {} });
    expect({ names: datasets.map(({ name }) => name), catalog: catalog.type }).toEqual({
      names: ["events"],
      catalog: "glue",
    });
  });

  it("runs both as the image's user, from a root that is read-only", () => {
    const [cronJob, deployment] = ["cronjob", "worker"].map((name) =>
      parseAllDocuments(read(`deploy/kubernetes/${name}.yaml`))[0]?.toJS(),
    );
    const pods = [cronJob.spec.jobTemplate.spec.template.spec, deployment.spec.template.spec];
    const user = /^USER (\d+):\d+$/m.exec(read("Dockerfile"))?.[1];
    for (const pod of pods) {
      expect(pod.securityContext).toMatchObject({ runAsNonRoot: true, runAsUser: Number(user) });
      expect(pod.containers[0].securityContext).toMatchObject({ readOnlyRootFilesystem: true });
      expect(pod.containers[0].volumeMounts.map((mount: { mountPath: string }) => mount.mountPath)).toContain(
        "/spool",
      );
    }
  });
});

describe("compose", () => {
  const file = join(DEPLOY, "compose/compose.yaml");

  it("is a model that holds together, and every file it mounts is there", {
    timeout: FETCHED_ONCE_MS,
  }, async () => {
    const program = await composeGo();
    const { exitCode, output } = await verdictOf(program, ["-format", "json", file], { cwd: ROOT });
    expect({ exitCode, output: exitCode === 0 ? "" : output }).toEqual(CLEAN);
    const bad = broken("deploy/compose/compose.yaml", "depends_on: [prometheus]", "depends_on: [prometeus]");
    expect((await verdictOf(program, [bad])).output).toContain("prometeus");
    const model = parse(read("deploy/compose/compose.yaml"), { merge: true });
    const mounts = Object.values<{ volumes?: string[] }>(model.services).flatMap(
      ({ volumes = [] }) => volumes,
    );
    const files = mounts
      .map((mount) => mount.split(":")[0] as string)
      .filter((source) => source.startsWith("."));
    expect(files.length).toBeGreaterThan(5);
    for (const source of files) expect(readFileSync(join(DEPLOY, "compose", source), "utf8")).not.toBe("");
  });

  it("publishes no port beyond loopback", () => {
    const { services } = parse(read("deploy/compose/compose.yaml"), { merge: true });
    const ports = Object.values<{ ports?: string[] }>(services).flatMap(({ ports = [] }) => ports);
    expect(ports.filter((port) => !port.startsWith("127.0.0.1:"))).toEqual([]);
    expect(ports).toHaveLength(4);
  });

  it("gives Prometheus a configuration with our rules", { timeout: FETCHED_ONCE_MS }, async () => {
    const { services } = parse(read("deploy/compose/compose.yaml"), { merge: true });
    const root = join(work, "prometheus");
    for (const mount of services.prometheus.volumes.filter((volume: string) => volume.startsWith("."))) {
      const [source, target] = mount.split(":");
      cpSync(join(DEPLOY, "compose", source), join(root, target));
    }
    const config = join(root, "etc/prometheus/prometheus.yaml");
    const { exitCode, output } = await verdictOf(await promtool(), ["check", "config", config]);
    expect(exitCode, output).toBe(0);
    expect(output).toMatch(/SUCCESS: 1 rule files found/);
  });
});

describe("Grafana", () => {
  const dashboard = () => JSON.parse(read("deploy/grafana/dashboard.json"));
  const expressions = (): string[] =>
    dashboard().panels.flatMap(({ targets }: { targets: { expr: string }[] }) =>
      targets.map(({ expr }) => expr),
    );
  const rules = (): { alert: string; expr: string }[] =>
    parse(read("deploy/grafana/alerts.yaml")).groups.flatMap(({ rules }: { rules: unknown[] }) => rules);

  it("has alerts that fire when they should, and keep still otherwise", {
    timeout: FETCHED_ONCE_MS,
  }, async () => {
    const program = await promtool();
    const cwd = join(DEPLOY, "grafana");
    const tested = await verdictOf(program, ["test", "rules", "alerts.test.yaml"], { cwd });
    expect(tested.exitCode, tested.output).toBe(0);
    const text = read("deploy/grafana/alerts.test.yaml");
    for (const { alert } of rules())
      expect(text).toMatch(new RegExp(`alertname: ${alert}\n\\s+exp_alerts:\n`));
    cpSync(cwd, join(work, "grafana"), { recursive: true });
    writeFileSync(
      join(work, "grafana/alerts.yaml"),
      read("deploy/grafana/alerts.yaml").replace("> 7200", "> 9000"),
    );
    const changed = await verdictOf(program, ["test", "rules", "alerts.test.yaml"], {
      cwd: join(work, "grafana"),
    });
    expect(changed.exitCode).not.toBe(0);
  });

  it("asks in PromQL that Prometheus understands", { timeout: FETCHED_ONCE_MS }, async () => {
    const asRules = expressions().map((expr, i) => ({
      record: `panel:${i}`,
      expr: expr.replaceAll("$dataset", ".*"),
    }));
    expect(asRules.length).toBeGreaterThan(10);
    const file = join(work, "panels.yaml");
    // JSON is YAML, too.
    writeFileSync(file, JSON.stringify({ groups: [{ name: "panels", rules: asRules }] }));
    const { exitCode, output } = await verdictOf(await promtool(), ["check", "rules", file]);
    expect(exitCode, output).toBe(0);
  });

  it("asks only for metrics and labels that there are, and for all of them", () => {
    const asked = [...expressions(), ...rules().map(({ expr }) => expr)];
    const names = new Set(asked.flatMap((expr) => expr.match(/\bhourpack_\w+/g) ?? []));
    expect([...names].sort()).toEqual(Object.keys(METRICS).sort());
    for (const expr of asked) {
      const labels = Object.entries(METRICS).flatMap(([name, has]) => (expr.includes(name) ? has : []));
      const used = [...expr.matchAll(/\bby \(([^)]*)\)|(?:\{|, )(\w+)=/g)].flatMap(
        ([, by, matched]) => by?.split(", ") ?? matched ?? [],
      );
      // Others are Prometheus' own, and the process's.
      const isOurs = expr.includes("hourpack_");
      expect(!isOurs ? [] : used.filter((label) => !labels.includes(label)), expr).toEqual([]);
    }
  });

  it("is laid out without panels that overlap or go by the same id", () => {
    const { panels, templating, uid } = dashboard();
    const cells = panels.flatMap(({ gridPos: { x, y, w, h } }: { gridPos: Record<string, number> }) =>
      Array.from(
        { length: (w ?? 0) * (h ?? 0) },
        (_, i) => `${(x ?? 0) + (i % (w ?? 1))}:${(y ?? 0) + Math.floor(i / (w ?? 1))}`,
      ),
    );
    expect(new Set(cells).size).toBe(cells.length);
    expect(new Set(panels.map(({ id }: { id: number }) => id)).size).toBe(panels.length);
    expect(
      panels.every(({ datasource }: { datasource: { uid: string } }) =>
        /^\$\{source\}$/.test(datasource.uid),
      ),
    ).toBe(true);
    expect([uid, ...templating.list.map(({ name }: { name: string }) => name)]).toEqual([
      "hourpack",
      "source",
      "dataset",
    ]);
  });
});

describe("systemd", () => {
  const units = ["hourpack.service", "hourpack.timer", "hourpack-worker.service"];

  /** A root with our units, the program where they expect it, and empty stand-ins for systemd's own targets. */
  function rootWith(name: string, change: (text: string) => string = (text) => text): string {
    const root = join(work, name);
    const folder = join(root, "etc/systemd/system");
    mkdirSync(folder, { recursive: true });
    mkdirSync(join(root, "usr/local/bin"), { recursive: true });
    writeFileSync(join(root, "usr/local/bin/hourpack"), "#!/bin/sh\n", { mode: 0o755 });
    const targets = [
      "basic",
      "sysinit",
      "shutdown",
      "network-online",
      "timers",
      "multi-user",
      "time-set",
      "time-sync",
    ];
    for (const target of targets)
      writeFileSync(join(folder, `${target}.target`), `[Unit]\nDescription=${target}\n`);
    writeFileSync(join(folder, "-.mount"), "[Mount]\nWhat=/dev/null\nWhere=/\n");
    for (const unit of units) writeFileSync(join(folder, unit), change(read(`deploy/systemd/${unit}`)));
    return root;
  }
  const verify = async (root: string) =>
    verdictOf(await systemdAnalyze(), ["verify", `--root=${root}`, "--man=no", ...units]);

  it("has units that systemd takes without a remark", { timeout: FETCHED_ONCE_MS }, async () => {
    expect(await verify(rootWith("systemd"))).toEqual(CLEAN);
    const typo = rootWith("systemd-typo", (text) => text.replace("Persistent=", "Persistant="));
    expect((await verify(typo)).output).toContain("Persistant");
    const never = rootWith("systemd-never", (text) => text.replace(":05:00", ":65:00"));
    expect((await verify(never)).exitCode).not.toBe(0);
  });

  it("shuts the services in", { timeout: FETCHED_ONCE_MS }, async () => {
    const root = rootWith("systemd-security");
    for (const unit of units.filter((name) => name.endsWith(".service"))) {
      const args = ["security", "--offline=true", `--root=${root}`, "--threshold=20", "--no-pager", unit];
      const { exitCode, output } = await verdictOf(await systemdAnalyze(), args);
      expect(exitCode, output).toBe(0);
    }
  });
});

describe("GitHub Actions", () => {
  it("has nothing that actionlint minds", { timeout: FETCHED_ONCE_MS }, async () => {
    const program = await actionlint();
    const args = ["-no-color", "-shellcheck=", "-pyflakes="];
    expect(await verdictOf(program, [...args, join(DEPLOY, "github-actions/pack.yml")])).toEqual(CLEAN);
    const bad = broken("deploy/github-actions/pack.yml", "inputs.from", "inputs.form");
    expect((await verdictOf(program, [...args, bad])).output).toContain('property "form" is not defined');
  });
});
