// @vitest-environment jsdom
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { CodeFrame, CodeFrames, CodePainter } from "../../src/lib/codeFrame";
import * as highlight from "../../src/lib/highlight";

const TAGS = "sh c++ css diff go java js json py rust sql ts html yml".split(" ");

function element(): HTMLElement {
  return document.createElement("code");
}

async function settled(): Promise<void> {
  await vi.advanceTimersByTimeAsync(50);
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
});

afterEach(async () => {
  await vi.runOnlyPendingTimersAsync();
  vi.useRealTimers();
});

test.each(TAGS)("%s can be coloured, and its text is what it was", async (tag) => {
  const language = highlight.languageOf(tag) ?? "";
  const code = '<b onclick="x">/* a */ let "b" = 1; # c\n- d: & e\n</b>';
  expect(await highlight.load(language)).toBe(true);
  expect(highlight.colour(code, language).textContent).toBe(code);
});

test("a word that is no language is none", () => {
  for (const tag of ["", "brainfuck", "constructor", "__proto__", "toString"]) {
    expect(highlight.languageOf(tag)).toBeNull();
  }
  expect(highlight.languageOf("PYTHON")).toBe("python");
});

test("code that is no element's becomes none", async () => {
  await highlight.load("xml");
  const page = element();
  page.append(highlight.colour("<script>x</script><img src=x onerror=y>", "xml"));
  expect(page.querySelectorAll("script, img")).toHaveLength(0);
  expect(page.querySelectorAll("span").length).toBeGreaterThan(2);
});

test("a language within another has its colours too", async () => {
  await Promise.all([highlight.load("xml"), highlight.load("javascript")]);
  const code = "<p>x</p><script>let a = 1;</script><p>y</p>";
  const page = element();
  page.append(highlight.colour(code, "xml"));
  expect(page.textContent).toBe(code);
  expect(page.querySelector(".hljs-keyword")?.textContent).toBe("let");
});

test("code in a language that nobody has stays as it is", async () => {
  const page = element();
  new CodePainter(page).show("++[>+<-]", "brainfuck");
  await settled();
  expect(page.innerHTML).toBe("++[&gt;+&lt;-]");
});

test("code that grows is whole at every moment, and coloured in the end", async () => {
  await highlight.load("python");
  const page = element();
  const painter = new CodePainter(page);
  const code = 'def f(x):\n    return \'x\' + """y"""\n'.repeat(20);
  for (let end = 1; end <= code.length; end += 7) {
    painter.show(code.slice(0, end), "python");
    expect(page.textContent).toBe(code.slice(0, end));
    if (end % 3 === 0) await vi.advanceTimersByTimeAsync(5);
  }
  painter.show(code, "python");
  await settled();
  expect(page.textContent).toBe(code);
  expect(page.querySelectorAll(".hljs-keyword")).toHaveLength(40);
});

test("colouring code that grows rests twelve times as long as it took", async () => {
  await highlight.load("python");
  const page = element();
  const painter = new CodePainter(page);
  let passes = 0;
  const count = new MutationObserver((changes) => {
    if (changes.some(({ addedNodes }) => addedNodes.length > 1)) passes += 1;
  });
  count.observe(page, { childList: true });
  // Each pass takes 10 ms.
  const { now } = performance;
  let spent = 0;
  vi.spyOn(performance, "now").mockImplementation(() => {
    spent += 5;
    return now.call(performance) + spent;
  });
  let code = "";
  for (let tick = 0; tick < 200; tick += 1) {
    code += "x = 1\n";
    painter.show(code, "python");
    await vi.advanceTimersByTimeAsync(1);
  }
  count.disconnect();
  expect(passes).toBeGreaterThan(1);
  expect(passes).toBeLessThan(40);
});

