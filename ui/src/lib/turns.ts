// A conversation as turns, a prompt with its answer. Pure: what has not changed stays the same object.

import type { AnswerMessage, AnswerState, Message, PromptMessage, Trouble } from "./types";

const LIVE: ReadonlySet<AnswerState> = new Set([
  "sending",
  "queued",
  "thinking",
  "streaming",
  "reattaching",
  "stopping",
]);

export interface Turn {
  /** The page's own word, which the answer's message has too. */
  readonly key: string;
  /** Null until the server has named it. */
  readonly streamId: string | null;
  readonly messages: readonly Message[];
  /** Its place in the history, where it has been read from there. */
  readonly seq: number | null;
  /** It has begun, so that the history has it, or had. */
  readonly isKept: boolean;
  /** The stream whose turn it is to take the place of, or has; null where it is one more. */
  readonly replaces: string | null;
}

/** A turn that begins here, or, without a prompt, one of which only the stream is known. */
export function newTurn(
  key: string,
  text: string | null,
  streamId: string | null,
  waits: boolean,
  replaces: string | null = null,
): Turn {
  const state = streamId === null ? "sending" : waits ? "queued" : "thinking";
  const answer: AnswerMessage = {
    key,
    role: "assistant",
    text: "",
    reasoning: "",
    state,
    streamId,
    cause: null,
    note: null,
    trouble: null,
  };
  const prompt: Message[] =
    text === null ? [] : [{ key: `${key}-prompt`, role: "user", text, streamId }];
  return { key, streamId, messages: [...prompt, answer], seq: null, isKept: false, replaces };
}

/** The turn's answer: its last message, where that is one. */
export function answerOf(turn: Turn): AnswerMessage | null {
  const last = turn.messages.at(-1);
  return last?.role === "assistant" ? last : null;
}

/** The prompt that was answered. */
export function promptOf(turn: Turn): PromptMessage | null {
  return turn.messages.findLast((message) => message.role === "user") ?? null;
}

/** Whose place it has; to the server that one's id means this turn too, also before it began. */
export function originOf(turn: Pick<Turn, "streamId" | "replaces">): string | null {
  return turn.replaces ?? turn.streamId;
}

/** The answer is being made, or about to be. */
export function isLive(turn: Turn): boolean {
  return LIVE.has(answerOf(turn)?.state ?? "complete");
}

/** Stop has something to stop. */
export function isStoppable(turn: Turn): boolean {
  return isLive(turn) && answerOf(turn)?.state !== "stopping";
}

/** The message with this key is of this turn. */
export function has(turn: Turn, key: string): boolean {
  return turn.messages.some((message) => message.key === key);
}

export function messagesOf(turns: readonly Turn[]): readonly Message[] {
  return turns.flatMap((turn) => turn.messages);
}

/** Change the turn with this key, and no other. */
export function change(
  turns: readonly Turn[],
  key: string,
  changed: (turn: Turn) => Turn,
): readonly Turn[] {
  const index = turns.findIndex((turn) => turn.key === key);
  const turn = turns[index];
  if (turn === undefined) return turns;
  const result = changed(turn);
  return result === turn ? turns : turns.with(index, result);
}

export function named(turn: Turn, streamId: string | null): Turn {
  if (turn.streamId === streamId) return turn;
  const messages = turn.messages.map((message) => ({ ...message, streamId }));
  return { ...turn, streamId, messages };
}

export function withAnswer(turn: Turn, change: Partial<AnswerMessage>): Turn {
  const answer = answerOf(turn);
  if (answer === null) return turn;
  const changed = { ...answer, ...change };
  if (same(answer, changed)) return turn;
  return { ...turn, messages: [...turn.messages.slice(0, -1), changed] };
}

/** Two messages with equal fields; troubles are compared by what they say. */
export function same(one: Message, other: Message): boolean {
  const [mine, theirs] = [new Map(Object.entries(one)), Object.entries(other)];
  return theirs.every(([name, value]) =>
    name === "trouble" ? isSaid(mine.get(name), value) : mine.get(name) === value,
  );
}

function isSaid(one: Trouble | null, other: Trouble | null): boolean {
  return one?.sentence === other?.sentence && one?.canRetry === other?.canRetry;
}
