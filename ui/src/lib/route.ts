// What the address says after `#`.

export type Route =
  | { readonly view: "new" }
  | { readonly view: "ops" }
  | { readonly view: "conversation"; readonly sessionId: string };

/** As the server takes session ids. */
const SESSION_ID = /^[A-Za-z0-9._:-]{1,128}$/;

export function readRoute(hash: string): Route {
  if (hash === "#/ops") return { view: "ops" };
  const match = /^#\/c\/([^/]+)$/.exec(hash);
  const sessionId = match?.[1] ?? "";
  return SESSION_ID.test(sessionId) ? { view: "conversation", sessionId } : { view: "new" };
}

export const NEW_CHAT = "#/";

export function hashOf(sessionId: string): string {
  return `#/c/${sessionId}`;
}
