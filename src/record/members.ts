/** Which members of records were rescued, and in how many rows: of the first thousand names, so that it stays small. */
const NAMES_MAX = 1000;

export class MemberCounts {
  private readonly rows = new Map<string, number>();

  add(member: string, rows = 1): void {
    const before = this.rows.get(member);
    if (before !== undefined || this.rows.size < NAMES_MAX) this.rows.set(member, (before ?? 0) + rows);
  }

  addAll(others: MemberCounts): void {
    for (const [member, rows] of others.rows) this.add(member, rows);
  }

  /** The most frequent first. */
  inOrder(): { member: string; rows: number }[] {
    const found = [...this.rows].map(([member, rows]) => ({ member, rows }));
    return found.sort((a, b) => b.rows - a.rows || (a.member < b.member ? -1 : 1));
  }
}
