import { ConnectionLost } from "./errors.js";
import { Heartbeat, type HeartbeatTimes } from "./heartbeat.js";
import type { Wakes } from "./wakes.js";

/** What we use of a WebSocket: the browser's, Node 22's and that of the package `ws` all fit. */
export interface WebSocketLike {
  binaryType: string;
  readonly readyState: number;
  // biome-ignore lint/suspicious/noExplicitAny: the event types of browsers and of `ws` have no common name
  onmessage: ((event: any) => void) | null;
  // biome-ignore lint/suspicious/noExplicitAny: as above
  onclose: ((event: any) => void) | null;
  // biome-ignore lint/suspicious/noExplicitAny: as above
  onerror: ((event: any) => void) | null;
  send(data: string): void;
  close(): void;
}

export type WebSocketConstructor = new (url: string, protocols?: string[]) => WebSocketLike;

/** The subprotocol we speak. Beside it we offer the token, which thereby stands in no address and no log. */
const SUBPROTOCOL = "leadfleet.v1";

const OPEN = 1;

/** Whether a policy keeps WebSockets from being made at all: browsers differ in whether they throw then or just close. */
export function isBlocked(error: unknown): boolean {
  return error instanceof Error && error.name === "SecurityError";
}

export interface SocketOptions {
  WebSocket: WebSocketConstructor;
  url: string;
  token: string;
  heartbeat: HeartbeatTimes;
  wakes: Wakes;
  signal: AbortSignal;
  onText(text: string): void;
  onBinary?(data: ArrayBuffer): void;
  /** Is given, once, what sends a text: lost when the connection is not open. */
  onSender?(send: (text: string) => void): void;
}

/**
 * Run one WebSocket until it ends: returns when `signal` ends it, throws `ConnectionLost` when anything else does,
 * and whatever a callback throws. After that no callback is called and nothing of it is left.
 */
export function runSocket(options: SocketOptions): Promise<void> {
  const { signal, heartbeat: times } = options;
  return new Promise((resolve, reject) => {
    const socket = new options.WebSocket(options.url, [SUBPROTOCOL, `token.${options.token}`]);
    socket.binaryType = "arraybuffer";
    const send = (text: string) => {
      if (socket.readyState === OPEN) socket.send(text);
    };
    const heartbeat = new Heartbeat(
      times,
      (why) => end(new ConnectionLost(why)),
      () => send("ping"),
    );
    options.onSender?.(send);
    const unlisten = options.wakes.listen(() => heartbeat.wake());
    const end = (error?: unknown) => {
      heartbeat.stop();
      unlisten();
      signal.removeEventListener("abort", abort);
      socket.onmessage = socket.onclose = null;
      socket.onerror = () => {}; // `ws` reports here that it was closed while it connected
      socket.close();
      if (error === undefined) resolve();
      else reject(error);
    };
    const abort = () => end();
    signal.addEventListener("abort", abort);
    socket.onerror = () => {}; // says nothing, and is followed by `close`
    socket.onclose = ({ code, reason }: { code: number; reason: string }) =>
      end(new ConnectionLost(`the connection ended (${code}${reason ? `: ${reason}` : ""})`, code));
    socket.onmessage = ({ data }: { data: unknown }) => {
      heartbeat.heard();
      try {
        if (typeof data === "string") options.onText(data);
        else if (data instanceof ArrayBuffer) options.onBinary?.(data);
      } catch (error) {
        end(error);
      }
    };
    if (signal.aborted) end();
  });
}
