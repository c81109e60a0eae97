import { useEffect, useRef } from "react";
import type { SessionItem } from "../lib/types";

interface Props {
  readonly session: SessionItem;
  readonly onDelete: () => void;
  readonly onCancel: () => void;
}

export function DeleteDialog({ session, onDelete, onCancel }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);

  useEffect(() => {
    const opener = document.activeElement;
    const shown = dialog.current;
    shown?.showModal();
    return () => {
      shown?.close();
      if (opener instanceof HTMLElement && opener.isConnected) opener.focus();
    };
  }, []);

  return (
    <dialog
      ref={dialog}
      className="dialog"
      aria-labelledby="delete-question"
      onCancel={(event) => {
        event.preventDefault();
        onCancel();
      }}
      onKeyDown={(event) => event.stopPropagation()}
    >
      <h2 id="delete-question">Delete this conversation?</h2>
      <p>
        “<bdi>{session.title}</bdi>” goes for good
        {session.isLive ? ", and its answer is stopped" : ""}.
      </p>
      <div className="dialog-foot">
        <button type="button" className="button" onClick={onCancel}>
          Cancel
        </button>
        <button type="button" className="button danger" onClick={onDelete}>
          Delete
        </button>
      </div>
    </dialog>
  );
}
