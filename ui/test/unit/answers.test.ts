// Asking, taking over, asking again: one conversation and one tab.

import { expect, it } from "vitest";
import { answers, lastAnswer, lines, shown, streaming, World } from "./fakes/world";

it("a prompt is sent with its session, policy and the wish to live on, and the address says where", async () => {
  const world = new World();
  const store = await world.store();
  store.chooseModel("large");
  expect(store.send("hello")).toBe(true);
  const [prompt] = world.server.prompts;
  const id = shown(store).id;
  expect(prompt?.body).toEqual({
    prompt: "hello",
    model: "large",
    stream: true,
    stream_options: { include_usage: true },
  });
  expect(prompt?.headers).toMatchObject({
    "X-Session-Id": id,
    "X-Session-Policy": "interrupt",
    "X-On-Disconnect": "continue",
  });
  expect(world.address).toBe(`#/c/${id}`);
});

it("says in which order its prompts were sent, and tells them from another page's", async () => {
  const world = new World();
  const orders: string[][] = [];
  for (const store of [await world.store(), await world.store()]) {
    const before = world.server.prompts.length;
    for (const text of ["one", "two", "three"]) store.send(text);
    const sent = world.server.prompts.slice(before);
    orders.push(sent.map((prompt) => prompt.headers["X-Prompt-Order"] ?? ""));
  }
  const [mine, theirs] = orders.map((words) => words.map((word) => word.split(".")));
  expect(mine?.map(([, number]) => Number(number))).toEqual([1, 2, 3]);
  expect(new Set(mine?.map(([page]) => page)).size).toBe(1);
  expect(mine?.[0]?.[0]).toMatch(/^[0-9A-Za-z_-]{1,64}$/);
  expect(theirs?.[0]?.[0]).not.toBe(mine?.[0]?.[0]);
});

it("an answer is sending, thinking, streaming, complete", async () => {
  const world = new World();
  const store = await world.store();
  world.server.holdsHeaders = true;
  store.send("hello");
  expect(lastAnswer(store).state).toBe("sending");
  world.server.releaseHeaders();
  await world.advance(0);
  expect(lastAnswer(store).state).toBe("thinking");
  world.server.last().reasoning("hm");
  await world.advance(0);
  expect(lastAnswer(store)).toMatchObject({ state: "thinking", reasoning: "hm" });
  world.server.last().text("4");
  await world.advance(0);
  expect(lastAnswer(store)).toMatchObject({ state: "streaming", text: "4" });
  world.server.last().finish();
  await world.advance(0);
  expect(lastAnswer(store)).toMatchObject({ state: "complete", cause: "completed", note: null });
  expect(store.getSnapshot().announcement).toBe("Answer complete.");
});

it("nothing but whitespace is not sent", async () => {
  const world = new World();
  const store = await world.store();
  expect(store.send(" \n")).toBe(false);
  expect(world.server.prompts).toEqual([]);
});

it("an answer that reached its length limit says so", async () => {
  const { world, store, stream } = await streaming();
  stream.finish("length");
  await world.advance(0);
  expect(lastAnswer(store).note).toBe("cut off at the length limit");
});

it("an answer without the stored conversation says so", async () => {
  const world = new World();
  const store = await world.store();
  world.server.missesHistory = true;
  store.send("hello");
  await world.advance(0);
  world.server.last().finish();
  await world.advance(0);
  expect(lastAnswer(store).note).toMatch("without the conversation");
});

it("tokens of one frame are one change, and of a hidden tab none, until the end", async () => {
  const { world, store, stream } = await streaming();
  world.visible = false;
  let changes = 0;
  store.subscribe(() => changes++);
  stream.text(" more");
  await world.advance(0);
  expect(changes).toBe(0);
  stream.finish();
  await world.advance(0);
  expect(changes).toBeGreaterThan(0);
  expect(lastAnswer(store)).toMatchObject({ state: "complete", text: "some more" });
});

it("tokens of one message leave all others the same objects", async () => {
  const { world, store, stream } = await streaming();
  stream.finish();
  store.send("again");
  await world.advance(0);
  const before = store.getSnapshot();
  world.server.last().text("new");
  await world.advance(0);
  const after = store.getSnapshot();
  expect(after).not.toBe(before);
  expect(after.sessions).toBe(before.sessions);
  expect(after.models).toBe(before.models);
  const [one, two] = [before.conversation.messages, after.conversation.messages];
  expect(two.map((message, index) => message === one[index])).toEqual([true, true, true, false]);
});

