// One answer at the fake server, and the connections that read it.

import type { FakeServer } from "./server";

const encoder = new TextEncoder();

/** A response's body, written to by the test. */
export class Connection {
  readonly body: ReadableStream<Uint8Array>;
  isOpen = true;
  #controller: ReadableStreamDefaultController<Uint8Array> | null = null;

  constructor(signal: AbortSignal | undefined) {
    this.body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#controller = controller;
      },
      cancel: () => {
        this.isOpen = false;
      },
    });
    signal?.addEventListener("abort", () => this.fail(signal.reason));
  }

  /** Send bytes as they are. */
  write(text: string): void {
    if (this.isOpen) this.#controller?.enqueue(encoder.encode(text));
  }

  send(event: string, number: number | null): void {
    this.write(`${number === null ? "" : `id: ${number}\n`}data: ${event}\n\n`);
  }

  end(): void {
    if (this.isOpen) this.#controller?.close();
    this.isOpen = false;
  }

  fail(error: unknown = new TypeError("network error")): void {
    if (this.isOpen) this.#controller?.error(error);
    this.isOpen = false;
  }
}

export class FakeStream {
  static #count = 0;
  readonly id: string;
  readonly events: string[] = [];
  readonly connections: { connection: Connection; isNumbered: boolean }[] = [];
  replaces: string | null = null;
  cause: string | null = null;
  at = 0;
  /** Its grace is over. */
  isGone = false;
  /** The process that made it is no more. */
  isForgotten = false;
  #text = "";
  #finishReason: string | null = null;
  #seq = 0;

  constructor(
    readonly server: FakeServer,
    readonly sessionId: string,
    readonly prompt: string,
  ) {
    this.id = `str_${String(++FakeStream.#count).padStart(4, "0")}`;
  }

  get isLive(): boolean {
    return this.cause === null;
  }

  get hasBegun(): boolean {
    return this.#seq > 0;
  }

  /** The connection that was opened last. */
  get connection(): Connection {
    const last = this.connections.at(-1);
    if (last === undefined) throw new Error("nobody reads");
    return last.connection;
  }

  attach(after: number, isNumbered: boolean, signal: AbortSignal | undefined): Connection {
    const connection = new Connection(signal);
    this.connections.push({ connection, isNumbered });
    this.events.slice(after).forEach((event, index) => {
      connection.send(event, isNumbered ? after + index + 1 : null);
    });
    if (!this.isLive) connection.end();
    return connection;
  }

  begin(): void {
    if (this.hasBegun) return;
    this.#seq = this.server.nextSeq() * 2;
    const replaced = this.server.streams.find((stream) => stream.id === this.replaces);
    this.replaces = replaced?.replaces ?? this.replaces;
    this.#delta({ role: "assistant", content: "" });
  }

  text(text: string): void {
    this.#takePlace();
    this.#text += text;
    this.#delta({ content: text });
  }

  reasoning(text: string): void {
    this.#takePlace();
    this.#delta({ reasoning_content: text });
  }

  finish(reason = "stop"): void {
    this.#takePlace();
    this.#finishReason = reason;
    this.#emit({ id: this.id, choices: [{ delta: {}, finish_reason: reason }] });
    this.#conclude("completed");
  }

  /** Fail as the server says it: an error event. */
  fail(code: string, cause: string): void {
    this.#emit({ error: { message: `(${code})`, code } });
    this.#conclude(cause);
  }

  /** End on purpose: superseded, stopped, shutdown … */
  end(cause: string, supersededBy?: string): void {
    if (!this.isLive) return;
    const code = cause === "shutdown" ? "server_shutdown" : cause;
    this.#emit({ error: { message: `(${code})`, code, superseded_by: supersededBy } });
    this.#conclude(cause);
  }

  /** Killed with its server: nothing is said, and no text was kept. */
  kill(): void {
    this.cause = "killed";
    this.#text = "";
    this.at += 0.5;
  }

  /** The network breaks under every reader. */
  cut(): void {
    for (const { connection } of this.connections) connection.fail();
  }

  /** Every connection ends as if that were all. */
  endCleanly(): void {
    for (const { connection } of this.connections) connection.end();
  }

  cards() {
    if (!this.hasBegun) return [];
    const replaces = this.replaces === null ? {} : { replaces: this.replaces };
    const common = { stream_id: this.id, cause: null, ...replaces };
    const cause = this.cause === "killed" ? null : this.cause;
    return [
      { ...common, seq: this.#seq, role: "user", content: this.prompt, state: "complete" },
      {
        ...common,
        seq: this.#seq + 1,
        role: "assistant",
        content: this.isLive ? "" : this.#text,
        state: stateOf(this.cause),
        cause,
        ...(this.#finishReason === null ? {} : { finish_reason: this.#finishReason }),
      },
    ];
  }

  /** With its first piece, what it replaces goes, or what stands for that, and all behind it. */
  #takePlace(): void {
    if (this.replaces === null) return;
    const { streams } = this.server;
    const place = streams.findIndex(
      (one) => one !== this && [one.id, one.replaces].includes(this.replaces),
    );
    if (place < 0) return;
    this.server.streams = streams.filter(
      (one, index) => index < place || one === this || one.sessionId !== this.sessionId,
    );
  }

  #delta(delta: object): void {
    this.#emit({ id: this.id, choices: [{ delta, finish_reason: null }] });
  }

  #emit(event: object): void {
    const text = JSON.stringify(event);
    this.events.push(text);
    for (const { connection, isNumbered } of this.connections) {
      connection.send(text, isNumbered ? this.events.length : null);
    }
  }

  #conclude(cause: string): void {
    this.cause = cause;
    this.events.push("[DONE]");
    for (const { connection, isNumbered } of this.connections) {
      connection.send("[DONE]", isNumbered ? this.events.length : null);
      connection.end();
    }
    this.server.live(this.sessionId)[0]?.begin();
  }
}

function stateOf(cause: string | null): string {
  if (cause === null) return "streaming";
  if (cause === "completed") return "complete";
  return cause.startsWith("upstream") ? "failed" : "interrupted";
}
