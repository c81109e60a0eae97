// The server as the page sees it: sessions, streams and their history, in memory. A test is the model:
// it says what each stream sends, and when. What a route promises is in docs/sessions.md.

import { type Connection, FakeStream } from "./stream";

export interface Request {
  readonly method: string;
  readonly path: string;
  readonly body: Record<string, unknown>;
  readonly headers: Record<string, string>;
}

interface Refusal {
  readonly status: number;
  readonly code: string;
  readonly headers?: Record<string, string>;
}

export class FakeServer {
  /** All streams there ever were, in their order. */
  streams: FakeStream[] = [];
  readonly requests: Request[] = [];
  /** Every request fails as the network does. */
  isDown = false;
  /** What the next prompt is refused with. */
  refusal: Refusal | null = null;
  /** What each rename and deletion is refused with. */
  refusesChanges: Refusal | null = null;
  /** Headers of prompts wait until `releaseHeaders`. */
  holdsHeaders = false;
  /** So does the next response, as it is now, of a path like this. */
  holdsNext: RegExp | null = null;
  /** Prompts wait before they begin, as if for the one before to unwind. */
  delaysBeginning = false;
  /** Prompts get there, but their responses do not come back. */
  losesResponses = false;
  missesHistory = false;
  /** What the answers that are read on are called. */
  misnames: string | null = null;
  /** A fetch wrapper that does not pass `signal` on. */
  ignoresAbort = false;
  supersedes = true;
  key = "devkey";
  receipt = { upstream_closed_ms: 4.1 as number | null, backend_idle_ms: 4.4 as number | null };
  pageSize = 50;
  #held: (() => void)[] = [];
  #titles = new Map<string, string>();
  #seq = 0;
  #clock = 1000;

  /** The prompts that were sent. */
  get prompts(): Request[] {
    return this.requests.filter((request) => request.path === "/v1/chat/completions");
  }

  get cancels(): Request[] {
    return this.requests.filter((request) => request.path.endsWith("/cancel"));
  }

  last(): FakeStream {
    const last = this.streams.at(-1);
    if (last === undefined) throw new Error("there is no stream");
    return last;
  }

  live(sessionId: string): FakeStream[] {
    return this.streams.filter((stream) => stream.sessionId === sessionId && stream.isLive);
  }

  releaseHeaders(): void {
    this.holdsHeaders = false;
    for (const release of this.#held.splice(0)) release();
  }

  /** It was killed, and started again: what was live is kept as `interrupted`, without its text. */
  restart(): void {
    for (const stream of this.streams) {
      stream.cut();
      if (stream.isLive) stream.kill();
      stream.isForgotten = true;
    }
  }

  nextSeq(): number {
    return ++this.#seq;
  }

  async fetch(path: string, init: RequestInit): Promise<Response> {
    const signal = this.ignoresAbort ? new AbortController().signal : (init.signal ?? undefined);
    const headers = { ...(init.headers as Record<string, string>) };
    const body = typeof init.body === "string" ? JSON.parse(init.body) : {};
    const request = { method: init.method ?? "GET", path, body, headers };
    this.requests.push(request);
    signal?.throwIfAborted();
    if (this.isDown) throw new TypeError("Failed to fetch");
    if (headers.Authorization !== `Bearer ${this.key}`) return refuse(401, "invalid_api_key");
    const response = this.#route(request, signal);
    if (this.losesResponses && path === "/v1/chat/completions") throw new TypeError("lost");
    const isNext = this.holdsNext?.test(path) ?? false;
    if (isNext) this.holdsNext = null;
    if (isNext || (this.holdsHeaders && path === "/v1/chat/completions")) {
      await new Promise<void>((resolve, reject) => {
        this.#held.push(resolve);
        signal?.addEventListener("abort", () => reject(signal.reason));
      });
      const id = response.headers.get("X-Stream-Id") ?? "";
      const cause = this.streams.find((stream) => stream.id === id)?.cause ?? "completed";
      if (!isNext && cause !== "completed") return refuse(409, cause, { "X-Stream-Id": id });
    }
    return response;
  }

  #route(request: Request, signal: AbortSignal | undefined): Response {
    const url = new URL(request.path, "http://server");
    const [, , collection, id, leaf] = url.pathname.split("/").map(decodeURIComponent);
    const word = `${request.method} ${collection}${id ? "/id" : ""}${leaf ? `/${leaf}` : ""}`;
    switch (word) {
      case "POST chat/id":
        return this.#ask(request, signal);
      case "GET models":
        return Response.json({ data: [{ id: "small" }, { id: "large" }] });
      case "GET sessions":
        return this.#list(url.searchParams);
      case "GET streams/id":
        return this.#follow(id ?? "", Number(url.searchParams.get("after")), signal);
    }
    if (this.refusesChanges !== null && /PATCH|DELETE/.test(request.method)) {
      return refuse(this.refusesChanges.status, this.refusesChanges.code);
    }
    const known = this.streams.filter((stream) => stream.sessionId === id);
    if (known.length === 0) return refuse(404, "not_found");
    switch (word) {
      case "GET sessions/id":
        return Response.json(this.#card(id ?? "", true));
      case "PATCH sessions/id":
        this.#titles.set(id ?? "", String(request.body.title));
        return Response.json(this.#card(id ?? "", true));
      case "DELETE sessions/id":
        for (const stream of known) stream.end("stopped");
        this.streams = this.streams.filter((stream) => stream.sessionId !== id);
        return Response.json({ id, deleted: true });
      case "GET sessions/id/messages":
        return this.#messages(known, url.searchParams);
      case "POST sessions/id/cancel":
        return this.#cancel(known, request.body.stream_id);
      default:
        return refuse(404, "not_found");
    }
  }

  /** Take a prompt as another tab would send it. */
  askElsewhere(
    sessionId: string,
    prompt: string,
    policy = "interrupt",
    replaces?: string,
  ): FakeStream {
    this.#take(sessionId, prompt, policy, replaces);
    return this.last();
  }

  #ask(request: Request, signal: AbortSignal | undefined): Response {
    const sessionId = request.headers["X-Session-Id"] ?? "";
    const policy = request.headers["X-Session-Policy"] ?? "interrupt";
    if (this.refusal !== null) {
      const { status, code, headers } = this.refusal;
      this.refusal = null;
      return refuse(status, code, headers);
    }
    if (policy === "reject" && this.live(sessionId).length > 0) return refuse(409, "session_busy");
    this.#take(sessionId, String(request.body.prompt), policy, request.body.replaces);
    const stream = this.last();
    return this.#respond(stream.attach(0, false, signal), stream.id);
  }

  #take(sessionId: string, prompt: string, policy: string, replaces: unknown): void {
    const stream = new FakeStream(this, sessionId, prompt);
    stream.replaces = typeof replaces === "string" ? replaces : null;
    stream.at = ++this.#clock;
    const live = this.live(sessionId);
    const takesOver = policy === "interrupt" || policy === "rollback";
    if (takesOver && this.supersedes) {
      for (const other of live) other.end("superseded", stream.id);
      if (policy === "rollback") this.streams = this.streams.filter((one) => !live.includes(one));
    }
    this.streams.push(stream);
    const waits = policy === "enqueue" && live.length > 0;
    if (!waits && !this.delaysBeginning) stream.begin();
    if (!this.#titles.has(sessionId)) this.#titles.set(sessionId, prompt);
  }

  #follow(id: string, after: number, signal: AbortSignal | undefined): Response {
    const stream = this.streams.find((one) => one.id === id);
    if (stream === undefined || stream.isForgotten) return refuse(404, "not_found");
    if (stream.isGone) return refuse(410, "stream_gone");
    if (after > stream.events.length) return refuse(400, "invalid_request");
    return this.#respond(stream.attach(after, true, signal), this.misnames ?? stream.id);
  }

