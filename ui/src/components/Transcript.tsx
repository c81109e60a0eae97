import { type UIEvent, useLayoutEffect, useRef } from "react";
import type { Scroller } from "../lib/scroll";
import type { ChatActions, Conversation } from "../lib/types";
import { Answer } from "./Answer";
import { EmptyState } from "./EmptyState";
import { Prompt } from "./Prompt";

/** Older messages are asked for when so little is left above. */
const LOAD_OLDER_PX = 200;

interface Props {
  readonly conversation: Conversation;
  readonly actions: ChatActions;
  readonly scroller: Scroller;
}

export function Transcript({ conversation, actions, scroller }: Props) {
  const { messages, id, hasOlder, isLoading, trouble } = conversation;
  const box = useRef<HTMLElement>(null);
  const content = useRef<HTMLDivElement>(null);
  const asked = useRef<string | null>(null);
  const first = messages[0]?.key ?? null;
  const last = messages[messages.length - 1]?.key;

  useLayoutEffect(() => {
    if (box.current !== null && content.current !== null) {
      return scroller.attach(box.current, content.current);
    }
  }, [scroller]);

  // Another conversation is read from its end; older messages leave the place where it was.
  const shown = useRef({ id, first });
  useLayoutEffect(() => {
    const before = shown.current;
    shown.current = { id, first };
    if (before.id !== id || before.first === null) scroller.toBottom();
    else if (before.first !== first) scroller.keep();
  }, [id, first, scroller]);

  const loadOlder = () => {
    const element = content.current?.querySelector<HTMLElement>("article");
    if (element) scroller.hold(element);
    asked.current = first;
    actions.loadOlder();
  };

  const onScroll = (event: UIEvent<HTMLElement>) => {
    const isNear = event.currentTarget.scrollTop < LOAD_OLDER_PX;
    if (isNear && hasOlder && asked.current !== first) loadOlder();
  };

  return (
    <section
      className="transcript"
      aria-label="Conversation"
      aria-live="off"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, also by the keyboard
      tabIndex={0}
      ref={box}
      onScroll={onScroll}
    >
      <div className="column" ref={content}>
        {hasOlder && (
          <button type="button" className="button older" onClick={loadOlder}>
            Show older messages
          </button>
        )}
        {isLoading && messages.length === 0 && <p className="faint">Reading the conversation…</p>}
        {messages.length === 0 && !isLoading && trouble === null && (
          <EmptyState onAsk={(text) => actions.send(text)} />
        )}
        {messages.map((message) =>
          message.role === "user" ? (
            <Prompt key={`prompt ${message.key}`} message={message} actions={actions} />
          ) : (
            <Answer
              key={`answer ${message.key}`}
              message={message}
              isLast={message.key === last}
              actions={actions}
            />
          ),
        )}
      </div>
    </section>
  );
}
