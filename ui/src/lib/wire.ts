// What the server sends, read from unknown JSON: nothing is believed that was not looked at.

import { ApiError } from "./errors";
import type { Cause } from "./types";

export type Fields = Readonly<Record<string, unknown>>;

/** One event of an answer. `streamId` is null where the event names none (an error). */
export interface Frame {
  readonly streamId: string | null;
  readonly text: string;
  readonly reasoning: string;
  readonly finishReason: string | null;
  readonly error: ApiError | null;
}

export interface SessionCard {
  readonly id: string;
  readonly title: string;
  /** Unix seconds. */
  readonly updatedAt: number;
  /** The answer being made, and behind it those that wait. */
  readonly streams: readonly string[];
  /** What those that have not begun are to answer, by their names; told of one session. */
  readonly prompts: ReadonlyMap<string, string>;
}

export interface SessionPage {
  readonly sessions: readonly SessionCard[];
  readonly nextCursor: string | null;
}

export type StoredState = "streaming" | "complete" | "interrupted" | "failed";

export interface MessageCard {
  readonly seq: number;
  readonly role: string;
  readonly text: string;
  readonly reasoning: string;
  readonly state: StoredState;
  readonly streamId: string;
  readonly cause: Cause | null;
  readonly finishReason: string | null;
  /** The stream whose turn this one is to take the place of, or has. */
  readonly replaces: string | null;
}

export interface MessagePage {
  readonly messages: readonly MessageCard[];
  readonly hasMore: boolean;
}

export interface Receipt {
  readonly cause: Cause;
  /** Milliseconds. */
  readonly upstreamClosed: number | null;
  readonly backendIdle: number | null;
  readonly status: "cancelled" | "already_ended" | "unconfirmed";
}

/** An event of a stream; null for what is no JSON object. */
export function readFrame(data: string): Frame | null {
  const event = fieldsOf(parse(data));
  if (event === null) return null;
  const choice = fieldsOf(listOf(event.choices)[0]);
  const delta = fieldsOf(choice?.delta);
  const error = fieldsOf(event.error);
  return {
    streamId: textOrNull(event.id),
    text: textOf(delta?.content),
    reasoning: textOf(delta?.reasoning_content),
    finishReason: textOrNull(choice?.finish_reason),
    error: error === null ? null : errorOf(error, 200, null, null),
  };
}

/** The error that a response with a bad status tells of. */
export async function readError(response: Response): Promise<ApiError> {
  const retryAfter = Number(response.headers.get("Retry-After") ?? Number.NaN);
  const body = fieldsOf(parse(await response.text().catch(() => "")));
  const error = fieldsOf(body?.error);
  return errorOf(
    error ?? { code: "unreadable", message: `status ${response.status} without a reason` },
    response.status,
    Number.isFinite(retryAfter) ? retryAfter : null,
    response.headers.get("X-Stream-Id"),
  );
}

function errorOf(
  error: Fields,
  status: number,
  retryAfter: number | null,
  streamId: string | null,
): ApiError {
  return new ApiError({
    status,
    code: textOf(error.code) || "unknown",
    message: textOf(error.message),
    retryAfter,
    streamId,
    supersededBy: textOrNull(error.superseded_by),
  });
}

export function readSession(value: unknown): SessionCard {
  const card = fieldsOf(value) ?? {};
  const active = { stream_id: card.active_stream_id, content: card.active_content };
  const coming = [active, ...listOf(card.queue).map((waiting) => fieldsOf(waiting) ?? {})];
  const prompts = coming.map(
    ({ stream_id, content }) => [textOf(stream_id), textOf(content)] as const,
  );
  return {
    id: textOf(card.id),
    title: textOf(card.title),
    updatedAt: numberOf(card.updated_at) ?? 0,
    streams: prompts.map(([id]) => id).filter((id) => id !== ""),
    prompts: new Map(prompts.filter(([, text]) => text !== "")),
  };
}

export function readSessions(value: unknown): SessionPage {
  const page = fieldsOf(value) ?? {};
  return {
    sessions: listOf(page.data).map(readSession),
    nextCursor: textOrNull(page.next_cursor),
  };
}

export function readMessages(value: unknown): MessagePage {
  const page = fieldsOf(value) ?? {};
  return { messages: listOf(page.data).map(readMessage), hasMore: page.has_more === true };
}

function readMessage(value: unknown): MessageCard {
  const card = fieldsOf(value) ?? {};
  return {
    seq: numberOf(card.seq) ?? 0,
    role: textOf(card.role),
    text: textOf(card.content),
    reasoning: textOf(card.reasoning),
    state: STATES.find((state) => state === card.state) ?? "complete",
    streamId: textOf(card.stream_id),
    cause: causeOf(card.cause),
    finishReason: textOrNull(card.finish_reason),
    replaces: textOrNull(card.replaces),
  };
}

export function readReceipt(value: unknown): Receipt {
  const receipt = fieldsOf(value) ?? {};
  return {
    cause: causeOf(receipt.cause) ?? "stopped",
    upstreamClosed: numberOf(receipt.upstream_closed_ms),
    backendIdle: numberOf(receipt.backend_idle_ms),
    status: RECEIPTS.find((status) => status === receipt.status) ?? "unconfirmed",
  };
}

export function readModels(value: unknown): string[] {
  const ids = listOf(fieldsOf(value)?.data).map((model) => textOf(fieldsOf(model)?.id));
  return ids.filter((id) => id !== "");
}

const STATES: readonly StoredState[] = ["streaming", "complete", "interrupted", "failed"];
const RECEIPTS: readonly Receipt["status"][] = ["cancelled", "already_ended", "unconfirmed"];
const CAUSES: readonly Cause[] = [
  "completed",
  "superseded",
  "stopped",
  "client_disconnect",
  "client_stalled",
  "upstream_error",
  "upstream_eof",
  "upstream_timeout",
  "shutdown",
];

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

export function fieldsOf(value: unknown): Fields | null {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Fields)
    : null;
}

export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

export function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

export function textOrNull(value: unknown): string | null {
  return typeof value === "string" ? value : null;
}

export function numberOf(value: unknown): number | null {
  return typeof value === "number" ? value : null;
}

export function causeOf(value: unknown): Cause | null {
  return CAUSES.find((cause) => cause === value) ?? null;
}
