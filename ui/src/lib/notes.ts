// What became of an answer, in a few words: of what was seen, and not of what was asked for.

import type { ApiError } from "./errors";
import type { AnswerState, Cause, Trouble } from "./types";
import type { MessageCard, Receipt } from "./wire";

/** How an answer ended. */
export interface Outcome {
  readonly state: AnswerState;
  readonly cause: Cause | null;
  readonly note: string | null;
  readonly trouble: Trouble | null;
}

const NOTES: Readonly<Partial<Record<Cause, string>>> = {
  superseded: "a newer prompt took over",
  stopped: "stopped",
  client_disconnect: "ended, as nobody was reading it",
  client_stalled: "ended, as its reader had stopped taking it",
  shutdown: "the server was shut down",
};

const FINISHES: Readonly<Record<string, string>> = {
  length: "cut off at the length limit",
  content_filter: "cut off by the model server's filter",
  tool_calls: "asked for a tool, and this page has none",
};

const TROUBLES: Readonly<Partial<Record<Cause, string>>> = {
  upstream_error: "The model server failed.",
  upstream_eof: "The model server broke off in the middle of the answer.",
  upstream_timeout: "The model server did not answer in time.",
};

export const QUEUE_FULL: Trouble = {
  sentence: "3 prompts wait already: send this one when one of them is answered.",
  canRetry: false,
};
export const NO_ROOM: Trouble = {
  sentence: "This page reads as many answers as it can: stop one, or wait for its end.",
  canRetry: false,
};

export const KILLED_NOTE = "the server went down before the answer had ended";
export const NOT_KEPT_NOTE = `${KILLED_NOTE}; this text is only on this page`;
export const UNSEEN_BEGINNING_NOTE =
  "being written, but its beginning is no longer held; it is shown when it has ended";
const OUT_OF_REACH_NOTE =
  "stopped here; the server could not be told, and ends it when nobody has read it for a while";
/** Over HTTP/1.1 all the tabs of a browser share six connections to a server. */
export const LATE_NOTE =
  "the server has not answered yet; answers in other tabs may hold all of its connections";
export const NEVER_BEGAN_NOTE = "stopped before it began";
/** A Stop that did not get through. */
export const OUT_OF_REACH: Outcome = interrupted("stopped", OUT_OF_REACH_NOTE);

export const SUPERSEDED: Outcome = interrupted("superseded");

/** It was cut, and cannot be read on: until the history says more. */
export const LOST: Outcome = {
  ...interrupted(null),
  note: null,
  trouble: { sentence: "The connection broke, and the answer cannot be read on.", canRetry: true },
};

export function completed(finishReason: string | null, missesHistory = false): Outcome {
  const said = missesHistory ? "answered without the conversation, which could not be read" : null;
  const note = FINISHES[finishReason ?? ""] ?? said;
  return { state: "complete", cause: "completed", note, trouble: null };
}

export function interrupted(cause: Cause | null, note?: string): Outcome {
  const said = cause === null ? KILLED_NOTE : (NOTES[cause] ?? null);
  return { state: "interrupted", cause, note: note ?? said, trouble: null };
}

export function failed(error: ApiError): Outcome {
  return { state: "failed", cause: error.answerCause, note: null, trouble: error.trouble };
}

/** What an error in the answer makes of it. */
export function outcomeOf(error: ApiError): Outcome {
  const cause = error.answerCause;
  return cause !== null && cause in NOTES ? interrupted(cause) : failed(error);
}

/** What becomes of a prompt that was refused: only people end one on purpose. */
export function outcomeRefused(error: ApiError): Outcome {
  return error.answerCause === "shutdown" ? failed(error) : outcomeOf(error);
}

/** What the history says of an answer. */
export function outcomeStored(card: MessageCard): Outcome {
  switch (card.state) {
    case "streaming":
      return { state: "thinking", cause: null, note: null, trouble: null };
    case "complete":
      return completed(card.finishReason);
    case "interrupted":
      return interrupted(card.cause);
    case "failed": {
      const sentence = (card.cause && TROUBLES[card.cause]) ?? "The answer failed.";
      const trouble = { sentence, canRetry: true };
      return { state: "failed", cause: card.cause, note: null, trouble };
    }
  }
}

/** What a Stop saw; null where the answer had ended by itself, and the history has all of it. */
export function outcomeStopped(receipt: Receipt): Outcome | null {
  if (receipt.status === "already_ended") {
    return receipt.cause in NOTES ? interrupted(receipt.cause) : null;
  }
  const { upstreamClosed: closed, backendIdle: idle } = receipt;
  let note = NEVER_BEGAN_NOTE;
  if (closed !== null && idle !== null) {
    const isSoon = idle - closed < 100;
    note = `stopped in ${ms(closed)}, model idle${isSoon ? "" : ` after ${ms(idle)}`}`;
  } else if (closed !== null) {
    note = `stopped in ${ms(closed)}; the model server does not say whether it is idle`;
  } else if (receipt.status === "unconfirmed") {
    note = "stopped; the connection to the model server was not seen to close";
  }
  return interrupted("stopped", note);
}

/** A Stop of an answer whose name never came: it was refused, or nobody could be reached. */
export function outcomeUnnamed(refusal: ApiError | null): Outcome {
  const isRefused = refusal !== null && refusal.status > 0;
  return isRefused ? interrupted("stopped", NEVER_BEGAN_NOTE) : OUT_OF_REACH;
}

/** What a screen reader is told of an end. */
export function announcementOf(outcome: Outcome): string {
  if (outcome.trouble !== null) return outcome.trouble.sentence;
  if (outcome.state === "complete") return "Answer complete.";
  return outcome.cause === "stopped" ? "Answer stopped." : "Answer interrupted.";
}

function ms(milliseconds: number): string {
  return `${Math.max(1, Math.round(milliseconds))} ms`;
}
