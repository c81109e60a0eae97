// Staying at the end of a text that grows, unless its reader has scrolled up to read.
//
// Only a reader's scroll lets go: one that goes up and ends above the bottom. Where the content or
// the box shrinks, the browser moves the place too, but it moves it to the bottom.

/** Closer than this is "at the bottom" for one who comes down again. */
const NEAR_PX = 24;
/** Places are fractions of pixels on zoomed pages. */
const SLACK_PX = 2;

export class Scroller {
  #box: HTMLElement | null = null;
  #isAway = false;
  #lastTop = 0;
  #held: { readonly element: HTMLElement; readonly top: number } | null = null;
  readonly #listeners = new Set<() => void>();

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** The reader is somewhere above: the end is not followed. */
  readonly isAway = (): boolean => this.#isAway;

  /** Follows `content` in `box` until the function returned is called. */
  attach(box: HTMLElement, content: HTMLElement): () => void {
    this.#box = box;
    const onScroll = () => this.scrolled();
    box.addEventListener("scroll", onScroll, { passive: true });
    const sizes = new ResizeObserver(() => this.resized());
    sizes.observe(box);
    sizes.observe(content);
    this.toBottom();
    return () => {
      box.removeEventListener("scroll", onScroll);
      sizes.disconnect();
      this.#box = null;
      this.#set(false);
    };
  }

  /** Goes to the end and stays there. */
  toBottom(): void {
    this.#set(false);
    if (this.#box === null) return;
    this.#box.scrollTop = this.#box.scrollHeight;
    this.#lastTop = this.#box.scrollTop;
  }

  /** The box was scrolled, by the reader or by the browser. */
  scrolled(): void {
    const box = this.#box;
    if (box === null) return;
    const below = box.scrollHeight - box.clientHeight - box.scrollTop;
    if (box.scrollTop < this.#lastTop && below > SLACK_PX) this.#set(true);
    else if (box.scrollTop > this.#lastTop && below <= NEAR_PX) this.#set(false);
    else if (below <= SLACK_PX) this.#set(false);
    this.#lastTop = box.scrollTop;
  }

  /** The content or the box has another size. */
  resized(): void {
    if (!this.#isAway) this.toBottom();
  }

  /** Remembers where an element stands in the content, before something is put above it. */
  hold(element: HTMLElement): void {
    this.#held = { element, top: element.offsetTop };
  }

  /** Moves by as much as the element that is held has moved: what is read stays where it is. */
  keep(): void {
    const held = this.#held;
    this.#held = null;
    if (held === null || this.#box === null || !held.element.isConnected) return;
    this.#box.scrollTop += held.element.offsetTop - held.top;
    this.#lastTop = this.#box.scrollTop;
  }

  #set(isAway: boolean): void {
    if (this.#isAway === isAway) return;
    this.#isAway = isAway;
    for (const listener of this.#listeners) listener();
  }
}
