// How often a growing text is shown. Each time costs as much as its last block is long, and a list or
// a table of many pages is one block: so after each time comes a rest, in which newer text waits.

/** Showing takes at most one part in so many of the page's time. */
const SHARE = 4;

export class Pace {
  #shown = "";
  #begun = 0;
  #restUntil = 0;

  /** The text to show now: this one, or while it rests the one that is shown already. */
  next(text: string, isGrowing: boolean): string {
    if (isGrowing && this.rest > 0 && text.startsWith(this.#shown)) return this.#shown;
    this.#shown = text;
    this.#begun = performance.now();
    return text;
  }

  /** The text is on the page. */
  done(): void {
    const now = performance.now();
    this.#restUntil = now + (now - this.#begun) * (SHARE - 1);
  }

  /** The milliseconds until newer text is shown. */
  get rest(): number {
    return Math.max(0, this.#restUntil - performance.now());
  }
}
