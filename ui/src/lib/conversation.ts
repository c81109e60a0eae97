// One session: its turns, and the answers that are being read. The server's history is the truth;
// what is here is what this page has seen of it since.

import type { Api, Prompt } from "./api";
import type { Environment } from "./environment";
import { History, type HistoryHost } from "./history";
import * as notes from "./notes";
import { type Ending, Run, type RunHost } from "./run";
import { tellStop } from "./stopping";
import * as turns from "./turns";
import type { AnswerMessage, Conversation, Dropped, Policy, Trouble } from "./types";
import type { MessageCard, SessionCard } from "./wire";

/** With the policy `enqueue`: the server's line is longer, but each that waits holds a connection. */
const MAX_WAITING = 3;
const TITLE_CHARS = 80;

const QUEUE_FULL: Trouble = {
  sentence: `${MAX_WAITING} prompts wait already: send this one when one of them is answered.`,
  canRetry: false,
};
const NO_ROOM: Trouble = {
  sentence: "This page reads as many answers as it can: stop one, or wait for its end.",
  canRetry: false,
};

/** Who owns the conversations. */
export interface ConversationHost {
  readonly environment: Environment;
  readonly api: Api;
  /** One more stream may be opened: HTTP/1.1 gives a page six connections in all. */
  hasRoom(): boolean;
  /** Show it with the next frame. */
  changed(): void;
  /** Show it now: a hidden tab has no frames. */
  settled(): void;
  /** Say to screen readers that an answer of this conversation began or ended. */
  announce(sessionId: string, words: string): void;
  /** The list of sessions is out of date. */
  listChanged(): void;
  refused(why: keyof Dropped): void;
}

export class ConversationStore implements RunHost, HistoryHost {
  readonly id: string;
  readonly environment: Environment;
  readonly api: Api;
  /** Grows with all that happens here. */
  version = 0;
  readonly #host: ConversationHost;
  readonly #history: History;
  readonly #runs = new Map<string, Run>();
  readonly #touched = new Set<Run>();
  /** By a turn's key: the stream whose place it takes. */
  readonly #replaced = new Map<string, string>();
  /** Streams that cannot be read any more, or not from their beginning. */
  readonly #unreadable = new Set<string>();
  /** Turns whose prompt was asked the history for. */
  readonly #prompted = new Set<string>();
  #turns: readonly turns.Turn[] = [];
  #title = "";
  #trouble: Trouble | null = null;
  #seenUpdate: number | null = null;
  #shown: { turns: readonly turns.Turn[]; conversation: Conversation } | null = null;

  constructor(id: string, host: ConversationHost) {
    this.id = id;
    this.environment = host.environment;
    this.api = host.api;
    this.#host = host;
    this.#history = new History(host.api, id, this);
  }

