import { BACKOFF } from "../backoff.js";
import { type ConnectionState, keepConnected, type Line } from "../connection.js";
import { ConnectionLost } from "../errors.js";
import { HEARTBEAT } from "../heartbeat.js";
import type { TokenSource } from "../tokens.js";
import type { Wakes } from "../wakes.js";
import { runSocket, type WebSocketConstructor } from "../websocket.js";

/** What a picture shows. */
export interface FrameInfo {
  /** Counts per slot; a `coordinates` event names the first frame that shows its boxes. */
  readonly seq: number;
  readonly unit: string;
  readonly tab: string;
  /** The node's wall clock when Chrome handed the picture over, in µs. */
  readonly captured_us: number;
  /** CSS pixels of the layout viewport that the picture shows; the JPEG may have more or fewer. */
  readonly viewport_width: number;
  readonly viewport_height: number;
  readonly scroll_x: number;
  readonly scroll_y: number;
}

/** One picture of a task's browser. */
export interface Frame extends FrameInfo {
  readonly jpeg: ArrayBuffer;
}

export interface FrameStreamOptions {
  onFrame: (frame: Frame) => void;
  onState?: (state: ConnectionState) => void;
  /** Pictures a second at most, 1 to 30. */
  fps?: number;
  /** Of the JPEG, 1 to 100. */
  quality?: number;
  signal?: AbortSignal;
}

/** What a frame stream needs of the client that made it. */
export interface FrameContext {
  WebSocket: WebSocketConstructor | undefined;
  tokens: TokenSource;
  wakes: Wakes;
  url(query: Record<string, string | number | undefined>): string;
}

/** The server repeats the last picture every 10 s, and answers pings while there is none. */
export class FrameStream {
  /** Resolves when it is closed and holds nothing any more. */
  readonly closed: Promise<void>;
  private readonly ending = new AbortController();
  private caption: FrameInfo | undefined;

  /** @internal made by `LeadfleetClient.frames` */
  constructor(
    private readonly context: FrameContext,
    private readonly options: FrameStreamOptions,
  ) {
    this.closed = this.run();
  }

  close(): void {
    this.ending.abort();
  }

  private async run(): Promise<void> {
    await Promise.resolve(); // whoever made it has it in hand before anything is called
    const { signal, onState } = this.options;
    const abort = () => this.close();
    signal?.addEventListener("abort", abort);
    if (signal?.aborted) this.close();
    try {
      const error = await keepConnected((line) => this.dial(line), {
        backoff: BACKOFF,
        wakes: this.context.wakes,
        signal: this.ending.signal,
        onState: (state) => onState?.(state),
      });
      onState?.(error ? { name: "closed", error } : { name: "closed" });
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  }

  private async dial(line: Line): Promise<void> {
    const { WebSocket, tokens, url, wakes } = this.context;
    if (!WebSocket)
      throw new TypeError("there is no WebSocket here: give the client one, such as the package `ws`");
    const { token } = await tokens.get(this.ending.signal);
    this.caption = undefined;
    let opened = false;
    const { fps, quality } = this.options;
    try {
      await runSocket({
        WebSocket,
        token,
        url: url({ fps, quality }),
        heartbeat: HEARTBEAT,
        wakes,
        signal: this.ending.signal,
        onText: (text) => {
          const message = parse(text);
          if (message.type === "frame") this.caption = message as unknown as FrameInfo;
          if (message.type !== "connected") return;
          opened = true;
          if (typeof message.retry_ms === "number") line.comeBackAfter(message.retry_ms);
          line.opened("websocket");
        },
        onBinary: (jpeg) => {
          if (this.caption) this.options.onFrame({ ...this.caption, jpeg });
        },
      });
    } catch (error) {
      if (!opened) tokens.drop(); // a browser does not say why it was refused: asking for a new token does
      throw error;
    }
  }
}

function parse(text: string): { type?: unknown; retry_ms?: unknown } {
  try {
    return JSON.parse(text);
  } catch {
    throw new ConnectionLost(`a message is no JSON: ${text.slice(0, 80)}`);
  }
}
