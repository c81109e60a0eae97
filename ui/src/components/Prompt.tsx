import { memo, useRef, useState } from "react";
import type { ChatActions, PromptMessage } from "../lib/types";
import { focusComposer } from "./focus";
import { Icon } from "./Icon";
import { PromptEditor } from "./PromptEditor";

/** A longer prompt (a pasted file) is shown by its beginning until it is asked for. */
const SHOWN_CHARACTERS = 3000;
const SHOWN_LINES = 40;

function beginningOf(text: string): string {
  const start = text.slice(0, SHOWN_CHARACTERS);
  return start.split("\n", SHOWN_LINES).join("\n");
}

interface Props {
  readonly message: PromptMessage;
  readonly actions: ChatActions;
}

export const Prompt = memo(function Prompt({ message, actions }: Props) {
  const [isEdited, setEdited] = useState(false);
  const [isWhole, setWhole] = useState(false);
  const editButton = useRef<HTMLButtonElement>(null);
  const beginning = beginningOf(message.text);
  const isLong = beginning.length < message.text.length;

  const ask = (text: string) => {
    setEdited(false);
    actions.edit(message.key, text);
    focusComposer();
  };

  const cancel = () => {
    setEdited(false);
    requestAnimationFrame(() => editButton.current?.focus());
  };

  return (
    <article
      className="prompt"
      aria-label="Prompt"
      data-role="user"
      data-stream-id={message.streamId ?? undefined}
    >
      {isEdited ? (
        <PromptEditor text={message.text} onAsk={ask} onCancel={cancel} />
      ) : (
        <>
          <div className="bubble">{isWhole ? message.text : beginning}</div>
          <footer className="message-foot">
            {isLong && (
              <button type="button" className="button quiet" onClick={() => setWhole(!isWhole)}>
                {isWhole
                  ? "Show less"
                  : `Show all ${message.text.length.toLocaleString("en")} characters`}
              </button>
            )}
            <button
              type="button"
              className="button quiet edit"
              ref={editButton}
              onClick={() => setEdited(true)}
            >
              <Icon name="pencil" />
              Edit
            </button>
          </footer>
        </>
      )}
    </article>
  );
});
