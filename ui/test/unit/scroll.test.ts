// @vitest-environment jsdom
import { beforeEach, expect, test, vi } from "vitest";
import { Scroller } from "../../src/lib/scroll";

/** A box of 100 px, whose content is as high as `height` says; it scrolls as a browser's does. */
class Box {
  readonly element = document.createElement("div");
  readonly content = document.createElement("div");
  height = 100;
  #top = 0;

  constructor() {
    Object.defineProperties(this.element, {
      clientHeight: { get: () => 100 },
      scrollHeight: { get: () => this.height },
      scrollTop: { get: () => this.#top, set: (top: number) => this.#moveTo(top) },
    });
  }

  #moveTo(top: number): void {
    this.#top = Math.max(0, Math.min(top, this.height - 100));
  }

  get below(): number {
    return this.height - 100 - this.#top;
  }

  /** The reader scrolls. */
  scrollTo(top: number): void {
    this.element.scrollTop = top;
    this.element.dispatchEvent(new Event("scroll"));
  }

  /** The content changes; the browser keeps the place within it, and says where it moved it first. */
  resizeTo(height: number): void {
    const top = this.#top;
    this.height = height;
    this.#moveTo(top);
    const moved = this.#top;
    if (moved !== top) this.element.dispatchEvent(new Event("scroll"));
    for (const observe of observers) observe();
    if (this.#top !== moved) this.element.dispatchEvent(new Event("scroll"));
  }
}

const observers = new Set<() => void>();

beforeEach(() => {
  observers.clear();
  vi.stubGlobal(
    "ResizeObserver",
    class {
      readonly #seen: () => void;
      constructor(seen: () => void) {
        this.#seen = seen;
      }
      observe(): void {
        observers.add(this.#seen);
      }
      disconnect(): void {
        observers.delete(this.#seen);
      }
    },
  );
});

function follow(height = 1000) {
  const box = new Box();
  box.height = height;
  const scroller = new Scroller();
  const stop = scroller.attach(box.element, box.content);
  return { box, scroller, stop };
}

test("a conversation is shown from its end", () => {
  expect(follow().box.below).toBe(0);
});

test("the end is followed while the text grows", () => {
  const { box, scroller } = follow();
  for (let height = 1000; height <= 3000; height += 50) {
    box.resizeTo(height);
    expect(box.below).toBe(0);
  }
  expect(scroller.isAway()).toBe(false);
});

test("who scrolls up, a little even, is left where they are", () => {
  const { box, scroller } = follow();
  box.scrollTo(890);
  expect(scroller.isAway()).toBe(true);
  box.resizeTo(2000);
  expect(box.element.scrollTop).toBe(890);
});

test("the end of an answer, which may be less high, moves nobody", () => {
  const { box, scroller } = follow();
  box.scrollTo(500);
  box.resizeTo(980);
  expect(box.element.scrollTop).toBe(500);
  expect(scroller.isAway()).toBe(true);
});

test("content that shrinks is not the reader's scroll", () => {
  const { box, scroller } = follow();
  box.resizeTo(700);
  expect(scroller.isAway()).toBe(false);
  box.resizeTo(1500);
  expect(box.below).toBe(0);
});

test("a scroll that the page has outgrown when it is told of lets go of nothing", () => {
  const { box, scroller } = follow();
  box.height = 1400;
  box.element.dispatchEvent(new Event("scroll"));
  expect(scroller.isAway()).toBe(false);
});

test("who comes down to the end follows again", () => {
  const { box, scroller } = follow();
  box.scrollTo(300);
  box.scrollTo(600);
  expect(scroller.isAway()).toBe(true);
  box.scrollTo(890);
  expect(scroller.isAway()).toBe(false);
  box.resizeTo(2000);
  expect(box.below).toBe(0);
});

test("the button goes to the end and follows again, and says so", () => {
  const { box, scroller } = follow();
  const told = vi.fn();
  scroller.subscribe(told);
  box.scrollTo(300);
  scroller.toBottom();
  expect(told).toHaveBeenCalledTimes(2);
  box.resizeTo(2000);
  expect(box.below).toBe(0);
});

test("what is put above leaves in place what is read", () => {
  const { box, scroller } = follow();
  const first = document.createElement("article");
  let top = 60;
  Object.defineProperty(first, "offsetTop", { get: () => top });
  document.body.append(first);
  box.scrollTo(100);
  scroller.hold(first);
  box.scrollTo(40);
  top += 500;
  box.resizeTo(1500);
  scroller.keep();
  expect(box.element.scrollTop).toBe(540);
  expect(scroller.isAway()).toBe(true);
  scroller.keep();
  expect(box.element.scrollTop).toBe(540);
});

test("nothing is followed any more when the view has gone", () => {
  const { box, scroller, stop } = follow();
  box.scrollTo(300);
  stop();
  expect(scroller.isAway()).toBe(false);
  box.scrollTo(10);
  scroller.toBottom();
  expect(box.element.scrollTop).toBe(10);
  expect(observers.size).toBe(0);
});
