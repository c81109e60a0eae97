// A block of code on the page: its language, a copy button, and the code, which is there at once and
// is coloured when there is time. Made of elements, not by React, as code may also stand within the
// HTML of a list; nothing in it is ever parsed as HTML.

import { copyText } from "./copy";
import { COLOURED_AT_MOST, colour, languageOf, load } from "./highlight";
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
  #cancel: (() => void) | null = null;

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

  /** Colours nothing any more. */
  stop(): void {
    this.#cancel?.();
    this.#cancel = null;
  }

  #colourSoon(): void {
    const language = languageOf(this.#tag);
    if (this.#cancel !== null || language === null) return;
    const rest = this.#restUntil - performance.now();
    if (rest > 0) {
      const timer = setTimeout(() => this.#paint(language), rest);
      this.#cancel = () => clearTimeout(timer);
    } else {
      this.#cancel = soon(() => this.#paint(language));
    }
  }

  #paint(language: string, isLoaded = false): void {
    this.#cancel = null;
    if (this.#coloured === this.#code.length || this.#code.length > COLOURED_AT_MOST) return;
    const start = performance.now();
    const coloured = colour(this.#code, language);
    if (coloured === null) {
      if (!isLoaded) this.#paintWhenLoaded(language);
      return;
    }
    this.#coloured = this.#code.length;
    this.#tail.data = "";
    this.#element.replaceChildren(coloured, this.#tail);
    const end = performance.now();
    this.#restUntil = end + (end - start) * SHARE;
  }

  #paintWhenLoaded(language: string): void {
    let isWanted = true;
    this.#cancel = () => {
      isWanted = false;
    };
    load(language).then((isThere) => {
      if (!isWanted) return;
      this.#cancel = null;
      if (isThere && languageOf(this.#tag) === language) this.#paint(language, true);
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

  stop(): void {
    this.#painter.stop();
  }
}

/** Puts the code within some HTML into frames; ends their painting when the function returned is called. */
export function frameCode(root: HTMLElement): () => void {
  const frames: CodeFrame[] = [];
  for (const code of root.querySelectorAll<HTMLElement>("pre > code")) {
    const frame = new CodeFrame();
    frames.push(frame);
    const tag = /language-(\S+)/.exec(code.className)?.[1] ?? "";
    frame.show(code.textContent, tag);
    code.parentElement?.replaceWith(frame.element);
  }
  return () => {
    for (const frame of frames) frame.stop();
  };
}
