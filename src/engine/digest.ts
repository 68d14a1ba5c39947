/** A digest that tells a set of rows from any other, whatever their order. */

/** The number of rows, and two sums over their hashes. A row counts as often as it occurs. */
export interface RowsDigest {
  rows: number;
  sums: readonly [bigint, bigint];
}

const NONE: RowsDigest = { rows: 0, sums: [0n, 0n] };

/** The digest of all rows of several sets. */
export function digestOfAll(digests: readonly RowsDigest[]): RowsDigest {
  return digests.reduce(
    (all, { rows, sums: [first, second] }) => ({
      rows: all.rows + rows,
      sums: [all.sums[0] + first, all.sums[1] + second],
    }),
    NONE,
  );
}

export function areSameRows(one: RowsDigest, other: RowsDigest): boolean {
  return one.rows === other.rows && one.sums.every((sum, i) => sum === other.sums[i]);
}
