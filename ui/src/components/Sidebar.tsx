import { type KeyboardEvent, useState } from "react";
import { forgetDrafts } from "../lib/drafts";
import { meansEscape } from "../lib/keys";
import type { ChatActions, ChatSnapshot, SessionItem } from "../lib/types";
import { DeleteDialog } from "./DeleteDialog";
import { Icon } from "./Icon";
import { SessionRow } from "./SessionItem";
import { TroubleBox } from "./TroubleBox";

interface Props {
  readonly chat: ChatSnapshot;
  readonly actions: ChatActions;
  readonly isShown: boolean;
  readonly onNew: () => void;
}

export function Sidebar({ chat, actions, isShown, onNew }: Props) {
  const [doomed, setDoomed] = useState<SessionItem | null>(null);
  const { sessions, sessionsTrouble, search, conversation, signIn } = chat;
  const [wanted, setWanted] = useState(search);

  // What is written shows at once, what is found when it has come.
  const find = (text: string) => {
    setWanted(text);
    actions.find(text);
  };

  /** What is written goes; without it, Esc is the answer's. */
  const onKeyDown = (event: KeyboardEvent) => {
    if (wanted === "" || !meansEscape(event.nativeEvent)) return;
    event.preventDefault();
    find("");
  };

  const remove = (session: SessionItem) => {
    setDoomed(null);
    actions.remove(session.id);
  };

  return (
    <nav
      id="conversations"
      className={isShown ? "sidebar shown" : "sidebar"}
      aria-label="Conversations"
    >
      <button type="button" className="button new-chat" onClick={onNew}>
        <Icon name="plus" />
        New chat
      </button>
      <div className="search">
        <Icon name="search" />
        <input
          type="search"
          aria-label="Search conversations"
          placeholder="Search"
          value={wanted}
          onChange={(event) => find(event.target.value)}
          onKeyDown={onKeyDown}
        />
      </div>
      <div className="sessions">
        {sessionsTrouble !== null && (
          <TroubleBox trouble={sessionsTrouble} onRetry={() => actions.find(search)} />
        )}
        <ul>
          {sessions.map((session) => (
            <SessionRow
              key={session.id}
              session={session}
              isOpen={session.id === conversation.id}
              actions={actions}
              onDelete={setDoomed}
            />
          ))}
        </ul>
        {sessions.length === 0 && search !== "" && <p className="faint">Nothing found.</p>}
        {chat.hasMoreSessions && (
          <button type="button" className="button quiet" onClick={() => actions.loadMoreSessions()}>
            Show more
          </button>
        )}
      </div>
      <div className="sidebar-foot">
        <a className="button quiet" href="#/ops">
          <Icon name="chart" />
          Operations
        </a>
        {signIn.state === "in" && signIn.canSignOut && (
          <button
            type="button"
            className="button quiet"
            onClick={() => {
              forgetDrafts();
              actions.signOut();
            }}
          >
            <Icon name="exit" />
            Sign out
          </button>
        )}
      </div>
      {doomed !== null && (
        <DeleteDialog
          session={doomed}
          onDelete={() => remove(doomed)}
          onCancel={() => setDoomed(null)}
        />
      )}
    </nav>
  );
}
