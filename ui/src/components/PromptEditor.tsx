import { type KeyboardEvent, useEffect, useRef } from "react";
import { isTouchOnly, meansEscape, meansSend } from "../lib/keys";

interface Props {
  readonly text: string;
  readonly onAsk: (text: string) => void;
  readonly onCancel: () => void;
}

/** A prompt being written anew, in its place. */
export function PromptEditor({ text, onAsk, onCancel }: Props) {
  const area = useRef<HTMLTextAreaElement>(null);

  useEffect(() => {
    area.current?.focus();
    area.current?.setSelectionRange(text.length, text.length);
  }, [text]);

  const ask = () => {
    const written = area.current?.value.trim() ?? "";
    if (written !== "") onAsk(written);
  };

  const onKeyDown = (event: KeyboardEvent) => {
    if (meansSend(event.nativeEvent, isTouchOnly())) ask();
    else if (meansEscape(event.nativeEvent)) onCancel();
    else return;
    event.preventDefault();
    event.stopPropagation();
  };

  return (
    <div className="prompt-editor">
      <textarea ref={area} aria-label="Edited prompt" defaultValue={text} onKeyDown={onKeyDown} />
      <div className="editor-foot">
        <button type="button" className="button" onClick={onCancel}>
          Cancel
        </button>
        <button type="button" className="button primary" onClick={ask}>
          Ask again
        </button>
      </div>
    </div>
  );
}
