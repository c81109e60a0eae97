// The three routes that the operations view uses.

import type { Api } from "../lib/api";
import { ApiError } from "../lib/errors";
import { type Receipt, readReceipt } from "../lib/wire";
import { type Overview, readOverview } from "./overview";

/** What fails rejects with whatever: `asApiError` makes a sentence of it. */
export interface OpsClient {
  overview(signal: AbortSignal): Promise<Overview>;
  /** The task tree as text; for an administrator's key. */
  tasks(signal: AbortSignal): Promise<string>;
  /** Stops one stream; resolves when it has unwound. */
  stop(streamId: string, signal: AbortSignal): Promise<Receipt>;
}

export function opsClient(api: Pick<Api, "send">): OpsClient {
  return {
    async overview(signal) {
      const response = await api.send("/v1/ops", { signal });
      const overview = readOverview(await response.json());
      if (overview === null) {
        throw new ApiError({ status: 200, code: "unreadable", message: "this is no overview" });
      }
      return overview;
    },
    async tasks(signal) {
      return (await api.send("/debug/tasks", { signal })).text();
    },
    async stop(streamId, signal) {
      const path = `/v1/streams/${encodeURIComponent(streamId)}/cancel`;
      return readReceipt(await (await api.send(path, { method: "POST", signal })).json());
    },
  };
}
