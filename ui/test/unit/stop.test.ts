// Stop, in every phase, and what is said of it.

import { expect, it } from "vitest";
import { answers, lastAnswer, shown, streaming, World } from "./fakes/world";

it("stop shows what was seen: the model is idle", async () => {
  const { world, server, store, stream } = await streaming();
  store.stop();
  expect(lastAnswer(store).state).toBe("stopping");
  expect(shown(store).isLive).toBe(false);
  await world.advance(0);
  expect(lastAnswer(store)).toMatchObject({
    state: "interrupted",
    cause: "stopped",
    text: "some",
    note: "stopped in 4 ms, model idle",
  });
  expect(stream.cause).toBe("stopped");
  expect(server.cancels).toHaveLength(1);
  expect(store.getSnapshot().announcement).toBe("Answer stopped.");
});

it("stop shows what was seen: the model server does not say", async () => {
  const { world, server, store } = await streaming();
  server.receipt = { upstream_closed_ms: 4.1, backend_idle_ms: null };
  store.stop();
  await world.advance(0);
  expect(lastAnswer(store).note).toBe(
    "stopped in 4 ms; the model server does not say whether it is idle",
  );
});

it("a stop that came too late shows the whole answer", async () => {
  const { world, store, stream } = await streaming();
  store.stop();
  stream.text(" and all");
  stream.finish();
  await world.advance(0);
  expect(lastAnswer(store)).toMatchObject({ state: "complete", text: "some and all" });
});

it("stop while the headers are on their way waits for the name, and then aborts and names it", async () => {
  const world = new World();
  const store = await world.store();
  world.server.holdsHeaders = true;
  store.send("hello");
  store.stop();
  await world.advance(0);
  const stream = world.server.last();
  expect(lastAnswer(store).state).toBe("stopping");
  expect(world.server.cancels).toEqual([]);
  expect(stream.connection.isOpen).toBe(true);
  world.server.releaseHeaders();
  stream.text("never shown");
  await world.advance(0);
  expect(world.server.cancels.map((request) => request.body.stream_id)).toEqual([stream.id]);
  expect(lastAnswer(store)).toMatchObject({ state: "interrupted", cause: "stopped", text: "" });
});

it("stop while the headers do not come at all gives up in time, and names nobody", async () => {
  const world = new World();
  const store = await world.store();
  world.server.holdsHeaders = true;
  store.send("hello");
  store.stop();
  await world.advance(5000);
  expect(world.server.cancels).toEqual([]);
  expect(world.server.last().connections[0]?.connection.isOpen).toBe(false);
  // The server has begun it all the same: the page finds that out, and shows it with a Stop.
  expect(lastAnswer(store)).toMatchObject({ state: "thinking", streamId: world.server.last().id });
  world.server.holdsHeaders = false;
  store.stop();
  await world.advance(0);
  expect(world.server.last().cause).toBe("stopped");
});

it("stop of a prompt that is refused meanwhile says that it never began", async () => {
  const world = new World();
  const store = await world.store();
  world.server.holdsHeaders = true;
  world.server.refusal = { status: 429, code: "queue_full" };
  store.send("hello");
  store.stop();
  world.server.releaseHeaders();
  await world.advance(0);
  expect(lastAnswer(store)).toMatchObject({
    state: "interrupted",
    note: "stopped before it began",
  });
});

it("a stop that cannot get through is tried again, and its failure said", async () => {
  const { world, server, store, stream } = await streaming();
  server.isDown = true;
  store.stop();
  await world.advance(600);
  server.isDown = false;
  await world.advance(1000);
  expect(stream.cause).toBe("stopped");
  expect(lastAnswer(store).note).toBe("stopped in 4 ms, model idle");

  store.send("more");
  await world.advance(0);
  server.isDown = true;
  store.stop();
  await world.advance(8000);
  expect(lastAnswer(store).note).toMatch("the server could not be told");
  server.isDown = false;
  await world.advance(4000); // it is there yet, and not followed but stopped
  expect(server.last()).toMatchObject({ cause: "stopped", connections: { length: 1 } });
  expect(lastAnswer(store).note).toBe("stopped in 4 ms, model idle");
});

it("a prompt that takes over while a stop is under way wins", async () => {
  const world = new World();
  const store = await world.store();
  world.server.holdsHeaders = true;
  store.send("one");
  store.stop();
  store.send("two");
  await world.advance(0);
  expect(answers(store)[0]).toMatchObject({
    cause: "superseded",
    note: "a newer prompt took over",
  });
  world.server.releaseHeaders();
  await world.advance(0);
  world.server.last().finish();
  await world.advance(0);
  expect(answers(store).map((answer) => answer.cause)).toEqual(["superseded", "completed"]);
  expect(world.server.cancels).toEqual([]);
});

it("stop in a queue stops the one that is answered, and the next begins", async () => {
  const { world, store } = await streaming();
  store.choosePolicy("enqueue");
  store.send("next");
  await world.advance(0);
  store.stop();
  await world.advance(0);
  expect(answers(store).map((answer) => answer.state)).toEqual(["interrupted", "thinking"]);
});
