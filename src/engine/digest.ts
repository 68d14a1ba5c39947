/** A set of rows, told apart from any other set without regard to order. */

/** Their number, and two sums over hashes of them: a row counts as often as it is there. */
export interface RowsDigest {
  rows: number;
  sums: readonly [bigint, bigint];
}

const NONE: RowsDigest = { rows: 0, sums: [0n, 0n] };

/** Of all the rows of several sets. */
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
