import { describe, expect, test } from "vitest";
import { ApiError } from "../../../src/lib/errors";
import { overviewOf, settle, told, World } from "./world";

const DOWN = new ApiError({ status: 0, code: "unreachable", message: "no answer came" });
const polls = (world: World) => world.asked.filter((one) => one.endsWith(" /v1/ops"));

describe("polling", () => {
  test("asks at once, and then every second", async () => {
    const world = new World();
    world.store.start();
    await world.pass(3000, told());
    expect(polls(world)).toEqual(["0 /v1/ops", "1000 /v1/ops", "2000 /v1/ops", "3000 /v1/ops"]);
  });

  test("never has a second request under way, however slow the first is", async () => {
    const world = new World();
    world.store.start();
    await world.pass(4500);
    expect(polls(world)).toHaveLength(1);
    world.last.answer(told());
    await world.pass(500);
    expect(polls(world)).toEqual(["0 /v1/ops", "5000 /v1/ops"]);
  });

  test("asks nothing while the page is hidden, and at once when it is seen again", async () => {
    const world = new World();
    world.store.start();
    await world.pass(1500, told());
    const before = polls(world).length;
    world.show(false);
    await world.pass(60_000, told());
    expect(polls(world)).toHaveLength(before);
    world.show(true);
    await settle();
    expect(polls(world).at(-1)).toBe("61500 /v1/ops");
    expect(world.store.snapshot().silentSeconds).toBe(0);
  });

  test("a page that is hidden from the start asks nothing", async () => {
    const world = new World();
    world.isVisible = false;
    world.store.start();
    await world.pass(5000);
    expect(world.asked).toEqual([]);
  });

  test("hiding aborts what is under way, and its late answer is not shown", async () => {
    const world = new World();
    world.store.start();
    const { signal } = world.last;
    world.show(false);
    expect(signal?.aborted).toBe(true);
    world.last.answer(told(["str_late"]));
    await settle();
    expect(world.store.snapshot().overview).toBeNull();
    expect(world.store.snapshot().refusal).toBeNull();
  });

  test("an answer that comes just as the page is hidden is not shown", async () => {
    const world = new World();
    world.store.start();
    world.last.answer(told(["str_late"]));
    world.show(false);
    await settle();
    expect(world.store.snapshot().overview).toBeNull();
  });

  test("leaving the view leaves no timer, no listener and no request behind", async () => {
    const world = new World();
    const leave = world.store.start();
    await world.pass(1000, told());
    await world.pass(1000);
    expect(world.open).toHaveLength(1);
    leave();
    await settle();
    expect(world.open).toHaveLength(0);
    expect(world.timers).toBe(0);
    expect(world.listeners).toBe(0);
  });

  test("who comes back to the view is answered again", async () => {
    const world = new World();
    world.store.start()();
    world.store.start();
    await world.pass(0, told(["str_1"]));
    expect(world.store.snapshot().overview?.streams).toHaveLength(1);
    expect(world.timers).toBe(1);
  });
});