  /** Answers that are being read; each holds a connection. */
  get reading(): number {
    return [...this.#runs.values()].filter((run) => run.isReading).length;
  }

  /** Something of it goes on, also while another conversation is open. */
  get isBusy(): boolean {
    return this.#runs.size > 0;
  }

  get isEmpty(): boolean {
    return this.#turns.length === 0;
  }

  /** The server has it, or had. */
  get isKept(): boolean {
    return this.#turns.some((turn) => turn.isKept);
  }

  snapshot(): Conversation {
    for (const run of this.#touched) this.#write(run);
    this.#touched.clear();
    const isSame = this.#shown?.turns === this.#turns;
    const conversation: Conversation = {
      id: this.id,
      title: this.#title,
      messages: isSame ? (this.#shown?.conversation.messages ?? []) : turns.messagesOf(this.#turns),
      isLoading: this.#history.isLoading,
      hasOlder: this.#history.hasOlder,
      trouble: this.#trouble ?? this.#history.trouble,
      isLive: this.#turns.some(turns.isStoppable),
    };
    if (this.#shown === null || !isEqual(this.#shown.conversation, conversation)) {
      this.#shown = { turns: this.#turns, conversation };
    }
    return this.#shown.conversation;
  }

  // What the user does

  /** Ask; false, with a sentence, where no more can be asked now. */
  ask(text: string, model: string | null, policy: Policy): boolean {
    const prompt = { sessionId: this.id, text, model, policy, replaces: null };
    return this.#ask(prompt, this.#turns.length);
  }

  /** Ask in the place of a turn: its prompt again, or another one. It and all after it go. */
  async askAgain(key: string, text: string | null, model: string | null): Promise<void> {
    const place = () => this.#turns.findIndex((turn) => turns.has(turn, key));
    // A prompt without a name may have begun at the server all the same.
    if (this.#turns[place()]?.streamId === null) await this.refresh();
    const turn = this.#turns[place()];
    if (turn === undefined) return;
    const replaces = turn.streamId ?? this.#replaced.get(turn.key) ?? null;
    const first = this.#turns.findIndex((one) => one === turn || one.streamId === replaces);
    const words = text ?? turns.promptOf(turn)?.text ?? "";
    const prompt = {
      sessionId: this.id,
      text: words,
      model,
      policy: "interrupt",
      replaces,
    } as const;
    if (words !== "") this.#ask(prompt, first);
  }

  /** Stop the answer that is being given, and show what was seen of that. */
  async stop(): Promise<void> {
    const turn = this.#turns.find(turns.isStoppable);
    if (turn === undefined) return;
    const run = this.#runs.get(turn.key);
    const isOvertaken = () => this.#runs.get(turn.key) !== run;
    this.#set(turn.key, { state: "stopping" });
    this.#host.settled();
    await run?.leave(); // guard 6: the abort comes first, and gives the connection back
    if (isOvertaken()) return;
    const streamId = run?.streamId ?? turn.streamId;
    const outcome =
      streamId === null
        ? notes.outcomeUnnamed(run?.refusal ?? null)
        : await tellStop(this.api, this.environment, this.id, streamId); // guard 6: it names the stream
    if (isOvertaken()) return;
    this.#runs.delete(turn.key);
    this.#finish(turn.key, outcome ?? notes.interrupted("stopped"));
    if (outcome === null) void this.refresh(); // it had ended: the history has all of it
  }

  /** Leave whatever is live, as the conversation is to be deleted. */
  async leaveAll(): Promise<void> {
    await Promise.all([...this.#runs.values()].map((run) => run.leave()));
    this.close();
  }

  /** Read nothing any more, and tell nobody: the page goes, and the answers go on. */
  close(): void {
    for (const run of this.#runs.values()) run.abort();
    this.#runs.clear();
  }

  // What the server says

  load(): Promise<void> {
    return this.#history.load();
  }

  /** Read the newest messages again. */
  refresh(): Promise<void> {
    return this.#history.refresh();
  }

  readOlder(): Promise<void> {
    return this.#history.readOlder();
  }

  /** The poll saw the session: look closer where something happened that this page did not do. */
  saw(session: SessionCard): void {
    const isNew = (id: string) =>
      !this.#unreadable.has(id) && ![...this.#runs.values()].some((run) => run.streamId === id);
    const hasMoved = this.#seenUpdate !== null && this.#seenUpdate !== session.updatedAt;
    this.#seenUpdate = session.updatedAt;
    this.#title = session.title;
    const isIdle = this.#runs.size === 0;
    if (this.#history.isStale || session.streams.some(isNew) || (hasMoved && isIdle)) {
      void this.refresh();
    }
  }

  /** Ask for the session itself, as the list's first page does not have it. */
  async look(): Promise<void> {
    const session = await this.api.session(this.id).catch(() => null);
    if (session !== null) this.saw(session);
  }

  retitle(title: string): void {
    this.#title = title;
  }

  get isAsking(): boolean {
    return [...this.#runs.values()].some((run) => run.isReading && run.streamId === null);
  }

  get oldestSeq(): number | null {
    return this.#turns.find((turn) => turn.seq !== null)?.seq ?? null;
  }

  lay(session: SessionCard, messages: readonly MessageCard[], hasOlder: boolean): void {
    this.#title = session.title;
    this.#seenUpdate = session.updatedAt;
    // What a prompt is about to take the place of is there until it begins.
    const going = [...this.#replaced].filter(([key]) => this.#runs.has(key)).map(([, id]) => id);
    const end = messages.findIndex((message) => going.includes(message.streamId));
    const stored = end < 0 ? messages : messages.slice(0, end);
    const reading = new Set(this.#runs.keys());
    this.#turns = turns.layOver(this.#turns, stored, hasOlder, reading);
    for (const streamId of session.streams) {
      if (this.#turns.some((turn) => turn.streamId === streamId)) continue;
      const waits = streamId !== session.streams[0];
      this.#turns = [...this.#turns, turns.newTurn(streamId, null, streamId, waits)];
    }
    for (const turn of this.#turns) this.#follow(turn);
    this.#host.settled();
  }

  prepend(messages: readonly MessageCard[]): void {
    this.#turns = turns.putBefore(this.#turns, messages);
  }

  changed(): void {
    this.#host.changed();
  }

  // What the runs tell

  isActive(run: Run): boolean {
    return this.#runs.get(run.key) === run;
  }

  named(run: Run): void {
    this.version++;
    this.#turns = turns.change(this.#turns, run.key, (turn) => turns.named(turn, run.streamId));
    if (this.#history.isStale) void this.refresh();
    this.#host.changed();
  }

  progressed(run: Run): void {
    this.#touched.add(run);
    const turn = this.#turns.find((one) => one.key === run.key);
    if (run.hasBegun && turn?.isKept === false) {
      this.#replaced.delete(run.key);
      this.#turns = turns.change(this.#turns, run.key, (one) => ({ ...one, isKept: true }));
      this.#host.announce(this.id, "Answering.");
      this.#host.listChanged();
    }
    // Of an answer that another tab asked for, the history has the prompt by its first token.
    if (run.text !== "" && turn?.messages.length === 1 && !this.#prompted.has(run.key)) {
      this.#prompted.add(run.key);
      void this.refresh();
    }
    this.#host.changed();
  }

  ended(run: Run, ending: Ending): void {
    this.#write(run);
    this.#runs.delete(run.key);
    if (ending.kind === "complete") {
      this.#finish(run.key, notes.completed(ending.finishReason));
      return;
    }
    const { error } = ending;
    if (ending.kind === "lost") {
      if (error.status > 0 && run.streamId !== null) this.#unreadable.add(run.streamId);
      this.#finish(run.key, { ...notes.interrupted(null, ""), trouble: error.trouble });
    } else {
      this.#finish(run.key, notes.outcomeOf(error));
    }
    // Whoever took over may be another tab; whom a refused prompt took over from still lives; and
    // what cannot be read on is in the history.
    void this.refresh();
  }

  refused(why: keyof Dropped): void {
    this.#host.refused(why);
  }

  #ask(prompt: Prompt, place: number): boolean {
    const live = this.#turns.filter(turns.isLive);
    const takesOver = prompt.policy === "interrupt" || prompt.policy === "rollback";
    this.#trouble = this.#whyNot(prompt.policy, live.length);
    if (this.#trouble === null) {
      if (takesOver) for (const turn of live) this.#takeOver(turn); // guard 5: before the new fetch
      const goes = prompt.policy === "rollback" ? live.map((turn) => turn.key) : [];
      const key = this.environment.newId();
      const stay = this.#turns.slice(0, place).filter((turn) => !goes.includes(turn.key));
      this.#turns = [...stay, turns.newTurn(key, prompt.text, null, false)];
      this.#title ||= prompt.text.trim().slice(0, TITLE_CHARS);
      this.#history.trouble = null;
      if (prompt.replaces !== null) this.#replaced.set(key, prompt.replaces);
      const run = this.#begin(key);
      void run.ask(prompt, !takesOver && live.length > 0);
    }
    this.#host.settled();
    return this.#trouble === null;
  }

  #whyNot(policy: Policy, live: number): Trouble | null {
    const takesOver = policy === "interrupt" || policy === "rollback";
    if (policy === "enqueue" && live > MAX_WAITING) return QUEUE_FULL;
    return (takesOver && this.reading > 0) || this.#host.hasRoom() ? null : NO_ROOM;
  }

  /** Another prompt takes over: the server hears of it by that one, and needs no Stop. */
  #takeOver(turn: turns.Turn): void {
    const run = this.#runs.get(turn.key);
    if (run !== undefined) this.#write(run);
    run?.abort();
    this.#runs.delete(turn.key);
    this.#set(turn.key, notes.SUPERSEDED);
  }

  #follow(turn: turns.Turn): void {
    const { key, streamId } = turn;
    if (!turns.isLive(turn) || streamId === null || this.#runs.has(key)) return;
    if (this.#unreadable.has(streamId)) {
      this.#set(key, { note: notes.UNSEEN_BEGINNING_NOTE });
    } else if (this.#host.hasRoom()) {
      void this.#begin(key).follow(streamId, turns.answerOf(turn)?.state === "queued");
    }
  }

  #begin(key: string): Run {
    const run = new Run(key, this);
    this.#runs.set(key, run);
    this.version++;
    return run;
  }

  /** Show how far a run has come. */
  #write({ key, text, reasoning, state }: Run): void {
    this.#set(key, { text, reasoning, state }); // guard 1: the message with the run's own key
  }

  #set(key: string, change: Partial<AnswerMessage>): void {
    this.#turns = turns.change(this.#turns, key, (turn) => turns.withAnswer(turn, change));
  }

  #finish(key: string, outcome: notes.Outcome): void {
    this.version++;
    this.#set(key, outcome);
    this.#host.announce(this.id, notes.announcementOf(outcome));
    this.#host.listChanged();
    this.#host.settled();
  }
}

function isEqual(one: Conversation, other: Conversation): boolean {
  return (
    one.title === other.title &&
    one.messages === other.messages &&
    one.isLoading === other.isLoading &&
    one.hasOlder === other.hasOlder &&
    one.trouble === other.trouble &&
    one.isLive === other.isLive
  );
}
