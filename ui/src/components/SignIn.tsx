import { type FormEvent, useRef } from "react";
import type { ChatActions } from "../lib/types";

interface Props {
  /** Why it is asked again; null the first time. */
  readonly sentence: string | null;
  readonly actions: ChatActions;
}

export function SignIn({ sentence, actions }: Props) {
  const field = useRef<HTMLInputElement>(null);

  const onSubmit = (event: FormEvent) => {
    event.preventDefault();
    const key = field.current?.value.trim() ?? "";
    if (key !== "") actions.signInWith(key);
  };

  return (
    <main className="sign-in">
      <form onSubmit={onSubmit}>
        <h1>Sign in</h1>
        <p id="sign-in-words">
          The key is kept until this tab is closed, and sent to this server only.
        </p>
        <label htmlFor="api-key">API key</label>
        <input
          id="api-key"
          type="password"
          ref={field}
          autoComplete="current-password"
          aria-describedby="sign-in-words"
          required
          // biome-ignore lint/a11y/noAutofocus: the page has nothing else
          autoFocus
        />
        {sentence !== null && (
          <p className="trouble" data-trouble>
            {sentence}
          </p>
        )}
        <button type="submit" className="button primary">
          Sign in
        </button>
      </form>
    </main>
  );
}
