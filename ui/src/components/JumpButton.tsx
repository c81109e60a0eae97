import { useSyncExternalStore } from "react";
import type { Scroller } from "../lib/scroll";
import { Icon } from "./Icon";

export function JumpButton({ scroller }: { scroller: Scroller }) {
  const isAway = useSyncExternalStore(scroller.subscribe, scroller.isAway);
  if (!isAway) return null;
  return (
    <button
      type="button"
      className="jump"
      aria-label="Jump to the latest"
      onClick={() => scroller.toBottom()}
    >
      <Icon name="down" />
    </button>
  );
}
