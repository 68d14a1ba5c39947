/** Reads docs/json.md (the lines of each command and their fields) and checks printed lines against it. */
import { textOf } from "./pages.js";

interface Field {
  name: string;
  isOptional: boolean;
  /** `number`, `list of text`, `[an hour](#an-hour)` */
  type: string;
  /** Its place in the page: `run profile.cpuSeconds`, `an-hour.part` */
  place: string;
}

/** A row of a table. In the table of a thing that several lines share, `line` is empty. */
interface Row {
  line: string;
  fields: Field[];
  /** A thing whose fields belong to the line too; without a line, a section whose lines are included. */
  includes: string | undefined;
}

export class JsonPage {
  private readonly sections = new Map<string, Row[]>();
  private readonly seen = new Set<string>();
  readonly commands: string[] = [];

  constructor() {
    for (const section of textOf("docs/json.md").split(/^## /m).slice(1)) {
      const [heading = "", ...lines] = section.split("\n");
      const anchor = heading.replaceAll("`", "").toLowerCase().replaceAll(" ", "-");
      this.sections.set(anchor, rowsOf(anchor, lines));
      if (heading.startsWith("`")) this.commands.push(anchor);
    }
  }

  /** What is wrong with the lines that a command printed. */
  problemsOf(command: string, printed: Record<string, unknown>[]): string[] {
    const lines = new Map<string, Field[]>();
    for (const section of ["every-command", command]) this.addLines(section, lines);
    return printed.flatMap(({ type, ...line }) => {
      const fields = lines.get(String(type));
      return fields
        ? this.compare(`${command} ${type}`, line, fields)
        : [`${command} ${type} is not in the page`];
    });
  }

  /** Fields of the page that no checked line had. */
  unseen(): string[] {
    const all = [...this.sections.values()].flat().flatMap(({ fields }) => fields.map(({ place }) => place));
    return all.filter((place) => !this.seen.has(place));
  }

  private addLines(section: string, lines: Map<string, Field[]>): void {
    for (const { line, fields, includes } of this.rows(section)) {
      const included = includes === undefined ? [] : this.fieldsOf(includes);
      if (line === "") this.addLines(includes ?? section, lines);
      else lines.set(line, [...(lines.get(line) ?? []), ...fields, ...included]);
    }
  }

  private fieldsOf(thing: string): Field[] {
    return this.rows(thing).flatMap(({ fields }) => fields);
  }

  private rows(section: string): Row[] {
    const rows = this.sections.get(section) ?? [];
    if (rows.length === 0) throw new Error(`docs/json.md has no table ${section}`);
    return rows;
  }

  private compare(what: string, value: Record<string, unknown>, fields: Field[]): string[] {
    const missing = fields.filter(({ name, isOptional }) => !isOptional && !(name in value));
    return [
      ...missing.map(({ place }) => `${place} is missing in ${what}`),
      ...Object.entries(value).flatMap(([name, found]) => {
        const field = fields.find((one) => one.name === name);
        if (!field) return [`${what}.${name} is not in the page`];
        this.seen.add(field.place);
        return this.compareType(field.place, found, field.type);
      }),
    ];
  }

  private compareType(place: string, value: unknown, type: string): string[] {
    if (type === "anything") return [];
    const [, element] = /^list of (.+)$/.exec(type) ?? [];
    if (element !== undefined) {
      if (!Array.isArray(value)) return [`${place} is no list`];
      return value.flatMap((one) => this.compareType(place, one, element));
    }
    const thing = anchorOf(type);
    if (thing !== undefined)
      return this.compare(place, value as Record<string, unknown>, this.fieldsOf(thing));
    return typeof value === (type === "text" ? "string" : type) ? [] : [`${place} is no ${type}`];
  }
}

function rowsOf(section: string, text: string[]): Row[] {
  let line = "";
  return text
    .filter((row) => row.startsWith("| ") && !/^\| (line|field) \|/.test(row))
    .map((row) => {
      const cells = row.split("|").map((cell) => cell.trim());
      const [head = "", names = "", type = ""] =
        cells.length === 5 ? ["", ...cells.slice(1)] : cells.slice(1);
      const named = /`([\w-]+)`/.exec(head)?.[1];
      line = named ?? (head === "" ? line : "");
      const place = line === "" ? section : `${section} ${line}`;
      const fields = [...names.matchAll(/`(\w+)`(\?)?/g)].map(([, name = "", mark]) => ({
        ...{ name, isOptional: mark === "?", type, place: `${place}.${name}` },
      }));
      return { line, fields, includes: anchorOf(head) ?? anchorOf(names) };
    });
}

function anchorOf(text: string): string | undefined {
  return /\]\(#(.+)\)/.exec(text)?.[1];
}
