// @vitest-environment jsdom
import { expect, test } from "vitest";
import { type Block, MarkdownText, purify } from "../../src/lib/markdown";
import payloads from "../xss.json";

function htmlOf(blocks: readonly Block[]): string {
  return blocks
    .map((block) => (block.kind === "code" ? `{${block.tag}|${block.text}}` : `${block.html}`))
    .join("");
}

function render(text: string): string {
  return htmlOf(new MarkdownText().update(text, false));
}

function pagesOf(blocks: readonly Block[]): HTMLElement {
  const page = document.createElement("div");
  for (const block of blocks) {
    const part = document.createElement("div");
    if (block.kind === "html") part.innerHTML = block.html.toString();
    page.append(part);
  }
  return page;
}

/** The pieces of a text, of one, two and three characters in turn. */
function pieces(text: string): string[] {
  const parts: string[] = [];
  for (let at = 0, size = 1; at < text.length; at += size, size = (size % 3) + 1) {
    parts.push(text.slice(0, at + size));
  }
  return parts;
}

const INERT = new Set([
  ..."DIV P H2 H3 H4 H5 H6 UL OL LI BLOCKQUOTE HR BR PRE CODE STRONG EM DEL A".split(" "),
  ..."TABLE THEAD TBODY TR TH TD".split(" "),
]);
const HARMLESS = new Set("href rel target start align class tabindex role aria-label".split(" "));

function expectInert(page: HTMLElement): void {
  for (const element of page.querySelectorAll("*")) {
    expect(INERT).toContain(element.tagName);
    for (const { name } of element.attributes) expect(HARMLESS).toContain(name);
  }
  for (const link of page.querySelectorAll("a")) {
    expect(["http:", "https:", "mailto:"]).toContain(new URL(link.href).protocol);
    expect(link.rel).toBe("noopener noreferrer");
    expect(link.target).toBe("_blank");
  }
}

test.each(payloads)("nothing comes of $name, at no point of its stream", ({ markdown }) => {
  const text = new MarkdownText();
  for (const part of pieces(markdown)) expectInert(pagesOf(text.update(part, true)));
  expectInert(pagesOf(text.update(markdown, false)));
});

test.each(payloads)("nothing comes of $name where it is taken for HTML", ({ markdown }) => {
  const page = document.createElement("div");
  page.innerHTML = purify(markdown).toString();
  for (const element of page.querySelectorAll("*")) {
    expect(INERT).toContain(element.tagName);
    for (const { name } of element.attributes) expect(HARMLESS).toContain(name);
  }
  for (const link of page.querySelectorAll("a[href]")) {
    expect(link.getAttribute("href")).toMatch(/^(https?|mailto):/);
  }
});

test("the corpus has at least 28 payloads, each once", () => {
  expect(new Set(payloads.map(({ markdown }) => markdown)).size).toBe(payloads.length);
  expect(payloads.length).toBeGreaterThanOrEqual(28);
});

test("what a model writes as HTML is shown as it is", () => {
  const page = pagesOf(new MarkdownText().update("Use `<b>` or <b>this</b>.", false));
  expect(page.textContent?.trim()).toBe("Use <b> or <b>this</b>.");
});

test("an image is a link that says what it shows", () => {
  expect(render("![a cat](https://example.org/cat.png)")).toContain(
    '<a href="https://example.org/cat.png" rel="noopener noreferrer" target="_blank">a cat</a>',
  );
});

test("a table says how its cells stand, and can be scrolled by the keyboard", () => {
  const html = render("| a | b |\n|---|--:|\n| 1 | 2 |");
  expect(html).toContain('<td align="right">2</td>');
  expect(html).toContain('<div class="table-box" role="group" aria-label="Table" tabindex="0">');
});

test("a list begins at its number", () => {
  expect(render("3. three\n4. four")).toContain('<ol start="3">');
});

test("a link that leads nowhere is its words", () => {
  expect(render("[**here**](javascript:alert(1))").trim()).toBe("<p><strong>here</strong></p>");
});

const RICH = `# Title

A paragraph
with two lines
***bold*** and more.
# a heading at once
text after it
- a
- b

  more of b

- c
1. one

2. two
   \`\`\`py
   x = 1

   \`\`\`

3. three

> quoted
> > deeper
lazily

| a | b |
|---|--:|
| 1 | 2 |

\`\`\`js
let a = "\`\`";

let b;
\`\`\`
after

    indented

    code
***
Setext
===
*   star
+ plus

- [x] done
<div>
raw

</div>

\`\`\`\`
unclosed`;