describe("a server that does not answer", () => {
  test("is told of by the second, with what was known last", async () => {
    const world = new World();
    world.store.start();
    await world.pass(2000, told(["str_1"]));
    await world.pass(4000);
    const { silentSeconds, overview, refusal } = world.store.snapshot();
    expect(silentSeconds).toBe(4);
    expect(refusal).toBeNull();
    expect(overview?.streams).toHaveLength(1);
  });

  test("is given up on after ten seconds, and asked again", async () => {
    const world = new World();
    world.store.start();
    await world.pass(9999);
    expect(world.open).toHaveLength(1);
    await world.pass(1);
    expect(world.open).toHaveLength(0);
    expect(world.store.snapshot().refusal?.code).toBe("unreachable");
    await world.pass(2000);
    expect(world.open).toHaveLength(1);
  });

  test("is asked ever less often, every ten seconds at the least", async () => {
    const world = new World();
    world.store.start();
    const seen: number[] = [];
    for (let second = 0; second < 60; second++) {
      for (const call of world.open) {
        seen.push(call.at / 1000);
        call.fail(DOWN);
      }
      await world.pass(1000);
    }
    expect(seen).toEqual([0, 1, 3, 7, 15, 25, 35, 45, 55]);
    expect(world.store.snapshot().silentSeconds).toBe(60);
    const before = polls(world).length;
    await world.pass(8000, told());
    const since = polls(world).slice(before);
    expect(since).toEqual(["65000 /v1/ops", "66000 /v1/ops", "67000 /v1/ops", "68000 /v1/ops"]);
    expect(world.store.snapshot()).toMatchObject({ silentSeconds: 0, refusal: null });
    await world.pass(1000);
    world.last.fail(DOWN);
    await world.pass(1000);
    expect(polls(world).at(-1), "patience begins anew").toBe("70000 /v1/ops");
  });

  test("is asked at once when the network is there again", async () => {
    const world = new World();
    world.store.start();
    for (let second = 0; second < 12; second++) {
      for (const call of world.open) call.fail(DOWN);
      await world.pass(1000);
    }
    const before = polls(world).length;
    world.goOnline();
    expect(polls(world)).toHaveLength(before + 1);
    expect(polls(world).at(-1)).toBe("12000 /v1/ops");
  });

  test("a key that is refused is not tried on", async () => {
    const world = new World();
    world.store.start();
    world.last.fail(new ApiError({ status: 401, code: "invalid_api_key", message: "no" }));
    await world.pass(60_000);
    expect(polls(world)).toHaveLength(1);
  });

  test("what is no overview is a failure in a sentence", async () => {
    const world = new World();
    world.store.start();
    await world.pass(0, { status: "ok" });
    expect(world.store.snapshot().overview).toBeNull();
    expect(world.store.snapshot().refusal?.sentence).toMatch(/Something between/);
  });
});

describe("the table", () => {
  test("shows what lives; while it is held, rows stay in their places", async () => {
    const world = new World();
    const shown = () =>
      world.store
        .snapshot()
        .rows.map(({ stream, isGone }) => `${stream.streamId}${isGone ? " gone" : ""}`);
    world.store.start();
    await world.pass(1000, told(["a", "b", "c"]));
    world.store.hold(true);
    await world.pass(1000, told(["b", "d", "c"]));
    expect(shown()).toEqual(["a gone", "b", "c", "d"]);
    world.store.hold(false);
    expect(shown()).toEqual(["b", "d", "c"]);
    await world.pass(1000, told(["d"]));
    expect(shown()).toEqual(["d"]);
  });

  test("does not grow without end while it is held", async () => {
    const world = new World();
    world.store.start();
    world.store.hold(true);
    for (let second = 0; second < 5; second++) {
      const ids = Array.from({ length: 60 }, (_, n) => `str_${second}_${n}`);
      await world.pass(1000, told(ids));
    }
    expect(world.store.snapshot().rows).toHaveLength(100);
  });

  test("tells how fast tokens come, by the server's own clock", async () => {
    const world = new World();
    const at = (uptime: number, tokens: number) =>
      told([], { uptime_s: uptime, streams: [{ stream_id: "a", tokens_sent: tokens }] });
    world.store.start();
    world.last.answer(at(10, 5));
    await world.pass(1000, at(14, 25));
    expect(world.store.snapshot().rates.get("a")).toBe(5);
    await world.pass(1000, at(2, 3));
    expect(world.store.snapshot().rates.size).toBe(0);
  });
});

