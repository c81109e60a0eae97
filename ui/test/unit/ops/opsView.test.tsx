// @vitest-environment jsdom
import { act, type ReactNode } from "react";
import { createRoot, type Root } from "react-dom/client";
import { afterEach, beforeEach, expect, test } from "vitest";
import { CancelLatency } from "../../../src/ops/CancelLatency";
import { OverTime } from "../../../src/ops/OverTime";
import { Streams } from "../../../src/ops/Streams";
import { TaskTree } from "../../../src/ops/TaskTree";
import { overviewOf, settle, told, World } from "./world";

let root: Root;

beforeEach(() => {
  Object.assign(globalThis, { IS_REACT_ACT_ENVIRONMENT: true });
  root = createRoot(document.body.appendChild(document.createElement("div")));
});

afterEach(() => act(() => root.unmount()));

function render(node: ReactNode): void {
  act(() => root.render(node));
}

function text(selector: string): string[] {
  return Array.from(document.querySelectorAll(selector), (found) => found.textContent ?? "");
}

/** What the table shows of the store's last snapshot. */
function renderStreams({ store }: World): void {
  const snapshot = store.snapshot();
  if (snapshot.overview === null) throw new Error("there was no answer");
  render(<Streams store={store} snapshot={snapshot} overview={snapshot.overview} />);
}

test("each live stream has its Stop, which stops that one and then says what was seen", async () => {
  const world = new World();
  world.store.start();
  await world.pass(0, told(["str_a", "str_b"]));
  renderStreams(world);
  document.querySelector<HTMLElement>("[aria-label='Stop str_b']")?.click();
  expect(world.last.path).toBe("/v1/streams/str_b/cancel");
  renderStreams(world);
  expect(text("button")).toEqual(["Stop", "Stopping"]);
  expect(text("[role=status]")).toEqual(["str_b is being stopped"]);
  world.last.answer({ cause: "stopped", status: "cancelled", upstream_closed_ms: 3 });
  await settle();
  renderStreams(world);
  expect(text("[role=status]")[0]).toMatch(/^str_b stopped in 3 ms/);
});

test("the Stop of a stream that is gone stops nothing", async () => {
  const world = new World();
  world.store.start();
  world.store.hold(true);
  await world.pass(1000, told(["str_a"]));
  await world.pass(1000, told([]));
  renderStreams(world);
  const button = document.querySelector<HTMLElement>("[aria-label='Ended str_a']");
  expect(button?.getAttribute("aria-disabled")).toBe("true");
  button?.click();
  expect(world.asked.filter((one) => one.includes("cancel"))).toEqual([]);
});

test("of more streams than are shown it says so", async () => {
  const world = new World();
  world.store.start();
  await world.pass(0, told(["a", "b"], { streams_total: 1000 }));
  renderStreams(world);
  expect(text(".ops-quiet")).toEqual(["1000 in all; these are the 2 oldest"]);
});

test("a stream that is ending or hangs says why", async () => {
  const world = new World();
  const streams = [
    { stream_id: "a", phase: "ended", cause: "stopped", quarantined: true },
    { stream_id: "b", phase: "decode", cause: "client_disconnect" },
    { stream_id: "c", phase: "queued" },
  ];
  world.store.start();
  await world.pass(0, told([], { streams }));
  renderStreams(world);
  expect(text(".ops-phase")).toEqual(["quarantined: stopped", "ending: its client left", "queued"]);
});

test("charts have their numbers as text", () => {
  const lately = { piece_seconds: 5, begun: [0, 3, 1] };
  render(<OverTime overview={overviewOf(told([], { totals: { begun: 9 }, lately }))} />);
  const names = Array.from(document.querySelectorAll("svg"), (svg) => svg.ariaLabel);
  expect(names).toContain("Begun: 4 in 5 min, peak 3 in 5 s");
  expect(names).toContain("Stalled: 0 in 5 min");
});

test("the histogram is a table, and a sentence", () => {
  render(<CancelLatency latency={{ bounds: [1, 1000], counts: [98, 0, 2] }} />);
  expect(text("tbody tr")).toEqual(["≤ 1 ms98", "≤ 1 s0", "longer2"]);
  expect(text(".ops-quiet")[0]).toMatch(/100 so far: 50 % in ≤ 1 ms, 99 % in > 1 s\.$/);
});

test("who may not see the tasks is told who may, and has no button for it", () => {
  const world = new World();
  const overview = overviewOf(told([], { sees: "own" }));
  render(<TaskTree store={world.store} tasks={world.store.snapshot().tasks} overview={overview} />);
  expect(text(".ops-quiet")[0]).toMatch(/JARVIS_ADMIN_KEYS/);
  expect(text("button")).toEqual([]);
});
