// What `GET /v1/ops` answers, read from unknown JSON: nothing is believed that was not looked at.

import type { Cause } from "../lib/types";

type Fields = Readonly<Record<string, unknown>>;

/** A stream that has not unwound yet. Times in seconds. */
export interface StreamCard {
  readonly streamId: string;
  readonly sessionId: string;
  readonly model: string | null;
  readonly phase: string;
  readonly cause: string | null;
  readonly age: number;
  /** How long ago it was told to end. */
  readonly ending: number | null;
  readonly isQuarantined: boolean;
  readonly tokens: number;
  readonly retries: number;
  readonly readers: number;
  readonly bytesBehind: number;
  readonly livesOn: boolean;
  readonly graceLeft: number | null;
}

/** `counts[i]` took at most `bounds[i]` milliseconds; the last one took longer than all. */
export interface CancelLatency {
  readonly bounds: readonly number[];
  readonly counts: readonly number[];
}

export type Series = readonly number[];

/** Counts by piece of time, the oldest first; the last piece has not ended yet. */
export interface Lately {
  readonly pieceSeconds: number;
  readonly live: Series;
  readonly begun: Series;
  readonly quarantined: Series;
  readonly ended: Readonly<Record<Cause, Series>>;
}

export interface Totals {
  readonly begun: number;
  readonly ended: Readonly<Record<Cause, number>>;
  readonly quarantined: number;
  readonly retries: number;
  readonly eventsDropped: number;
  readonly historyLost: number;
  readonly loopBlocked: number;
}

export interface Overview {
  readonly version: string;
  readonly pid: number;
  /** Seconds. */
  readonly uptime: number;
  readonly upstream: string;
  readonly isDraining: boolean;
  readonly trouble: string | null;
  readonly seesAll: boolean;
  readonly streams: readonly StreamCard[];
  /** Of which `streams` are the oldest. */
  readonly streamsTotal: number;
  readonly historyWaiting: number;
  readonly totals: Totals;
  readonly cancelLatency: CancelLatency;
  readonly lately: Lately;
}

/** What was seen of a stop. Milliseconds. */
export interface Receipt {
  readonly streamId: string;
  readonly cause: string;
  readonly upstreamClosed: number | null;
  readonly backendIdle: number | null;
  readonly status: string;
}

/** Null for what is no overview. */
export function readOverview(value: unknown): Overview | null {
  const told = fieldsOf(value);
  if (typeof told.pid !== "number" || !Array.isArray(told.streams)) return null;
  const latency = fieldsOf(told.cancel_latency);
  return {
    version: textOf(told.version),
    pid: told.pid,
    uptime: numberOf(told.uptime_s),
    upstream: textOf(told.upstream),
    isDraining: told.is_draining === true,
    trouble: textOrNull(told.trouble),
    seesAll: told.sees === "all",
    streams: told.streams.map(readStream),
    streamsTotal: numberOf(told.streams_total),
    historyWaiting: numberOf(told.history_waiting),
    totals: readTotals(fieldsOf(told.totals)),
    cancelLatency: { bounds: numbersOf(latency.bounds_ms), counts: numbersOf(latency.counts) },
    lately: readLately(fieldsOf(told.lately)),
  };
}

export function readReceipt(value: unknown): Receipt {
  const receipt = fieldsOf(value);
  return {
    streamId: textOf(receipt.stream_id),
    cause: textOf(receipt.cause),
    upstreamClosed: numberOrNull(receipt.upstream_closed_ms),
    backendIdle: numberOrNull(receipt.backend_idle_ms),
    status: textOf(receipt.status),
  };
}

function readStream(value: unknown): StreamCard {
  const card = fieldsOf(value);
  return {
    streamId: textOf(card.stream_id),
    sessionId: textOf(card.session_id),
    model: textOrNull(card.model),
    phase: textOf(card.phase),
    cause: textOrNull(card.cause),
    age: numberOf(card.age_s),
    ending: numberOrNull(card.ending_s),
    isQuarantined: card.quarantined === true,
    tokens: numberOf(card.tokens_sent),
    retries: numberOf(card.retries),
    readers: numberOf(card.readers),
    bytesBehind: numberOf(card.behind_bytes),
    livesOn: card.lives_on === true,
    graceLeft: numberOrNull(card.grace_left_s),
  };
}

function readTotals(totals: Fields): Totals {
  const ended = fieldsOf(totals.ended);
  return {
    begun: numberOf(totals.begun),
    ended: byCause((cause) => numberOf(ended[cause])),
    quarantined: numberOf(totals.quarantined),
    retries: numberOf(totals.retries),
    eventsDropped: numberOf(totals.events_dropped),
    historyLost: numberOf(totals.history_lost),
    loopBlocked: numberOf(totals.loop_blocked),
  };
}

function readLately(lately: Fields): Lately {
  const ended = fieldsOf(lately.ended);
  return {
    pieceSeconds: numberOf(lately.piece_seconds),
    live: numbersOf(lately.live),
    begun: numbersOf(lately.begun),
    quarantined: numbersOf(lately.quarantined),
    ended: byCause((cause) => numbersOf(ended[cause])),
  };
}

function byCause<T>(read: (cause: Cause) => T): Record<Cause, T> {
  return {
    completed: read("completed"),
    superseded: read("superseded"),
    stopped: read("stopped"),
    client_disconnect: read("client_disconnect"),
    client_stalled: read("client_stalled"),
    upstream_error: read("upstream_error"),
    upstream_eof: read("upstream_eof"),
    upstream_timeout: read("upstream_timeout"),
    shutdown: read("shutdown"),
  };
}

function fieldsOf(value: unknown): Fields {
  return typeof value === "object" && value !== null ? (value as Fields) : {};
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function textOrNull(value: unknown): string | null {
  return typeof value === "string" ? value : null;
}

function numberOrNull(value: unknown): number | null {
  return typeof value === "number" ? value : null;
}

function numberOf(value: unknown): number {
  return numberOrNull(value) ?? 0;
}

function numbersOf(value: unknown): number[] {
  return Array.isArray(value) ? value.map(numberOf) : [];
}
