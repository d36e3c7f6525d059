import type { StreamToken } from "./schemas.js";

/** A token that has less than this left is replaced before it is used: a handshake on a bad line takes seconds. */
const MARGIN_MS = 30_000;

/** Keeps one stream token, and gets the next one before it expires. Tokens are looked at when a stream connects. */
export class TokenSource {
  private token: StreamToken | undefined;

  constructor(private readonly make: () => Promise<StreamToken>) {}

  /** A token that is good to connect with; `fresh` when it was made for this very question. */
  async get(): Promise<{ token: string; fresh: boolean }> {
    const kept = this.token;
    if (kept && Date.parse(kept.expires_at) - Date.now() > MARGIN_MS)
      return { token: kept.token, fresh: false };
    this.token = await this.make();
    return { token: this.token.token, fresh: true };
  }

  /** Forget it: the server refused it, whatever our clock says. */
  drop(): void {
    this.token = undefined;
  }
}
