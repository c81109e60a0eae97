import { useEffect, useRef, useState } from "react";
import { meansEscape } from "../lib/keys";
import { Scroller } from "../lib/scroll";
import type { ChatActions, ChatSnapshot } from "../lib/types";
import { Composer } from "./Composer";
import { Icon } from "./Icon";
import { JumpButton } from "./JumpButton";
import { Sidebar } from "./Sidebar";
import { StatusNode } from "./StatusNode";
import { Transcript } from "./Transcript";
import { TroubleBox } from "./TroubleBox";

interface Props {
  readonly chat: ChatSnapshot;
  readonly actions: ChatActions;
  /** Whose draft the composer shows: the conversation's id, or "new". */
  readonly place: string;
}

export function ChatView({ chat, actions, place }: Props) {
  const [scroller] = useState(() => new Scroller());
  const [isNavShown, showNav] = useState(false);
  const menu = useRef<HTMLButtonElement>(null);
  const { conversation } = chat;
  const { isLive } = conversation;

  // biome-ignore lint/correctness/useExhaustiveDependencies: whatever is opened hides the list again
  useEffect(() => showNav(false), [place]);

  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      if (!meansEscape(event) || event.defaultPrevented) return;
      if (isNavShown) {
        showNav(false);
        menu.current?.focus();
      } else if (isLive) actions.stop();
    };
    document.addEventListener("keydown", onKeyDown);
    return () => document.removeEventListener("keydown", onKeyDown);
  }, [isNavShown, isLive, actions]);

  const readAgain = () => {
    if (conversation.messages.length === 0) actions.open(conversation.id);
    else actions.loadOlder();
  };

  const onNew = () => {
    showNav(false);
    actions.openNew();
  };

  return (
    <div className="chat">
      <header className="bar">
        <button
          type="button"
          className="round menu"
          ref={menu}
          aria-label="Conversations"
          aria-expanded={isNavShown}
          aria-controls="conversations"
          onClick={() => showNav(!isNavShown)}
        >
          <Icon name="menu" />
        </button>
        <h1>{conversation.title === "" ? "New chat" : conversation.title}</h1>
      </header>
      <Sidebar chat={chat} actions={actions} isShown={isNavShown} onNew={onNew} />
      {isNavShown && <div className="veil" onClick={() => showNav(false)} aria-hidden="true" />}
      <main>
        <Transcript conversation={conversation} actions={actions} scroller={scroller} />
        <div className="dock">
          <JumpButton scroller={scroller} />
          {conversation.trouble !== null && (
            <TroubleBox trouble={conversation.trouble} onRetry={readAgain} />
          )}
          <Composer
            chat={chat}
            actions={actions}
            place={place}
            onSent={() => scroller.toBottom()}
          />
        </div>
      </main>
      <StatusNode announcement={chat.announcement} />
    </div>
  );
}
