import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./App";
import { ChatProvider } from "./contexts/ChatContext";
import { ChatStore } from "./lib/chatStore";
import { browser } from "./lib/environment";
import "./styles/all";

const root = document.getElementById("root");
if (root !== null) {
  const store = new ChatStore(browser(window));
  store.start();
  createRoot(root).render(
    <StrictMode>
      <ChatProvider store={store}>
        <App />
      </ChatProvider>
    </StrictMode>,
  );
}
