// Which streams the table shows, in which order. A row that goes away moves those below it up: under
// a pointer that is about to press Stop, that would stop another one.

import type { StreamCard } from "./overview";

/** As many as the server tells of. */
const MOST_ROWS = 100;

export interface Row {
  readonly stream: StreamCard;
  /** It has ended; the row stays for as long as somebody points at the table. */
  readonly isGone: boolean;
}

/** The rows after an answer: those that were there keep their order while they are held. */
export function rowsAfter(
  before: readonly Row[],
  streams: readonly StreamCard[],
  isHeld: boolean,
): Row[] {
  if (!isHeld) return streams.map((stream) => ({ stream, isGone: false }));
  const live = new Map(streams.map((stream) => [stream.streamId, stream]));
  const kept = before.map(({ stream }) => {
    const now = live.get(stream.streamId);
    live.delete(stream.streamId);
    return { stream: now ?? stream, isGone: now === undefined };
  });
  const added = Array.from(live.values(), (stream) => ({ stream, isGone: false }));
  return [...kept, ...added].slice(0, MOST_ROWS);
}
