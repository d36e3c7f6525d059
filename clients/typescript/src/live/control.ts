import { asError, ConnectionLost, ControlError, ProblemError } from "../errors.js";
import { HEARTBEAT } from "../heartbeat.js";
import type { WheelAnswer } from "../schemas.js";
import type { TokenSource } from "../tokens.js";
import type { Wakes } from "../wakes.js";
import { runSocket, type WebSocketConstructor } from "../websocket.js";
import type { Point } from "./geometry.js";

/**
 * Why the wheel is not ours any more, or never was: we gave it back, the task has ended, the time is over, somebody else
 * has it, we may not or nothing can be steered, or the connection is gone.
 */
export type ControlEnd = "released" | "task_ended" | "limit" | "taken" | "refused" | "lost";

/** Who has the wheel. */
export type ControlState =
  | { readonly name: "asking" }
  /** We do, until `until` at the latest, in milliseconds of `Date.now()`. */
  | { readonly name: "held"; readonly until: number }
  /** For good; `error` says what to do, where it was not we who gave it back nor the task that ended. */
  | { readonly name: "ended"; readonly reason: ControlEnd; readonly error?: Error };

export type PointerButton = "left" | "middle" | "right";

export interface ControlOptions {
  onState?: (state: ControlState) => void;
  /** Called with what the server says of an input that is none. */
  onInvalid?: (detail: string) => void;
  /** Gives the wheel back. */
  signal?: AbortSignal;
}

/** What a control needs of the client that made it. */
export interface ControlContext {
  WebSocket: WebSocketConstructor | undefined;
  tokens: TokenSource;
  wakes: Wakes;
  url(): string;
  /** Asks whether the wheel can be taken, with a token of the kind `control`. */
  ask(token: string): Promise<WheelAnswer>;
}

/** Characters that the server takes at once. */
const MAX_TEXT = 16_000;
const MAX_PIXELS = 10_000;

const CODES: Record<number, ControlEnd> = { 4000: "task_ended", 4008: "limit", 4009: "taken" };

/**
 * The wheel of a task's browser, once. A connection that is lost loses it; take it again with another `takeControl`.
 *
 * Inputs are done in order to the page that the pictures show. What comes before the wheel is held, or after, is not sent.
 */
export class Control {
  /** Resolves when the wheel is ours; rejects with what `ended` would say. */
  readonly taken: Promise<void>;
  /** Resolves when the wheel is not ours any more, or never was; rejects with what `onState` throws. */
  readonly closed: Promise<void>;

  private readonly ending = new AbortController();
  private current: ControlState = { name: "asking" };
  private send: (text: string) => void = () => {};
  private settle: { resolve(): void; reject(error: Error): void } | undefined;

  /** @internal made by `LeadfleetClient.takeControl` */
  constructor(
    private readonly context: ControlContext,
    private readonly options: ControlOptions,
  ) {
    this.taken = new Promise((resolve, reject) => {
      this.settle = { resolve, reject };
    });
    this.taken.catch(() => {}); // who listens to `onState` need not listen here
    this.closed = this.run();
  }

  get state(): ControlState {
    return this.current;
  }

  /** The pointer was moved, pressed or let go at a point, in fractions of the picture: 0 to 1. */
  pointer(
    event: "move" | "down" | "up",
    at: Point,
    { button = "left", clicks = 1 }: { button?: PointerButton; clicks?: number } = {},
  ): void {
    this.say({ type: "pointer", event, ...within(at), button, clicks: Math.min(3, Math.max(1, clicks)) });
  }

  /** The page was scrolled by so many of its CSS pixels with the pointer at a point. */
  wheel(at: Point, dx: number, dy: number): void {
    this.say({ type: "wheel", ...within(at), dx: bounded(dx), dy: bounded(dy) });
  }

  /** A key by its `KeyboardEvent.key`; a `press` also with what is held meanwhile, such as `Control+a`. */
  key(event: "down" | "up" | "press", key: string): void {
    this.say({ type: "key", event, key });
  }

  /** Put text in where the caret is, as an input method does. */
  text(text: string): void {
    for (const part of parts(text)) this.say({ type: "text", text: part });
  }

  /** Paste text: the page is offered it as a paste first. */
  paste(text: string): void {
    for (const part of parts(text)) this.say({ type: "paste", text: part });
  }

  /** Give the wheel back: the unit goes on. */
  release(): void {
    this.ending.abort();
  }

