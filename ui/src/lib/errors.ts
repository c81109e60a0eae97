// What can go wrong, said to a person. The server's codes are those of its error tree (errors.py).

import type { Cause, Trouble } from "./types";

interface Facts {
  readonly status: number;
  readonly code: string;
  readonly message: string;
  readonly retryAfter?: number | null;
  readonly streamId?: string | null;
  readonly supersededBy?: string | null;
}

/** A request that failed. `status` 0: no answer came at all. */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;
  /** Seconds. */
  readonly retryAfter: number | null;
  /** The stream that the refused prompt had been given. */
  readonly streamId: string | null;
  readonly supersededBy: string | null;

  constructor(facts: Facts) {
    super(facts.message);
    this.name = "ApiError";
    this.status = facts.status;
    this.code = facts.code;
    this.retryAfter = facts.retryAfter ?? null;
    this.streamId = facts.streamId ?? null;
    this.supersededBy = facts.supersededBy ?? null;
  }

  /** What a reader is told. */
  get sentence(): string {
    return SENTENCES[this.code]?.(this) ?? this.message;
  }

  /** The same request may succeed later. */
  get canRetry(): boolean {
    return !FINAL.has(this.code);
  }

  get trouble(): Trouble {
    return { sentence: this.sentence, canRetry: this.canRetry };
  }

  /** Why the answer ended, in the history's word; null where it had not begun. */
  get answerCause(): Cause | null {
    return CAUSES[this.code] ?? null;
  }
}

export const unreachable = () =>
  new ApiError({ status: 0, code: "unreachable", message: "no answer came" });

export const unanswered = () =>
  new ApiError({ status: 0, code: "unanswered", message: "no answer came in time" });

/** The same sentence for whatever the browser throws when no answer comes. */
export function asApiError(error: unknown): ApiError {
  return error instanceof ApiError ? error : unreachable();
}

const FINAL: ReadonlySet<string> = new Set([
  "invalid_request",
  "invalid_api_key",
  "permission_denied",
  "host_not_allowed",
  "model_not_found",
  "body_too_large",
  "not_found",
]);

const CAUSES: Readonly<Record<string, Cause>> = {
  superseded: "superseded",
  stopped: "stopped",
  server_shutdown: "shutdown",
  upstream_eof: "upstream_eof",
  upstream_timeout: "upstream_timeout",
  upstream_error: "upstream_error",
  upstream_rejected: "upstream_error",
  upstream_rate_limited: "upstream_error",
  upstream_busy: "upstream_error",
  model_not_found: "upstream_error",
  internal_error: "upstream_error",
};

const SENTENCES: Readonly<Record<string, (error: ApiError) => string>> = {
  unreachable: () => "The server cannot be reached. Is it running, and the network up?",
  unanswered: () =>
    "The server does not answer. Answers in other tabs may hold all of its connections.",
  unreadable: () => "Something between this page and the server answered in its place.",
  invalid_api_key: () => "This key does not open the server.",
  host_not_allowed: () => "The server does not answer under this name (JARVIS_ALLOWED_HOSTS).",
  queue_full: (error) => `Too many prompts are waiting. ${later(error)}`,
  overloaded: (error) => `The server is giving as many answers as it can. ${later(error)}`,
  server_shutdown: (error) => `The server is shutting down. ${later(error)}`,
  history_unavailable: (error) => `The conversations cannot be reached now. ${later(error)}`,
  session_busy: () =>
    "This conversation is being given another answer, and this prompt asked to be refused then.",
  superseded: () => "A newer prompt took over.",
  stopped: () => "The answer was stopped.",
  body_too_large: () => "This message is too long for the server.",
  request_timeout: () => "The message took too long on its way to the server.",
  model_not_found: () => "The server has no such model. Choose another one.",
  upstream_error: (error) => `The model server failed: ${error.message}`,
  upstream_busy: (error) => `The model server is not ready. ${later(error)}`,
  upstream_rate_limited: (error) => `The model server wants fewer requests. ${later(error)}`,
  upstream_eof: () => "The model server broke off in the middle of the answer.",
  upstream_timeout: () => "The model server did not answer in time.",
  upstream_rejected: (error) => `The model server refused the prompt: ${error.message}`,
  not_current: () => "Another answer is being given.",
  internal_error: () => "The server made a mistake; its log says which.",
};

function later(error: ApiError): string {
  const seconds = error.retryAfter;
  if (seconds === null) return "Try again shortly.";
  return `Try again in ${seconds === 1 ? "a second" : `${seconds} seconds`}.`;
}
