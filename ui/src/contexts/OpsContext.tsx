import { createContext, type ReactNode, useContext } from "react";
import type { Dropped } from "../lib/types";

/** Sends a request with the key. Resolves with a good answer, rejects with a Refusal. */
export type Send = (
  path: string,
  init: { readonly method?: "POST"; readonly signal: AbortSignal },
) => Promise<Response>;

/** What the operations view needs of the page that it is a part of. */
export interface OpsSource {
  readonly send: Send;
  /** The frames that this page has refused so far. */
  readonly dropped: () => Dropped;
}

const Context = createContext<OpsSource | null>(null);

export function OpsProvider(props: { source: OpsSource; children: ReactNode }) {
  return <Context value={props.source}>{props.children}</Context>;
}

export function useOps(): OpsSource {
  const source = useContext(Context);
  if (source === null) throw new Error("no OpsProvider");
  return source;
}
