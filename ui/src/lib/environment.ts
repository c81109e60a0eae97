// What the stream logic needs of the world. Everything comes in here, so that tests can run it in
// virtual time and without a document; nothing in lib/ touches a global beside `browser()`.

export type Undo = () => void;

export interface Environment {
  fetch(path: string, init: RequestInit): Promise<Response>;
  /** Call back once, after so many milliseconds. */
  after(milliseconds: number, callback: () => void): Undo;
  /** Call back before the next frame is painted: never while the tab is hidden. */
  onFrame(callback: () => void): Undo;
  isVisible(): boolean;
  onVisibility(callback: () => void): Undo;
  /** Call back when the network is there again. */
  onOnline(callback: () => void): Undo;
  /** The word after `#` in the address. */
  hash(): string;
  /** Change it; `replaces` leaves no entry in the history of the tab. */
  setHash(hash: string, replaces: boolean): void;
  onHash(callback: () => void): Undo;
  /** The key that the user gave, for as long as the tab lives. */
  readKey(): string | null;
  writeKey(key: string | null): void;
  /** A word that nobody else has: 32 hex digits. */
  newId(): string;
}

const KEY_NAME = "jarvis_trio.key";

/** The page's own window. */
export function browser(window: Window): Environment {
  const listen = (target: EventTarget, name: string, callback: () => void): Undo => {
    target.addEventListener(name, callback);
    return () => target.removeEventListener(name, callback);
  };
  return {
    // The path is this origin's, and the key never follows a redirect to another one.
    fetch: (path, init) => window.fetch(path, { ...init, redirect: "error" }),
    after: (milliseconds, callback) => {
      const timer = window.setTimeout(callback, milliseconds);
      return () => window.clearTimeout(timer);
    },
    onFrame: (callback) => {
      const frame = window.requestAnimationFrame(() => callback());
      return () => window.cancelAnimationFrame(frame);
    },
    isVisible: () => window.document.visibilityState === "visible",
    onVisibility: (callback) => listen(window.document, "visibilitychange", callback),
    onOnline: (callback) => listen(window, "online", callback),
    hash: () => window.location.hash,
    setHash: (hash, replaces) => {
      if (replaces) {
        window.history.replaceState(null, "", hash);
      } else if (window.location.hash !== hash) {
        window.location.hash = hash;
      }
    },
    onHash: (callback) => listen(window, "hashchange", callback),
    readKey: () => withStorage(() => window.sessionStorage.getItem(KEY_NAME)),
    writeKey: (key) => {
      withStorage(() => {
        if (key === null) {
          window.sessionStorage.removeItem(KEY_NAME);
        } else {
          window.sessionStorage.setItem(KEY_NAME, key);
        }
        return null;
      });
    },
    newId: () => {
      // crypto.randomUUID is there only on https and localhost.
      const bytes = window.crypto.getRandomValues(new Uint8Array(16));
      return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
    },
  };
}

/** A browser may refuse storage: then the key is asked for again after a reload. */
function withStorage(use: () => string | null): string | null {
  try {
    return use();
  } catch {
    return null;
  }
}

/** Wait so long, or until `signal` aborts; where it `wakesOnline` also until the network is back. */
export function pause(
  environment: Environment,
  milliseconds: number,
  signal: AbortSignal,
  wakesOnline = false,
): Promise<void> {
  return new Promise((resolve) => {
    const undo: Undo[] = [];
    const done = () => {
      for (const one of undo) one();
      signal.removeEventListener("abort", done);
      resolve();
    };
    undo.push(environment.after(milliseconds, done));
    if (wakesOnline) undo.push(environment.onOnline(done));
    signal.addEventListener("abort", done);
    if (signal.aborted) done();
  });
}
