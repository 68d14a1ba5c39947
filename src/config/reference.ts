/** docs/configuration.md, made from the schema, so that it cannot be behind. */
import { FIELD_FLAGS, type FieldFlag, FORMS } from "./flags.js";

const SECTIONS: [group: FieldFlag["group"], title: string, about: string][] = [
  [
    "dataset",
    "Datasets",
    "Under `datasets.<name>`; the flags are about the only dataset, or the one of `--dataset`.",
  ],
  ["catalog", "Catalog", "Under `catalog`; what a kind of catalog does not have is refused."],
  ["s3", "S3", "Under `s3`. Credentials come from the AWS chain only."],
  ["run", "Runs", "How hours are worked on, and what a run and the worker tell."],
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

One file, \`hourpack.yaml\`, in the working directory or named by \`--config\` or \`HOURPACK_CONFIG\`. A flag goes before its
variable, and that before the file; another kind of catalog than the file's has none of the fields that only the file's
kind has. Relative paths in the file are relative to the file, those in flags to the working
directory.

A flag is the field's path in kebab case, without \`run.\`, \`worker.\` and the dataset's name: \`s3.endpoint\` is \`--s3-endpoint\`, \`worker.at\`
is \`--at\`; \`catalog.type\` is \`--catalog\`. The variable is the flag in capitals after \`HOURPACK_\`. \`hooks.url\` has a variable alone.
An unknown key is an error that names the line and what was probably meant; an unknown \`HOURPACK_…\` variable
is noted, and not read. For completion in an editor:

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
| \`from\` | where in the record the value is: \`event_value.comic_id\`, \`'"a.b".c'\` for a key with a dot, \`^.logGroup\` for a member beside the record path |
| \`json: string\` | the member is a string whose text is JSON; a text that is not compact (\`{"a": 1}\`) is also in \`_rescued_data\`, to be given back as it was |
| \`epoch: s\` or \`ms\` | numbers are seconds or milliseconds since 1970 |
| \`zone\` | the zone of timestamps without one |

As a flag: \`--columns 'id:bigint,name:string,ts:timestamp,st:struct<a:string>'\`. Without \`columns\` the first hour's are
inferred, over every record of it, and pinned in \`_hourpack/schema.json\`: 2,000 columns at most, whichever hours they come
from, of 5,000 leaves together (an array counts one more, or eight more around another array: the engine needs memory for each);
members beyond are rescued, or are text. A type nests 16 levels deep at most, since the engine takes twice as long for each level of
arrays; what is inferred is text from there on.

## Units

Durations are a number and one of \`ms s m h d\`; sizes a number and \`B\`, \`KB MB GB TB\` (thousands) or \`KiB MiB GiB TiB\`.

## Webhook

\`hooks.url\` (or \`HOURPACK_HOOK_URL\`; there is no flag, since a command line is seen by everyone on the machine) is sent
Slack-compatible JSON on failure, on recovery, and when an hour's quarantine passes \`hooks.quarantine\`. A worker tells a
failure once, and its end; \`hourpack run\` remembers nothing between runs: it tells a failure each time, and no recovery.
`;
