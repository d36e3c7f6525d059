import { BACKOFF, type Backoff } from "./backoff.js";
import { EventBuffer } from "./buffer.js";
import { type ConnectionState, keepConnected, type Line, type Transport } from "./connection.js";
import { asError, ConnectionLost, ProblemError } from "./errors.js";
import { type Channel, carries, endsTask, isAfter, type StreamEvent } from "./events.js";
import { HEARTBEAT, type HeartbeatTimes } from "./heartbeat.js";
import { runEventStream } from "./sse.js";
import type { TokenSource } from "./tokens.js";
import { browserWakes, type Wakes } from "./wakes.js";
import { isBlocked, runSocket, type WebSocketConstructor } from "./websocket.js";

export interface SubscribeOptions {
  /** Which events; all by default. */
  channel?: Channel;
  /** Go on behind this event. Without it the task's events come from the first. */
  lastEventId?: string;
  /** Called for each event, in order, instead of iterating. One that throws closes the subscription. */
  onEvent?: (event: StreamEvent) => void;
  /** Called at each change of the connection's state. */
  onState?: (state: ConnectionState) => void;
  /** Closes the subscription. */
  signal?: AbortSignal;
  /** Stay after the task has ended: enrichments may still come. By default its last event is the last. */
  follow?: boolean;
  /** `auto` takes Server-Sent Events where WebSockets are blocked. */
  transport?: "auto" | Transport;
  /** Let the server gather events for so many milliseconds, 5,000 at most, where there are many. */
  batchMs?: number;
  /** Events that are held for a slow iterator. When it is full we disconnect, and resume once it is half empty. */
  bufferSize?: number;
  backoff?: Partial<Backoff>;
  heartbeat?: Partial<HeartbeatTimes>;
}

/** What a subscription needs of the client that made it. */
export interface StreamContext {
  WebSocket: WebSocketConstructor | undefined;
  fetch: typeof fetch;
  credentials: RequestCredentials | undefined;
  tokens: TokenSource;
  /** Where the stream is, over a transport. */
  url(transport: Transport, query: Record<string, string | number | undefined>): string;
  wakes?: Wakes;
}

/** Enough for a page that renders; a few MB at most. */
const BUFFER_SIZE = 1_000;

/** Refused WebSockets in a row, while HTTP worked, after which we stop asking for one until the network changes. */
const BLOCKED_AFTER = 2;

/**
 * The events of one task: each once, in order and without a hole, or with a `gap` where the server has one.
 *
 * It connects at once and stays connected. Iterate over it, or give `onEvent`. It ends with the task's last event
 * (unless `follow`), with `close`, with the signal, or with an error that nothing but a change can help (a key that
 * is not good, a task that is not there); only the last of these makes an iteration throw.
 */
export class Subscription implements AsyncIterable<StreamEvent> {
  /** Resolves when it is closed and holds nothing any more; never rejects. */
  readonly closed: Promise<void>;

  private readonly ending = new AbortController();
  private readonly buffer: EventBuffer<StreamEvent>;
  private readonly channel: Channel;
  private readonly wakes: Wakes;
  private readonly heartbeat: HeartbeatTimes;
  private current: ConnectionState = { name: "connecting", attempt: 1 };
  private failure: Error | undefined;
  private received: string | undefined;
  private delivered: string | undefined;
  private transport: Transport = "websocket";
  private socketsRefused = 0;

  /** @internal made by `LeadfleetClient.subscribe` */
  constructor(
    private readonly context: StreamContext,
    private readonly options: SubscribeOptions,
  ) {
    this.channel = options.channel ?? "events";
    this.received = this.delivered = options.lastEventId;
    this.buffer = new EventBuffer(options.bufferSize ?? BUFFER_SIZE);
    this.wakes = context.wakes ?? browserWakes;
    this.heartbeat = { ...HEARTBEAT, ...options.heartbeat };
    this.closed = this.run();
  }

  /** How the connection is doing. */
  get state(): ConnectionState {
    return this.current;
  }

  /** The last event that was delivered: give it as `lastEventId` to go on behind it later. */
  get lastEventId(): string | undefined {
    return this.delivered;
  }

  /** End it now. Events that were not asked for are forgotten. */
  close(): void {
    this.buffer.clear();
    this.ending.abort();
    this.buffer.end();
  }

  async *[Symbol.asyncIterator](): AsyncIterator<StreamEvent> {
    if (this.options.onEvent)
      throw new TypeError("this subscription gives its events to onEvent: do not iterate");
    try {
      for (;;) {
        const next = await this.buffer.next();
        if (next.done) return;
        this.delivered = next.value.id;
        yield next.value;
      }
    } finally {
      this.close();
    }
  }

  private async run(): Promise<void> {
    await Promise.resolve(); // whoever made it has it in hand before anything is called
    const { signal } = this.options;
    const abort = () => this.close();
    signal?.addEventListener("abort", abort);
    if (signal?.aborted) this.close();
    const unlisten = this.wakes.listen((wake) => {
      if (wake === "online") this.socketsRefused = 0;
    });
    try {
      const error = await keepConnected((line) => this.dial(line), {
        backoff: { ...BACKOFF, ...this.options.backoff },
        wakes: this.wakes,
        signal: this.ending.signal,
        onState: (state) => this.tell(state),
      });
      this.failure ??= error;
    } finally {
      unlisten();
      signal?.removeEventListener("abort", abort);
      this.buffer.end(this.failure);
      this.tell(this.failure ? { name: "closed", error: this.failure } : { name: "closed" });
    }
  }

