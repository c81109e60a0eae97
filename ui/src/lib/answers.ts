// The turns of one conversation, and the answers among them that are being read: asked for, followed,
// taken over, stopped. The server's history is the truth; what is here is what was seen of it.

import type { Api, Prompt } from "./api";
import type { Environment } from "./environment";
import { layOver, putBefore, withLive, withoutReplaced } from "./laying";
import * as notes from "./notes";
import { type Ending, Run, type RunHost } from "./run";
import { tellStop } from "./stopping";
import * as turns from "./turns";
import type { AnswerMessage, Dropped, Policy, Trouble } from "./types";
import type { MessageCard, SessionCard } from "./wire";

/** With the policy `enqueue`: the server's line is longer, but each that waits holds a connection. */
const MAX_WAITING = 3;

/** The conversation. */
export interface AnswersHost {
  readonly environment: Environment;
  readonly api: Api;
  /** One more stream may be opened: HTTP/1.1 gives a page six connections in all. */
  hasRoom(): boolean;
  /** Show it with the next frame. */
  changed(): void;
  /** Show it now: a hidden tab has no frames. */
  settled(): void;
  /** A prompt has got there: what waited for that may be read. */
  named(): void;
  /** An answer began or ended: say so. */
  announce(words: string): void;
  /** Only the history tells what has happened. */
  refresh(): Promise<void>;
  refused(why: keyof Dropped): void;
}

export class Answers implements RunHost {
  readonly environment: Environment;
  readonly api: Api;
  /** Grows with all that happens here. */
  version = 0;
  /** Why the last prompt was not taken. */
  trouble: Trouble | null = null;
  readonly #sessionId: string;
  readonly #host: AnswersHost;
  readonly #runs = new Map<string, Run>();
  readonly #touched = new Set<Run>();
  /** Streams that cannot be read any more, or not from their beginning. */
  readonly #unreadable = new Set<string>();
  /** Streams whose Stop did not get through: should one be there yet, it is stopped, not followed. */
  readonly #unwanted = new Set<string>();
  /** Turns whose prompt the history was asked for. */
  readonly #prompted = new Set<string>();
  #turns: readonly turns.Turn[] = [];
  /** How many of its prompts are about to be asked again. */
  #askingAgain = 0;
  #isClosed = false;

  constructor(sessionId: string, host: AnswersHost) {
    this.environment = host.environment;
    this.api = host.api;
    this.#sessionId = sessionId;
    this.#host = host;
  }

