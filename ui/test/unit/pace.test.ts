import { beforeEach, expect, test, vi } from "vitest";
import { Pace } from "../../src/lib/pace";

let now = 0;

beforeEach(() => {
  now = 1000;
  vi.spyOn(performance, "now").mockImplementation(() => now);
});

function show(pace: Pace, text: string, cost: number): string {
  const shown = pace.next(text, true);
  now += cost;
  if (shown === text) pace.done();
  return shown;
}

test("text that costs nothing is shown at once", () => {
  const pace = new Pace();
  for (const text of ["a", "ab", "abc"]) expect(show(pace, text, 0)).toBe(text);
});

test("after a dear one comes a rest of three times as long, in which the last one stays", () => {
  const pace = new Pace();
  show(pace, "a", 20);
  expect(pace.rest).toBe(60);
  expect(show(pace, "ab", 0)).toBe("a");
  now += 59;
  expect(show(pace, "abc", 0)).toBe("a");
  now += 1;
  expect(pace.rest).toBe(0);
  expect(show(pace, "abcd", 0)).toBe("abcd");
});

test("the end of a text does not wait", () => {
  const pace = new Pace();
  show(pace, "a", 20);
  expect(pace.next("ab", false)).toBe("ab");
});

test("another text does not wait", () => {
  const pace = new Pace();
  show(pace, "a", 20);
  expect(pace.next("b", true)).toBe("b");
});
