// What `GET /v1/ops` answers, read from unknown JSON: nothing is believed that was not looked at.

import type { Cause } from "../lib/types";
import { causeOf, type Fields, fieldsOf, listOf, numberOf, textOf, textOrNull } from "../lib/wire";

/** A stream that has not unwound yet. Times in seconds. */
export interface StreamCard {
  readonly streamId: string;
  readonly sessionId: string;
  readonly model: string | null;
  readonly phase: string;
  readonly cause: Cause | null;
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

/** Null for what is no overview. */
export function readOverview(value: unknown): Overview | null {
  const told = partOf(value);
  if (typeof told.pid !== "number" || !Array.isArray(told.streams)) return null;
  const latency = partOf(told.cancel_latency);
  return {
    version: textOf(told.version),
    pid: told.pid,
    uptime: amountOf(told.uptime_s),
    upstream: textOf(told.upstream),
    isDraining: told.is_draining === true,
    trouble: textOrNull(told.trouble),
    seesAll: told.sees === "all",
    streams: told.streams.map(readStream),
    streamsTotal: amountOf(told.streams_total),
    historyWaiting: amountOf(told.history_waiting),
    totals: readTotals(partOf(told.totals)),
    cancelLatency: { bounds: amountsOf(latency.bounds_ms), counts: amountsOf(latency.counts) },
    lately: readLately(partOf(told.lately)),
  };
}

function readStream(value: unknown): StreamCard {
  const card = partOf(value);
  return {
    streamId: textOf(card.stream_id),
    sessionId: textOf(card.session_id),
    model: textOrNull(card.model),
    phase: textOf(card.phase),
    cause: causeOf(card.cause),
    age: amountOf(card.age_s),
    ending: numberOf(card.ending_s),
    isQuarantined: card.quarantined === true,
    tokens: amountOf(card.tokens_sent),
    retries: amountOf(card.retries),
    readers: amountOf(card.readers),
    bytesBehind: amountOf(card.behind_bytes),
    livesOn: card.lives_on === true,
    graceLeft: numberOf(card.grace_left_s),
  };
}

function readTotals(totals: Fields): Totals {
  const ended = partOf(totals.ended);
  return {
    begun: amountOf(totals.begun),
    ended: byCause((cause) => amountOf(ended[cause])),
    quarantined: amountOf(totals.quarantined),
    retries: amountOf(totals.retries),
    eventsDropped: amountOf(totals.events_dropped),
    historyLost: amountOf(totals.history_lost),
    loopBlocked: amountOf(totals.loop_blocked),
  };
}

function readLately(lately: Fields): Lately {
  const ended = partOf(lately.ended);
  return {
    pieceSeconds: amountOf(lately.piece_seconds),
    live: amountsOf(lately.live),
    begun: amountsOf(lately.begun),
    quarantined: amountsOf(lately.quarantined),
    ended: byCause((cause) => amountsOf(ended[cause])),
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

function partOf(value: unknown): Fields {
  return fieldsOf(value) ?? {};
}

function amountOf(value: unknown): number {
  return numberOf(value) ?? 0;
}

function amountsOf(value: unknown): number[] {
  return listOf(value).map(amountOf);
}
