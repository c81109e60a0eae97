// Each counter with its last five minutes.

import { barsOf, type Counter, countersOf, PIECES_SHOWN, peak, sum } from "./figures";
import type { Overview } from "./overview";

export function OverTime({ overview }: { overview: Overview }) {
  const { lately } = overview;
  return (
    <section className="ops-part ops-wide" aria-label="Over time">
      <h2>Over time</h2>
      <p className="ops-quiet">
        Since the start, and the last five minutes in pieces of {lately.pieceSeconds} s.
      </p>
      <ul className="ops-cards">
        {countersOf(overview).map((counter) => (
          <Card key={counter.name} counter={counter} pieceSeconds={lately.pieceSeconds} />
        ))}
      </ul>
    </section>
  );
}

function Card({ counter, pieceSeconds }: { counter: Counter; pieceSeconds: number }) {
  const { name, total, series, isLevel } = counter;
  const most = peak(series);
  const lately = isLevel ? `peak ${most}` : `${sum(series)} in 5 min`;
  const highest = isLevel || most === 0 ? "" : `peak ${most} in ${pieceSeconds} s`;
  return (
    <li className="ops-card" data-counter={name}>
      <h3>{name}</h3>
      <p className="ops-number">{total.toLocaleString("en")}</p>
      <svg
        className="ops-bars"
        role="img"
        aria-label={`${name}: ${lately}${highest === "" ? "" : `, ${highest}`}`}
        viewBox={`0 0 ${PIECES_SHOWN} 1`}
        preserveAspectRatio="none"
      >
        <path d={barsOf(series)} />
      </svg>
      <p className="ops-quiet" aria-hidden="true">
        {lately}
        <br />
        {highest}
      </p>
    </li>
  );
}
