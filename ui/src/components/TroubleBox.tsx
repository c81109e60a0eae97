import type { Trouble } from "../lib/types";
import { Icon } from "./Icon";

interface Props {
  readonly trouble: Trouble;
  readonly onRetry: () => void;
}

export function TroubleBox({ trouble, onRetry }: Props) {
  return (
    <div className="trouble" data-trouble>
      <p>{trouble.sentence}</p>
      {trouble.canRetry && (
        <button type="button" className="button" onClick={onRetry}>
          <Icon name="retry" />
          Retry
        </button>
      )}
    </div>
  );
}
