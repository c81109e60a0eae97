// The three routes that the operations view uses.

import type { Send } from "../contexts/OpsContext";
import { type Overview, type Receipt, readOverview, readReceipt } from "./overview";

export interface OpsClient {
  overview(signal: AbortSignal): Promise<Overview>;
  /** The task tree as text; for an administrator's key. */
  tasks(signal: AbortSignal): Promise<string>;
  /** Stops one stream; resolves when it has unwound. */
  stop(streamId: string, signal: AbortSignal): Promise<Receipt>;
}

/** What every failure has: `status` 0 where no answer came, and a sentence for a reader. */
export interface Refusal {
  readonly status: number;
  readonly sentence: string;
}

export function opsClient(send: Send): OpsClient {
  return {
    async overview(signal) {
      const overview = readOverview(await json(await send("/v1/ops", { signal })));
      if (overview === null) throw UNREADABLE;
      return overview;
    },
    async tasks(signal) {
      return (await send("/debug/tasks", { signal })).text();
    },
    async stop(streamId, signal) {
      const path = `/v1/streams/${encodeURIComponent(streamId)}/cancel`;
      return readReceipt(await json(await send(path, { method: "POST", signal })));
    },
  };
}

const UNREADABLE: Refusal = {
  status: 0,
  sentence: "Something between this page and the server answered in its place.",
};

function json(response: Response): Promise<unknown> {
  return response.json().catch(() => {
    throw UNREADABLE;
  });
}

/** Whatever was thrown, as a sentence. */
export function refusalOf(error: unknown): Refusal {
  if (typeof error === "object" && error !== null && "sentence" in error && "status" in error) {
    const { sentence, status } = error;
    if (typeof sentence === "string" && typeof status === "number") return { sentence, status };
  }
  return { status: 0, sentence: "The server cannot be reached." };
}
