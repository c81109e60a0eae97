// Which conversations the page holds, and what becomes of those that it lets go.

import { expect, it } from "vitest";
import { streaming, World } from "./fakes/world";

it("a conversation that was left before its history came is not followed when it comes", async () => {
  const world = new World();
  const store = await world.store();
  const stream = world.server.askElsewhere("a", "hello");
  world.server.holdsNext = /a\/messages/;
  store.open("a");
  await world.advance(0);
  store.openNew();
  store.send("something else");
  await world.advance(0);
  world.server.releaseHeaders();
  await world.advance(0);
  expect(stream.connections).toHaveLength(0);
  store.open("a");
  await world.advance(0);
  expect(stream.connections).toHaveLength(1);
});

it("who signs out while a history is on its way follows nothing any more", async () => {
  const { world, server, store, stream } = await streaming();
  server.holdsNext = /messages/;
  stream.cut();
  await world.advance(0);
  server.askElsewhere(stream.sessionId, "another tab's");
  await world.advance(4000);
  store.signOut();
  server.releaseHeaders();
  await world.advance(0);
  expect(server.last().connections).toHaveLength(0);
});

it("older messages that could not be read are, and nothing is said of it any more", async () => {
  const world = new World();
  world.server.pageSize = 2;
  for (const prompt of ["one", "two"]) world.server.askElsewhere("a", prompt).finish();
  const store = await world.store();
  store.open("a");
  await world.advance(0);
  world.server.isDown = true;
  store.loadOlder();
  await world.advance(0);
  expect(store.getSnapshot().conversation.trouble).not.toBeNull();
  world.server.isDown = false;
  store.loadOlder();
  await world.advance(0);
  expect(store.getSnapshot().conversation.messages).toHaveLength(4);
  expect(store.getSnapshot().conversation.trouble).toBeNull();
});

it("a new chat is one, also while a conversation is being loaded", async () => {
  const world = new World();
  const store = await world.store();
  const stream = world.server.askElsewhere("a", "hello");
  world.server.holdsNext = /a\/messages/;
  store.open("a");
  await world.advance(0);
  store.openNew();
  store.send("something else");
  await world.advance(0);
  expect(stream.cause).toBeNull();
  expect(world.server.last().sessionId).not.toBe("a");
});

it("a retry is asked, also where another conversation is opened before it can be", async () => {
  const world = new World();
  const store = await world.store();
  world.server.refusal = { status: 503, code: "overloaded" };
  store.send("hello");
  await world.advance(0);
  world.server.holdsNext = /sessions\//;
  store.retry(store.getSnapshot().conversation.messages.at(-1)?.key ?? "");
  store.openNew();
  await world.advance(0);
  world.server.releaseHeaders();
  await world.advance(0);
  expect(world.server.prompts).toHaveLength(2);
});

it("a conversation that could not be deleted is there again, and its answer read on", async () => {
  const { world, server, store, stream } = await streaming();
  const { id } = store.getSnapshot().conversation;
  server.isDown = true;
  store.remove(id);
  await world.advance(0);
  server.isDown = false;
  store.open(id);
  await world.advance(0);
  stream.text(" more");
  await world.advance(0);
  expect(store.getSnapshot().conversation.messages.at(-1)).toMatchObject({ text: "some more" });
});
