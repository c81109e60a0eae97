// The chat's one store: what the components read and call. It owns the conversations that are open
// or busy, the list of all, the key and the choices; what they do is theirs.

import { Api } from "./api";
import type { ConversationHost } from "./conversation";
import type { Environment, Undo } from "./environment";
import { OpenConversations } from "./openConversations";
import { hashOf, NEW_CHAT, readRoute } from "./route";
import { type ListHost, SessionList } from "./sessionList";
import type { ChatActions, ChatSnapshot, Dropped, Policy, SignIn } from "./types";
import type { SessionCard } from "./wire";

/** Where the server has no keys configured, it takes this one from its own machine. */
const DEFAULT_KEY = "devkey";
const WRONG_KEY = "This key does not open the server.";

export class ChatStore implements ChatActions, ConversationHost, ListHost {
  readonly environment: Environment;
  readonly api: Api;
  readonly #list: SessionList;
  readonly #listeners = new Set<() => void>();
  readonly #open: OpenConversations;
  #signIn: SignIn = { state: "unknown" };
  #models: readonly string[] = [];
  #model: string | null = null;
  #policy: Policy = "interrupt";
  #announcement = "";
  #isReadingModels = false;
  #dropped: Dropped = { notLive: 0, otherStream: 0, seen: 0 };
  #snapshot: ChatSnapshot | null = null;
  #frame: Undo | null = null;
  #undo: Undo[] = [];