  #respond(connection: Connection, name: string): Response {
    const headers = new Headers({ "X-Stream-Id": name, "Content-Type": "text/event-stream" });
    if (this.missesHistory) headers.set("X-History", "unavailable");
    return new Response(connection.body, { headers });
  }

  #cancel(known: FakeStream[], wanted: unknown): Response {
    const named = known.find((stream) => stream.id === wanted);
    if (named === undefined || named.isForgotten) return refuse(409, "not_current");
    const status = named.isLive
      ? this.receipt.backend_idle_ms === null
        ? "unconfirmed"
        : "cancelled"
      : "already_ended";
    const facts = named.isLive ? this.receipt : {};
    named.end("stopped");
    return Response.json({ stream_id: named.id, cause: named.cause, status, ...facts });
  }

  #list(query: URLSearchParams): Response {
    const ids = [...new Set(this.streams.toReversed().map((stream) => stream.sessionId))];
    const found = ids
      .map((id) => this.#card(id, false))
      .filter((card) => card.title.includes(query.get("search") ?? ""));
    const first = Number(query.get("cursor") ?? 0);
    const end = first + Math.min(Number(query.get("limit")), this.pageSize);
    const next_cursor = end < found.length ? String(end) : null;
    return Response.json({ data: found.slice(first, end), next_cursor });
  }

  #card(sessionId: string, isWhole: boolean) {
    const known = this.streams.filter((stream) => stream.sessionId === sessionId);
    const live = known.filter((stream) => stream.isLive);
    return {
      id: sessionId,
      title: this.#titles.get(sessionId) ?? "",
      updated_at: Math.max(...known.map((stream) => stream.at + (stream.isLive ? 0 : 0.5))),
      active_stream_id: live[0]?.id ?? null,
      ...(isWhole && live[0]?.hasBegun === false ? { active_content: live[0].prompt } : {}),
      queue: live.slice(1).map(({ id, prompt }, index) => ({
        stream_id: id,
        position: index + 1,
        ...(isWhole ? { content: prompt } : {}),
      })),
    };
  }

  #messages(known: FakeStream[], query: URLSearchParams): Response {
    const before = Number(query.get("after") ?? Number.POSITIVE_INFINITY);
    const limit = Math.min(Number(query.get("limit")), this.pageSize);
    const cards = known.flatMap((stream) => stream.cards()).filter((card) => card.seq < before);
    const newest = cards.toReversed();
    return Response.json({ data: newest.slice(0, limit), has_more: newest.length > limit });
  }
}

function refuse(status: number, code: string, headers: Record<string, string> = {}): Response {
  const error = { message: `(${code})`, type: "", param: null, code };
  return Response.json({ error }, { status, headers });
}

/** A server with complete conversations of these names. */
export function serverWith(...ids: string[]): FakeServer {
  const server = new FakeServer();
  for (const id of ids) {
    const stream = server.askElsewhere(id, `about ${id}`);
    stream.text(`it is ${id}`);
    stream.finish();
  }
  return server;
}
