// The list of conversations: read, searched, paged, renamed, deleted.

import { expect, it } from "vitest";
import type { ChatStore } from "../../src/lib/chatStore";
import { serverWith } from "./fakes/server";
import { lines, shown, World } from "./fakes/world";

const titles = (store: ChatStore) => store.getSnapshot().sessions.map((item) => item.title);
const polls = (world: World) =>
  world.server.requests.filter(({ path }) => path.startsWith("/v1/sessions?")).length;

it("the list shows the last updated first, and which of them are answering", async () => {
  const world = new World(serverWith("a", "b"));
  world.server.askElsewhere("a", "more");
  const store = await world.store();
  const { sessions } = store.getSnapshot();
  expect(sessions.map(({ id, isLive }) => [id, isLive])).toEqual([
    ["a", true],
    ["b", false],
  ]);
});

it("the list is read every four seconds, while somebody can see it", async () => {
  const world = new World();
  const store = await world.store();
  expect(polls(world)).toBe(1);
  await world.advance(8000);
  expect(polls(world)).toBe(3);
  await world.setVisible(false);
  await world.advance(60_000);
  expect(polls(world)).toBe(3);
  await world.setVisible(true);
  expect(polls(world)).toBe(4);
  store.close();
  await world.advance(60_000);
  expect(polls(world)).toBe(4);
});

it("a list that has not changed is the same object, and nobody is told", async () => {
  const world = new World(serverWith("a", "b"));
  const store = await world.store();
  await world.advance(4000);
  const before = store.getSnapshot();
  let changes = 0;
  store.subscribe(() => changes++);
  await world.advance(4000);
  expect(store.getSnapshot()).toBe(before);
  expect(changes).toBe(0);
});

it("a search is asked when typing has paused, and an older one's answer is not shown", async () => {
  const world = new World(serverWith("ant", "bee"));
  const store = await world.store();
  const before = polls(world);
  for (const search of ["b", "be", "bee"]) {
    store.find(search);
    await world.advance(100);
  }
  expect(polls(world)).toBe(before);
  await world.advance(250);
  expect(polls(world)).toBe(before + 1);
  expect(titles(store)).toEqual(["about bee"]);
  expect(store.getSnapshot().search).toBe("bee");

  world.server.holdsNext = /search=ant/;
  store.find("ant");
  await world.advance(250);
  store.find("bee");
  await world.advance(250);
  world.server.releaseHeaders();
  await world.advance(0);
  expect(titles(store)).toEqual(["about bee"]);
});

it("the list is read page by page, and a poll keeps the pages", async () => {
  const world = new World(serverWith("a", "b", "c", "d", "e"));
  world.server.pageSize = 2;
  const store = await world.store();
  expect(titles(store)).toEqual(["about e", "about d"]);
  expect(store.getSnapshot().hasMoreSessions).toBe(true);
  for (let n = 0; n < 2; n++) {
    store.loadMoreSessions();
    await world.advance(0);
  }
  expect(titles(store)).toEqual(["about e", "about d", "about c", "about b", "about a"]);
  expect(store.getSnapshot().hasMoreSessions).toBe(false);
  await world.advance(4000);
  expect(titles(store)).toHaveLength(5);
  expect(store.getSnapshot().hasMoreSessions).toBe(false);
});

it("more of the list is shown, also where a poll came in between", async () => {
  const world = new World(serverWith("a", "b", "c"));
  world.server.pageSize = 2;
  const store = await world.store();
  world.server.holdsNext = /cursor/;
  store.loadMoreSessions();
  await world.advance(4000);
  world.server.releaseHeaders();
  await world.advance(0);
  expect(titles(store)).toEqual(["about c", "about b", "about a"]);
});

it("what a search finds takes the list's place, however much of that was there", async () => {
  const world = new World(serverWith("blue", "red1", "red2", "red3"));
  world.server.pageSize = 2;
  const store = await world.store();
  store.loadMoreSessions();
  await world.advance(0);
  expect(titles(store)).toHaveLength(4);
  store.find("red");
  store.loadMoreSessions(); // of what is not there yet
  await world.advance(250);
  expect(titles(store)).toEqual(["about red3", "about red2"]);
  store.loadMoreSessions();
  await world.advance(0);
  expect(titles(store)).toEqual(["about red3", "about red2", "about red1"]);
});

it("a new name shows at once, in the list and above the conversation", async () => {
  const world = new World(serverWith("a"));
  const store = await world.store();
  store.open("a");
  await world.advance(0);
  store.rename("a", " mine ");
  expect(titles(store)).toEqual(["mine"]);
  expect(shown(store).title).toBe("mine");
  await world.advance(0);
  expect(world.server.requests.find(({ method }) => method === "PATCH")?.body).toEqual({
    title: "mine",
  });
});

it("a name that the server does not take is said, and the old one is back", async () => {
  const world = new World(serverWith("a"));
  const store = await world.store();
  world.server.isDown = true;
  store.rename("a", "mine");
  await world.advance(0);
  expect(store.getSnapshot().sessionsTrouble?.sentence).toMatch("cannot be reached");
  world.server.isDown = false;
  await world.advance(4000);
  expect(titles(store)).toEqual(["about a"]);
});

it("deleting stops what is live first, and opens a new chat", async () => {
  const world = new World();
  const store = await world.store();
  store.send("hello");
  await world.advance(300);
  const stream = world.server.last();
  store.remove(shown(store).id);
  expect(titles(store)).toEqual([]);
  expect(lines(store)).toEqual([]);
  expect(world.address).toBe("#/");
  await world.advance(0);
  expect(stream.connection.isOpen).toBe(false);
  expect(stream.cause).toBe("stopped");
  expect(world.server.streams).toEqual([]);
});

it("deleting while headers are on their way waits for them, or the prompt would come after it", async () => {
  const world = new World();
  const store = await world.store();
  world.server.holdsHeaders = true;
  store.send("hello");
  store.remove(shown(store).id);
  await world.advance(0);
  const deletes = () => world.server.requests.filter(({ method }) => method === "DELETE").length;
  expect(deletes()).toBe(0);
  world.server.releaseHeaders();
  await world.advance(0);
  expect(deletes()).toBe(1);
  expect(world.server.streams).toEqual([]);
});

it("a change that the server refuses is said until the next one, whatever is read meanwhile", async () => {
  const world = new World(serverWith("a"));
  const store = await world.store();
  const trouble = () => store.getSnapshot().sessionsTrouble?.sentence;
  world.server.refusesChanges = { status: 503, code: "history_unavailable" };
  store.remove("a");
  await world.advance(8000);
  expect(titles(store)).toEqual(["about a"]);
  expect(trouble()).toMatch("cannot be reached now");
  world.server.refusesChanges = null;
  store.rename("a", "mine");
  await world.advance(0);
  expect(trouble()).toBe(undefined);
});

it("a server that does not answer is not said to be away", async () => {
  const world = new World(serverWith("a"));
  const store = await world.store();
  world.server.holdsNext = /sessions\?/;
  await world.advance(20_000);
  expect(store.getSnapshot().sessionsTrouble?.sentence).toMatch("does not answer");
});
