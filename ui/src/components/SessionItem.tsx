import { type KeyboardEvent, memo, useRef, useState } from "react";
import { meansEscape, meansSend } from "../lib/keys";
import { hashOf } from "../lib/route";
import type { ChatActions, SessionItem } from "../lib/types";
import { Icon } from "./Icon";

/** The server takes no longer ones. */
const TITLE_CHARS = 200;

interface TitleProps {
  readonly title: string;
  readonly onDone: (title: string | null) => void;
}

/** The title being written anew. Enter and leaving the field save it, Esc does not. */
function TitleField({ title, onDone }: TitleProps) {
  const isDone = useRef(false);
  const done = (written: string | null) => {
    if (isDone.current) return;
    isDone.current = true;
    onDone(written);
  };
  const onKeyDown = (event: KeyboardEvent<HTMLInputElement>) => {
    if (meansSend(event.nativeEvent, false)) done(event.currentTarget.value);
    else if (meansEscape(event.nativeEvent)) done(null);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return (
    <input
      className="title-field"
      aria-label="Title"
      maxLength={TITLE_CHARS}
      defaultValue={title}
      ref={(field) => field?.select()}
      onKeyDown={onKeyDown}
      onBlur={(event) => done(event.currentTarget.value)}
    />
  );
}

interface Props {
  readonly session: SessionItem;
  readonly isOpen: boolean;
  readonly actions: ChatActions;
  readonly onDelete: (session: SessionItem) => void;
}

export const SessionRow = memo(function SessionRow({ session, isOpen, actions, onDelete }: Props) {
  const [isRenamed, setRenamed] = useState(false);
  const { id, title, isLive } = session;
  const row = useRef<HTMLLIElement>(null);

  const renamed = (written: string | null) => {
    setRenamed(false);
    const wanted = written?.trim() ?? "";
    if (wanted !== "" && wanted !== title) actions.rename(id, wanted);
    requestAnimationFrame(() => row.current?.querySelector("a")?.focus());
  };

  return (
    <li className="session" ref={row}>
      {isRenamed ? (
        <TitleField title={title} onDone={renamed} />
      ) : (
        <>
          <a href={hashOf(id)} aria-current={isOpen ? "page" : undefined}>
            {isLive && (
              <span className="live-dot" data-live>
                <span className="hidden">answering </span>
              </span>
            )}
            <span className="session-title">{title}</span>
          </a>
          <span className="session-buttons">
            <button type="button" onClick={() => setRenamed(true)}>
              <Icon name="pencil" />
              <span className="hidden">Rename {title}</span>
            </button>
            <button type="button" onClick={() => onDelete(session)}>
              <Icon name="trash" />
              <span className="hidden">Delete {title}</span>
            </button>
          </span>
        </>
      )}
    </li>
  );
});
