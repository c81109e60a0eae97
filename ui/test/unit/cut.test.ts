// The network breaks, the server goes, the page is loaded again: an answer is read on, or what became
// of it is said.

import { expect, it } from "vitest";
import { ChatStore } from "../../src/lib/chatStore";
import { answers, lastAnswer, lines, shown, streaming, World } from "./fakes/world";

/** The page is closed, and loaded again at its address. */
async function reload(world: World, store: ChatStore): Promise<ChatStore> {
  store.close();
  const again = new ChatStore(world);
  again.start();
  await world.advance(0);
  return again;
}

it("a cut answer is read on at once, from behind the events that it had", async () => {
  const { world, server, store, stream } = await streaming();
  stream.cut();
  await world.advance(0);
  expect(server.requests.at(-1)?.path).toBe(`/v1/streams/${stream.id}?after=2`);
  stream.text(" more");
  stream.finish();
  await world.advance(0);
  expect(lastAnswer(store)).toMatchObject({ state: "complete", text: "some more", note: null });
});

it("a clean end without [DONE] is a cut", async () => {
  const { world, store, stream } = await streaming();
  stream.endCleanly();
  await world.advance(0);
  stream.text(" more");
  stream.finish();
  await world.advance(0);
  expect(lastAnswer(store)).toMatchObject({ state: "complete", text: "some more" });
});

it("[DONE] is the end, whatever stays open", async () => {
  const { world, store, stream } = await streaming();
  stream.connection.write("data: [DONE]\n\n");
  await world.advance(0);
  expect(lastAnswer(store)).toMatchObject({ state: "complete", text: "some" });
  expect(stream.connection.isOpen).toBe(false);
});

it("a cut while it thinks loses nothing of the reasoning, and nothing comes twice", async () => {
  const world = new World();
  const store = await world.store();
  store.send("hello");
  await world.advance(0);
  const stream = world.server.last();
  stream.reasoning("let me ");
  await world.advance(0);
  stream.cut();
  stream.reasoning("think");
  await world.advance(0);
  expect(lastAnswer(store)).toMatchObject({ state: "thinking", reasoning: "let me think" });
});

it("while the network is away the answer is reattaching, and online brings it back at once", async () => {
  const { world, server, store, stream } = await streaming();
  server.isDown = true;
  stream.cut();
  await world.advance(5000);
  expect(lastAnswer(store)).toMatchObject({ state: "reattaching", text: "some" });
  expect(shown(store).isLive).toBe(true);
  server.isDown = false;
  await world.online();
  expect(lastAnswer(store).state).toBe("streaming");
});

it("reading on is given up after half a minute, and taken up when the server is seen again", async () => {
  const { world, server, store, stream } = await streaming();
  server.isDown = true;
  stream.cut();
  await world.advance(28_000);
  expect(lastAnswer(store)).toMatchObject({ state: "interrupted", text: "some", cause: null });
  expect(lastAnswer(store).trouble?.sentence).toMatch("cannot be read on");
  expect(server.requests.filter(({ path }) => path.startsWith("/v1/streams/"))).toHaveLength(9);
  server.isDown = false;
  stream.text(" more");
  await world.advance(4000);
  expect(lastAnswer(store)).toMatchObject({ state: "streaming", text: "some more", trouble: null });
});

it("an answer that is cut again and again is read to its end", async () => {
  const { world, store, stream } = await streaming();
  for (let n = 0; n < 20; n++) {
    stream.cut();
    stream.text(` ${n}`);
    await world.advance(0);
  }
  stream.finish();
  await world.advance(0);
  expect(lastAnswer(store).state).toBe("complete");
  expect(lastAnswer(store).text).toBe(`some${Array.from(Array(20), (_, n) => ` ${n}`).join("")}`);
});

it("a connection that is silent, also without pings, counts as cut; one with pings does not", async () => {
  const { world, server, store, stream } = await streaming();
  for (let n = 0; n < 6; n++) {
    await world.advance(10_000);
    stream.connection.write(": ping\n\n");
  }
  expect(stream.connections).toHaveLength(1);
  await world.advance(45_000);
  expect(stream.connections).toHaveLength(2);
  stream.text(" more");
  await world.advance(0);
  expect(lastAnswer(store).text).toBe("some more");
  expect(server.prompts).toHaveLength(1);
});

it("an error in the stream ends it, also where the end itself is cut off", async () => {
  const { world, server, store, stream } = await streaming();
  stream.connection.send('{"error":{"message":"(said)","code":"upstream_error"}}', null);
  stream.cause = "upstream_error";
  stream.endCleanly();
  await world.advance(0);
  expect(lastAnswer(store)).toMatchObject({ state: "failed", cause: "upstream_error" });
  expect(lastAnswer(store).trouble?.sentence).toBe("The model server failed: (said)");
  expect(server.requests.some(({ path }) => path.startsWith("/v1/streams/"))).toBe(false);
});

