// The list of conversations, the key, the address, the models: what is round one conversation.

import { expect, it } from "vitest";
import { ChatStore } from "../../src/lib/chatStore";
import { browser } from "../../src/lib/environment";
import { readRoute } from "../../src/lib/route";
import { FakeServer } from "./fakes/server";
import { lastAnswer, lines, shown, World } from "./fakes/world";

/** A server with complete conversations of these names. */
function serverWith(...ids: string[]): FakeServer {
  const server = new FakeServer();
  for (const id of ids) {
    const stream = server.askElsewhere(id, `about ${id}`);
    stream.text(`it is ${id}`);
    stream.finish();
  }
  return server;
}

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

it("a conversation that is opened shows its newest messages, and older ones when asked", async () => {
  const world = new World();
  for (let n = 1; n <= 5; n++) world.server.askElsewhere("s", `${n}`).finish();
  world.server.pageSize = 5; // messages: it cuts through a turn
  const store = await world.store();
  store.open("s");
  expect(shown(store).isLoading).toBe(true);
  await world.advance(0);
  expect(shown(store)).toMatchObject({ isLoading: false, hasOlder: true });
  expect(lines(store)[0]).toBe("< complete: ");
  expect(lines(store)).toHaveLength(5);
  const newest = shown(store).messages.slice(1);
  store.loadOlder();
  await world.advance(0);
  expect(shown(store).hasOlder).toBe(false);
  expect(lines(store).filter((line) => line.startsWith(">"))).toEqual(
    [1, 2, 3, 4, 5].map((n) => `> ${n}`),
  );
  const now = shown(store).messages.slice(-4);
  expect(newest.every((message, index) => message === now[index])).toBe(true);
});

it("older messages stay when the newest are read again, and the border may go through a turn", async () => {
  const world = new World();
  for (let n = 1; n <= 5; n++) world.server.askElsewhere("s", `${n}`).finish();
  world.server.pageSize = 5;
  const store = await world.store();
  store.open("s");
  await world.advance(0);
  store.loadOlder();
  await world.advance(0);
  const before = lines(store);
  world.server.askElsewhere("s", "6").finish();
  await world.advance(4000);
  expect(lines(store)).toEqual([...before, "> 6", "< complete: "]);
  expect(shown(store).hasOlder).toBe(false);
});

it("a conversation that is not there is said to be not there", async () => {
  const world = new World();
  world.address = "#/c/nothing";
  const store = await world.store();
  expect(shown(store)).toMatchObject({ id: "nothing", isLoading: false });
  expect(shown(store).trouble).toEqual({
    sentence: "There is no such conversation on the server, or no longer.",
    canRetry: false,
  });
});

it("the address and the conversation go together, back and forth", async () => {
  const world = new World(serverWith("a", "b"));
  const store = await world.store();
  store.open("a");
  store.open("b");
  await world.advance(0);
  expect(world.address).toBe("#/c/b");
  world.setHash("#/c/a", false);
  await world.advance(0);
  expect(lines(store)).toEqual(["> about a", "< complete: it is a"]);
  world.setHash("#/ops", false);
  expect(shown(store).id).toBe("a");
  world.setHash("#/", false);
  expect(shown(store).messages).toEqual([]);
});

it("addresses that mean nothing are a new chat", () => {
  expect(readRoute("")).toEqual({ view: "new" });
  expect(readRoute("#/c/a.b-c:d_9")).toEqual({ view: "conversation", sessionId: "a.b-c:d_9" });
  for (const hash of ["#/c/", "#/c/a/b", "#/c/a b", "#/c/%2e%2e", `#/c/${"x".repeat(129)}`]) {
    expect(readRoute(hash)).toEqual({ view: "new" });
  }
});

it("with the key of the server's own machine nothing is asked, and the models are there", async () => {
  const world = new World();
  const store = await world.store();
  expect(store.getSnapshot()).toMatchObject({
    signIn: { state: "in" },
    models: ["small", "large"],
    model: null,
    policy: "interrupt",
  });
  expect(world.key).toBe(null);
});

it("another server asks for its key once, says when it is wrong, and keeps the right one", async () => {
  const world = new World();
  world.server.key = "geheim-\u00c3\u00bc"; // what "geheim-ü" is in bytes
  const store = await world.store();
  expect(store.getSnapshot().signIn).toEqual({ state: "needed", sentence: null });
  expect(store.send("hello")).toBe(false);
  store.signInWith("wrong");
  await world.advance(0);
  expect(store.getSnapshot().signIn).toEqual({
    state: "needed",
    sentence: "This key does not open the server.",
  });
  expect(world.key).toBe(null);
  store.signInWith(" geheim-ü ");
  await world.advance(0);
  expect(store.getSnapshot().signIn).toEqual({ state: "in", canSignOut: true });
  expect(world.key).toBe("geheim-ü");
  store.signOut();
  expect(world.key).toBe(null);
  expect(store.getSnapshot()).toMatchObject({ signIn: { state: "needed" }, sessions: [] });
});

it("a key goes to our own paths only, and only in its header", async () => {
  const world = new World();
  const store = await world.store();
  store.send("hello");
  await world.advance(0);
  for (const { path, body, headers } of world.server.requests) {
    expect(path).toMatch(/^\/v1\//);
    expect(headers.Authorization).toBe("Bearer devkey");
    expect(JSON.stringify([path, body])).not.toContain("devkey");
  }
});

it("a key that stops being one in the middle is asked for again", async () => {
  const world = new World();
  const store = await world.store();
  world.server.key = "changed";
  store.send("hello");
  await world.advance(0);
  expect(store.getSnapshot().signIn.state).toBe("needed");
  expect(lines(store)).toEqual([]);
});

it("a server that is away is said to be, and found again", async () => {
  const world = new World(serverWith("a"));
  world.server.isDown = true;
  const store = await world.store();
  expect(store.getSnapshot()).toMatchObject({ signIn: { state: "unknown" } });
  expect(store.getSnapshot().sessionsTrouble?.sentence).toMatch("cannot be reached");
  world.server.isDown = false;
  await world.online();
  expect(store.getSnapshot()).toMatchObject({ signIn: { state: "in" }, sessionsTrouble: null });
  expect(titles(store)).toEqual(["about a"]);
});

it("a conversation that could not be read at first is read when the server is there", async () => {
  const world = new World(serverWith("a", "b"));
  world.address = "#/c/a";
  world.server.isDown = true;
  const store = await world.store();
  expect(shown(store).trouble?.sentence).toMatch("cannot be reached");
  world.server.isDown = false;
  await world.advance(4000);
  expect(lines(store)).toEqual(["> about a", "< complete: it is a"]);
  expect(shown(store).trouble).toBe(null);
  expect(lastAnswer(store).trouble).toBe(null);
});

it("a browser without storage signs in for the page's life", () => {
  const window = {
    get sessionStorage(): Storage {
      throw new Error("refused");
    },
  };
  const environment = browser(window as unknown as Window);
  environment.writeKey("key");
  expect(environment.readKey()).toBe(null);
});

it("ids are 32 hex digits, also where there is no randomUUID", () => {
  const crypto = { getRandomValues: (bytes: Uint8Array) => bytes.fill(10) };
  const environment = browser({ crypto } as unknown as Window);
  expect(environment.newId()).toBe("0a".repeat(16));
});

it("a store that was closed can be started again", async () => {
  const world = new World(serverWith("a"));
  const store = new ChatStore(world);
  store.start();
  store.close();
  store.start();
  await world.advance(0);
  expect(titles(store)).toEqual(["about a"]);
});
