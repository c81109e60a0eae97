import { expect, test } from "vitest";
import { isComposing, meansEscape, meansSend } from "../../src/lib/keys";

function key(name: string, more: object = {}) {
  const none = { shiftKey: false, ctrlKey: false, metaKey: false, altKey: false, repeat: false };
  return { key: name, keyCode: 0, isComposing: false, ...none, ...more };
}

test("Enter sends", () => {
  expect(meansSend(key("Enter"), false)).toBe(true);
  expect(meansSend(key("a"), false)).toBe(false);
});

test("Shift+Enter and Alt+Enter are new lines", () => {
  expect(meansSend(key("Enter", { shiftKey: true }), false)).toBe(false);
  expect(meansSend(key("Enter", { altKey: true }), false)).toBe(false);
});

test("an input method's Enter does not send, also where only its code tells", () => {
  expect(meansSend(key("Enter", { isComposing: true }), false)).toBe(false);
  expect(meansSend(key("Enter", { keyCode: 229 }), false)).toBe(false);
  expect(meansSend(key("Enter", { keyCode: 229, ctrlKey: true }), true)).toBe(false);
});

test("on a touch screen Enter is a new line, and Ctrl or Cmd with it sends", () => {
  expect(meansSend(key("Enter"), true)).toBe(false);
  expect(meansSend(key("Enter", { ctrlKey: true }), true)).toBe(true);
  expect(meansSend(key("Enter", { metaKey: true }), true)).toBe(true);
});

test("Escape is the page's but while an input method has it", () => {
  expect(meansEscape(key("Escape"))).toBe(true);
  expect(meansEscape(key("Escape", { isComposing: true }))).toBe(false);
  expect(meansEscape(key("Escape", { keyCode: 229 }))).toBe(false);
  expect(isComposing(key("a"))).toBe(false);
});

test("Escape that is held down is one", () => {
  expect(meansEscape(key("Escape", { repeat: true }))).toBe(false);
});
