/** Chooses between the two stores. */
import type { S3Settings } from "../config/settings.js";
import type { Location } from "../layout.js";
import type { Store } from "./store.js";

export async function openStore(location: Location, settings: S3Settings): Promise<Store> {
  if (location.scheme === "file") {
    const { LocalStore } = await import("./local.js");
    return new LocalStore(location.root);
  }
  const { openS3Store } = await import("./s3/s3.js");
  return openS3Store(location.root, settings);
}
