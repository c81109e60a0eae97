// What should stay at 0: on the server, and in this page.

import type { Dropped } from "../lib/types";
import type { Overview } from "./overview";

interface Props {
  readonly overview: Overview;
  readonly dropped: Dropped;
}

export function Counters({ overview, dropped }: Props) {
  const { totals, historyWaiting } = overview;
  return (
    <section className="ops-part" aria-label="Counters">
      <h2>Counters</h2>
      <p className="ops-quiet">Of the server, since its start.</p>
      <dl className="ops-facts">
        <Fact name="Model server asked again" value={totals.retries} />
        <Fact name="Event loop blocked" value={totals.loopBlocked} />
        <Fact name="Events dropped by slow subscribers" value={totals.eventsDropped} />
        <Fact name="Writes of conversations waiting" value={historyWaiting} />
        <Fact name="Writes of conversations lost" value={totals.historyLost} />
        <Fact name="Ended by a shutdown" value={totals.ended.shutdown} />
      </dl>
      <h3>Dropped by this page</h3>
      <p className="ops-quiet">Pieces of answers that came late or twice, and were not shown.</p>
      <dl className="ops-facts">
        <Fact name="Of an answer that was over" value={dropped.notLive} />
        <Fact name="Of another answer" value={dropped.otherStream} />
        <Fact name="Seen before" value={dropped.seen} />
      </dl>
    </section>
  );
}

function Fact({ name, value }: { name: string; value: number }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value.toLocaleString("en")}</dd>
    </div>
  );
}
