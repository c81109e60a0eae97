// One answer being read: asked for, or followed by its id, and read on after a cut. The guards that
// keep a late token out of another answer are here and in conversation.ts, each one line with its
// number; test/mutations.json takes each of them away and expects a test to fail.

import type { Api, Prompt } from "./api";
import { type Environment, pause } from "./environment";
import { type ApiError, asApiError, unreachable } from "./errors";
import { LATE_NOTE } from "./notes";
import { type End, readEvents, type ServerEvent } from "./sse";
import type { AnswerState, Dropped } from "./types";
import { readFrame } from "./wire";

/** Pauses before each try to read on, in milliseconds; a token in between begins them anew. */
const PAUSES = [0, 250, 500, 1000, 2000, 4000, 4000, 8000, 8000];

/** The server pings every ten seconds: one that is silent for so long is behind a dead connection. */
const SILENCE_MS = 45_000;

/** How long the headers of a re-attachment may take. */
const ATTACH_MS = 10_000;

/** The server commits an answer's headers within a second, so a Stop can learn whom to name. */
export const NAMING_MS = 5_000;

/** These say that there is nothing to read on; any other refusal may pass. */
const GONE: ReadonlySet<number> = new Set([400, 401, 403, 404, 410]);

/**
 * What became of an answer: it is complete; the server said in it why not; the prompt was refused, or
 * did not get there; or it cannot be read on, and only the history knows.
 */
export type Ending =
  | { readonly kind: "complete"; readonly finishReason: string | null }
  | { readonly kind: "error" | "refused" | "lost"; readonly error: ApiError };

/** How reading one connection ended; `left`: there is nobody to read for. */
type Reading = End | "left";

/** Who owns the runs. */
export interface RunHost {
  readonly environment: Environment;
  readonly api: Api;
  /** The run is the one that its message waits for. */
  isActive(run: Run): boolean;
  /** The server has given the run's stream a name. */
  named(run: Run): void;
  /** Its text or state has changed. */
  progressed(run: Run): void;
  ended(run: Run, ending: Ending): void;
  refused(why: keyof Dropped): void;
}

/** A run reads into the message with its key, never into "the last". It never throws. */
export class Run {
  text = "";
  reasoning = "";
  streamId: string | null = null;
  /** The answer has its turn: from its first event on it is in the history. */
  hasBegun = false;
  /** The server could not tell the model what was said before. */
  missesHistory = false;
  /** The server's refusal of the prompt. */
  refusal: ApiError | null = null;
  /** What is said beside the state. */
  note: string | null = null;
  state: AnswerState;
  readonly key: string;
  readonly #host: RunHost;
  #seen = 0;
  #waits = false;
  #connection: AbortController | null = null;
  #finishReason: string | null = null;
  #failure: ApiError | null = null;
  /** Aborted when the server has named it, or will not. */
  readonly #naming = new AbortController();
  /** Aborted when somebody leaves it. */
  readonly #leaving = new AbortController();

  constructor(key: string, host: RunHost) {
    this.key = key;
    this.#host = host;
    this.state = "sending";
  }

  /** It reads, or tries to: it has not been left, and holds a connection. */
  get isReading(): boolean {
    return !this.#leaving.signal.aborted;
  }

  /** Ask. `waits`: other answers of the conversation come first. */
  async ask(prompt: Prompt, waits: boolean): Promise<void> {
    const connection = this.#connect();
    this.#waits = waits;
    void this.#sayIfLate();
    let response: Response;
    try {
      response = await this.#host.api.ask(prompt, connection.signal);
    } catch (error) {
      this.refusal = asApiError(error);
      this.#name(this.refusal.streamId);
      this.#end({ kind: "refused", error: this.refusal });
      this.#naming.abort();
      return;
    }
    this.missesHistory = response.headers.get("X-History") === "unavailable";
    this.#name(response.headers.get("X-Stream-Id"));
    this.#show();
    const end = await this.#read(response);
    if (end === "done") this.#conclude();
    if (end === "cut") await this.#readOn(true);
  }

  /** Read an answer that somebody else asked for, or this page before it was loaded again. */
  async follow(streamId: string, waits: boolean): Promise<void> {
    this.#waits = waits;
    this.#name(streamId);
    this.#show();
    await this.#readOn(false);
  }

  /** Leave at once: another prompt takes over, and the server hears of it by that. */
  abort(): void {
    this.#leaving.abort();
    this.#connection?.abort();
    this.#naming.abort();
  }

  /**
   * Leave because of a Stop; then `streamId` is what to name to the server.
   *
   * The prompt went out with `X-On-Disconnect: continue`, so an abort alone stops nothing; and a Stop
   * that names nobody could end another tab's answer, or overtake the prompt and end the one before.
   * So while the headers are on their way nothing is aborted, and nothing is shown either: the server
   * commits them within a second, also for an answer that waits. Where they do not come in time, the
   * request or the network is not there, and there is nothing that could be named.
   */
  async leave(): Promise<void> {
    this.#leaving.abort();
    this.state = "stopping";
    await this.whenNamed();
    this.abort();
  }

