// A server that answers when the test says so, and time that passes when the test says so.

import { type OpsClient, opsClient } from "../../../src/ops/opsClient";
import { OpsStore } from "../../../src/ops/opsStore";
import { type Overview, readOverview, type StreamCard } from "../../../src/ops/overview";

interface Call {
  readonly path: string;
  readonly at: number;
  readonly signal: AbortSignal | null;
  answer(body: unknown): void;
  fail(error: unknown): void;
}

export class World {
  calls: Call[] = [];
  isVisible = true;
  readonly client: OpsClient;
  readonly store: OpsStore;
  #now = 0;
  #timers = new Map<() => void, number>();
  #onVisibility = new Set<() => void>();
  #onOnline = new Set<() => void>();

  constructor() {
    this.client = opsClient({ send: (path, init) => this.#send(path, init) });
    this.store = new OpsStore(this.client, {
      now: () => this.#now,
      after: (milliseconds, callback) => {
        const timer = () => callback();
        this.#timers.set(timer, this.#now + milliseconds);
        return () => this.#timers.delete(timer);
      },
      isVisible: () => this.isVisible,
      onVisibility: (callback) => listen(this.#onVisibility, callback),
      onOnline: (callback) => listen(this.#onOnline, callback),
    });
  }

  /** Calls that the server has not answered, and nobody has aborted. */
  get open(): Call[] {
    return this.calls.filter(({ signal }) => signal?.aborted !== true);
  }

  get timers(): number {
    return this.#timers.size;
  }

  get listeners(): number {
    return this.#onVisibility.size + this.#onOnline.size;
  }

  /** Paths and times of all requests so far. */
  get asked(): string[] {
    return this.calls.map(({ path, at }) => `${at} ${path}`);
  }

  /** The one that was sent last. */
  get last(): Call {
    const call = this.calls.at(-1);
    if (call === undefined) throw new Error("nothing was asked");
    return call;
  }

  show(isVisible: boolean): void {
    this.isVisible = isVisible;
    for (const callback of this.#onVisibility) callback();
  }

  goOnline(): void {
    for (const callback of this.#onOnline) callback();
  }

  /** Let so much time pass. With `answers`, each request gets this one at once. */
  async pass(milliseconds: number, answers?: unknown): Promise<void> {
    const until = this.#now + milliseconds;
    for (;;) {
      if (answers !== undefined) for (const call of this.open) call.answer(answers);
      await settle();
      const [timer, due] = [...this.#timers].sort(([, a], [, b]) => a - b)[0] ?? [];
      if (timer === undefined || due === undefined || due > until) break;
      this.#timers.delete(timer);
      this.#now = due;
      timer();
    }
    this.#now = until;
  }

  #send(path: string, init: RequestInit): Promise<Response> {
    return new Promise((resolve, reject) => {
      const signal = init.signal ?? null;
      signal?.addEventListener("abort", () => reject(new DOMException("aborted", "AbortError")));
      const done = (call: Call) => {
        this.calls = this.calls.map((one) =>
          one === call ? { ...one, signal: AbortSignal.abort() } : one,
        );
      };
      const call: Call = {
        path,
        at: this.#now,
        signal,
        answer(body) {
          done(call);
          resolve(typeof body === "string" ? new Response(body) : Response.json(body));
        },
        fail(error) {
          done(call);
          reject(error);
        },
      };
      this.calls = [...this.calls, call];
    });
  }
}

function listen(callbacks: Set<() => void>, callback: () => void): () => void {
  callbacks.add(callback);
  return () => callbacks.delete(callback);
}

/** Let everything happen that waits for no time. */
export async function settle(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve));
}

/** An answer of the server, with these streams: their ids. */
export function told(streams: readonly string[] = [], more: object = {}): object {
  return {
    pid: 1,
    uptime_s: 1,
    sees: "own",
    streams: streams.map((id) => ({ stream_id: id, session_id: `of ${id}`, phase: "decode" })),
    streams_total: streams.length,
    ...more,
  };
}

export function overviewOf(answer: object): Overview {
  const overview = readOverview(answer);
  if (overview === null) throw new Error("this is no overview");
  return overview;
}

export function streamOf(more: Partial<StreamCard> = {}): StreamCard {
  const stream = overviewOf(told(["str_1"])).streams[0];
  if (stream === undefined) throw new Error("there is no stream");
  return { ...stream, ...more };
}
