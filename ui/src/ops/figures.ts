// Numbers for people. Pure.

import { outcomeStopped } from "../lib/notes";
import type { Cause } from "../lib/types";
import type { Receipt } from "../lib/wire";
import type { CancelLatency, Lately, Overview, Series, StreamCard } from "./overview";

/** How many pieces of time the charts have room for: five minutes and the one that runs. */
export const PIECES_SHOWN = 61;

/** A counter: what it is now, and what it was over time. */
export interface Counter {
  readonly name: string;
  readonly total: number;
  readonly series: Series;
  /** A level is shown as it is, a count is summed. */
  readonly isLevel: boolean;
}

export function countersOf({ totals, lately }: Overview): Counter[] {
  const { ended } = totals;
  const count = (name: string, total: number, series: Series): Counter => ({
    name,
    total,
    series,
    isLevel: false,
  });
  return [
    { name: "Live", total: lately.live.at(-1) ?? 0, series: lately.live, isLevel: true },
    count("Begun", totals.begun, lately.begun),
    count("Completed", ended.completed, lately.ended.completed),
    count("Superseded", ended.superseded, lately.ended.superseded),
    count("Stopped", ended.stopped, lately.ended.stopped),
    count("Left", ended.client_disconnect, lately.ended.client_disconnect),
    count("Stalled", ended.client_stalled, lately.ended.client_stalled),
    count(
      "Failed",
      ended.upstream_error + ended.upstream_eof + ended.upstream_timeout,
      failures(lately),
    ),
    count("Quarantined", totals.quarantined, lately.quarantined),
  ];
}

function failures({ ended }: Lately): Series {
  return ended.upstream_error.map(
    (errors, at) => errors + (ended.upstream_eof[at] ?? 0) + (ended.upstream_timeout[at] ?? 0),
  );
}

export function sum(series: Series): number {
  return series.reduce((total, one) => total + one, 0);
}

export function peak(series: Series): number {
  return Math.max(0, ...series);
}

/** The outline of bars, the newest at the right edge, in a box of `PIECES_SHOWN` by 1. */
export function barsOf(series: Series): string {
  const highest = Math.max(1, peak(series));
  const first = PIECES_SHOWN - series.length;
  return series
    .map((one, at) => (one > 0 ? `M${first + at} 1v${-(one / highest)}h.8V1z` : ""))
    .join("");
}

/**
 * The bound in milliseconds that so much of all cancels kept to; Infinity where it is past the
 * last one, null where there were none.
 */
export function keptTo({ bounds, counts }: CancelLatency, share: number): number | null {
  const all = sum(counts);
  if (all === 0) return null;
  let seen = 0;
  for (const [at, count] of counts.entries()) {
    seen += count;
    if (seen >= share * all) return bounds[at] ?? Number.POSITIVE_INFINITY;
  }
  return null;
}

/** Tokens per second of each stream, by what it had in the answer before. */
export function ratesOf(before: Overview | null, now: Overview): ReadonlyMap<string, number> {
  const seconds = now.uptime - (before?.uptime ?? now.uptime);
  const had = new Map(before?.streams.map((stream) => [stream.streamId, stream.tokens]));
  const rates = new Map<string, number>();
  for (const { streamId, tokens } of now.streams) {
    const earlier = had.get(streamId);
    if (earlier !== undefined && seconds > 0) rates.set(streamId, (tokens - earlier) / seconds);
  }
  return rates;
}

export function inSeconds(seconds: number): string {
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.max(10, Math.floor(seconds));
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${whole % 60} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 24
    ? `${hours} h ${minutes % 60} min`
    : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

export function inMilliseconds(milliseconds: number): string {
  return milliseconds < 1000 ? `${milliseconds} ms` : `${milliseconds / 1000} s`;
}

export function inBytes(bytes: number): string {
  return bytes < 1024 ? `${bytes} B` : `${Math.round(bytes / 1024)} KB`;
}

/** Less than this is on its way to any reader. */
const TOLD_BYTES = 1024;

/** Who reads it, or how long it lives on without a reader. */
export function readersOf(stream: StreamCard): string {
  if (stream.readers > 0) {
    const behind =
      stream.bytesBehind >= TOLD_BYTES ? `, ${inBytes(stream.bytesBehind)} behind` : "";
    return `${stream.readers}${behind}`;
  }
  return stream.graceLeft === null ? "nobody" : `nobody, ${inSeconds(stream.graceLeft)} left`;
}

/** What was seen of a stop, in a few words. */
export function seenOf(receipt: Receipt): string {
  return outcomeStopped(receipt)?.note ?? `had ended already: ${causeInWords(receipt.cause)}`;
}

const WORDS: Readonly<Partial<Record<Cause, string>>> = {
  client_disconnect: "its client left",
  client_stalled: "its client stalled",
  upstream_error: "the model server failed",
  upstream_eof: "the model server broke off",
  upstream_timeout: "the model server was silent",
};

export function causeInWords(cause: Cause): string {
  return WORDS[cause] ?? cause;
}
