// Prompts that wait at the server: shown as it tells of them, whatever this page has made of them.

import { expect, it } from "vitest";
import { lines, streaming } from "./fakes/world";

/** And another tab's prompt waits, which is shown. */
async function waiting() {
  const page = await streaming();
  const next = page.server.askElsewhere(page.id, "next", "enqueue");
  await page.world.advance(4000);
  expect(lines(page.store)).toEqual(["> hello", "< streaming: some", "> next", "< queued: "]);
  return { ...page, next };
}

it("what waits elsewhere is shown with its prompt, and goes when that is stopped there", async () => {
  const { world, server, store, stream, id } = await streaming();
  const names = ["a", "b", "c", "d", "e"];
  const streams = names.map((prompt) => server.askElsewhere(id, prompt, "enqueue"));
  await world.advance(4000);
  const asked = names.flatMap((prompt) => [`> ${prompt}`, "< queued: "]);
  expect(lines(store)).toEqual(["> hello", "< streaming: some", ...asked]);
  // More of them than the page has connections to read with.
  expect(streams.at(-1)?.connections).toEqual([]);
  const messages = store.getSnapshot().conversation.messages;
  await world.advance(4000);
  expect(store.getSnapshot().conversation.messages.at(-2)).toBe(messages.at(-2));
  streams.at(-1)?.end("stopped");
  stream.finish();
  await world.advance(4000);
  const begun = ["> a", "< thinking: ", ...asked.slice(2, -2)];
  expect(lines(store)).toEqual(["> hello", "< complete: some", ...begun]);
  streams[0]?.text("first");
  await world.advance(0);
  expect(lines(store).slice(2, 4)).toEqual(["> a", "< streaming: first"]);
});

it("what waits goes on waiting where a prompt was refused that was to take over", async () => {
  const { world, server, store, next, stream } = await waiting();
  server.refusal = { status: 503, code: "overloaded" };
  store.send("over");
  await world.advance(4000);
  expect(lines(store)).toEqual([
    "> hello",
    "< streaming: some",
    "> next",
    "< queued: ",
    "> over",
    "< failed: ",
  ]);
  stream.finish();
  next.text("there");
  await world.advance(0);
  expect(lines(store).slice(2, 4)).toEqual(["> next", "< streaming: there"]);
});

it("what waits goes on waiting when the network comes back", async () => {
  const { world, server, store, next } = await waiting();
  server.isDown = true;
  for (const { connection } of next.connections) connection.fail();
  await world.advance(60_000);
  expect(lines(store).slice(2)).not.toEqual(["> next", "< queued: "]);
  server.isDown = false;
  await world.advance(8000);
  expect(lines(store).slice(2)).toEqual(["> next", "< queued: "]);
});

it("a Stop of what waits that did not get through is told as soon as the server is there", async () => {
  const { world, server, store, stream, next } = await waiting();
  stream.finish();
  next.text("some");
  await world.advance(0);
  const last = server.askElsewhere(next.sessionId, "last", "enqueue");
  await world.advance(4000);
  server.isDown = true;
  store.stop();
  await world.advance(0);
  store.stop();
  await world.advance(60_000);
  expect(last.isLive).toBe(true);
  server.isDown = false;
  await world.advance(8000);
  expect([next.cause, last.cause]).toEqual(["stopped", "stopped"]);
});

it("a prompt that waits without the page having heard so is shown once", async () => {
  const { world, server, store, stream } = await streaming();
  store.choosePolicy("enqueue");
  server.losesResponses = true;
  store.send("next");
  await world.advance(0);
  server.losesResponses = false;
  await world.advance(4000);
  expect(lines(store)).toEqual(["> hello", "< streaming: some", "> next", "< queued: "]);
  stream.finish();
  server.last().text("there");
  await world.advance(0);
  expect(lines(store)).toEqual(["> hello", "< complete: some", "> next", "< streaming: there"]);
});

it("prompts of two tabs wait in the order that the server has them in", async () => {
  const { world, server, store, id } = await streaming();
  store.choosePolicy("enqueue");
  server.askElsewhere(id, "theirs", "enqueue");
  store.send("ours");
  await world.advance(4000);
  expect(lines(store).slice(2)).toEqual(["> theirs", "< queued: ", "> ours", "< queued: "]);
});

it("a prompt whose turn has come, but which has not begun, is shown to those who did not send it", async () => {
  const { world, server, store, stream, id } = await streaming();
  stream.finish();
  await world.advance(5000);
  server.delaysBeginning = true;
  server.askElsewhere(id, "next");
  await world.advance(4000);
  expect(lines(store).slice(2)).toEqual(["> next", "< thinking: "]);
});

it("a prompt that was refused stands behind those that wait since before it", async () => {
  const { world, server, store } = await waiting();
  server.refusal = { status: 409, code: "session_busy" };
  store.choosePolicy("reject");
  store.send("refused");
  await world.advance(4000);
  const asked = ["> next", "< queued: ", "> refused", "< failed: "];
  expect(lines(store).slice(2)).toEqual(asked);
});

it("a prompt that was stopped while it waited stands behind those that wait since before it", async () => {
  const { world, server, store, id } = await waiting();
  const last = server.askElsewhere(id, "last", "enqueue");
  await world.advance(4000);
  last.end("stopped");
  await world.advance(4000);
  const asked = ["> next", "< queued: ", "> last", "< interrupted: "];
  expect(lines(store).slice(2)).toEqual(asked);
});

it("what never began stands before what another tab began the conversation anew with", async () => {
  const { world, server, store, stream, next } = await waiting();
  next.end("stopped");
  stream.end("stopped");
  await world.advance(4000);
  server.streams = [];
  server.askElsewhere(next.sessionId, "anew").text("some");
  await world.advance(4000);
  expect(lines(store)).toEqual(["> next", "< interrupted: ", "> anew", "< streaming: some"]);
});
