import { lazy, Suspense, useEffect, useSyncExternalStore } from "react";
import { ChatView } from "./components/ChatView";
import { SignIn } from "./components/SignIn";
import { readRoute } from "./lib/route";
import type { ChatActions, ChatSnapshot } from "./lib/types";

const OpsView = lazy(() => import("./ops/OpsView"));

const NAME = "jarvis_trio";

export interface ChatSource extends ChatActions {
  readonly subscribe: (listener: () => void) => () => void;
  readonly getSnapshot: () => ChatSnapshot;
}

function subscribeToHash(listener: () => void): () => void {
  addEventListener("hashchange", listener);
  return () => removeEventListener("hashchange", listener);
}

function titleOf(chat: ChatSnapshot, view: string): string {
  if (view === "ops") return `Operations · ${NAME}`;
  const { title, messages } = chat.conversation;
  return title === "" || messages.length === 0 ? NAME : `${title} · ${NAME}`;
}

/** The store opens what the address names; here it says which of the views is shown. */
export function App({ store }: { store: ChatSource }) {
  const chat = useSyncExternalStore(store.subscribe, store.getSnapshot);
  const route = readRoute(useSyncExternalStore(subscribeToHash, () => location.hash));
  const title = titleOf(chat, route.view);

  useEffect(() => {
    document.title = title;
  }, [title]);

  if (chat.signIn.state === "needed") {
    return <SignIn sentence={chat.signIn.sentence} actions={store} />;
  }
  if (route.view === "ops") {
    return (
      <Suspense fallback={<main aria-busy="true" />}>
        <OpsView />
      </Suspense>
    );
  }
  const place = route.view === "new" ? "new" : chat.conversation.id;
  return <ChatView chat={chat} actions={store} place={place} />;
}
