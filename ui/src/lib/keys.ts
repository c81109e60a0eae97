// What a key means while one writes. An input method uses Enter and Escape itself: such an event says
// isComposing, or has the code 229 where the browser ends the composition first (Safari).

interface Key {
  readonly key: string;
  readonly keyCode: number;
  readonly isComposing: boolean;
  readonly shiftKey: boolean;
  readonly ctrlKey: boolean;
  readonly metaKey: boolean;
  readonly altKey: boolean;
  readonly repeat: boolean;
}

export function isComposing(event: Key): boolean {
  return event.isComposing || event.keyCode === 229;
}

/**
 * Enter sends, Shift+Enter is a new line. On a touch screen, where Shift is far, Enter is a new line
 * and the button sends; Ctrl+Enter and Cmd+Enter send everywhere.
 */
export function meansSend(event: Key, isTouch: boolean): boolean {
  if (event.key !== "Enter" || isComposing(event) || event.shiftKey || event.altKey) return false;
  return event.ctrlKey || event.metaKey || !isTouch;
}

/** Escape that is held down is one: it does not stop the next answer too. */
export function meansEscape(event: Key): boolean {
  return event.key === "Escape" && !isComposing(event) && !event.repeat;
}

/** The screen is the keyboard. */
export function isTouchOnly(): boolean {
  return matchMedia("(hover: none) and (pointer: coarse)").matches;
}
