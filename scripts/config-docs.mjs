// Writes docs/hourpack.schema.json (for editors) and docs/configuration.md from the schema. Run after `npm run build`.
import { writeFileSync } from "node:fs";
import { toJsonSchema } from "@valibot/to-json-schema";
import { configurationReference } from "../dist/config/reference.js";
import { configJsonSchema } from "../dist/config/schema.js";

const docs = new URL("../docs/", import.meta.url);
writeFileSync(
  new URL("hourpack.schema.json", docs),
  `${JSON.stringify(configJsonSchema(toJsonSchema), null, 2)}\n`,
);
writeFileSync(new URL("configuration.md", docs), configurationReference());