  /** Connect once, over whichever transport works. */
  private async dial(line: Line): Promise<void> {
    await this.buffer.room();
    if (this.ending.signal.aborted) return;
    const { transport = "auto" } = this.options;
    const { WebSocket } = this.context;
    if (transport === "websocket" && !WebSocket)
      throw new TypeError("there is no WebSocket here: give the client one, such as the package `ws`");
    const trySocket =
      transport !== "sse" && (transport === "websocket" || this.socketsRefused < BLOCKED_AFTER);
    if (!WebSocket || !trySocket) return this.overSse(line);
    let opened = false;
    const watched: Line = {
      ...line,
      opened: (over) => {
        opened = true;
        this.socketsRefused = 0;
        line.opened(over);
      },
    };
    try {
      await this.overSocket(WebSocket, watched);
    } catch (error) {
      if (opened || !(error instanceof ConnectionLost || isBlocked(error))) throw error;
      if (transport === "websocket") {
        this.context.tokens.drop(); // a browser does not say why: asking for a new token does
        throw error;
      }
      // blocked, refused, or no server at all: HTTP tells which
      await this.overSse({
        ...line,
        opened: (over) => {
          this.socketsRefused += 1;
          line.opened(over);
        },
      });
    }
  }

  private async overSocket(WebSocket: WebSocketConstructor, line: Line): Promise<void> {
    const { token } = await this.context.tokens.get(this.ending.signal);
    await this.withLeave((signal, leave) =>
      runSocket({
        WebSocket,
        token,
        url: this.context.url("websocket", this.query()),
        heartbeat: this.heartbeat,
        wakes: this.wakes,
        signal,
        onText: (text) => this.take(text, line, leave, "websocket"),
      }),
    );
  }

  private async overSse(line: Line): Promise<void> {
    for (;;) {
      const { token, fresh } = await this.context.tokens.get(this.ending.signal);
      try {
        return await this.withLeave((signal, leave) =>
          runEventStream({
            fetch: this.context.fetch,
            credentials: this.context.credentials,
            url: this.context.url("sse", { ...this.query(), token }),
            heartbeat: this.heartbeat,
            wakes: this.wakes,
            signal,
            onOpen: () => line.opened("sse"),
            onItem: (item) => {
              if ("retryMs" in item) line.comeBackAfter(item.retryMs);
              else this.take(item.data, line, leave, "sse");
            },
          }),
        );
      } catch (error) {
        if (!(error instanceof ProblemError) || error.status !== 401) throw error;
        this.context.tokens.drop();
        if (fresh) throw error;
      }
    }
  }

  /** Run a connection that ends with the subscription, or when `leave` says why. */
  private async withLeave(
    run: (signal: AbortSignal, leave: (why: Error) => void) => Promise<void>,
  ): Promise<void> {
    const leaving = new AbortController();
    const abort = () => leaving.abort();
    this.ending.signal.addEventListener("abort", abort);
    if (this.ending.signal.aborted) abort();
    let why: Error | undefined;
    try {
      await run(leaving.signal, (reason) => {
        why = reason;
        leaving.abort();
      });
    } finally {
      this.ending.signal.removeEventListener("abort", abort);
    }
    if (why) throw why;
  }

  private query(): Record<string, string | number | undefined> {
    return { last_event_id: this.received, batch_ms: this.options.batchMs };
  }

  /** One message of the server: the greeting, an answer to a ping, an event, or a batch of them. */
  private take(text: string, line: Line, leave: (why: Error) => void, transport: Transport): void {
    let messages: unknown;
    try {
      messages = JSON.parse(text);
    } catch {
      throw new ConnectionLost(`a message is no JSON: ${text.slice(0, 80)}`);
    }
    for (const message of Array.isArray(messages) ? messages : [messages]) {
      if (message.type === "connected") {
        if (typeof message.retry_ms === "number") line.comeBackAfter(message.retry_ms);
        line.opened(transport);
      } else if (message.type !== "pong" && !this.accept(message, leave)) return;
    }
  }

  /** @returns whether this connection may bring another event */
  private accept(event: StreamEvent, leave: (why: Error) => void): boolean {
    if (this.ending.signal.aborted) return false;
    if (typeof event.id !== "string") return true; // no event: a newer server may say more than we know
    if (event.type === "gap") {
      this.tell({ name: "gap", after: event.id });
    } else {
      if (this.received !== undefined && !isAfter(event.id, this.received)) return true; // we have had it
      if (this.current.name === "gap") this.tell({ name: "open", transport: this.transport });
    }
    this.received = event.id; // of a gap too, be it lower: the server has lost what came after
    const more = !carries(this.channel, event.type) || this.deliver(event);
    if (!this.options.follow && endsTask(event)) {
      this.buffer.end();
      this.ending.abort();
      return false;
    }
    if (!more) leave(new ConnectionLost("the consumer is slow: the connection waits until it has caught up"));
    return more;
  }

  private deliver(event: StreamEvent): boolean {
    const { onEvent } = this.options;
    if (!onEvent) return this.buffer.push(event);
    try {
      onEvent(event);
      this.delivered = event.id;
    } catch (error) {
      this.fail(error);
    }
    return !this.ending.signal.aborted;
  }

  private tell(state: ConnectionState): void {
    this.current = state;
    if (state.name === "open") this.transport = state.transport;
    try {
      this.options.onState?.(state);
    } catch (error) {
      this.fail(error);
    }
  }

  /** What the caller gave us has thrown. */
  private fail(error: unknown): void {
    this.failure ??= asError(error);
    this.ending.abort();
  }
}
