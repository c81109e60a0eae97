import { createContext, type ReactNode, useContext, useSyncExternalStore } from "react";
import type { ChatStore } from "../lib/chatStore";
import type { ChatActions, ChatSnapshot } from "../lib/types";

const ChatContext = createContext<ChatStore | null>(null);

export function ChatProvider({ store, children }: { store: ChatStore; children: ReactNode }) {
  return <ChatContext value={store}>{children}</ChatContext>;
}

/** The page's one store. */
export function useChatStore(): ChatStore {
  const store = useContext(ChatContext);
  if (store === null) throw new Error("there is no ChatProvider above this component");
  return store;
}

/** What the chat shows; a component that uses it renders when any of it changes. */
export function useChat(): ChatSnapshot {
  const store = useChatStore();
  return useSyncExternalStore(store.subscribe, store.getSnapshot);
}

/** What the page may do. */
export function useChatActions(): ChatActions {
  return useChatStore();
}