  /** Wait until the server has named it, or has not in time. */
  async whenNamed(): Promise<void> {
    if (this.streamId !== null) return;
    await pause(this.#host.environment, NAMING_MS, this.#naming.signal);
  }

  async #sayIfLate(): Promise<void> {
    await this.whenNamed();
    if (this.streamId !== null) return;
    this.note = LATE_NOTE;
    this.#show("sending");
  }

  /** Read what follows the events had so far, as often as it is cut. */
  async #readOn(isCut: boolean): Promise<void> {
    let tries = 0;
    if (isCut) this.#show("reattaching");
    while (this.#isLive) {
      const milliseconds = PAUSES[tries++];
      if (milliseconds === undefined || this.streamId === null) {
        return this.#lose(unreachable());
      }
      await pause(this.#host.environment, milliseconds, this.#leaving.signal, true);
      if (!this.#isLive) return;
      const before = this.#seen;
      const end = await this.#attach(this.streamId);
      if (end === "left") return;
      if (end === "done") return this.#conclude();
      if (end !== "cut") return this.#lose(end);
      if (this.#seen > before) tries = 0;
      this.#show("reattaching");
    }
  }

  async #attach(streamId: string): Promise<Reading | ApiError> {
    const { api, environment } = this.#host;
    const connection = this.#connect();
    const undo = environment.after(ATTACH_MS, () => connection.abort());
    let response: Response;
    try {
      response = await api.follow(streamId, this.#seen, connection.signal);
    } catch (error) {
      const failure = asApiError(error);
      return GONE.has(failure.status) ? failure : "cut";
    } finally {
      undo();
    }
    const named = response.headers.get("X-Stream-Id");
    if (named !== null && named !== streamId) {
      this.#host.refused("otherStream"); // guard 3, of all that this response would bring
      void response.body?.cancel().catch(() => undefined);
      return "cut";
    }
    this.#show();
    return this.#read(response);
  }

  async #read(response: Response): Promise<Reading> {
    if (response.body === null) return "cut";
    const bytes = response.body.getReader();
    const leave = () => void bytes.cancel().catch(() => undefined);
    const watch = () => this.#host.environment.after(SILENCE_MS, leave);
    let undo = watch();
    const events = readEvents(bytes, () => {
      undo();
      undo = watch();
    });
    try {
      for (;;) {
        const { done, value } = await events.next();
        if (done) return this.#failure === null ? value : "done"; // nothing follows an error
        if (!this.#take(value)) return "left";
      }
    } catch {
      return "cut"; // whoever has left is told by #isLive: an abort is no error
    } finally {
      undo();
      leave();
    }
  }

  /** Take an event in, unless a guard refuses it; false when there is nothing more to read for. */
  #take(event: ServerEvent): boolean {
    if (!this.#isLive) return this.#drop("notLive"); // guard 2
    const frame = readFrame(event.data);
    const named = frame?.streamId ?? null;
    this.#name(named);
    if (named !== null && named !== this.streamId) return !this.#drop("otherStream"); // guard 3
    const number = event.number ?? this.#seen + 1;
    if (number <= this.#seen) return !this.#drop("seen"); // guard 4
    this.#seen = number;
    this.hasBegun ||= frame?.error === null;
    this.text += frame?.text ?? "";
    this.reasoning += frame?.reasoning ?? "";
    this.#finishReason = frame?.finishReason ?? this.#finishReason;
    this.#failure = frame?.error ?? this.#failure;
    this.#show();
    return true;
  }

  /** It is the run that its message waits for, and nobody has left it. */
  get #isLive(): boolean {
    return this.#host.isActive(this) && this.isReading; // guard 2
  }

  #drop(why: keyof Dropped): false {
    this.#host.refused(why);
    return false;
  }

  /** Open a connection's scope; the one before is closed. */
  #connect(): AbortController {
    this.#connection?.abort();
    this.#connection = new AbortController();
    return this.#connection;
  }

  #name(streamId: string | null): void {
    if (this.streamId !== null || streamId === null) return;
    this.streamId = streamId;
    this.note = null;
    this.#naming.abort();
    this.#host.named(this);
  }

  #show(state: AnswerState = this.#progress()): void {
    if (!this.#isLive) return;
    this.state = state;
    this.#host.progressed(this);
  }

  #progress(): AnswerState {
    if (this.text !== "") return "streaming";
    return this.#waits && !this.hasBegun ? "queued" : "thinking";
  }

  #conclude(): void {
    const failure = this.#failure;
    this.#end(
      failure === null
        ? { kind: "complete", finishReason: this.#finishReason }
        : { kind: "error", error: failure },
    );
  }

  #lose(error: ApiError): void {
    this.#show("reattaching");
    this.#end({ kind: "lost", error });
  }

  #end(ending: Ending): void {
    if (!this.#isLive) return;
    this.#host.ended(this, ending);
  }
}
