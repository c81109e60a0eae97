// Two pages at one session.

import { expect, it } from "vitest";
import { ChatStore } from "../../src/lib/chatStore";
import { lastAnswer, lines, shown, streaming, World } from "./fakes/world";

it("an answer that another tab took over is marked, and the new one followed, prompt and all", async () => {
  const { world, server, store, id } = await streaming();
  const other = server.askElsewhere(id, "theirs");
  await world.advance(0);
  other.text("right");
  await world.advance(0);
  expect(lines(store)).toEqual([
    "> hello",
    "< interrupted: some",
    "> theirs",
    "< streaming: right",
  ]);
  expect(store.getSnapshot().conversation.messages[1]).toMatchObject({ cause: "superseded" });
});

it("an answer that another tab took over and rolled back is gone", async () => {
  const { world, server, store, id } = await streaming();
  server.askElsewhere(id, "theirs", "rollback").text("right");
  await world.advance(0);
  expect(lines(store)).toEqual(["> theirs", "< streaming: right"]);
});

it("prompts that another tab sends one upon the other end with the last, and leave nothing empty", async () => {
  const { world, server, store, id } = await streaming();
  for (const prompt of ["a", "b", "c"]) server.askElsewhere(id, prompt);
  await world.advance(0);
  server.last().text("last");
  await world.advance(0);
  expect(lines(store)).toEqual([
    "> hello",
    "< interrupted: some",
    "> a",
    "< interrupted: ",
    "> b",
    "< interrupted: ",
    "> c",
    "< streaming: last",
  ]);
});

it("an idle tab sees an answer begin elsewhere, and follows it", async () => {
  const { world, server, store, stream, id } = await streaming();
  stream.finish();
  await world.advance(5000);
  const other = server.askElsewhere(id, "theirs");
  await world.advance(4000);
  other.text("here");
  await world.advance(0);
  expect(lines(store)).toEqual(["> hello", "< complete: some", "> theirs", "< streaming: here"]);
  other.finish();
  await world.advance(0);
  expect(lastAnswer(store).state).toBe("complete");
});

it("an idle tab sees what began and ended elsewhere between two looks", async () => {
  const { world, server, store, stream, id } = await streaming();
  stream.finish();
  await world.advance(5000);
  const other = server.askElsewhere(id, "theirs");
  other.text("quick");
  other.finish();
  await world.advance(4000);
  expect(lines(store).slice(2)).toEqual(["> theirs", "< complete: quick"]);
});

it("a stop in one tab shows in the other", async () => {
  const { world, store, id } = await streaming();
  const elsewhere = new World(world.server);
  elsewhere.address = `#/c/${id}`;
  const other = new ChatStore(elsewhere);
  other.start();
  await elsewhere.advance(0);
  expect(lines(other)).toEqual(["> hello", "< streaming: some"]);
  other.stop();
  await elsewhere.advance(0);
  await world.advance(0);
  expect(lastAnswer(store)).toMatchObject({ state: "interrupted", note: "stopped" });
  expect(lastAnswer(other).note).toBe("stopped in 4 ms, model idle");
});

it("a conversation that was deleted elsewhere is said to be gone", async () => {
  const { world, server, store, stream } = await streaming();
  stream.finish();
  await world.advance(5000);
  server.streams = [];
  await world.advance(4000);
  expect(shown(store).trouble?.sentence).toMatch("no such conversation");
});

it("a page of the history that was asked for before a prompt is not believed after it", async () => {
  const { world, server, store, stream, id } = await streaming();
  stream.finish();
  await world.advance(5000);
  const other = server.askElsewhere(id, "theirs");
  server.holdsNext = /messages/;
  await world.advance(4000); // the other answer is seen, and the history asked for it
  store.send("mine again");
  await world.advance(0);
  server.releaseHeaders();
  await world.advance(0);
  expect(other.connections).toEqual([]);
  expect(lines(store)).toEqual([
    "> hello",
    "< complete: some",
    "> theirs",
    "< interrupted: ",
    "> mine again",
    "< thinking: ",
  ]);
});

it("what another tab's retry took the place of goes, also where its end came while it was cut", async () => {
  const { world, server, store, stream, id } = await streaming();
  stream.finish();
  await world.advance(0);
  const retry = server.askElsewhere(id, "hello", "interrupt", stream.id);
  await world.advance(4000);
  expect(lines(store)).toEqual(["> hello", "< complete: some", "> hello", "< thinking: "]);
  retry.text("new");
  await world.advance(0);
  server.holdsNext = /streams/;
  retry.cut();
  await world.advance(0);
  retry.finish();
  await world.advance(4000); // the list tells that something has moved
  server.releaseHeaders();
  await world.advance(4000);
  expect(lines(store)).toEqual(["> hello", "< complete: new"]);
});
