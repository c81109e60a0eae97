// Markdown into blocks that are made once. What the model writes is no HTML: tags are shown as the
// text that they are, images as links, and what marked makes of the rest passes DOMPurify.
//
// A text that grows is lexed from its last two blocks on: an appended character can change the last
// block, or join it to the one before ("2" becomes "2. b" of the list above), and no other. A link
// may be defined after it is used, so the end of a text is rendered as a whole, once.

import DOMPurify, { type Config } from "dompurify";
import { Lexer, type Links, Marked, type MarkedOptions, type Token, type Tokens } from "marked";

/** A piece of HTML that stands for itself, or a block of code. The same object while it is the same. */
export type Block = HtmlBlock | CodeBlock;

export interface HtmlBlock {
  readonly kind: "html";
  readonly html: TrustedHTML;
}

export interface CodeBlock {
  readonly kind: "code";
  readonly text: string;
  /** The fence's word, as it was written: "py", "" where there was none. */
  readonly tag: string;
}

/** A block, and the HTML before it was purified: where that is the same, so is the block. */
interface Made {
  readonly made: string;
  readonly block: Block;
}

const ALLOWED: Config & { RETURN_TRUSTED_TYPE: true } = {
  ALLOWED_TAGS: [
    ...[
      "p",
      "h2",
      "h3",
      "h4",
      "h5",
      "h6",
      "ul",
      "ol",
      "li",
      "blockquote",
      "hr",
      "br",
      "pre",
      "code",
    ],
    ...["strong", "em", "del", "a", "table", "thead", "tbody", "tr", "th", "td", "div", "#text"],
  ],
  ALLOWED_ATTR: [
    "href",
    "rel",
    "target",
    "start",
    "align",
    "class",
    "tabindex",
    "role",
    "aria-label",
  ],
  ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i,
  // DOMPurify holds every value for an address, but those that it knows and these.
  ADD_URI_SAFE_ATTR: ["aria-label", "rel", "target", "start", "align", "tabindex"],
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  RETURN_TRUSTED_TYPE: true,
};

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character] ?? character);
}

/** The address, if it leads where a link of an answer may: the web and mail, nothing else. */
function safeAddress(href: string): string | null {
  try {
    const { protocol } = new URL(href);
    return ["http:", "https:", "mailto:"].includes(protocol) ? href : null;
  } catch {
    return null; // relative, or no address at all: nothing of ours is meant
  }
}

function link(href: string, inner: string): string {
  const address = safeAddress(href);
  if (address === null) return inner;
  return `<a href="${escapeHtml(address)}" rel="noopener noreferrer" target="_blank">${inner}</a>`;
}

/** A fence's language word, if it is one. */
function tagOf(token: Tokens.Code): string {
  return /^[\w+#.-]{1,30}/.exec(token.lang ?? "")?.[0] ?? "";
}

const marked = new Marked({ gfm: true, async: false });
marked.use({
  renderer: {
    html: ({ text }) => escapeHtml(text),
    image: ({ href, text }) => link(href, escapeHtml(text || href)),
    link({ href, tokens }) {
      return link(href, this.parser.parseInline(tokens));
    },
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
    // The page's own heading is the first level.
    heading({ tokens, depth }) {
      const level = Math.min(depth + 1, 6);
      return `<h${level}>${this.parser.parseInline(tokens)}</h${level}>\n`;
    },
    code(token) {
      return `<pre><code class="language-${tagOf(token)}">${escapeHtml(token.text)}</code></pre>\n`;
    },
    table(token) {
      const cells = (row: Tokens.TableCell[]) => row.map((c) => this.tablecell(c)).join("");
      const rows = token.rows.map((row) => `<tr>${cells(row)}</tr>`).join("");
      const head = `<thead><tr>${cells(token.header)}</tr></thead>`;
      return `<div class="table-box" role="group" aria-label="Table" tabindex="0"><table>${head}<tbody>${rows}</tbody></table></div>\n`;
    },
  },
});

/** Lets through what an answer is made of, whatever it is given. */
export function purify(html: string): TrustedHTML {
  return DOMPurify.sanitize(html, ALLOWED);
}

function make(token: Token, before: Made | undefined): Made {
  const made = marked.parser([token]);
  if (before?.made === made) return before;
  if (token.type !== "code") return { made, block: { kind: "html", html: purify(made) } };
  const code = token as Tokens.Code;
  return { made, block: { kind: "code", text: code.text, tag: tagOf(code) } };
}

function isShown(token: Token): boolean {
  return token.type !== "space" && token.type !== "def";
}

/** One text's blocks, kept from one update to the next. */
export class MarkdownText {
  #text = "";
  #made: readonly Made[] = [];
  #blocks: readonly Block[] = [];
  #isWhole = false;
  /** What is settled: so many characters, in so many blocks, with these links defined. */
  #settledLength = 0;
  #settledBlocks = 0;
  #links: Links = {};

  /** The blocks of `text`. While `isGrowing`, at the cost of its last two blocks. */
  update(source: string, isGrowing: boolean): readonly Block[] {
    const text = source.includes("\r") ? source.replace(/\r\n?/g, "\n") : source;
    if (text === this.#text && (isGrowing || this.#isWhole)) return this.#blocks;
    if (!isGrowing || !text.startsWith(this.#text)) this.#forget();
    this.#isWhole = !isGrowing;
    this.#text = text;
    try {
      this.#lexOn(text);
    } catch {
      this.#showPlain(text); // nested deeper than the stack: readable is what it has to be
    }
    this.#blocks = this.#made.map(({ block }) => block);
    return this.#blocks;
  }

  #forget(): void {
    this.#settledLength = 0;
    this.#settledBlocks = 0;
    this.#links = {};
  }

  #lexOn(text: string): void {
    const lexer = new Lexer(marked.defaults as MarkedOptions);
    Object.assign(lexer.tokens.links, this.#links);
    const tokens = lexer.lex(text.slice(this.#settledLength));
    const before = this.#made;
    const made = before.slice(0, this.#settledBlocks);
    for (const token of tokens.filter(isShown)) {
      made.push(make(token, before[made.length]));
    }
    this.#made = made;
    this.#settle(tokens);
  }

  /** All but the last two blocks will not change any more. */
  #settle(tokens: readonly Token[]): void {
    const places = tokens.flatMap((token, at) => (token.type === "space" ? [] : [at]));
    const end = places[places.length - 2] ?? 0;
    for (const token of tokens.slice(0, end)) {
      this.#settledLength += token.raw.length;
      if (isShown(token)) this.#settledBlocks += 1;
      if (token.type === "def") {
        const { tag, href, title } = token as Tokens.Def;
        this.#links = { [tag]: { href, title }, ...this.#links };
      }
    }
  }

  #showPlain(text: string): void {
    this.#forget();
    const block: Block = { kind: "code", text, tag: "" };
    this.#made = [{ made: text, block }];
  }
}
