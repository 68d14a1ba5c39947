import type { Sifted } from "../../src/record/sift.js";

/** Joins the chunks of an object into one. */
export function sifted(
  chunks: Iterable<Sifted>,
): Pick<Sifted, "acceptedRows" | "exact" | "rescued" | "quarantine"> {
  const all = [...chunks];
  return {
    acceptedRows: all.reduce((sum, { acceptedRows }) => sum + acceptedRows, 0),
    exact: all.flatMap(({ exact }) => exact),
    rescued: all.reduce((sum, { rescued }) => sum + rescued, 0),
    quarantine: all.flatMap(({ quarantine }) => quarantine),
  };
}
