// How long cancels took: a table that is its own chart.

import { inMilliseconds, keptTo, peak, sum } from "./figures";
import type { CancelLatency as Latency } from "./overview";

export function CancelLatency({ latency }: { latency: Latency }) {
  const { bounds, counts } = latency;
  const highest = Math.max(1, peak(counts));
  return (
    <section className="ops-part" aria-label="Cancel latency">
      <h2>Cancel latency</h2>
      <p className="ops-quiet">
        From a cancel until the answer's tasks are gone and the model server is left.{" "}
        {summary(latency)}
      </p>
      <table className="ops-histogram">
        <thead>
          <tr>
            <th scope="col">Took</th>
            <th scope="col">Share</th>
            <th scope="col">Cancels</th>
          </tr>
        </thead>
        <tbody>
          {counts.map((count, at) => {
            const bound = bounds[at];
            const name = bound === undefined ? "longer" : `≤ ${inMilliseconds(bound)}`;
            return (
              <tr key={name}>
                <th scope="row">{name}</th>
                <td>
                  <svg className="ops-bar" aria-hidden="true">
                    <rect width={`${(100 * count) / highest}%`} height="100%" />
                  </svg>
                </td>
                <td>{count}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </section>
  );
}

function summary(latency: Latency): string {
  const half = keptTo(latency, 0.5);
  const nearlyAll = keptTo(latency, 0.99);
  if (half === null || nearlyAll === null) return "There were none yet.";
  const all = sum(latency.counts);
  return `${all} so far: 50 % in ${within(latency, half)}, 99 % in ${within(latency, nearlyAll)}.`;
}

/** A bound; what is past the last one is known to be longer than that, and no more. */
function within({ bounds }: Latency, bound: number): string {
  if (bound !== Number.POSITIVE_INFINITY) return `≤ ${inMilliseconds(bound)}`;
  return `> ${inMilliseconds(bounds.at(-1) ?? 0)}`;
}
