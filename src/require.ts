/**
 * Loads CommonJS packages at the call and not before. `import` reads each of their files twice, once for the names that it
 * exports: this costs 40 ms more for DuckDB's client and 30 ms for the AWS SDK's S3.
 */
import { createRequire } from "node:module";

export const require = createRequire(import.meta.url);