it("a prompt takes the answer over: what had come stays, marked, and the text is the new one's", async () => {
  const { world, store } = await streaming();
  store.send("no, this");
  await world.advance(0);
  world.server.last().text("right");
  await world.advance(0);
  expect(lines(store)).toEqual([
    "> hello",
    "< interrupted: some",
    "> no, this",
    "< streaming: right",
  ]);
  expect(answers(store)[0]).toMatchObject({
    cause: "superseded",
    note: "a newer prompt took over",
  });
  expect(world.server.cancels).toEqual([]);
});

it("taking over while the headers are on their way shows nothing of the first", async () => {
  const world = new World();
  const store = await world.store();
  world.server.holdsHeaders = true;
  store.send("one");
  await world.advance(0);
  store.send("two");
  world.server.releaseHeaders();
  await world.advance(0);
  world.server.last().text("2");
  await world.advance(0);
  expect(lines(store)).toEqual(["> one", "< interrupted: ", "> two", "< streaming: 2"]);
  expect(store.getSnapshot().sessionsTrouble).toBe(null);
});

it("rollback takes the turn that it ends out", async () => {
  const { world, store } = await streaming();
  store.choosePolicy("rollback");
  store.send("forget it");
  await world.advance(0);
  expect(lines(store)).toEqual(["> forget it", "< thinking: "]);
});

it("reject leaves the answer alone, and says why the prompt was refused", async () => {
  const { world, store, stream } = await streaming();
  store.choosePolicy("reject");
  store.send("me too");
  await world.advance(0);
  stream.text(" more");
  await world.advance(0);
  expect(answers(store)[0]).toMatchObject({ state: "streaming", text: "some more" });
  expect(lastAnswer(store)).toMatchObject({ state: "failed" });
  expect(lastAnswer(store).trouble?.sentence).toMatch("another answer");
});

it("enqueue waits its turn, three at most", async () => {
  const { world, store, stream } = await streaming();
  store.choosePolicy("enqueue");
  expect(["a", "b", "c", "d"].map((text) => store.send(text))).toEqual([true, true, true, false]);
  expect(shown(store).trouble?.sentence).toMatch("3 prompts wait already");
  expect(store.getSnapshot().announcement).toMatch("3 prompts wait already");
  await world.advance(0);
  expect(answers(store).map((answer) => answer.state)).toEqual([
    "streaming",
    "queued",
    "queued",
    "queued",
  ]);
  stream.finish();
  await world.advance(0);
  expect(answers(store)[1]?.state).toBe("thinking");
  expect(shown(store).trouble).toBeNull();
  expect(store.send("d")).toBe(true);
});

it("a fifth stream is refused with a sentence, and taking over is not", async () => {
  const world = new World();
  const store = await world.store();
  for (const prompt of ["1", "2", "3", "4"]) {
    store.openNew();
    expect(store.send(prompt)).toBe(true);
    await world.advance(0);
  }
  expect(store.send("4 again")).toBe(true);
  store.openNew();
  expect(store.send("5")).toBe(false);
  expect(shown(store).trouble).toMatchObject({ canRetry: false });
});

it("retry asks the same in the place of the turn, and names what it replaces", async () => {
  const { world, server, store, stream } = await streaming();
  stream.fail("upstream_eof", "upstream_eof");
  await world.advance(0);
  expect(lastAnswer(store)).toMatchObject({ state: "failed", cause: "upstream_eof" });
  expect(lastAnswer(store).trouble?.canRetry).toBe(true);
  store.retry(lastAnswer(store).key);
  await world.advance(0);
  expect(server.prompts.at(-1)?.body).toMatchObject({ prompt: "hello", replaces: stream.id });
  server.last().text("better");
  server.last().finish();
  await world.advance(0);
  expect(lines(store)).toEqual(["> hello", "< complete: better"]);
});

it("edit asks another prompt in the place of the turn: it and all after it go", async () => {
  const { world, server, store, stream } = await streaming();
  stream.finish();
  await world.advance(0);
  store.send("second");
  await world.advance(0);
  const first = shown(store).messages[0]?.key ?? "";
  store.edit(first, "hello, you");
  await world.advance(0);
  expect(server.prompts.at(-1)?.body).toMatchObject({ prompt: "hello, you", replaces: stream.id });
  expect(lines(store)).toEqual(["> hello, you", "< thinking: "]);
});

it("what an edit takes the place of comes back when the edit is refused, and its retry names it still", async () => {
  const { world, server, store, stream } = await streaming();
  stream.finish();
  await world.advance(0);
  server.refusal = { status: 503, code: "overloaded", headers: { "Retry-After": "2" } };
  store.edit(shown(store).messages[0]?.key ?? "", "other");
  await world.advance(0);
  expect(lines(store)).toEqual(["> hello", "< complete: some", "> other", "< failed: "]);
  expect(lastAnswer(store).trouble?.sentence).toMatch("Try again in 2 seconds.");
  store.retry(lastAnswer(store).key);
  await world.advance(0);
  expect(server.prompts.at(-1)?.body).toMatchObject({ prompt: "other", replaces: stream.id });
  expect(lines(store)).toEqual(["> other", "< thinking: "]);
});

