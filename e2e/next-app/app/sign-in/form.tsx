"use client";

import { useActionState } from "react";
import { signIn } from "./actions";

export function SignInForm() {
  const [{ error }, submit, busy] = useActionState(signIn, {});
  return (
    <form action={submit} className="card stack">
      <label className="field">
        API key
        <input name="key" type="password" autoComplete="off" required aria-describedby="key-hint" />
      </label>
      <p id="key-hint" className="hint">
        It stays with this server: no page sees it.
      </p>
      {error && (
        <p role="alert" className="problem">
          {error}
        </p>
      )}
      <button type="submit" className="primary" disabled={busy}>
        Sign in
      </button>
    </form>
  );
}
