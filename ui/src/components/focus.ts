import { isTouchOnly } from "../lib/keys";

/** To the composer: a button that goes away when it is pressed hands its focus on. */
export function focusComposer(): void {
  if (isTouchOnly()) return; // it would bring the keyboard up
  document.querySelector<HTMLElement>(".composer textarea")?.focus({ preventScroll: true });
}
