// Each guard, by its number in run.ts and answers.ts; test/mutations.json takes each of them away.

import { expect, it } from "vitest";
import { type Ending, Run, type RunHost } from "../../src/lib/run";
import type { Dropped } from "../../src/lib/types";
import { answers, lastAnswer, lines, World } from "./fakes/world";

const chunk = (id: string, content: string) =>
  JSON.stringify({ id, choices: [{ delta: { content } }] });

it("1: tokens go to the message of their run while another one is the last", async () => {
  const world = new World();
  const store = await world.store();
  store.send("first");
  await world.advance(0);
  const first = world.server.last();
  store.choosePolicy("enqueue");
  store.send("second");
  await world.advance(0);
  first.text("for the first");
  await world.advance(0);
  expect(lines(store)).toEqual(["> first", "< streaming: for the first", "> second", "< queued: "]);
});

/** A host that says which run is active, and a run of it that reads a stream. */
async function reading(world: World) {
  const drops: (keyof Dropped)[] = [];
  const endings: Ending[] = [];
  const host = {
    environment: world,
    api: (await world.store()).api,
    active: null as Run | null,
    isActive: (run: Run) => run === host.active,
    named: () => undefined,
    progressed: () => undefined,
    ended: (_: Run, ending: Ending) => endings.push(ending),
    refused: (why: keyof Dropped) => drops.push(why),
  };
  const run = new Run("key", host satisfies RunHost);
  host.active = run;
  const prompt = { sessionId: "s", text: "?", model: null, policy: "interrupt", replaces: null };
  void run.ask({ ...prompt, policy: "interrupt" }, false);
  await world.advance(0);
  return { run, host, drops, endings, stream: world.server.last() };
}

it("2: a run that is not its message's any more changes nothing, and is counted", async () => {
  const world = new World();
  const { run, host, drops, endings, stream } = await reading(world);
  stream.text("in time");
  await world.advance(0);
  host.active = null;
  stream.text(" late");
  stream.finish();
  await world.advance(0);
  expect(run.text).toBe("in time");
  expect(drops).toEqual(["notLive"]);
  expect(endings).toEqual([]);
});

it("2: a run that was left changes nothing, also where the abort is not obeyed", async () => {
  const world = new World();
  world.server.ignoresAbort = true;
  const { run, drops, endings, stream } = await reading(world);
  run.abort();
  stream.text("late");
  stream.finish();
  await world.advance(0);
  expect(run.text).toBe("");
  expect(drops).toEqual(["notLive"]);
  expect(endings).toEqual([]);
});

it("2: what comes when a re-attachment was given up for too late is not read", async () => {
  const world = new World();
  const { run, stream } = await reading(world);
  world.server.ignoresAbort = true;
  world.server.holdsNext = /^\/v1\/streams/;
  stream.cut();
  await world.advance(10_000);
  await world.advance(250);
  expect(stream.connections).toHaveLength(3);
  const [, late, current] = stream.connections.map(({ connection }) => connection);
  world.server.releaseHeaders();
  late?.send(chunk(stream.id, "late"), 2);
  await world.advance(0);
  expect(run.text).toBe("");
  current?.send(chunk(stream.id, "current"), 2);
  await world.advance(0);
  expect(run.text).toBe("current");
});

it("3: a frame that names another stream is dropped and counted; the rest is read on", async () => {
  const world = new World();
  const store = await world.store();
  store.send("hello");
  await world.advance(0);
  const stream = world.server.last();
  stream.text("a");
  stream.connection.send(chunk("str_other", "STALE"), null);
  stream.text("b");
  await world.advance(0);
  expect(lastAnswer(store).text).toBe("ab");
  expect(store.dropped).toEqual({ notLive: 0, otherStream: 1, seen: 0 });
});

