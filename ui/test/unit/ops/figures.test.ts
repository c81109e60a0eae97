import { describe, expect, test } from "vitest";
import {
  barsOf,
  countersOf,
  inBytes,
  inMilliseconds,
  inSeconds,
  keptTo,
  readersOf,
  seenOf,
} from "../../../src/ops/figures";
import { overviewOf, streamOf, told } from "./world";

describe("how long cancels took", () => {
  const bounds = [1, 10, 100];

  test("is told by the bound that so many kept to", () => {
    const latency = { bounds, counts: [98, 1, 1, 0] };
    expect(keptTo(latency, 0.5)).toBe(1);
    expect(keptTo(latency, 0.99)).toBe(10);
    expect(keptTo(latency, 1)).toBe(100);
  });

  test("is not known beyond the last bound, nor of none", () => {
    expect(keptTo({ bounds, counts: [1, 0, 0, 1] }, 0.99)).toBe(Number.POSITIVE_INFINITY);
    expect(keptTo({ bounds, counts: [0, 0, 0, 0] }, 0.5)).toBeNull();
  });
});

test("bars stand at the right edge, as high as their share of the highest", () => {
  expect(barsOf([4, 0, 1])).toBe("M58 1v-1h.8V1zM60 1v-0.25h.8V1z");
  expect(barsOf([])).toBe("");
  expect(barsOf([0, 0])).toBe("");
});

test("counters are the totals and their last five minutes; all failures are one", () => {
  const ended = { superseded: 3, upstream_error: 1, upstream_eof: 2, upstream_timeout: 4 };
  const lately = {
    live: [0, 2],
    begun: [1, 1],
    ended: {
      superseded: [0, 3],
      upstream_error: [1, 0],
      upstream_eof: [1, 1],
      upstream_timeout: [0, 4],
    },
  };
  const counters = countersOf(overviewOf(told([], { totals: { begun: 9, ended }, lately })));
  const by = new Map(counters.map((counter) => [counter.name, counter]));
  expect(by.get("Live")).toMatchObject({ total: 2, series: [0, 2], isLevel: true });
  expect(by.get("Begun")).toMatchObject({ total: 9, series: [1, 1], isLevel: false });
  expect(by.get("Superseded")).toMatchObject({ total: 3, series: [0, 3] });
  expect(by.get("Failed")).toMatchObject({ total: 7, series: [2, 5] });
});

test.each([
  [0.04, "0.0 s"],
  [9.9, "9.9 s"],
  [9.96, "10 s"],
  [59.9, "59 s"],
  [200, "3 min 20 s"],
  [7500, "2 h 5 min"],
  [100_000, "1 d 3 h"],
])("%d seconds are %s", (seconds, words) => {
  expect(inSeconds(seconds)).toBe(words);
});

test("durations and sizes have their unit", () => {
  expect([0.5, 500, 2000].map(inMilliseconds)).toEqual(["0.5 ms", "500 ms", "2 s"]);
  expect([12, 12_400].map(inBytes)).toEqual(["12 B", "12 KB"]);
});

test("who reads an answer, or how long it lives on without anybody", () => {
  expect(readersOf(streamOf({ readers: 1, bytesBehind: 1023 }))).toBe("1");
  expect(readersOf(streamOf({ readers: 2, bytesBehind: 5000 }))).toBe("2, 5 KB behind");
  expect(readersOf(streamOf({ graceLeft: 20 }))).toBe("nobody, 20 s left");
  expect(readersOf(streamOf())).toBe("nobody");
});

test("a receipt says what was seen", () => {
  const seen = {
    cause: "stopped",
    upstreamClosed: 4,
    backendIdle: 5,
    status: "cancelled",
  } as const;
  expect(seenOf(seen)).toBe("stopped in 4 ms, model idle");
  expect(seenOf({ ...seen, cause: "completed", status: "already_ended" })).toBe(
    "had ended already: completed",
  );
});
