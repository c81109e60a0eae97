// Opening a conversation, the key, the address, the models: what is round one conversation.

import { expect, it } from "vitest";
import { ChatStore } from "../../src/lib/chatStore";
import { browser } from "../../src/lib/environment";
import { readRoute } from "../../src/lib/route";
import { serverWith } from "./fakes/server";
import { lastAnswer, lines, shown, World } from "./fakes/world";

const titles = (store: ChatStore) => store.getSnapshot().sessions.map((item) => item.title);

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
  const old = shown(store).messages;
  world.server.askElsewhere("s", "6").finish();
  await world.advance(4000);
  expect(lines(store)).toEqual([...before, "> 6", "< complete: "]);
  expect(shown(store).hasOlder).toBe(false);
  expect(old.every((message, index) => message === shown(store).messages[index])).toBe(true);
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
