import { memo } from "react";
import type { AnswerMessage, AnswerState, ChatActions } from "../lib/types";
import { CopyButton } from "./CopyButton";
import { focusComposer } from "./focus";
import { Icon } from "./Icon";
import { Markdown } from "./Markdown";
import { Reasoning } from "./Reasoning";
import { TroubleBox } from "./TroubleBox";

/** What is said while an answer is live; once it is not, null. */
const LIVE_WORDS: Readonly<Record<AnswerState, string | null>> = {
  sending: "Sending",
  queued: "Waiting for its turn",
  thinking: "Thinking",
  streaming: "Answering",
  reattaching: "The connection was lost; reading on",
  stopping: "Stopping",
  complete: null,
  interrupted: null,
  failed: null,
};

interface Props {
  readonly message: AnswerMessage;
  readonly isLast: boolean;
  readonly actions: ChatActions;
}

export const Answer = memo(function Answer({ message, isLast, actions }: Props) {
  const { text, reasoning, state, trouble, note } = message;
  const words = LIVE_WORDS[state];
  const isLive = words !== null;
  const retry = () => {
    actions.retry(message.key);
    focusComposer();
  };
  return (
    <article
      className="answer"
      aria-label="Answer"
      data-role="assistant"
      data-state={state}
      data-stream-id={message.streamId ?? undefined}
    >
      {reasoning !== "" && <Reasoning text={reasoning} isGrowing={isLive} />}
      {text !== "" && <Markdown text={text} isGrowing={isLive} />}
      {trouble !== null && <TroubleBox trouble={trouble} onRetry={retry} />}
      <footer className="message-foot">
        {isLive && <span className="live-words">{words}</span>}
        {!isLive && text !== "" && <CopyButton text={text} name="Copy answer" />}
        {!isLive && isLast && trouble === null && (
          <button type="button" className="button quiet" onClick={retry}>
            <Icon name="retry" />
            Retry
          </button>
        )}
        {note !== null && (
          <span className="note" data-note>
            {note}
          </span>
        )}
      </footer>
    </article>
  );
});
