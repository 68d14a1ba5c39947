/** Chooses between the catalogs. */
import type { CatalogSettings } from "../config/settings.js";
import { HourpackError } from "../errors.js";
import type { Catalog } from "./catalog.js";
import type { StoreAt } from "./local.js";

/** `storeAt` serves a local catalog of parts that lie in S3. */
export async function openCatalog(settings: CatalogSettings, storeAt: StoreAt): Promise<Catalog> {
  switch (settings.type) {
    case "none":
      throw new HourpackError("internal", "open the catalog: none is configured");
    case "local":
      return new (await import("./local.js")).LocalCatalog(settings, storeAt);
    case "glue":
      return (await import("./glue.js")).openGlue(settings);
    case "athena":
      return (await import("./athena.js")).openAthena(settings);
  }
}