test("a block that has not changed is not touched again", async () => {
  await highlight.load("json");
  const page = element();
  const painter = new CodePainter(page);
  painter.show('{"a": 1}', "json");
  await settled();
  const before = [...page.childNodes];
  painter.show('{"a": 1}', "json");
  await settled();
  const after = [...page.childNodes];
  expect(after).toHaveLength(before.length);
  for (const [place, node] of after.entries()) expect(node).toBe(before[place]);
});

test("code that is another is shown anew", async () => {
  await highlight.load("json");
  const page = element();
  const painter = new CodePainter(page);
  painter.show('{"a": 1}', "json");
  await settled();
  painter.show("[2]", "json");
  expect(page.textContent).toBe("[2]");
  painter.show("[2]", "yaml");
  expect(page.textContent).toBe("[2]");
});

test("code that is too long to colour stays plain", async () => {
  await highlight.load("json");
  const page = element();
  new CodePainter(page).show("[1]".repeat(highlight.COLOURED_AT_MOST), "json");
  await settled();
  expect(page.querySelector("span")).toBeNull();
});

function listOf(...codes: string[]): HTMLElement {
  const page = document.createElement("div");
  for (const text of codes) {
    const pre = document.createElement("pre");
    const code = element();
    code.className = "language-sh";
    code.textContent = text;
    pre.append(code);
    page.append(pre);
  }
  return page;
}

test("code within HTML gets its frame, its language and its button, once", async () => {
  await highlight.load("bash");
  const page = listOf("cd /tmp", "ls");
  const frames = new CodeFrames();
  frames.dress(page);
  frames.dress(page);
  await settled();
  expect(page.querySelector(".code-language")?.textContent).toBe("sh");
  expect(page.querySelector("button")?.textContent).toBe("Copy code");
  expect([...page.querySelectorAll("pre")].map((pre) => pre.textContent)).toEqual([
    "cd /tmp",
    "ls",
  ]);
  expect(page.querySelector(".hljs-built_in")?.textContent).toBe("cd");
});

test("code within HTML that grows keeps its frame and its colours", async () => {
  await highlight.load("bash");
  const frames = new CodeFrames();
  const before = listOf("cd /tmp");
  frames.dress(before);
  await settled();
  const frame = before.querySelector(".code");
  const after = listOf("cd /tmp && ls", "true");
  frames.dress(after);
  expect(after.querySelector(".code")).toBe(frame);
  expect(after.querySelector(".hljs-built_in")?.textContent).toBe("cd");
  expect([...after.querySelectorAll("pre")].map((pre) => pre.textContent)).toEqual([
    "cd /tmp && ls",
    "true",
  ]);
});

test("the button copies the code as it is now", async () => {
  const copied: string[] = [];
  const clipboard = { writeText: async (text: string) => void copied.push(text) };
  vi.stubGlobal("navigator", { clipboard });
  const frame = new CodeFrame();
  frame.show("one", "");
  frame.show("one\ntwo", "");
  const button = frame.element.querySelector("button");
  button?.click();
  await vi.advanceTimersByTimeAsync(1);
  expect(copied).toEqual(["one\ntwo"]);
  expect(button?.textContent).toBe("Copied");
  await vi.advanceTimersByTimeAsync(3000);
  expect(button?.textContent).toBe("Copy code");
  vi.unstubAllGlobals();
});

// Last, as highlight.js itself is one for all modules, and then belongs to the fresh ones.
test("code is there at once, and coloured when its language has come", async () => {
  vi.resetModules(); // no language is there
  const fresh = await import("../../src/lib/codeFrame");
  const { load } = await import("../../src/lib/highlight");
  const page = element();
  new fresh.CodePainter(page).show("SELECT 1", "sql");
  expect(page.textContent).toBe("SELECT 1");
  expect(page.querySelector("span")).toBeNull();
  await settled();
  await load("sql");
  await settled();
  expect(page.textContent).toBe("SELECT 1");
  expect(page.querySelector(".hljs-keyword")?.textContent).toBe("SELECT");
});
