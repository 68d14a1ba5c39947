/**
 * Which members of records were rescued, and in how many rows. Only the first thousand names count, so that
 * it stays small.
 */
const NAMES_MAX = 1000;

interface Rows {
  rows: number;
  /** In how many of these rows the column, too, has all that the member's text says. */
  textAlone: number;
}

export class MemberCounts {
  private readonly counts = new Map<string, Rows>();

  add(member: string, isTextAlone: boolean): void {
    this.addRows(member, { rows: 1, textAlone: isTextAlone ? 1 : 0 });
  }

  addAll(others: MemberCounts): void {
    for (const [member, rows] of others.counts) this.addRows(member, rows);
  }

  /** The most frequent first. */
  inOrder(): ({ member: string } & Rows)[] {
    const found = [...this.counts].map(([member, rows]) => ({ member, ...rows }));
    return found.sort((a, b) => b.rows - a.rows || (a.member < b.member ? -1 : 1));
  }

  private addRows(member: string, { rows, textAlone }: Rows): void {
    const before = this.counts.get(member);
    if (before) {
      before.rows += rows;
      before.textAlone += textAlone;
    } else if (this.counts.size < NAMES_MAX) this.counts.set(member, { rows, textAlone });
  }
}
