import { NetworkError } from "./errors.js";
import type { StreamToken } from "./schemas.js";

/** A token that has less than this left is replaced before it is used: a handshake on a bad line takes seconds. */
const MARGIN_MS = 30_000;

/** How long a token may take, with what is waited for `Retry-After`: a line that is cut while we ask says nothing. */
const LIMIT_MS = 30_000;

/** Keeps one stream token, and gets the next one before it expires. Tokens are looked at when a stream connects. */
export class TokenSource {
  private token: StreamToken | undefined;

  constructor(private readonly make: (signal: AbortSignal) => Promise<StreamToken>) {}

  /**
   * A token that is good to connect with; `fresh` when it was made for this very question. Throws the reason of `signal`
   * when that ends it.
   */
  async get(signal: AbortSignal): Promise<{ token: string; fresh: boolean }> {
    const kept = this.token;
    if (kept && Date.parse(kept.expires_at) - Date.now() > MARGIN_MS)
      return { token: kept.token, fresh: false };
    this.token = await this.ask(signal);
    return { token: this.token.token, fresh: true };
  }

  /** Forget it: the server refused it, whatever our clock says. */
  drop(): void {
    this.token = undefined;
  }

  private ask(signal: AbortSignal): Promise<StreamToken> {
    const asking = new AbortController();
    return new Promise<StreamToken>((resolve, reject) => {
      const settle = (act: () => void) => {
        clearTimeout(timer);
        signal.removeEventListener("abort", abort);
        act();
      };
      const end = (why: unknown) => {
        asking.abort(why);
        settle(() => reject(why));
      };
      const abort = () => end(signal.reason);
      const timer = setTimeout(() => end(new NetworkError(`no token came within ${LIMIT_MS} ms`)), LIMIT_MS);
      signal.addEventListener("abort", abort);
      if (signal.aborted) abort();
      else
        this.make(asking.signal).then(
          (token) => settle(() => resolve(token)),
          (error) => settle(() => reject(error)),
        );
    });
  }
}
