/** docs/configuration.md, generated from the schema, so that it cannot fall behind. */
import { FIELD_FLAGS, type FieldFlag, FORMS } from "./flags.js";

const SECTIONS: [group: FieldFlag["group"], title: string, about: string][] = [
  [
    "dataset",
    "Datasets",
    "Under `datasets.<name>`. The flags set the only dataset, or the one that `--dataset` names.",
  ],
  ["catalog", "Catalog", "Under `catalog`. hourpack refuses fields that a kind of catalog does not have."],
  ["s3", "S3", "Under `s3`. Credentials come from the AWS chain only."],
  ["run", "Runs", "How runs and the worker pack hours, and what they report."],
];

/** The page as Markdown. */
export function configurationReference(): string {
  const sections = SECTIONS.map(([group, title, about]) => {
    const rows = FIELD_FLAGS.filter((field) => field.group === group).map(rowOf);
    return `## ${title}\n\n${about}\n\n| field | flag | variable | default | what |\n|---|---|---|---|---|\n${rows.join("\n")}\n`;
  });
  return `${HEAD}\n${sections.join("\n")}\n${TAIL}`;
}

function rowOf({ path, flag, variable, kind, description, choices, default: byDefault }: FieldFlag): string {
  const form = FORMS[kind] ? `; as a flag \`${FORMS[kind]}\`` : "";
  const what = description + form + (choices ? ` (${choices.join(", ")})` : "");
  const cells = [
    `\`${path.join(".")}\``,
    `\`--${flag}\``,
    `\`${variable}\``,
    byDefault ? `\`${byDefault}\`` : "",
    what,
  ];
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|").replaceAll("<", "&lt;")).join(" | ")} |`;
}

const HEAD = `# Configuration

hourpack reads one file: \`hourpack.yaml\` in the working directory, or the file that \`--config\` or \`HOURPACK_CONFIG\` names. A
flag overrides its variable, and a variable overrides the file. If a flag or variable chooses another kind of catalog than the
file, the fields that only the file's kind has do not apply. Relative paths in the file are relative to the file. Relative paths
in flags are relative to the working directory.

A flag is the field's path in kebab case, without \`run.\`, \`worker.\` and the dataset's name: \`s3.endpoint\` is \`--s3-endpoint\`,
\`worker.at\` is \`--at\`; \`catalog.type\` is \`--catalog\`. The variable is the flag in capitals after \`HOURPACK_\`. \`hooks.url\` has only
a variable. An unknown key is an error that names the line and what you probably meant. hourpack notes an unknown \`HOURPACK_…\`
variable and does not read it. For completion in an editor:

\`\`\`yaml
# yaml-language-server: $schema=./docs/hourpack.schema.json
\`\`\`
`;

const TAIL = `## Columns

\`columns\` maps a name to a Hive type (\`boolean\`, \`int\`, \`bigint\`, \`double\`, \`decimal(p,s)\`, \`string\`, \`timestamp\`, \`date\`,
\`array<…>\`, \`map<string,…>\`, \`struct<name:type,…>\`) or to an object:

| field | what |
|---|---|
| \`type\` | the Hive type |
| \`from\` | the path of the value in the record: \`event_value.comic_id\`, \`'"a.b".c'\` for a key with a dot, \`^.logGroup\` for a member beside the record path |
| \`json: string\` | the member is a string whose text is JSON. Text that is not compact (\`{"a": 1}\`) is also in \`_rescued_data\`, so that it comes back as it was |
| \`epoch: s\` or \`ms\` | numbers are seconds or milliseconds since 1970 |
| \`zone\` | the time zone of timestamps that name none |

As a flag: \`--columns 'id:bigint,name:string,ts:timestamp,st:struct<a:string>'\`.

Without \`columns\`, hourpack infers the columns from every record of the first hour and pins them in \`_hourpack/schema.json\`. It
infers at most 2,000 columns, whichever hours they come from, with at most 5,000 leaves together. An array counts as one more leaf, and
an array of arrays as eight more, because the engine needs memory for each. Members beyond these limits are rescued, or become text. A
type nests at most 16 levels, because each level of arrays doubles the engine's time; what is nested deeper is inferred as text.

## Units

A duration is a number and one of \`ms s m h d\`. A size is a number and \`B\`, \`KB MB GB TB\` (thousands) or \`KiB MiB GiB TiB\`.

## Webhook

hourpack sends Slack-compatible JSON to \`hooks.url\` (or \`HOURPACK_HOOK_URL\`) on failure, on recovery, and when an hour's
quarantine exceeds \`hooks.quarantine\`. The address has no flag, since everyone on the machine can see a command line. A
worker reports a failure once, and once more when it is over. \`hourpack run\` remembers nothing between runs: it reports a failure
each time, and no recovery.
`;
