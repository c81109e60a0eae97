// The world in virtual time: timers, frames, storage, the address, the network.

import { ChatStore } from "../../../src/lib/chatStore";
import type { Environment, Undo } from "../../../src/lib/environment";
import type { AnswerMessage, Conversation } from "../../../src/lib/types";
import { FakeServer } from "./server";

declare function setImmediate(callback: () => void): unknown; // Node's

interface Timer {
  readonly at: number;
  readonly callback: () => void;
}

/** Until every promise that can has gone on. Nothing here waits for a clock. */
export async function settle(): Promise<void> {
  for (let round = 0; round < 5; round++)
    await new Promise<void>((resolve) => setImmediate(resolve));
}

export class World implements Environment {
  readonly server: FakeServer;
  now = 0;
  visible = true;
  address = "#/";
  key: string | null = null;
  #timers: Timer[] = [];
  #frames: (() => void)[] = [];
  readonly #online = new Set<() => void>();
  readonly #visibility = new Set<() => void>();
  readonly #hash = new Set<() => void>();
  static #count = 0;

  constructor(server = new FakeServer()) {
    this.server = server;
  }

  /** A store that has signed in. */
  async store(): Promise<ChatStore> {
    const store = new ChatStore(this);
    store.start();
    await this.advance(0);
    return store;
  }

  fetch(path: string, init: RequestInit): Promise<Response> {
    return this.server.fetch(path, init);
  }

  after(milliseconds: number, callback: () => void): Undo {
    const timer = { at: this.now + milliseconds, callback };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((one) => one !== timer);
    };
  }

  onFrame(callback: () => void): Undo {
    this.#frames.push(callback);
    return () => {
      this.#frames = this.#frames.filter((one) => one !== callback);
    };
  }

  /** Let so much time pass, timer by timer, and paint. */
  async advance(milliseconds: number): Promise<void> {
    const end = this.now + milliseconds;
    await settle();
    for (;;) {
      const due = this.#timers.filter((timer) => timer.at <= end).sort((a, b) => a.at - b.at)[0];
      if (due === undefined) break;
      this.now = Math.max(this.now, due.at);
      this.#timers = this.#timers.filter((timer) => timer !== due);
      due.callback();
      await settle();
    }
    this.now = end;
    this.paint();
  }

  paint(): void {
    if (!this.visible) return;
    for (const frame of this.#frames.splice(0)) frame();
  }

  isVisible(): boolean {
    return this.visible;
  }

  async setVisible(visible: boolean): Promise<void> {
    this.visible = visible;
    for (const callback of [...this.#visibility]) callback();
    await this.advance(0);
  }

  onVisibility(callback: () => void): Undo {
    this.#visibility.add(callback);
    return () => this.#visibility.delete(callback);
  }

  async online(): Promise<void> {
    for (const callback of [...this.#online]) callback();
    await this.advance(0);
  }

  onOnline(callback: () => void): Undo {
    this.#online.add(callback);
    return () => this.#online.delete(callback);
  }

  hash(): string {
    return this.address;
  }

  setHash(hash: string, replaces: boolean): void {
    const isNew = hash !== this.address;
    this.address = hash;
    if (isNew && !replaces) for (const callback of [...this.#hash]) callback();
  }

  onHash(callback: () => void): Undo {
    this.#hash.add(callback);
    return () => this.#hash.delete(callback);
  }

  readKey(): string | null {
    return this.key;
  }

  writeKey(key: string | null): void {
    this.key = key;
  }

  newId(): string {
    return `id${++World.#count}`;
  }
}

export function shown(store: ChatStore): Conversation {
  return store.getSnapshot().conversation;
}

/** The answers that are shown. */
export function answers(store: ChatStore): AnswerMessage[] {
  return shown(store).messages.filter((message) => message.role === "assistant");
}

export function lastAnswer(store: ChatStore): AnswerMessage {
  const last = answers(store).at(-1);
  if (last === undefined) throw new Error("there is no answer");
  return last;
}

/** The conversation in short: "> prompt", "< state: text". */
export function lines(store: ChatStore): string[] {
  return shown(store).messages.map((message) =>
    message.role === "user" ? `> ${message.text}` : `< ${message.state}: ${message.text}`,
  );
}

/** A page whose answer to "hello" has begun to stream. */
export async function streaming(world = new World()) {
  const store = await world.store();
  store.send("hello");
  await world.advance(0);
  const stream = world.server.last();
  stream.text("some");
  await world.advance(0);
  return { world, server: world.server, store, stream, id: shown(store).id };
}
