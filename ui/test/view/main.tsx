// The view with a store of its own: `npm run dev`, then /test/view/?scene=<a name of scenes.ts>.

import { createRoot } from "react-dom/client";
import { App } from "../../src/App";
import { ChatProvider } from "../../src/contexts/ChatContext";
import type { ChatStore } from "../../src/lib/chatStore";
import "../../src/styles/all";
import { FakeStore } from "./fakeStore";
import { scenes } from "./scenes";

const scene = new URLSearchParams(location.search).get("scene") ?? "answers";
const store = new FakeStore(scenes[scene]?.() ?? scenes.answers());
Object.assign(window, { store });

const root = document.getElementById("root");
if (root !== null) {
  createRoot(root).render(
    <ChatProvider store={store as unknown as ChatStore}>
      <App />
    </ChatProvider>,
  );
}