  private say(message: object): void {
    if (this.current.name === "held") this.send(JSON.stringify(message));
  }

  private async run(): Promise<void> {
    await Promise.resolve(); // whoever made it has it in hand before anything is called
    const { signal } = this.options;
    const abort = () => this.release();
    signal?.addEventListener("abort", abort);
    if (signal?.aborted) abort();
    let end: ControlState = { name: "ended", reason: "released" };
    try {
      await this.steer();
    } catch (error) {
      if (!this.ending.signal.aborted) end = await this.why(asError(error));
    } finally {
      signal?.removeEventListener("abort", abort);
    }
    this.tell(end);
  }

  private async steer(): Promise<void> {
    const { WebSocket, tokens, url, wakes } = this.context;
    if (!WebSocket)
      throw new TypeError("there is no WebSocket here: give the client one, such as the package `ws`");
    const { token } = await tokens.get(this.ending.signal);
    await runSocket({
      WebSocket,
      token,
      url: url(),
      heartbeat: HEARTBEAT,
      wakes,
      signal: this.ending.signal,
      onText: (text) => this.hear(JSON.parse(text)),
      onSender: (send) => {
        this.send = send;
      },
    });
  }

  private hear(message: { type?: unknown; limit_s?: unknown; detail?: unknown }): void {
    if (message.type === "connected") {
      const seconds = typeof message.limit_s === "number" ? message.limit_s : Number.POSITIVE_INFINITY;
      this.tell({ name: "held", until: Date.now() + seconds * 1000 });
    } else if (message.type === "invalid") {
      this.options.onInvalid?.(String(message.detail));
    }
  }

  /** What a connection that ended, or never came to be, means. */
  private async why(error: Error): Promise<ControlState> {
    if (error instanceof ProblemError) return { name: "ended", reason: "refused", error };
    if (!(error instanceof ConnectionLost)) return { name: "ended", reason: "lost", error };
    const reason = CODES[error.code ?? 0] ?? "lost";
    if (reason === "task_ended") return { name: "ended", reason };
    if (this.current.name === "held") return { name: "ended", reason, error: lossOf(reason, error) };
    return this.refusal(error);
  }

  /** A browser does not say why it was refused: asking does. */
  private async refusal(cause: ConnectionLost): Promise<ControlState> {
    try {
      const { token } = await this.context.tokens.get(this.ending.signal);
      const { state, detail } = await this.context.ask(token);
      if (state !== "free")
        return { name: "ended", reason: "refused", error: new ControlError(detail, state, { cause }) };
    } catch (thrown) {
      const error = asError(thrown);
      return { name: "ended", reason: error instanceof ProblemError ? "refused" : "lost", error };
    }
    const why =
      "the wheel is free, and the WebSocket to it does not come about: something on the way may block it";
    return { name: "ended", reason: "lost", error: new ControlError(why, "lost", { cause }) };
  }

  private tell(state: ControlState): void {
    this.current = state;
    if (state.name === "held") this.settle?.resolve();
    if (state.name === "ended")
      this.settle?.reject(
        state.error ??
          new ControlError("the wheel was given back, or the task ended, before it was held", "lost"),
      );
    this.options.onState?.(state);
  }
}

function lossOf(reason: ControlEnd, cause: ConnectionLost): ControlError {
  if (reason === "limit")
    return new ControlError(`${cause.message}; take the wheel again to go on`, "limit", { cause });
  if (reason === "taken") return new ControlError(cause.message, "taken", { cause });
  return new ControlError(`${cause.message}; the unit goes on: take the wheel again`, "lost", { cause });
}

function within({ x, y }: Point): Point {
  return { x: Math.min(1, Math.max(0, x)), y: Math.min(1, Math.max(0, y)) };
}

function bounded(pixels: number): number {
  return Math.min(MAX_PIXELS, Math.max(-MAX_PIXELS, pixels));
}

/** Text in pieces that the server takes, none of which cuts a character in two. */
function parts(text: string): string[] {
  const pieces: string[] = [];
  for (let rest = text; rest; ) {
    const cut =
      rest.length > MAX_TEXT && /[\uD800-\uDBFF]/.test(rest.charAt(MAX_TEXT - 1)) ? MAX_TEXT - 1 : MAX_TEXT;
    pieces.push(rest.slice(0, cut));
    rest = rest.slice(cut);
  }
  return pieces;
}