  constructor(environment: Environment) {
    this.environment = environment;
    this.api = new Api(environment, () => this.#askForKey());
    this.#list = new SessionList(this);
    this.#open = new OpenConversations(this);
  }

  // What components read

  /** For useSyncExternalStore, as is `getSnapshot`. */
  readonly subscribe = (listener: () => void): Undo => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  readonly getSnapshot = (): ChatSnapshot => {
    this.#snapshot ??= this.#makeSnapshot();
    return this.#snapshot;
  };

  /** Frames that the guards refused, since the page was loaded. */
  get dropped(): Dropped {
    return this.#dropped;
  }

  /** Begin: sign in with the key there is, show what the address names, and watch the list. */
  start(): void {
    const { environment } = this;
    this.#undo = [
      environment.onHash(() => this.#follow()),
      environment.onVisibility(() => this.#wake()),
      environment.onOnline(() => this.#wake()),
    ];
    this.#enter(environment.readKey() ?? DEFAULT_KEY);
  }

  /** Let go of everything; answers go on at the server, for who comes back. */
  close(): void {
    this.#leave();
    for (const undo of this.#undo.splice(0)) undo();
    this.#frame?.();
    this.#frame = null;
  }

  // ChatActions. Half a character, which JSON cannot carry, becomes U+FFFD, as in the server's history.

  send(text: string): boolean {
    if (text.trim() === "" || this.#signIn.state === "needed") return false;
    const conversation = this.#open.shown;
    if (!conversation.ask(text.toWellFormed(), this.#model, this.#policy)) return false;
    this.environment.setHash(hashOf(conversation.id), true);
    return true;
  }

  stop(): void {
    void this.#open.shown.stop();
  }

  retry(answerKey: string): void {
    void this.#open.shown.askAgain(answerKey, null, this.#model);
  }

  edit(promptKey: string, text: string): void {
    if (text.trim() === "") return;
    void this.#open.shown.askAgain(promptKey, text.toWellFormed(), this.#model);
  }

  open(sessionId: string): void {
    this.environment.setHash(hashOf(sessionId), false);
    this.#show(sessionId);
  }

  openNew(): void {
    this.environment.setHash(NEW_CHAT, false);
    this.#showNew();
  }

  loadOlder(): void {
    void this.#open.shown.readOlder();
  }

  loadMoreSessions(): void {
    void this.#list.more();
  }

  find(search: string): void {
    this.#list.find(search);
    this.settled();
  }

  rename(sessionId: string, title: string): void {
    const name = title.trim().toWellFormed();
    if (name === "") return;
    this.#open.find(sessionId)?.retitle(name);
    void this.#list.rename(sessionId, name);
    this.settled();
  }

  remove(sessionId: string): void {
    const conversation = this.#open.find(sessionId);
    void this.#list.remove(sessionId, async () => conversation?.leaveAll());
    if (sessionId === this.#open.shown.id) this.openNew();
    this.#open.forget(sessionId);
    this.settled();
  }

  chooseModel(model: string | null): void {
    this.#model = model;
    this.settled();
  }

  choosePolicy(policy: Policy): void {
    this.#policy = policy;
    this.settled();
  }

  signInWith(key: string): void {
    if (key.trim() !== "") this.#enter(key.trim());
  }

  signOut(): void {
    this.environment.writeKey(null);
    this.#leave();
    this.#signIn = { state: "needed", sentence: null };
    this.openNew();
    this.settled();
  }

  // ConversationHost and ListHost

  hasRoom(): boolean {
    return this.#open.hasRoom;
  }

  changed(): void {
    this.#frame ??= this.environment.onFrame(() => this.settled());
  }

  settled(): void {
    this.#frame?.();
    this.#frame = null;
    const before = this.#snapshot;
    this.#snapshot = this.#makeSnapshot();
    if (this.#snapshot !== before) for (const listener of this.#listeners) listener();
  }

  announce(sessionId: string, words: string): void {
    if (sessionId === this.#open.shown.id) this.#announcement = words;
    this.#list.soon();
  }

  refused(why: keyof Dropped): void {
    this.#dropped = { ...this.#dropped, [why]: this.#dropped[why] + 1 };
  }

  heard(sessions: readonly SessionCard[]): void {
    if (this.#signIn.state === "unknown") {
      const isGiven = this.api.key !== DEFAULT_KEY;
      this.#signIn = { state: "in", canSignOut: isGiven };
      if (isGiven) this.environment.writeKey(this.api.key);
    }
    if (this.#models.length === 0) void this.#readModels();
    const { shown } = this.#open;
    const card = sessions.find((session) => session.id === shown.id);
    if (card !== undefined) shown.saw(card);
    else if (shown.isKnown) void shown.look();
  }

  #enter(key: string): void {
    this.api.key = key;
    this.#signIn = { state: "unknown" };
    this.#list.start();
    this.#follow();
    this.settled();
  }

  #leave(): void {
    this.#list.clear();
    this.#open.closeAll();
    this.#models = [];
    this.#model = null;
    this.#announcement = "";
  }

  #askForKey(): void {
    if (this.#signIn.state === "needed") return;
    const isGiven = this.api.key !== DEFAULT_KEY;
    this.environment.writeKey(null);
    this.#leave();
    this.#signIn = { state: "needed", sentence: isGiven ? WRONG_KEY : null };
    this.settled();
  }

  async #readModels(): Promise<void> {
    if (this.#isReadingModels) return;
    this.#isReadingModels = true;
    const key = this.api.key;
    const models = await this.api.models().catch(() => []);
    this.#isReadingModels = false;
    if (key === this.api.key && models.length > 0) this.#models = models;
    this.changed();
  }

  /** Show what the address names. */
  #follow(): void {
    const route = readRoute(this.environment.hash());
    if (route.view === "conversation") this.#show(route.sessionId);
    else if (route.view === "new") this.#showNew();
  }

  #show(sessionId: string): void {
    if (this.#signIn.state === "needed") return;
    if (sessionId !== this.#open.shown.id) this.#announcement = "";
    this.#open.show(sessionId);
    this.settled();
  }

  #showNew(): void {
    this.#announcement = "";
    this.#open.showNew();
    this.settled();
  }

  #wake(): void {
    if (this.environment.isVisible()) this.#list.soon(0);
    this.settled();
  }

  #makeSnapshot(): ChatSnapshot {
    const list = this.#list;
    const snapshot: ChatSnapshot = {
      signIn: this.#signIn,
      sessions: list.items,
      sessionsTrouble: list.trouble,
      hasMoreSessions: list.hasMore,
      search: list.search,
      conversation: this.#open.shown.snapshot(),
      models: this.#models,
      model: this.#model,
      policy: this.#policy,
      announcement: this.#announcement,
    };
    return this.#snapshot !== null && isEqual(this.#snapshot, snapshot) ? this.#snapshot : snapshot;
  }
}

function isEqual(one: ChatSnapshot, other: ChatSnapshot): boolean {
  return (Object.keys(one) as (keyof ChatSnapshot)[]).every((name) => one[name] === other[name]);
}
