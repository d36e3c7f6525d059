/** The machine is online again, or has lost its network, or somebody looks at the page again. */
export type Wake = "online" | "offline" | "visible";

/** What the browser knows of its network and of who looks. In Node nothing wakes and nothing is offline. */
export interface Wakes {
  /** @returns what ends the listening */
  listen(callback: (wake: Wake) => void): () => void;
  /** Whether the machine says that it has no network. */
  offline(): boolean;
}

export const browserWakes: Wakes = {
  listen(callback) {
    if (typeof window === "undefined" || typeof document === "undefined") return () => {};
    const online = () => callback("online");
    const offline = () => callback("offline");
    const visible = () => {
      if (document.visibilityState === "visible") callback("visible");
    };
    window.addEventListener("online", online);
    window.addEventListener("offline", offline);
    document.addEventListener("visibilitychange", visible);
    return () => {
      window.removeEventListener("online", online);
      window.removeEventListener("offline", offline);
      document.removeEventListener("visibilitychange", visible);
    };
  },
  offline: () => typeof window !== "undefined" && navigator.onLine === false,
};

/** Wait for `ms`, or until it is worth trying again, or `signal` ends it; throws nothing. */
export function rest(ms: number, wakes: Wakes, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      unlisten();
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    const unlisten = wakes.listen((wake) => {
      if (wake !== "offline") done();
    });
    signal.addEventListener("abort", done);
    if (signal.aborted) done();
  });
}