it("3: an answer that is not the one that was to be read on is not read", async () => {
  const world = new World();
  const store = await world.store();
  store.send("hello");
  await world.advance(0);
  const stream = world.server.last();
  stream.text("mine");
  await world.advance(0);
  world.server.misnames = "str_other";
  stream.cut();
  await world.advance(0);
  world.server.misnames = null;
  stream.text(" and whole");
  stream.finish();
  await world.advance(250);
  expect(lastAnswer(store)).toMatchObject({ text: "mine and whole", state: "complete" });
  expect(store.dropped.otherStream).toBe(1);
});

it("4: an event whose number has been seen is dropped and counted", async () => {
  const world = new World();
  const store = await world.store();
  store.send("hello");
  await world.advance(0);
  const stream = world.server.last();
  stream.text("one ");
  await world.advance(0);
  stream.cut();
  await world.advance(0);
  stream.connection.send(chunk(stream.id, "one "), 2); // what it had before the cut
  stream.text("two");
  await world.advance(0);
  expect(lastAnswer(store).text).toBe("one two");
  expect(store.dropped.seen).toBe(1);
});

it("4: the numbers begin anew with each stream", async () => {
  const world = new World();
  const store = await world.store();
  for (const prompt of ["first", "second"]) {
    store.send(prompt);
    await world.advance(0);
    world.server.last().text(prompt);
    world.server.last().finish();
    await world.advance(0);
  }
  expect(answers(store).map((answer) => answer.text)).toEqual(["first", "second"]);
  expect(store.dropped.seen).toBe(0);
});

it("5: the old run is aborted before the new fetch", async () => {
  const world = new World();
  const store = await world.store();
  store.send("first");
  await world.advance(0);
  const old = world.server.last().connection;
  const wasOpen: boolean[] = [];
  const { fetch } = world.server;
  world.server.fetch = (path, init) => {
    if (init.method === "POST") wasOpen.push(old.isOpen);
    return fetch.call(world.server, path, init);
  };
  store.send("second");
  await world.advance(0);
  expect(wasOpen).toEqual([false]);
});

it("6: a Stop aborts first, and then names its stream to the server", async () => {
  const world = new World();
  const store = await world.store();
  store.send("hello");
  await world.advance(0);
  const stream = world.server.last();
  const { connection } = stream;
  const wasOpen: boolean[] = [];
  const { fetch } = world.server;
  world.server.fetch = (path, init) => {
    if (path.endsWith("/cancel")) wasOpen.push(connection.isOpen);
    return fetch.call(world.server, path, init);
  };
  store.stop();
  await world.advance(0);
  expect(wasOpen).toEqual([false]);
  expect(world.server.cancels.map((request) => request.body)).toEqual([{ stream_id: stream.id }]);
});

for (const supersedes of [true, false]) {
  for (const ignoresAbort of [true, false]) {
    it(`storm: supersede ${supersedes}, fetch that ignores abort ${ignoresAbort}`, async () => {
      const world = new World();
      Object.assign(world.server, { supersedes, ignoresAbort });
      const store = await world.store();
      for (let n = 1; n <= 5; n++) {
        store.send(`prompt ${n}`);
        await world.advance(0);
        world.server.last().text(`begin ${n}`);
        if (n % 2 === 0) await world.advance(0);
      }
      const [...streams] = world.server.streams;
      for (const stream of streams) if (stream.isLive) stream.text(` of ${stream.prompt}`);
      for (const stream of streams) if (stream.isLive) stream.finish();
      await world.advance(0);
      const texts = answers(store).map((answer) => answer.text);
      expect(texts[4]).toBe("begin 5 of prompt 5");
      texts.slice(0, 4).forEach((text, n) => {
        expect(["", `begin ${n + 1}`]).toContain(text);
      });
      expect(answers(store).map((answer) => answer.state)).toEqual([
        ...Array(4).fill("interrupted"),
        "complete",
      ]);
      if (ignoresAbort && !supersedes) expect(store.dropped.notLive).toBe(4);
    });
  }
}
