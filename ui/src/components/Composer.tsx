import {
  type FormEvent,
  type KeyboardEvent,
  type MouseEvent,
  useLayoutEffect,
  useRef,
  useState,
} from "react";
import { draftOf, keepDraft } from "../lib/drafts";
import { isTouchOnly, meansSend } from "../lib/keys";
import type { ChatActions, ChatSnapshot } from "../lib/types";
import { Icon } from "./Icon";
import { ModelPicker } from "./ModelPicker";
import { PolicyPicker } from "./PolicyPicker";

/** Longer text fills the box anyway: it is not measured. */
const MEASURED_CHARACTERS = 4000;

/** As high as its text. (By CSS alone a megabyte that is pasted would be laid out twice.) */
function grow(area: HTMLTextAreaElement): void {
  const isLong = area.value.length > MEASURED_CHARACTERS;
  area.classList.toggle("long", isLong);
  area.style.height = "";
  if (!isLong) area.style.height = `${area.scrollHeight}px`;
}

interface Props {
  readonly chat: ChatSnapshot;
  readonly actions: ChatActions;
  /** Whose draft is shown. */
  readonly place: string;
  readonly onSent: () => void;
}

export function Composer({ chat, actions, place, onSent }: Props) {
  const area = useRef<HTMLTextAreaElement>(null);
  const [isEmpty, setEmpty] = useState(true);
  const { isLive } = chat.conversation;

  const changed = () => {
    if (area.current === null) return;
    keepDraft(place, area.current.value);
    setEmpty(area.current.value.trim() === "");
    grow(area.current);
  };

  useLayoutEffect(() => {
    if (area.current === null) return;
    area.current.value = draftOf(place);
    setEmpty(area.current.value.trim() === "");
    grow(area.current);
    if (!isTouchOnly()) area.current.focus({ preventScroll: true });
  }, [place]);

  const send = () => {
    const written = area.current?.value.trim() ?? "";
    if (area.current === null || written === "" || !actions.send(written)) return;
    area.current.value = "";
    changed();
    onSent();
  };

  /** The button goes away with the answer: what had the focus hands it on. */
  const stop = (event: MouseEvent) => {
    if (event.detail > 1) return; // a double click is one: it does not stop the next answer too
    actions.stop();
    if (!isTouchOnly()) area.current?.focus({ preventScroll: true });
  };

  const onSubmit = (event: FormEvent) => {
    event.preventDefault();
    send();
  };

  const onKeyDown = (event: KeyboardEvent) => {
    if (!meansSend(event.nativeEvent, isTouchOnly())) return;
    event.preventDefault();
    send();
  };

  return (
    <form className="composer" onSubmit={onSubmit}>
      <textarea
        ref={area}
        rows={1}
        aria-label="Message"
        placeholder={isLive ? "Ask something else" : "Ask something"}
        onInput={changed}
        onKeyDown={onKeyDown}
      />
      <div className="composer-foot">
        <ModelPicker models={chat.models} model={chat.model} actions={actions} />
        <PolicyPicker policy={chat.policy} actions={actions} />
        <div className="composer-buttons">
          {isLive && (
            <button
              type="button"
              className="round stop"
              aria-label="Stop"
              title="Stop (Esc)"
              onClick={stop}
            >
              <Icon name="stop" />
            </button>
          )}
          <button
            type="submit"
            className="round primary"
            aria-label="Send"
            title="Send (Enter)"
            disabled={isEmpty}
          >
            <Icon name="send" />
          </button>
        </div>
      </div>
    </form>
  );
}
