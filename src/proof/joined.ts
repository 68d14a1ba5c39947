/** Texts with a mark between them. They are joined now and then: millions would take more than they hold. */
export class Joined {
  private readonly mark: string;
  private readonly chunks: string[] = [];
  private texts: string[] = [];

  constructor(mark: string) {
    this.mark = mark;
  }

  push(text: string): void {
    if (this.texts.length === JOINED_TEXTS) {
      this.chunks.push(this.texts.join(this.mark));
      this.texts = [];
    }
    this.texts.push(text);
  }

  text(): string {
    const last = this.texts.join(this.mark);
    return this.chunks.length === 0 ? last : [...this.chunks, last].join(this.mark);
  }
}

const JOINED_TEXTS = 4096;