describe("Stop", () => {
  const receipt = {
    stream_id: "str_a",
    cause: "stopped",
    status: "cancelled",
    upstream_closed_ms: 4.2,
    backend_idle_ms: 6,
  };

  test("stops the stream that is named, once, and shows the receipt", async () => {
    const world = new World();
    world.store.start();
    void world.store.stop("str_a");
    void world.store.stop("str_a");
    const stops = world.asked.filter((one) => one.includes("cancel"));
    expect(stops).toEqual(["0 /v1/streams/str_a/cancel"]);
    expect(world.store.snapshot().stops).toEqual([
      { streamId: "str_a", receipt: null, refusal: null },
    ]);
    world.last.answer(receipt);
    await settle();
    expect(world.store.snapshot().stops[0]?.receipt?.upstreamClosed).toBe(4.2);
  });

  test("that fails says why, and can be tried again", async () => {
    const world = new World();
    void world.store.stop("str_a");
    world.last.fail(DOWN);
    await settle();
    expect(world.store.snapshot().stops[0]?.refusal?.sentence).toMatch(/cannot be reached/);
    void world.store.stop("str_a");
    expect(world.calls).toHaveLength(2);
  });

  test("is not taken back by leaving the view", async () => {
    const world = new World();
    const leave = world.store.start();
    void world.store.stop("str_a");
    leave();
    expect(world.last.signal?.aborted).toBe(false);
  });

  test("that is never answered ends as one that failed", async () => {
    const world = new World();
    void world.store.stop("str_a");
    await world.pass(10_000);
    expect(world.store.snapshot().stops[0]?.refusal).not.toBeNull();
  });

  test("the last five are shown, the newest first", async () => {
    const world = new World();
    for (const id of ["a", "b", "c", "d", "e", "f"]) void world.store.stop(id);
    const ids = world.store.snapshot().stops.map(({ streamId }) => streamId);
    expect(ids).toEqual(["f", "e", "d", "c", "b"]);
  });
});

describe("the task tree", () => {
  const trees = (world: World) => world.asked.filter((one) => one.includes("/debug/tasks"));

  test("is read once by itself where that costs little, and then only when asked for", async () => {
    const world = new World();
    world.store.start();
    world.last.answer(told(["a"], { sees: "all" }));
    await settle();
    expect(trees(world)).toEqual(["0 /debug/tasks"]);
    world.last.answer("the tree");
    await world.pass(5000, told(["a"], { sees: "all" }));
    expect(trees(world)).toHaveLength(1);
    expect(world.store.snapshot().tasks).toEqual({
      text: "the tree",
      isReading: false,
      refusal: null,
    });
    void world.store.readTasks();
    void world.store.readTasks();
    expect(trees(world)).toHaveLength(2);
  });

  test.each([
    ["of many streams", { sees: "all", streams_total: 51 }],
    ["of a key that may not see it", { sees: "own" }],
  ])("is not read by itself %s", async (_, more) => {
    const world = new World();
    world.store.start();
    await world.pass(3000, told(["a"], more));
    expect(trees(world)).toEqual([]);
  });

  test("that does not come in time says so, and can be asked for again", async () => {
    const world = new World();
    world.store.start();
    void world.store.readTasks();
    await world.pass(10_000);
    expect(world.store.snapshot().tasks).toMatchObject({ isReading: false });
    expect(world.store.snapshot().tasks.refusal).not.toBeNull();
  });

  test("that cannot be read says so and is not asked for again and again", async () => {
    const world = new World();
    world.store.start();
    world.last.answer(told(["a"], { sees: "all" }));
    await settle();
    world.last.fail(DOWN);
    await world.pass(3000, told(["a"], { sees: "all" }));
    expect(trees(world)).toHaveLength(1);
    expect(world.store.snapshot().tasks.refusal?.sentence).toMatch(/cannot be reached/);
  });
});

test("an overview of an unknown server is read as far as it goes", () => {
  const overview = overviewOf({ pid: 1, streams: [{ stream_id: "a", phase: 7 }, null] });
  expect(overview.streams.map(({ streamId, phase }) => [streamId, phase])).toEqual([
    ["a", ""],
    ["", ""],
  ]);
  expect(overview.totals.ended.superseded).toBe(0);
  expect(overview.lately.ended.stopped).toEqual([]);
});
