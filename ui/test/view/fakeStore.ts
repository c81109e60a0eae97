// A store without a server, for looking at the view: what it shows is written here.

import type {
  AnswerMessage,
  ChatActions,
  ChatSnapshot,
  Message,
  PromptMessage,
} from "../../src/lib/types";

export function prompt(key: string, text: string): PromptMessage {
  return { key, role: "user", text, streamId: `str_${key}` };
}

export function answer(
  key: string,
  text: string,
  more: Partial<AnswerMessage> = {},
): AnswerMessage {
  return {
    key,
    role: "assistant",
    text,
    reasoning: "",
    state: "complete",
    streamId: `str_${key}`,
    cause: "completed",
    note: null,
    trouble: null,
    ...more,
  };
}

export const emptyChat: ChatSnapshot = {
  signIn: { state: "in", canSignOut: true },
  sessions: [],
  sessionsTrouble: null,
  hasMoreSessions: false,
  search: "",
  conversation: {
    id: "new-1",
    title: "",
    messages: [],
    isLoading: false,
    hasOlder: false,
    trouble: null,
    isLive: false,
  },
  models: ["jarvis-simulated", "llama3.2:3b"],
  model: null,
  policy: "interrupt",
  announcement: "",
};

export class FakeStore implements ChatActions {
  #snapshot: ChatSnapshot;
  readonly #listeners = new Set<() => void>();
  readonly calls: unknown[][] = [];

  constructor(snapshot: ChatSnapshot) {
    this.#snapshot = snapshot;
  }

  readonly subscribe = (listener: () => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  readonly getSnapshot = () => this.#snapshot;

  set(change: Partial<ChatSnapshot>): void {
    this.#snapshot = { ...this.#snapshot, ...change };
    for (const listener of this.#listeners) listener();
  }

  converse(change: Partial<ChatSnapshot["conversation"]>): void {
    this.set({ conversation: { ...this.#snapshot.conversation, ...change } });
  }

  /** Streams a text in so many updates, one per frame. */
  async stream(text: string, updates: number): Promise<void> {
    const earlier: readonly Message[] = this.#snapshot.conversation.messages;
    const asked = prompt(`p${earlier.length}`, "Go on");
    const show = (message: AnswerMessage, isLive: boolean) =>
      this.converse({ messages: [...earlier, asked, message], isLive });
    const key = `a${earlier.length}`;
    for (let n = 1; n <= updates; n += 1) {
      const part = text.slice(0, Math.ceil((text.length * n) / updates));
      show(answer(key, part, { state: "streaming" }), true);
      await new Promise((resolve) => requestAnimationFrame(resolve));
    }
    show(answer(key, text), false);
  }

  #did(name: string) {
    return (...args: unknown[]) => {
      this.calls.push([name, ...args]);
    };
  }

  // ChatActions

  readonly send = (text: string) => {
    this.#did("send")(text);
    this.stream(`You asked: ${text}\n\nHere is **an answer**.`, 60);
    return true;
  };
  readonly stop = this.#did("stop");
  readonly retry = this.#did("retry");
  readonly edit = this.#did("edit");
  readonly open = this.#did("open");
  readonly openNew = this.#did("openNew");
  readonly loadOlder = () => {
    this.#did("loadOlder")();
    const older = Array.from({ length: 10 }, (_, n) =>
      prompt(`old${n}-${Date.now()}`, `Older ${n}`),
    );
    setTimeout(() => {
      this.converse({ messages: [...older, ...this.#snapshot.conversation.messages] });
    }, 50);
  };
  readonly loadMoreSessions = this.#did("loadMoreSessions");
  readonly find = (search: string) => this.set({ search });
  readonly rename = this.#did("rename");
  readonly remove = this.#did("remove");
  readonly chooseModel = (model: string | null) => this.set({ model });
  readonly choosePolicy = (policy: ChatSnapshot["policy"]) => this.set({ policy });
  readonly signInWith = this.#did("signInWith");
  readonly signOut = this.#did("signOut");
}
