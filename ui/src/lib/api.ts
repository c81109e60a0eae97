// The server's routes. Every failure is one ApiError; an abort by the caller is one too, and the
// caller knows that it was its own.

import type { Environment } from "./environment";
import { asApiError, unanswered, unreachable } from "./errors";
import type { Policy } from "./types";
import {
  type MessagePage,
  type Receipt,
  readError,
  readMessages,
  readModels,
  readReceipt,
  readSession,
  readSessions,
  type SessionCard,
  type SessionPage,
} from "./wire";

const REQUEST_MS = 15_000;
const MESSAGES_AT_ONCE = 50;
const SESSIONS_AT_ONCE = 30;

/** The next turn of a conversation. */
export interface Prompt {
  readonly sessionId: string;
  readonly text: string;
  readonly model: string | null;
  readonly policy: Policy;
  /** The stream whose turn, and all after it, this one takes the place of. */
  readonly replaces: string | null;
}

export class Api {
  /** Sent to our own origin only, in no other place than the header. */
  key = "";
  readonly #environment: Environment;
  readonly #onKeyRefused: () => void;
  /** What the server tells this page's prompts by from those of others. */
  readonly #name: string;
  #prompts = 0;

  constructor(environment: Environment, onKeyRefused: () => void) {
    this.#environment = environment;
    this.#name = environment.newId();
    this.#onKeyRefused = onKeyRefused;
  }

  /** Ask; the response streams. It is never sent twice, whatever happens to it. */
  ask(prompt: Prompt, signal: AbortSignal): Promise<Response> {
    const body = {
      prompt: prompt.text,
      stream: true,
      stream_options: { include_usage: true },
      ...(prompt.model === null ? {} : { model: prompt.model }),
      ...(prompt.replaces === null ? {} : { replaces: prompt.replaces }),
    };
    const headers = {
      "X-Session-Id": prompt.sessionId,
      "X-Session-Policy": prompt.policy,
      "X-On-Disconnect": "continue",
      // One that was taken over may be under way yet, and must not get there after its successor.
      "X-Prompt-Order": `${this.#name}.${++this.#prompts}`,
    };
    return this.#send("/v1/chat/completions", { method: "POST", signal }, body, headers);
  }

  /** Read an answer on, from behind the first `after` events. */
  follow(streamId: string, after: number, signal: AbortSignal): Promise<Response> {
    return this.#send(`/v1/streams/${encodeURIComponent(streamId)}?after=${after}`, { signal });
  }

  /** Stop the answer that is named, and no other; resolves when it has unwound. */
  async cancel(sessionId: string, streamId: string): Promise<Receipt> {
    const path = `${sessionPath(sessionId)}/cancel`;
    return readReceipt(await this.#json(path, "POST", { stream_id: streamId }));
  }

  async sessions(search: string, cursor: string | null): Promise<SessionPage> {
    const query = new URLSearchParams({ limit: String(SESSIONS_AT_ONCE) });
    if (search !== "") query.set("search", search);
    if (cursor !== null) query.set("cursor", cursor);
    return readSessions(await this.#json(`/v1/sessions?${query}`));
  }

  async session(sessionId: string): Promise<SessionCard> {
    return readSession(await this.#json(sessionPath(sessionId)));
  }

  /** The newest messages, the newest first, or those older than `before`. */
  async messages(sessionId: string, before: number | null): Promise<MessagePage> {
    const query = new URLSearchParams({ order: "desc", limit: String(MESSAGES_AT_ONCE) });
    if (before !== null) query.set("after", String(before));
    return readMessages(await this.#json(`${sessionPath(sessionId)}/messages?${query}`));
  }

  async rename(sessionId: string, title: string): Promise<SessionCard> {
    return readSession(await this.#json(sessionPath(sessionId), "PATCH", { title }));
  }

  async remove(sessionId: string): Promise<void> {
    await this.#json(sessionPath(sessionId), "DELETE");
  }

  async models(): Promise<string[]> {
    return readModels(await this.#json("/v1/models"));
  }

  /** A route that is no conversation's, with the key. */
  send(path: string, init: RequestInit): Promise<Response> {
    return this.#send(path, init);
  }

  async #json(path: string, method = "GET", body?: object): Promise<unknown> {
    const controller = new AbortController();
    let isLate = false;
    const undo = this.#environment.after(REQUEST_MS, () => {
      isLate = true;
      controller.abort();
    });
    try {
      const response = await this.#send(path, { method, signal: controller.signal }, body);
      return await response.json();
    } catch (error) {
      throw isLate ? unanswered() : asApiError(error);
    } finally {
      undo();
    }
  }

  async #send(
    path: string,
    init: RequestInit,
    body?: object,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Response> {
    const request: RequestInit = {
      ...init,
      cache: "no-store",
      credentials: "omit",
      headers: { Authorization: `Bearer ${asBytes(this.key)}`, ...headers },
    };
    if (body !== undefined) {
      request.body = JSON.stringify(body);
      request.headers = { ...request.headers, "Content-Type": "application/json" };
    }
    const key = this.key;
    const response = await unlessAborted(this.#environment.fetch(path, request), init.signal);
    if (response.ok) return response;
    const error = await readError(response);
    if (error.status === 401 && key === this.key) this.#onKeyRefused();
    throw error;
  }
}

/** Wait for a response; also a fetch that does not obey `signal` is not waited for behind it. */
async function unlessAborted(fetched: Promise<Response>, signal?: AbortSignal | null) {
  try {
    return await new Promise<Response>((resolve, reject) => {
      fetched.then(resolve, reject);
      signal?.addEventListener("abort", reject, { once: true });
    });
  } catch {
    throw unreachable();
  }
}

function sessionPath(sessionId: string): string {
  return `/v1/sessions/${encodeURIComponent(sessionId)}`;
}

/** A header's characters are bytes: the server compares UTF-8. */
function asBytes(key: string): string {
  return String.fromCharCode(...new TextEncoder().encode(key));
}
