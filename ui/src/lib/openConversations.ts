// The conversations that this page holds: the one that is shown, and those in which something goes on.

import { type ConversationHost, ConversationStore } from "./conversation";

/** Of the six connections that HTTP/1.1 gives a page, what streams may have. */
const MAX_STREAMS = 4;

export class OpenConversations {
  /** The one that is shown. */
  shown: ConversationStore;
  readonly #host: ConversationHost;
  readonly #held = new Map<string, ConversationStore>();

  constructor(host: ConversationHost) {
    this.#host = host;
    this.shown = this.#make(this.#newId());
  }

  get hasRoom(): boolean {
    let reading = 0;
    for (const conversation of this.#held.values()) reading += conversation.reading;
    return reading < MAX_STREAMS;
  }

  find(id: string): ConversationStore | undefined {
    return this.#held.get(id);
  }

  /** Show the one with this id, as the server has it now; what is busy goes on meanwhile. */
  show(id: string): void {
    if (id === this.shown.id && !this.shown.isEmpty) return;
    const held = this.#held.get(id);
    this.#turnTo(held ?? this.#make(id));
    void (held?.isEmpty === false ? held.refresh() : this.shown.load());
  }

  /** Show an empty one, of which the server does not know yet. */
  showNew(): void {
    this.#turnTo(this.#make(this.#newId()));
  }

  /** Hold it no more: somebody else closes it. */
  forget(id: string): void {
    this.#held.delete(id);
  }

  /** Let go of all of them; their answers go on at the server. */
  closeAll(): void {
    for (const conversation of this.#held.values()) conversation.close();
    this.#held.clear();
    this.shown = this.#make(this.#newId());
  }

  #turnTo(conversation: ConversationStore): void {
    this.shown = conversation;
    for (const [id, other] of this.#held) {
      if (other === conversation || other.isBusy) continue;
      this.#held.delete(id);
      other.close();
    }
  }

  #make(id: string): ConversationStore {
    const conversation = new ConversationStore(id, this.#host);
    this.#held.set(id, conversation);
    return conversation;
  }

  #newId(): string {
    return `c-${this.#host.environment.newId()}`;
  }
}
