// `#/ops`: what the server is doing, for whoever operates it. Loaded only where it is opened.

import { useEffect, useState, useSyncExternalStore } from "react";
import { useChatStore } from "../contexts/ChatContext";
import { CancelLatency } from "./CancelLatency";
import { Counters } from "./Counters";
import { inSeconds } from "./figures";
import { OverTime } from "./OverTime";
import "./ops.css";
import { opsClient } from "./opsClient";
import { type OpsSnapshot, OpsStore } from "./opsStore";
import type { Overview } from "./overview";
import { Streams } from "./Streams";
import { TaskTree } from "./TaskTree";

/** Shorter silences are a slow moment of the network. */
const TOLD_SECONDS = 3;

export default function OpsView() {
  const page = useChatStore();
  const [store] = useState(() => {
    const world = { ...page.environment, now: () => performance.now() };
    return new OpsStore(opsClient(page.api), world);
  });
  const snapshot = useSyncExternalStore(store.subscribe, store.snapshot);
  useEffect(() => store.start(), [store]);
  const { overview } = snapshot;
  return (
    <main className="ops">
      <header className="ops-head">
        <a href="#/">Chat</a>
        <h1>Operations</h1>
        {overview !== null && <Process overview={overview} />}
      </header>
      <Silence snapshot={snapshot} />
      {overview === null ? null : (
        <div className="ops-parts" data-stale={isSilent(snapshot) || undefined}>
          <Troubles overview={overview} />
          <OverTime overview={overview} />
          <Streams store={store} snapshot={snapshot} overview={overview} />
          <CancelLatency latency={overview.cancelLatency} />
          <Counters overview={overview} dropped={page.dropped} />
          <TaskTree store={store} tasks={snapshot.tasks} overview={overview} />
        </div>
      )}
    </main>
  );
}

function Process({ overview }: { overview: Overview }) {
  const { version, pid, uptime, upstream, seesAll } = overview;
  return (
    <p className="ops-quiet">
      jarvis_trio {version} · pid {pid} · up {inSeconds(uptime)} · model server: {upstream} ·{" "}
      {seesAll ? "all keys' answers" : "your key's answers"}
    </p>
  );
}

function Troubles({ overview }: { overview: Overview }) {
  return (
    <>
      {overview.isDraining && (
        <p className="ops-trouble" data-trouble>
          The server is shutting down: it takes no more prompts.
        </p>
      )}
      {overview.trouble !== null && (
        <p className="ops-trouble" data-trouble>
          Degraded: {overview.trouble}
        </p>
      )}
    </>
  );
}

function isSilent({ refusal, silentSeconds }: OpsSnapshot): boolean {
  return refusal !== null || silentSeconds >= TOLD_SECONDS;
}

function Silence({ snapshot }: { snapshot: OpsSnapshot }) {
  const { overview, refusal, silentSeconds } = snapshot;
  if (!isSilent(snapshot)) return overview === null ? <p className="ops-quiet">Asking…</p> : null;
  return (
    <p className="ops-trouble" data-trouble>
      No answer for {silentSeconds} s. {refusal?.sentence}
      {overview !== null && " What is below is how it was then."}
    </p>
  );
}