test("what has been streamed is at every point what the whole text would be", () => {
  const text = new MarkdownText();
  for (const part of pieces(RICH)) expect(htmlOf(text.update(part, true))).toBe(render(part));
});

test("any mixture of lines streams as it renders", () => {
  const lines = RICH.split("\n").concat(
    "",
    "",
    "#x",
    "2",
    "-",
    "``` a`b",
    "  ",
    "\tx",
    "[a]: b",
    "|x",
  );
  let seed = 7;
  const random = (below: number) => {
    seed = (seed * 1103515245 + 12345) % 2147483648;
    return seed % below;
  };
  for (let round = 0; round < 20; round += 1) {
    const some = Array.from({ length: 10 }, () => lines[random(lines.length)]).join("\n");
    const text = new MarkdownText();
    for (const part of pieces(some)) expect(htmlOf(text.update(part, true))).toBe(render(part));
  }
}, 60_000);

test("a block that has not changed is the same object", () => {
  const text = new MarkdownText();
  const before = text.update("# One\n\n```\ntwo\n```\n\nthree", true);
  const after = text.update("# One\n\n```\ntwo\n```\n\nthree and four", true);
  expect(after[0]).toBe(before[0]);
  expect(after[1]).toBe(before[1]);
  expect(after[2]).not.toBe(before[2]);
  const whole = text.update("# One\n\n```\ntwo\n```\n\nthree and four", false);
  expect(whole).toHaveLength(3);
  for (const [place, block] of whole.entries()) expect(block).toBe(after[place]);
});

test("a link that is defined at the end is one when the text is whole", () => {
  const source = "See [trio][t].\n\nMore.\n\nAnd more.\n\n[t]: https://trio.example";
  const text = new MarkdownText();
  for (const part of pieces(source)) text.update(part, true);
  expect(htmlOf(text.update(source, true))).toContain("<p>See [trio][t].</p>");
  expect(htmlOf(text.update(source, false))).toContain('href="https://trio.example"');
});

test("a link that was defined before is one at once", () => {
  const text = new MarkdownText();
  for (const part of pieces("[t]: https://trio.example\n\nA.\n\nB.\n\nSee [t]"))
    text.update(part, true);
  const blocks = text.update("[t]: https://trio.example\n\nA.\n\nB.\n\nSee [t].", true);
  expect(htmlOf(blocks)).toContain('href="https://trio.example"');
});

test("a text that begins anew is another text", () => {
  const text = new MarkdownText();
  text.update("# One\n\ntwo\n\nthree", true);
  expect(htmlOf(text.update("Other", true))).toBe(render("Other"));
});

test("line ends of other systems are line ends", () => {
  expect(render("a\r\n\r\nb\rc")).toBe(render("a\n\nb\nc"));
  const source = "# a\r\n\r\nb\r\nc\r\nd\r\ne\r\nf\r\ng\r\n\r\n- h\r\n\r\ni\rj\r\n\r\n".repeat(3);
  const text = new MarkdownText();
  for (const part of pieces(source)) expect(htmlOf(text.update(part, true))).toBe(render(part));
});

test("code knows its language", () => {
  const [open] = new MarkdownText().update("```py title=x\nlet", true);
  const [closed] = new MarkdownText().update("~~~c++\nlet\n~~~", true);
  expect(open).toEqual({ kind: "code", text: "let", tag: "py" });
  expect(closed).toEqual({ kind: "code", text: "let", tag: "c++" });
});

test.each([
  ["quotes", ">".repeat(20_000)],
  ["lists", "- ".repeat(20_000)],
  ["brackets", "[".repeat(20_000)],
  ["stars", "*a ".repeat(10_000)],
  ["links", "[a](".repeat(5_000)],
  ["backticks", Array.from({ length: 300 }, (_, n) => "`".repeat(n)).join(" ")],
])("a text of nothing but %s is shown all the same", (_, source) => {
  const blocks = new MarkdownText().update(source, false);
  const shown = blocks.map((b) => (b.kind === "code" ? b.text : b.html.toString())).join("");
  expect(shown.length).toBeGreaterThan(0);
});
