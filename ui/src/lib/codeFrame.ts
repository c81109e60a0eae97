// A block of code on the page: its language, a copy button, and the code, which is there at once and
// is coloured when there is time. Made of elements, not by React, as code may also stand within the
// HTML of a list; nothing in it is ever parsed as HTML.

import { copyText } from "./copy";
import { COLOURED_AT_MOST, colour, isLoaded, languageOf, load } from "./highlight";
import { soon } from "./idle";

/** Colouring code that still grows takes at most one part in so many of the page's time. */
const SHARE = 12;
const COPIED_MS = 2000;

/** Paints one growing piece of code: colours for what was coloured last, plain text behind it. */
export class CodePainter {
  readonly #element: HTMLElement;
  readonly #tail = document.createTextNode("");
  #code = "";
  #tag = "";
  /** So many characters have their colours. */
  #coloured = 0;
  #restUntil = 0;
  #isPending = false;

  constructor(element: HTMLElement) {
    this.#element = element;
    element.replaceChildren(this.#tail);
  }

  /** Shows the code at once. What has been shown already costs nothing again. */
  show(code: string, tag: string): void {
    if (code === this.#code && tag === this.#tag) return;
    if (tag !== this.#tag || !code.startsWith(this.#code.slice(0, this.#coloured))) {
      this.#coloured = 0;
      this.#element.replaceChildren(this.#tail);
    }
    this.#code = code;
    this.#tag = tag;
    this.#tail.data = code.slice(this.#coloured);
    this.#colourSoon();
  }

  #colourSoon(): void {
    const language = languageOf(this.#tag);
    if (this.#isPending || language === null) return;
    this.#isPending = true;
    const paint = () => this.#paint(language);
    const rest = this.#restUntil - performance.now();
    if (rest > 0) setTimeout(paint, rest);
    else soon(paint);
  }

  #paint(language: string): void {
    this.#isPending = false;
    if (languageOf(this.#tag) !== language || this.#coloured === this.#code.length) return;
    if (this.#code.length > COLOURED_AT_MOST) return;
    if (!isLoaded(language)) {
      this.#paintWhenLoaded(language);
      return;
    }
    const start = performance.now();
    const coloured = colour(this.#code, language);
    this.#coloured = this.#code.length;
    this.#tail.data = "";
    this.#element.replaceChildren(coloured, this.#tail);
    const end = performance.now();
    this.#restUntil = end + (end - start) * SHARE;
  }

  #paintWhenLoaded(language: string): void {
    this.#isPending = true;
    load(language).then((isThere) => {
      this.#isPending = false;
      if (isThere) this.#paint(language);
    });
  }
}

function copyButton(text: () => string): HTMLButtonElement {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "button quiet copy-code";
  button.textContent = "Copy code";
  button.addEventListener("click", async () => {
    button.textContent = (await copyText(text())) ? "Copied" : "Not copied";
    setTimeout(() => {
      button.textContent = "Copy code";
    }, COPIED_MS);
  });
  return button;
}

/** The frame: bar, button and code. Put `element` where the code is to be. */
export class CodeFrame {
  readonly element = document.createElement("div");
  readonly #label = document.createElement("span");
  readonly #painter: CodePainter;
  #text = "";

  constructor() {
    this.element.className = "code";
    const bar = document.createElement("div");
    bar.className = "code-bar";
    this.#label.className = "code-language";
    bar.append(
      this.#label,
      copyButton(() => this.#text),
    );
    const pre = document.createElement("pre");
    pre.tabIndex = 0; // it scrolls sideways, also by the keyboard
    const code = document.createElement("code");
    pre.append(code);
    this.element.append(bar, pre);
    this.#painter = new CodePainter(code);
  }

  show(text: string, tag: string): void {
    this.#text = text;
    this.#label.textContent = tag === "" ? "text" : tag;
    this.#painter.show(text, tag);
  }
}

/** The code within a piece of HTML, in frames that stay when the HTML becomes more. */
export class CodeFrames {
  #frames: readonly CodeFrame[] = [];

  /** Puts the code of new HTML into the frames, in their order. */
  dress(root: HTMLElement): void {
    const bare = [...root.querySelectorAll<HTMLElement>("pre > code")].filter(
      (code) => code.closest(".code") === null,
    );
    if (bare.length > 0) this.#frames = bare.map((code, place) => this.#dressOne(code, place));
  }

  #dressOne(code: HTMLElement, place: number): CodeFrame {
    const frame = this.#frames[place] ?? new CodeFrame();
    frame.show(code.textContent, /language-(\S+)/.exec(code.className)?.[1] ?? "");
    code.parentElement?.replaceWith(frame.element);
    return frame;
  }
}
