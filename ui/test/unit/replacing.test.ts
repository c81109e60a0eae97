// Retry and edit: what a prompt takes the place of, on the page and at the server.

import { expect, it } from "vitest";
import { lastAnswer, lines, shown, streaming, World } from "./fakes/world";

/** A page with one answer, "some", to "hello". */
async function answered() {
  const page = await streaming();
  page.stream.finish();
  await page.world.advance(0);
  return page;
}

/** It, and a retry that failed without a word. */
async function failedAgain() {
  const page = await answered();
  page.store.retry(lastAnswer(page.store).key);
  await page.world.advance(0);
  page.server.last().fail("upstream_error", "upstream_error");
  await page.world.advance(0);
  return page;
}

it("retry of a prompt that never got there leaves every other turn where it is", async () => {
  const world = new World();
  const store = await world.store();
  world.server.refusal = { status: 503, code: "overloaded" };
  store.send("one");
  await world.advance(0);
  store.send("two");
  await world.advance(0);
  world.server.last().text("2");
  world.server.last().finish();
  await world.advance(0);
  world.server.refusal = { status: 503, code: "overloaded" };
  store.send("three");
  await world.advance(0);
  store.retry(lastAnswer(store).key);
  await world.advance(0);
  expect(lines(store)).toEqual([
    "> one",
    "< failed: ",
    "> two",
    "< complete: 2",
    "> three",
    "< thinking: ",
  ]);
});

it("what a retry is to replace stays away until the first piece of the answer", async () => {
  const { world, server, store } = await answered();
  store.retry(lastAnswer(store).key);
  await world.advance(0);
  const { id } = shown(store);
  store.openNew();
  store.open(id); // which reads the history again
  await world.advance(0);
  expect(lines(store)).toEqual(["> hello", "< thinking: "]);
  server.last().text("new");
  await world.advance(0);
  expect(lines(store)).toEqual(["> hello", "< streaming: new"]);
});

it("a retry that failed without a word brings back what it was to replace, and the next replaces both", async () => {
  const { world, server, store } = await failedAgain();
  expect(lines(store)).toEqual(["> hello", "< complete: some", "> hello", "< failed: "]);
  store.retry(lastAnswer(store).key);
  await world.advance(0);
  expect(lines(store)).toEqual(["> hello", "< thinking: "]);
  server.last().text("new");
  await world.advance(0);
  expect(lines(store)).toEqual(["> hello", "< streaming: new"]);
});

it("so it does after a reload", async () => {
  const { world, store } = await failedAgain();
  store.close();
  const again = await world.store();
  await world.advance(0);
  again.retry(lastAnswer(again).key);
  await world.advance(0);
  expect(lines(again)).toEqual(["> hello", "< thinking: "]);
});

it("a retry of an edit that was stopped before it began replaces what the edit was to replace", async () => {
  const { world, server, store, stream } = await answered();
  server.delaysBeginning = true;
  store.edit(shown(store).messages[0]?.key ?? "", "other");
  await world.advance(0);
  store.stop();
  await world.advance(0);
  store.retry(lastAnswer(store).key);
  await world.advance(0);
  expect(server.prompts.at(-1)?.body).toMatchObject({ prompt: "other", replaces: stream.id });
});

it("nothing is asked again in a conversation that was left while that waited", async () => {
  const { world, server, store } = await streaming();
  server.holdsHeaders = true;
  store.send("next");
  await world.advance(0);
  store.retry(lastAnswer(store).key); // it waits for the name
  store.signOut();
  server.releaseHeaders();
  await world.advance(6000);
  expect(server.prompts).toHaveLength(2);
});

it("what came behind a retry is shown, also while that is not read to its end", async () => {
  const { world, server, store } = await answered();
  store.retry(lastAnswer(store).key);
  await world.advance(0);
  const retry = server.last();
  retry.text("new");
  await world.advance(0);
  server.holdsNext = /streams/;
  retry.cut();
  await world.advance(0);
  retry.finish();
  server.askElsewhere(shown(store).id, "and?");
  await world.advance(4000);
  const all = ["> hello", "< reattaching: new", "> and?", "< thinking: "];
  expect(lines(store)).toEqual(all);
});