  /** The turns as they are now. */
  get turns(): readonly turns.Turn[] {
    for (const run of this.#touched) this.#write(run);
    this.#touched.clear();
    return this.#turns;
  }

  /** How many are being read; each holds a connection. */
  get reading(): number {
    return [...this.#runs.values()].filter((run) => run.isReading).length;
  }

  get isBusy(): boolean {
    return this.#runs.size > 0 || this.#askingAgain > 0;
  }

  /** A prompt is on its way, and has no name yet. */
  get isAsking(): boolean {
    return [...this.#runs.values()].some((run) => run.isReading && run.streamId === null);
  }

  /** Nobody here reads this stream, or has tried to in vain. */
  isNew(streamId: string): boolean {
    const isRead = [...this.#runs.values()].some((run) => run.streamId === streamId);
    return !isRead && !this.#unreadable.has(streamId);
  }

  /** Ask; false, with the trouble, where no more can be asked now. */
  ask(text: string, model: string | null, policy: Policy): boolean {
    return this.#ask({ text, model, policy, replaces: null }, this.#turns.length);
  }

  /** Ask in the place of a turn, its prompt again or another one: it and all after it go. */
  async askAgain(key: string, text: string | null, model: string | null): Promise<void> {
    const find = () => this.#turns.find((turn) => turns.has(turn, key));
    this.#askingAgain++;
    await this.#runs.get(find()?.key ?? "")?.whenNamed();
    if (find()?.streamId === null) await this.#host.refresh(); // it may have begun all the same
    this.#askingAgain--;
    const turn = find();
    const words = text ?? (turn && turns.promptOf(turn)?.text);
    if (turn === undefined || !words) return;
    const replaces = turns.originOf(turn);
    const isReplaced = (one: turns.Turn) => replaces !== null && turns.originOf(one) === replaces;
    const place = this.#turns.findIndex((one) => one === turn || isReplaced(one));
    this.#ask({ text: words, model, policy: "interrupt", replaces }, place);
  }

  /** Stop the answer that is being given, and show what was seen of that. */
  async stop(): Promise<void> {
    const turn = this.#turns.find(turns.isStoppable);
    if (turn !== undefined) await this.#stop(turn);
  }

  /** Leave whatever is live, so that the server can be told of it by name. */
  async leaveAll(): Promise<void> {
    await Promise.all([...this.#runs.values()].map((run) => run.leave()));
    this.close();
  }

  /** Read nothing any more, also of what is on its way, and tell nobody: the answers go on. */
  close(): void {
    this.#isClosed = true;
    this.#turns = [];
    for (const run of this.#runs.values()) run.abort();
    this.#runs.clear();
  }

  /** Lay the history's newest page, oldest first, over the turns; follow what is live. */
  lay(session: SessionCard, messages: readonly MessageCard[], hasOlder: boolean): void {
    if (this.#isClosed) return;
    const reading = new Set(this.#runs.keys());
    const read = this.turns.filter((turn) => reading.has(turn.key));
    const stored = withoutReplaced(messages, read);
    const laid = layOver(this.turns, stored, hasOlder, reading, new Set(session.streams));
    this.#turns = withLive(laid, session, reading);
    for (const turn of this.#turns) this.#follow(turn);
  }

  prepend(messages: readonly MessageCard[]): void {
    this.#turns = putBefore(this.#turns, messages);
  }

  // RunHost

  isActive(run: Run): boolean {
    return this.#runs.get(run.key) === run;
  }

  named(run: Run): void {
    this.version++;
    this.#turns = turns.change(this.#turns, run.key, (turn) => turns.named(turn, run.streamId));
    this.#host.named();
    this.#host.changed();
  }

  progressed(run: Run): void {
    this.#touched.add(run);
    const turn = this.#turns.find((one) => one.key === run.key);
    if (run.hasBegun && turn?.isKept === false) {
      this.#turns = turns.change(this.#turns, run.key, (one) => ({ ...one, isKept: true }));
      this.#host.announce("Answering.");
    }
    // Of an answer that another tab asked for, the history has the prompt by its first token.
    if (run.text !== "" && turn?.messages.length === 1 && !this.#prompted.has(run.key)) {
      this.#prompted.add(run.key);
      void this.#host.refresh();
    }
    this.#host.changed();
  }

  ended(run: Run, ending: Ending): void {
    this.#write(run);
    this.#runs.delete(run.key);
    if (ending.kind === "complete") {
      this.#finish(run.key, notes.completed(ending.finishReason, run.missesHistory));
      return;
    }
    const { kind, error } = ending;
    if (kind === "lost") {
      if (error.status > 0) this.#unreadable.add(run.streamId ?? "");
      void this.#lookUp(run.key);
      return;
    }
    this.#finish(run.key, (kind === "error" ? notes.outcomeOf : notes.outcomeRefused)(error));
    // Whoever took over may be another tab; and whom a refused prompt took over from still lives.
    void this.#host.refresh();
  }

  refused(why: keyof Dropped): void {
    this.#host.refused(why);
  }

  #ask(asked: Omit<Prompt, "sessionId">, place: number): boolean {
    const prompt = { ...asked, sessionId: this.#sessionId };
    const { policy, replaces } = prompt;
    const live = this.#turns.filter(turns.isLive);
    const takesOver = policy === "interrupt" || policy === "rollback";
    const hasRoom = (takesOver && this.reading > 0) || this.#host.hasRoom();
    const isFull = policy === "enqueue" && live.length > MAX_WAITING;
    this.trouble = isFull ? notes.QUEUE_FULL : hasRoom ? null : notes.NO_ROOM;
    if (this.trouble !== null) {
      this.#host.announce(this.trouble.sentence);
    } else {
      if (takesOver) for (const turn of live) this.#takeOver(turn); // guard 5: before the new fetch
      const goes = policy === "rollback" ? live.map((turn) => turn.key) : [];
      const stay = this.#turns.slice(0, place).filter((turn) => !goes.includes(turn.key));
      const key = this.environment.newId();
      this.#turns = [...stay, turns.newTurn(key, prompt.text, null, false, replaces)];
      void this.#begin(key).ask(prompt, !takesOver && live.length > 0);
    }
    this.#host.settled();
    return this.trouble === null;
  }

  async #stop(turn: turns.Turn): Promise<void> {
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
        : await tellStop(this.api, this.environment, this.#sessionId, streamId);
    if (isOvertaken()) return;
    if (streamId !== null && outcome === notes.OUT_OF_REACH) this.#unwanted.add(streamId);
    this.#runs.delete(turn.key);
    this.#finish(turn.key, outcome ?? notes.interrupted("stopped"));
    // It had ended, and the history has all of it; or it may be there, and then has a name.
    if (outcome === null || streamId === null) void this.#host.refresh();
  }

  /** An answer cannot be read on: the history may know what became of it. */
  async #lookUp(key: string): Promise<void> {
    this.version++;
    await this.#host.refresh();
    const turn = this.#turns.find((one) => one.key === key);
    const answer = turn === undefined ? null : turns.answerOf(turn);
    if (turn === undefined || answer === null || this.#runs.has(key)) return;
    if (answer.state === "reattaching") this.#finish(key, notes.LOST);
    else if (!turns.isLive(turn)) this.#host.announce(notes.announcementOf(answer));
    this.#host.settled();
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
    if (this.#unwanted.delete(streamId)) {
      void this.#stop(turn);
    } else if (this.#unreadable.has(streamId)) {
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
  #write(run: Run): void {
    if (!this.isActive(run)) return; // guard 2: what has ended here is told otherwise
    const { key, text, reasoning, state, note } = run;
    this.#set(key, { text, reasoning, state, note }); // guard 1: the message with the run's own key
  }

  #set(key: string, change: Partial<AnswerMessage>): void {
    this.#turns = turns.change(this.#turns, key, (turn) => turns.withAnswer(turn, change));
  }

  #finish(key: string, outcome: notes.Outcome): void {
    this.version++;
    this.trouble = null;
    this.#set(key, outcome);
    this.#host.announce(notes.announcementOf(outcome));
    this.#host.settled();
  }
}
