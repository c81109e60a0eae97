// Colours for code. highlight.js and each language come when a block first needs them; until then,
// and where there is no such language, code is plain text. Its tokens become elements directly:
// no HTML is made, so none has to be trusted.

import type { Emitter, HLJSApi, LanguageFn } from "highlight.js";

type Loader = () => Promise<{ default: LanguageFn }>;

const LANGUAGES: Readonly<Record<string, Loader>> = {
  bash: () => import("highlight.js/lib/languages/bash"),
  cpp: () => import("highlight.js/lib/languages/cpp"),
  css: () => import("highlight.js/lib/languages/css"),
  diff: () => import("highlight.js/lib/languages/diff"),
  go: () => import("highlight.js/lib/languages/go"),
  java: () => import("highlight.js/lib/languages/java"),
  javascript: () => import("highlight.js/lib/languages/javascript"),
  json: () => import("highlight.js/lib/languages/json"),
  python: () => import("highlight.js/lib/languages/python"),
  rust: () => import("highlight.js/lib/languages/rust"),
  sql: () => import("highlight.js/lib/languages/sql"),
  typescript: () => import("highlight.js/lib/languages/typescript"),
  xml: () => import("highlight.js/lib/languages/xml"),
  yaml: () => import("highlight.js/lib/languages/yaml"),
};

const ALIASES: Readonly<Record<string, string>> = {
  ...{ c: "cpp", "c++": "cpp", h: "cpp", golang: "go", patch: "diff", py: "python", rs: "rust" },
  ...{
    console: "bash",
    sh: "bash",
    shell: "bash",
    zsh: "bash",
    html: "xml",
    svg: "xml",
    yml: "yaml",
  },
  ...{ cjs: "javascript", js: "javascript", jsx: "javascript", mjs: "javascript", jsonc: "json" },
  ...{ ts: "typescript", tsx: "typescript", postgresql: "sql", sqlite: "sql", scss: "css" },
};

/** Longer code stays plain: colouring it would hold the page up. */
export const COLOURED_AT_MOST = 20_000;

/** The language that a fence's word means; null where we have none. */
export function languageOf(tag: string): string | null {
  const name = tag.toLowerCase();
  const language = Object.hasOwn(ALIASES, name) ? ALIASES[name] : name;
  return language !== undefined && Object.hasOwn(LANGUAGES, language) ? language : null;
}

/** Builds elements from highlight.js's tokens. (Its own emitter makes an HTML string.) */
class ElementEmitter implements Emitter {
  readonly root = document.createDocumentFragment();
  #path: Node[] = [this.root];

  #top(): Node {
    return this.#path[this.#path.length - 1] ?? this.root;
  }

  addText(text: string): void {
    if (text !== "") this.#top().appendChild(document.createTextNode(text));
  }

  startScope(name: string): void {
    const span = document.createElement("span");
    span.className = name
      .split(".")
      .map((part, depth) => (depth === 0 ? `hljs-${part}` : part + "_".repeat(depth)))
      .join(" ");
    this.#top().appendChild(span);
    this.#path.push(span);
  }

  endScope(): void {
    if (this.#path.length > 1) this.#path.pop();
  }

  openNode = this.startScope;
  closeNode = this.endScope;

  __addSublanguage(emitter: Emitter): void {
    if (emitter instanceof ElementEmitter) this.#top().appendChild(emitter.root);
  }

  finalize(): void {}

  toHTML(): string {
    return "";
  }
}

let hljs: HLJSApi | null = null;
const coming = new Map<string, Promise<boolean>>();

async function fetchLanguage(language: string): Promise<boolean> {
  try {
    const [core, grammar] = await Promise.all([
      import("highlight.js/lib/core"),
      LANGUAGES[language]?.(),
    ]);
    if (grammar === undefined) return false;
    hljs = core.default;
    hljs.configure({ __emitter: ElementEmitter });
    hljs.registerLanguage(language, grammar.default);
    return true;
  } catch {
    coming.delete(language); // the network was away; the next block asks again
    return false;
  }
}

/** Resolves when the language can colour; false when it cannot be had. Fetched once. */
export function load(language: string): Promise<boolean> {
  const known = coming.get(language) ?? fetchLanguage(language);
  coming.set(language, known);
  return known;
}

export function isLoaded(language: string): boolean {
  return hljs?.getLanguage(language) !== undefined;
}

/** The code in colours, where its language is loaded; else as it is. */
export function colour(code: string, language: string): DocumentFragment {
  if (hljs !== null && isLoaded(language)) {
    const result = hljs.highlight(code, { language, ignoreIllegals: true });
    if (result._emitter instanceof ElementEmitter) return result._emitter.root;
  }
  const plain = document.createDocumentFragment();
  plain.append(code);
  return plain;
}
