import { lazy, Suspense, useEffect, useSyncExternalStore } from "react";
import { ChatView } from "./components/ChatView";
import { SignIn } from "./components/SignIn";
import { useChat, useChatActions } from "./contexts/ChatContext";
import { readRoute } from "./lib/route";
import type { ChatSnapshot } from "./lib/types";

const OpsView = lazy(() => import("./ops/OpsView"));

const NAME = "jarvis_trio";

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
export function App() {
  const chat = useChat();
  const actions = useChatActions();
  const route = readRoute(useSyncExternalStore(subscribeToHash, () => location.hash));
  const title = titleOf(chat, route.view);

  useEffect(() => {
    document.title = title;
  }, [title]);

  if (chat.signIn.state === "needed") {
    return <SignIn sentence={chat.signIn.sentence} actions={actions} />;
  }
  if (route.view === "ops") {
    return (
      <Suspense fallback={<main aria-busy="true" />}>
        <OpsView />
      </Suspense>
    );
  }
  const place = route.view === "new" ? "new" : chat.conversation.id;
  return <ChatView chat={chat} actions={actions} place={place} />;
}
