/**
 * Packages in CommonJS, loaded at the call and not before. `import` reads each of their files twice, once for the names
 * that it exports: 40 ms more for DuckDB's client, 30 for the AWS SDK's S3.
 */
import { createRequire } from "node:module";

export const require = createRequire(import.meta.url);