it("an answer that a refused prompt wanted to take over is followed again", async () => {
  const { world, server, store, stream } = await streaming();
  server.refusal = { status: 503, code: "server_shutdown" };
  store.send("no, this");
  await world.advance(0);
  stream.text(" more");
  await world.advance(0);
  expect(lines(store)).toEqual(["> hello", "< streaming: some more", "> no, this", "< failed: "]);
});

it("a prompt that did not get there is not sent again by itself, and can be retried", async () => {
  const world = new World();
  const store = await world.store();
  world.server.isDown = true;
  store.send("hello");
  await world.advance(60_000);
  expect(world.server.prompts).toHaveLength(1);
  expect(lastAnswer(store)).toMatchObject({ state: "failed", trouble: { canRetry: true } });
  world.server.isDown = false;
  store.retry(lastAnswer(store).key);
  await world.advance(0);
  expect(lines(store)).toEqual(["> hello", "< thinking: "]);
});

it("a prompt whose response was lost is found again in the history", async () => {
  const world = new World();
  const store = await world.store();
  world.server.losesResponses = true;
  store.send("hello");
  await world.advance(0);
  world.server.losesResponses = false;
  await world.advance(4000);
  world.server.last().text("here");
  await world.advance(0);
  expect(lines(store)).toEqual(["> hello", "< streaming: here"]);
});

it("what an edit takes the place of does not come back while the edit has not begun", async () => {
  const { world, server, store, stream } = await streaming();
  stream.finish();
  await world.advance(0);
  server.delaysBeginning = true;
  store.edit(shown(store).messages[0]?.key ?? "", "other");
  await world.advance(0);
  const { id } = shown(store);
  store.openNew();
  store.open(id); // which reads the history again
  await world.advance(0);
  expect(lines(store)).toEqual(["> other", "< thinking: "]);
  server.last().begin();
  server.last().text("new");
  await world.advance(0);
  expect(lines(store)).toEqual(["> other", "< streaming: new"]);
});

it("a prompt that waits is not shown twice, though the list names it before its headers come", async () => {
  const { world, server, store } = await streaming();
  store.choosePolicy("enqueue");
  server.holdsHeaders = true;
  store.send("next");
  await world.advance(4000);
  expect(lines(store)).toEqual(["> hello", "< streaming: some", "> next", "< sending: "]);
  server.releaseHeaders();
  await world.advance(0);
  expect(lines(store)).toEqual(["> hello", "< streaming: some", "> next", "< queued: "]);
});

it("a prompt whose answer's headers do not come says why that may be, until they do", async () => {
  const world = new World();
  const store = await world.store();
  world.server.holdsHeaders = true;
  store.send("hello");
  await world.advance(4000);
  expect(lastAnswer(store).note).toBe(null);
  await world.advance(1000);
  expect(lastAnswer(store)).toMatchObject({ state: "sending" });
  expect(lastAnswer(store).note).toMatch("in other tabs");
  world.server.releaseHeaders();
  await world.advance(0);
  expect(lastAnswer(store)).toMatchObject({ state: "thinking", note: null });
});

it("half a character is sent, and shown, as the server would keep it", async () => {
  const world = new World();
  const store = await world.store();
  store.send("hello \ud83d");
  store.rename(shown(store).id, "\udc00 title");
  await world.advance(0);
  expect(world.server.prompts[0]?.body.prompt).toBe("hello \ufffd");
  expect(lines(store)[0]).toBe("> hello \ufffd");
  expect(shown(store).title).toBe("\ufffd title");
  store.edit(`${answers(store)[0]?.key}-prompt`, "again \ud83d");
  await world.advance(0);
  expect(world.server.prompts[1]?.body.prompt).toBe("again \ufffd");
});

it("what exactly had failed is not forgotten over the history", async () => {
  const { world, store, stream } = await streaming();
  stream.fail("model_not_found", "upstream_error");
  await world.advance(8000);
  expect(lastAnswer(store).trouble).toEqual({
    sentence: "The server has no such model. Choose another one.",
    canRetry: false,
  });
});

it("asking again in a conversation that was deleted elsewhere begins it anew, without complaint", async () => {
  const { world, store, stream } = await streaming();
  stream.finish();
  await world.advance(0);
  world.server.streams = [];
  await world.advance(4000);
  expect(shown(store).trouble?.sentence).toMatch("no longer");
  store.retry(lastAnswer(store).key);
  await world.advance(0);
  expect(lastAnswer(store).state).toBe("thinking");
  expect(shown(store).trouble).toBe(null);
});