it("a server that shuts down says so, and what had come stays", async () => {
  const { world, store, stream } = await streaming();
  stream.end("shutdown");
  await world.advance(0);
  expect(lastAnswer(store)).toMatchObject({
    state: "interrupted",
    cause: "shutdown",
    text: "some",
    note: "the server was shut down",
  });
});

it("an answer whose grace is over is shown as it was kept", async () => {
  const { world, server, store, stream } = await streaming();
  server.isDown = true;
  stream.cut();
  stream.text(" and a bit");
  stream.end("client_disconnect");
  stream.isGone = true;
  await world.advance(3000);
  server.isDown = false;
  await world.advance(4000);
  expect(lastAnswer(store)).toMatchObject({
    state: "interrupted",
    text: "some and a bit",
    note: "ended, as nobody was reading it",
    trouble: null,
  });
  expect(store.getSnapshot().announcement).toBe("Answer interrupted.");
});

it("an answer of a killed server keeps the text that only this page has, and says so", async () => {
  const { world, server, store } = await streaming();
  server.restart();
  await world.advance(0);
  expect(lastAnswer(store)).toMatchObject({
    state: "interrupted",
    cause: null,
    text: "some",
    note: "the server went down before the answer had ended; this text is only on this page",
    trouble: null,
  });
  const again = await reload(world, store);
  expect(lastAnswer(again)).toMatchObject({
    text: "",
    note: "the server went down before the answer had ended",
  });
});

it("a server that has forgotten the conversation is said to have, and what is shown stays", async () => {
  const { world, server, store, stream } = await streaming();
  server.streams = [];
  stream.cut();
  await world.advance(0);
  expect(lines(store)).toEqual(["> hello", "< interrupted: some"]);
  expect(shown(store).trouble?.sentence).toBe(
    "There is no such conversation on the server, or no longer.",
  );
  store.send("anew");
  await world.advance(0);
  expect(shown(store).trouble).toBe(null);
});

it("an answer whose beginning is not held any more is said to go on, and shown when it has ended", async () => {
  const { world, store, stream } = await streaming();
  stream.isGone = true;
  stream.cut();
  await world.advance(0);
  expect(lastAnswer(store).note).toMatch("its beginning is no longer held");
  expect(store.getSnapshot().announcement).toBe("Answering.");
  expect(shown(store).isLive).toBe(true);
  stream.text(" and the rest");
  stream.finish();
  await world.advance(4000);
  expect(lastAnswer(store)).toMatchObject({ state: "complete", text: "some and the rest" });
});

it("a reload while it streams shows the prompt, and the answer from its beginning on", async () => {
  const { world, store, stream } = await streaming();
  const again = await reload(world, store);
  stream.text(" more");
  await world.advance(0);
  expect(lines(again)).toEqual(["> hello", "< streaming: some more"]);
  stream.finish();
  await world.advance(0);
  expect(lastAnswer(again)).toMatchObject({ state: "complete", text: "some more" });
});

it("a reload while it thinks follows it", async () => {
  const world = new World();
  const store = await world.store();
  store.send("hello");
  await world.advance(0);
  const again = await reload(world, store);
  expect(lines(again)).toEqual(["> hello", "< thinking: "]);
});

it("a reload before the headers follows what the server has begun", async () => {
  const world = new World();
  const store = await world.store();
  world.server.holdsHeaders = true;
  store.send("hello");
  await world.advance(0);
  const again = await reload(world, store);
  world.server.last().text("some");
  await world.advance(0);
  expect(lines(again)).toEqual(["> hello", "< streaming: some"]);
});

it("a reload while prompts wait shows their prompts, and follows those too", async () => {
  const { world, server, store, stream } = await streaming();
  store.choosePolicy("enqueue");
  store.send("next");
  await world.advance(0);
  const again = await reload(world, store);
  expect(lines(again)).toEqual(["> hello", "< streaming: some", "> next", "< queued: "]);
  stream.finish();
  server.last().text("second");
  await world.advance(0);
  expect(lines(again)).toEqual(["> hello", "< complete: some", "> next", "< streaming: second"]);
});

it("a reload while it is stopping shows that it was stopped", async () => {
  const { world, store } = await streaming();
  store.stop();
  await world.advance(0);
  const again = await reload(world, store);
  expect(lastAnswer(again)).toMatchObject({ state: "interrupted", note: "stopped" });
});

it("a page that is closed reads nothing any more, and stops nothing", async () => {
  const { world, server, store, stream } = await streaming();
  store.close();
  await world.advance(60_000);
  expect(stream.connection.isOpen).toBe(false);
  expect(server.cancels).toEqual([]);
  expect(stream.isLive).toBe(true);
});

it("an answer goes on while another conversation is open", async () => {
  const { world, store, stream } = await streaming();
  const { id } = shown(store);
  store.openNew();
  stream.text(" more");
  await world.advance(0);
  expect(answers(store)).toEqual([]);
  expect(store.getSnapshot().announcement).toBe("");
  store.open(id);
  await world.advance(0);
  expect(lines(store)).toEqual(["> hello", "< streaming: some more"]);
  expect(stream.connections).toHaveLength(1);
});
