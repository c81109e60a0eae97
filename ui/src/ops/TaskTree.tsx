// Every task of the server as text, to read and to hand on.

import { CopyButton } from "../components/CopyButton";
import type { OpsStore, Tasks } from "./opsStore";
import type { Overview } from "./overview";

interface Props {
  readonly store: OpsStore;
  readonly tasks: Tasks;
  readonly overview: Overview;
}

export function TaskTree({ store, tasks, overview }: Props) {
  return (
    <section className="ops-part ops-wide" aria-label="Tasks">
      <h2>Tasks</h2>
      {overview.seesAll ? (
        <Tree store={store} tasks={tasks} />
      ) : (
        <p className="ops-quiet">
          The task tree is for an administrator's key (JARVIS_ADMIN_KEYS).
        </p>
      )}
    </section>
  );
}

function Tree({ store, tasks }: { store: OpsStore; tasks: Tasks }) {
  const { text, isReading, refusal } = tasks;
  return (
    <>
      <p className="ops-quiet">
        What each task waits for, as it was at the moment of asking. It holds the server up for
        about 0.2 ms for each live stream.
      </p>
      <div className="ops-buttons">
        <button
          type="button"
          className="button"
          onClick={() => void store.readTasks()}
          aria-disabled={isReading}
        >
          {text === null ? "Show the tasks" : "Show them now"}
        </button>
        {text !== null && <CopyButton text={text} name="Copy tasks" />}
      </div>
      {refusal !== null && (
        <p className="ops-trouble" data-trouble>
          {refusal.sentence}
        </p>
      )}
      {text !== null && (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: who has no mouse scrolls it by keys
        <pre className="ops-tree" tabIndex={0}>
          {text}
        </pre>
      )}
    </>
  );
}
