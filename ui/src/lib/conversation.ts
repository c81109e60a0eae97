// One session as it is shown: its turns, laid over by its history whenever something happened that
// this page did not see.

import { Answers, type AnswersHost } from "./answers";
import type { Api } from "./api";
import type { Environment } from "./environment";
import { asApiError } from "./errors";
import { History, type HistoryHost } from "./history";
import { isStoppable, messagesOf, type Turn } from "./turns";
import type { Conversation, Dropped, Policy } from "./types";
import type { MessageCard, SessionCard } from "./wire";

const TITLE_CHARS = 80;

/** Who owns the conversations. */
export interface ConversationHost {
  readonly environment: Environment;
  readonly api: Api;
  hasRoom(): boolean;
  changed(): void;
  settled(): void;
  /** Say to screen readers that an answer of this conversation began or ended. */
  announce(sessionId: string, words: string): void;
  refused(why: keyof Dropped): void;
}

export class ConversationStore implements AnswersHost, HistoryHost {
  readonly id: string;
  readonly environment: Environment;
  readonly api: Api;
  readonly #host: ConversationHost;
  readonly #answers: Answers;
  readonly #history: History;
  #title = "";
  #updatedAt: number | null = null;
  #shownTurns: readonly Turn[] = [];
  #shown: Conversation;

  constructor(id: string, host: ConversationHost) {
    this.id = id;
    this.environment = host.environment;
    this.api = host.api;
    this.#host = host;
    this.#answers = new Answers(id, this);
    this.#history = new History(host.api, id, this);
    this.#shown = {
      id,
      title: "",
      messages: [],
      isLoading: false,
      hasOlder: false,
      trouble: null,
      isLive: false,
    };
  }

  /** What is shown; the same object until something of it changes. */
  snapshot(): Conversation {
    const turns = this.#answers.turns;
    const shown: Conversation = {
      id: this.id,
      title: this.#title,
      messages: turns === this.#shownTurns ? this.#shown.messages : messagesOf(turns),
      isLoading: this.#history.isLoading,
      hasOlder: this.#history.hasOlder,
      trouble: this.#answers.trouble ?? this.#history.trouble,
      isLive: turns.some(isStoppable),
    };
    const names = Object.keys(shown) as (keyof Conversation)[];
    if (names.some((name) => shown[name] !== this.#shown[name])) this.#shown = shown;
    this.#shownTurns = turns;
    return this.#shown;
  }

  get isEmpty(): boolean {
    return this.#answers.turns.length === 0;
  }

  /** The server may have news of it. */
  get isKnown(): boolean {
    return this.isKept || this.#history.isStale;
  }

  /** The server has it, or had. */
  get isKept(): boolean {
    return this.#answers.turns.some((turn) => turn.isKept);
  }

  /** How many of its answers are being read. */
  get reading(): number {
    return this.#answers.reading;
  }

  /** Something of it goes on, also while another conversation is open. */
  get isBusy(): boolean {
    return this.#answers.isBusy;
  }

  ask(text: string, model: string | null, policy: Policy): boolean {
    const isTaken = this.#answers.ask(text, model, policy);
    if (isTaken) this.#title ||= text.trim().slice(0, TITLE_CHARS);
    if (isTaken) this.#history.trouble = null;
    this.settled();
    return isTaken;
  }

  askAgain(key: string, text: string | null, model: string | null): Promise<void> {
    this.#history.trouble = null;
    return this.#answers.askAgain(key, text, model);
  }

  stop(): Promise<void> {
    return this.#answers.stop();
  }

  leaveAll(): Promise<void> {
    return this.#answers.leaveAll();
  }

  close(): void {
    this.#answers.close();
  }

  load(): Promise<void> {
    return this.#history.load();
  }

  refresh(): Promise<void> {
    return this.#history.refresh();
  }

  readOlder(): Promise<void> {
    return this.#history.readOlder();
  }

  retitle(title: string): void {
    this.#title = title;
  }

  /** The poll saw the session: look closer where something happened that this page did not do. */
  saw(session: SessionCard): void {
    const hasMoved = this.#updatedAt !== null && this.#updatedAt !== session.updatedAt;
    const hasNew = session.streams.some((streamId) => this.#answers.isNew(streamId));
    // What moves while it is busy is looked at when it is not.
    if (!this.isBusy || this.#updatedAt === null) this.#updatedAt = session.updatedAt;
    this.#title = session.title;
    if (this.#history.isStale || hasNew || (hasMoved && !this.isBusy)) void this.refresh();
  }

  /** Ask for the session itself, as the list's first page does not have it. */
  async look(): Promise<void> {
    try {
      this.saw(await this.api.session(this.id));
    } catch (error) {
      const isGone = asApiError(error).status === 404 && this.#history.trouble === null;
      if (isGone && !this.isBusy) await this.refresh();
    }
  }

  // AnswersHost and HistoryHost

  get version(): number {
    return this.#answers.version;
  }

  get isAsking(): boolean {
    return this.#answers.isAsking;
  }

  get oldestSeq(): number | null {
    return this.#answers.turns.find((turn) => turn.seq !== null)?.seq ?? null;
  }

  lay(session: SessionCard, messages: readonly MessageCard[], hasOlder: boolean): void {
    this.#title = session.title;
    this.#updatedAt = session.updatedAt;
    this.#answers.lay(session, messages, hasOlder);
  }

  prepend(messages: readonly MessageCard[]): void {
    this.#answers.prepend(messages);
  }

  hasRoom(): boolean {
    return this.#host.hasRoom();
  }

  named(): void {
    if (this.#history.isStale) void this.refresh();
  }

  changed(): void {
    this.#host.changed();
  }

  settled(): void {
    this.#host.settled();
  }

  announce(words: string): void {
    this.#host.announce(this.id, words);
  }

  refused(why: keyof Dropped): void {
    this.#host.refused(why);
  }
}
