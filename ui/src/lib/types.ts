// The words of the page. The stream logic in lib/ makes snapshots of these shapes; the components
// read them and call actions, and hold no logic of their own.

/** Why an answer ended: the server's word (docs/sessions.md). */
export type Cause =
  | "completed"
  | "superseded"
  | "stopped"
  | "client_disconnect"
  | "client_stalled"
  | "upstream_error"
  | "upstream_eof"
  | "upstream_timeout"
  | "shutdown";

/** What a prompt does to the answer that its session is being given: X-Session-Policy. */
export type Policy = "interrupt" | "rollback" | "enqueue" | "reject";

/**
 * How far an answer has come. Only the first five are live:
 * sending (no headers yet), queued (behind another answer), thinking (accepted, no text yet),
 * streaming, reattaching (the network was cut; it is being read on).
 */
export type AnswerState =
  | "sending"
  | "queued"
  | "thinking"
  | "streaming"
  | "reattaching"
  | "stopping"
  | "complete"
  | "interrupted"
  | "failed";

/** What went wrong, as a sentence for a reader, and whether the same may be tried again. */
export interface Trouble {
  readonly sentence: string;
  readonly canRetry: boolean;
}

/** A prompt. `key` is the page's own and stays, whatever the server calls the turn. */
export interface PromptMessage {
  readonly key: string;
  readonly role: "user";
  readonly text: string;
  /** The turn's stream; null until the server has named it. */
  readonly streamId: string | null;
}

/** An answer; the tokens of a run go to the message with the run's key, never to "the last". */
export interface AnswerMessage {
  readonly key: string;
  readonly role: "assistant";
  readonly text: string;
  readonly reasoning: string;
  readonly state: AnswerState;
  readonly streamId: string | null;
  readonly cause: Cause | null;
  /** What became of it, in a few words: "stopped in 4 ms, model idle". Null when there is nothing to say. */
  readonly note: string | null;
  readonly trouble: Trouble | null;
}

export type Message = PromptMessage | AnswerMessage;

/** A conversation as the list shows it. */
export interface SessionItem {
  readonly id: string;
  readonly title: string;
  readonly updatedAt: number;
  readonly isLive: boolean;
}

/** The conversation that is open. */
export interface Conversation {
  readonly id: string;
  readonly title: string;
  readonly messages: readonly Message[];
  /** The history is being read for the first time. */
  readonly isLoading: boolean;
  /** There are older messages, which loadOlder() brings. */
  readonly hasOlder: boolean;
  readonly trouble: Trouble | null;
  /** An answer is live: Stop has something to stop. */
  readonly isLive: boolean;
}

export type SignIn =
  | { readonly state: "unknown" }
  /** `canSignOut`: a key was given, and can be taken back. */
  | { readonly state: "in"; readonly canSignOut: boolean }
  | { readonly state: "needed"; readonly sentence: string | null };

/** Everything that the chat shows. Immutable: what has not changed is the same object. */
export interface ChatSnapshot {
  readonly signIn: SignIn;
  readonly sessions: readonly SessionItem[];
  readonly sessionsTrouble: Trouble | null;
  readonly hasMoreSessions: boolean;
  readonly search: string;
  readonly conversation: Conversation;
  readonly models: readonly string[];
  /** Null is the server's own choice. */
  readonly model: string | null;
  readonly policy: Policy;
  /** Says when an answer begins and ends, for screen readers; nothing between. */
  readonly announcement: string;
}

/** What the page may do; none of these throws, what fails is said in the snapshot. */
export interface ChatActions {
  /** Ask; false when nothing was taken (empty, or too many wait), so the composer keeps its text. */
  send(text: string): boolean;
  /** Stop the live answer (of the open conversation): reading ends at once, then the server is told. */
  stop(): void;
  /** Ask the prompt of this answer again, in its place: it and all after it go. */
  retry(answerKey: string): void;
  /** Ask another prompt in the place of this one: it and all after it go. */
  edit(promptKey: string, text: string): void;
  open(sessionId: string): void;
  openNew(): void;
  loadOlder(): void;
  loadMoreSessions(): void;
  find(search: string): void;
  rename(sessionId: string, title: string): void;
  remove(sessionId: string): void;
  chooseModel(model: string | null): void;
  choosePolicy(policy: Policy): void;
  signInWith(key: string): void;
  signOut(): void;
}

/** What the page counted of frames that it refused; shown in the ops view. */
export interface Dropped {
  /** The run was not the live one, or had been aborted. */
  readonly notLive: number;
  /** The frame named another stream. */
  readonly otherStream: number;
  /** The frame's number had been seen. */
  readonly seen: number;
}
