// The live streams, with a Stop for each, and what was seen of the stops that were asked for here.

import { type FocusEvent, memo, type PointerEvent } from "react";
import { causeInWords, inSeconds, readersOf, seenOf } from "./figures";
import { isUnderWay, type OpsSnapshot, type OpsStore, type Stop } from "./opsStore";
import type { Overview } from "./overview";
import type { Row } from "./rows";
import "./streams.css";

interface Props {
  readonly store: OpsStore;
  readonly snapshot: OpsSnapshot;
  readonly overview: Overview;
}

export function Streams({ store, snapshot, overview }: Props) {
  const { rows, rates, stops } = snapshot;
  const { streams, streamsTotal } = overview;
  return (
    <section className="ops-part ops-wide" aria-label="Streams">
      <h2>Live streams</h2>
      <p className="ops-quiet">
        {streamsTotal === 0 && "No answer is being made."}
        {streamsTotal > 0 && `${streamsTotal} in all`}
        {streamsTotal > streams.length && `; these are the ${streams.length} oldest`}
      </p>
      <div className="ops-scroll" {...holding(store)}>
        <table className="ops-streams" aria-label="Live streams">
          <thead>
            <tr>
              <th scope="col">Session</th>
              <th scope="col">State</th>
              <th scope="col">Tokens</th>
              <th scope="col">Readers</th>
              <th scope="col">Stop</th>
            </tr>
          </thead>
          <tbody>
            {rows.map((row) => {
              const { streamId } = row.stream;
              const stop = stops.find((one) => one.streamId === streamId) ?? null;
              const rate = rates.get(streamId) ?? null;
              return <StreamRow key={streamId} row={row} rate={rate} stop={stop} store={store} />;
            })}
          </tbody>
        </table>
      </div>
      <Stops stops={stops} />
    </section>
  );
}

/** Rows stay where they are while the pointer is among them, or the focus by the keyboard. */
function holding(store: OpsStore) {
  const look = ({ currentTarget }: FocusEvent | PointerEvent) =>
    store.hold(currentTarget.matches(":hover, :has(:focus-visible)"));
  return { onPointerEnter: look, onPointerLeave: look, onFocus: look, onBlur: look };
}

interface RowProps {
  readonly row: Row;
  readonly rate: number | null;
  readonly stop: Stop | null;
  readonly store: OpsStore;
}

const StreamRow = memo(function StreamRow({ row, rate, stop, store }: RowProps) {
  const { stream, isGone } = row;
  const isStopping = stop !== null && isUnderWay(stop);
  const word = isGone ? "Ended" : isStopping ? "Stopping" : "Stop";
  return (
    <tr data-phase={isGone ? "gone" : stream.phase} data-quarantined={stream.isQuarantined}>
      <th scope="row">
        <span className="ops-name">{stream.sessionId}</span>
        <code>{stream.streamId}</code>
        {stream.model !== null && <small>{stream.model}</small>}
      </th>
      <td data-column="State">
        <span className="ops-phase">{isGone ? "ended" : stateOf(row)}</span>
        <small>
          {inSeconds(stream.age)}
          {stream.retries > 0 && `, asked again ${stream.retries} ×`}
        </small>
      </td>
      <td data-column="Tokens">
        {stream.tokens.toLocaleString("en")}
        {rate !== null && !isGone && <small>{rate.toFixed(rate < 10 ? 1 : 0)}/s</small>}
      </td>
      <td data-column="Readers">{isGone ? "–" : readersOf(stream)}</td>
      <td>
        <button
          type="button"
          className="button"
          aria-label={`${word} ${stream.streamId}`}
          aria-disabled={isGone || isStopping}
          onClick={() => {
            if (!isGone) void store.stop(stream.streamId);
          }}
        >
          {word}
        </button>
      </td>
    </tr>
  );
});

function stateOf({ stream }: Row): string {
  if (stream.cause === null) return stream.phase;
  return `${stream.isQuarantined ? "quarantined" : "ending"}: ${causeInWords(stream.cause)}`;
}

function Stops({ stops }: { stops: readonly Stop[] }) {
  return (
    <div className="ops-stops" role="status" aria-atomic="false">
      {stops.map((stop) => (
        <p key={stop.streamId} data-note>
          <code>{stop.streamId}</code> {outcomeOf(stop)}
        </p>
      ))}
    </div>
  );
}

function outcomeOf({ receipt, refusal }: Stop): string {
  if (receipt !== null) return seenOf(receipt);
  return refusal === null ? "is being stopped" : refusal.sentence;
}
