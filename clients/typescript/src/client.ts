import type { Transport } from "./connection.js";
import { asError, LeadfleetError, NetworkError } from "./errors.js";
import { socketOf } from "./events.js";
import { type ExportFormat, Exports, type FlatWhere } from "./exports.js";
import { type CallOptions, Http, type HttpOptions, RETRY_LIMITS, type RetryLimits } from "./http.js";
import { Control, type ControlOptions } from "./live/control.js";
import { FrameStream, type FrameStreamOptions } from "./live/frames.js";
import type {
  ActionResult,
  FacetQuery,
  Facets,
  LeadPage,
  LeadQuery,
  QueueStatus,
  Started,
  StartRequest,
  StreamToken,
  StreamTokenRequest,
  TaskPage,
  TaskState,
  TaskStatus,
  WhoAmI,
} from "./schemas.js";
import { type SubscribeOptions, Subscription } from "./subscription.js";
import { TokenSource } from "./tokens.js";
import { browserWakes, type Wakes } from "./wakes.js";
import type { WebSocketConstructor } from "./websocket.js";

export interface ClientOptions {
  /** Where the API is, such as `https://leads.example`; the page's own origin when absent. */
  baseUrl?: string;
  /** Where streams and links lead, if not to `baseUrl`: for pages whose server passes calls on and adds the key. */
  streamUrl?: string;
  /** An API key. Keep it on servers: a page gets its tokens from `streamToken` and its answers through a proxy. */
  apiKey?: string;
  /**
   * Makes stream tokens, for pages whose server holds the key. By default the API is asked. When it throws, a stream tries
   * again, as without a network; a `ProblemError` that is not `temporary` ends it.
   */
  streamToken?: (request: StreamTokenRequest, options: CallOptions) => Promise<StreamToken>;
  /** The WebSocket to use where there is no global one, as in Node 20: that of the package `ws`. */
  WebSocket?: WebSocketConstructor;
  fetch?: typeof fetch;
  /** Sent along with every call: `include` for the console's cookie on another origin. */
  credentials?: RequestCredentials;
  /** Limits of asking again; `{ attempts: 1 }` never does. */
  retry?: Partial<RetryLimits>;
  /** What wakes streams up; the browser's own events by default. */
  wakes?: Wakes;
}

export interface StartOptions extends CallOptions {
  /** The same key and body start the same task, for 24 h. A random one by default, so that it can be sent again. */
  idempotencyKey?: string;
}

export interface ListOptions extends CallOptions {
  status?: TaskState;
  /** 1 to 500. */
  limit?: number;
  offset?: number;
}

const NO_HEADERS: Record<string, string> = {};

type StreamKind = NonNullable<StreamTokenRequest["kinds"]>[number];

/** The API of one Leadfleet installation. Every call throws `ProblemError`, `NetworkError`, or the signal's reason. */
export class LeadfleetClient {
  readonly tasks: Tasks;
  readonly filters: Filters;
  readonly exports: Exports;
  private readonly http: Http;
  /** Makes the addresses that carry a token instead of a header. */
  private readonly links: Http;
  private readonly options: ClientOptions;
  private readonly fetch: typeof fetch;

  constructor(options: ClientOptions = {}) {
    const baseUrl = withoutSlash(options.baseUrl ?? globalThis.location?.origin);
    if (!baseUrl) throw new LeadfleetError("say where the API is: new LeadfleetClient({ baseUrl })");
    this.options = { ...options, baseUrl };
    this.fetch = options.fetch ?? ((input, init) => fetch(input, init));
    const http: HttpOptions = {
      baseUrl,
      fetch: this.fetch,
      retry: { ...RETRY_LIMITS, ...options.retry },
      headers: options.apiKey ? { Authorization: `Bearer ${options.apiKey}` } : NO_HEADERS,
      ...(options.credentials && { credentials: options.credentials }),
    };
    this.http = new Http(http);
    this.links = new Http({ ...http, baseUrl: withoutSlash(options.streamUrl) ?? baseUrl });
    this.tasks = new Tasks(this.http);
    this.filters = new Filters(this.http);
    this.exports = new Exports(this.http);
  }

  /** Which tenant the key or session is of, and what it may do. */
  whoAmI(options: CallOptions = {}): Promise<WhoAmI> {
    return this.http.get("/api/auth/me", options);
  }

  /** A token for addresses and handshakes in which a browser can set no header. */
  async streamToken(request: StreamTokenRequest, options: CallOptions = {}): Promise<StreamToken> {
    const { streamToken } = this.options;
    if (!streamToken)
      return this.http.post("/api/auth/stream-token", { ...options, body: request, idempotent: true });
    try {
      return await streamToken(request, options);
    } catch (error) {
      if (error instanceof LeadfleetError || options.signal?.aborted) throw error;
      throw new NetworkError(`\`streamToken\` brought no token: ${asError(error).message}`, { cause: error });
    }
  }

  /** Follow what happens in a task. */
  subscribe(taskId: string, options: SubscribeOptions = {}): Subscription {
    const channel = socketOf(options.channel ?? "events", options.follow ?? false);
    return new Subscription(
      {
        ...this.streams(taskId, "events"),
        fetch: this.fetch,
        credentials: this.options.credentials,
        url: (transport: Transport, query) =>
          transport === "sse"
            ? this.links.url("/api/scraper/events/{taskId}", { taskId }, query)
            : this.socketUrl(`/api/scraper/ws/${channel}/{taskId}`, taskId, query),
      },
      options,
    );
  }

  /** Follow what a task's browser shows, picture by picture. `LiveView` draws them. */
  frames(taskId: string, options: FrameStreamOptions): FrameStream {
    return new FrameStream(
      {
        ...this.streams(taskId, "live"),
        url: (query) => this.socketUrl("/api/scraper/ws/frames/{taskId}", taskId, query),
      },
      options,
    );
  }

  /**
   * Take the wheel of a task's browser: its unit waits as long as we have it. Needs the scope `control`. Give it back with
   * `release`. `bindControl` steers with a `LiveView`'s canvas.
   */
  takeControl(taskId: string, options: ControlOptions = {}): Control {
    return new Control(
      {
        ...this.streams(taskId, "control"),
        url: () => this.socketUrl("/api/scraper/ws/control/{taskId}", taskId, {}),
        ask: (token) =>
          this.http.get("/api/scraper/control/{task_id}", { path: { task_id: taskId }, query: { token } }),
      },
      options,
    );
  }

  /** The address of a task's live pictures as MJPEG, for an `<img>`. Good to connect with for about ten minutes. */
  async liveFeedUrl(taskId: string, pace: { fps?: number; quality?: number } = {}): Promise<string> {
    const { token } = await this.streamToken({ task_id: taskId, kinds: ["live"] });
    return this.links.url("/api/scraper/live_feed/{taskId}", { taskId }, { ...pace, token });
  }

  /** An address that answers with the file of all leads that match, for a link. Good for about ten minutes. */
  async downloadUrl(format: ExportFormat, where: FlatWhere = {}): Promise<string> {
    const request: StreamTokenRequest = {
      kinds: ["export"],
      ...(where.task_id && { task_id: where.task_id }),
    };
    const { token } = await this.streamToken(request);
    return this.links.url("/api/export/{format}", { format }, { ...where, token });
  }

  private streams(taskId: string, kind: StreamKind) {
    return {
      WebSocket: this.options.WebSocket ?? (globalThis.WebSocket as WebSocketConstructor | undefined),
      tokens: new TokenSource((signal) => this.streamToken({ task_id: taskId, kinds: [kind] }, { signal })),
      wakes: this.options.wakes ?? browserWakes,
    };
  }

  private socketUrl(
    template: string,
    taskId: string,
    query: Record<string, string | number | undefined>,
  ): string {
    return this.links.url(template, { taskId }, query).replace(/^http/, "ws");
  }
}

/** Starting, watching and steering tasks. */
class Tasks {
  constructor(private readonly http: Http) {}

  /** Start a task. */
  start(request: StartRequest, { idempotencyKey, ...options }: StartOptions = {}): Promise<Started> {
    const headers = { "Idempotency-Key": idempotencyKey ?? randomKey() };
    return this.http.post("/api/scraper/start", { ...options, headers, body: request, idempotent: true });
  }

  /** How a task is doing. */
  status(taskId: string, options: CallOptions = {}): Promise<TaskStatus> {
    return this.http.get("/api/scraper/status/{task_id}", { ...options, path: { task_id: taskId } });
  }

  /** A page of the tasks, newest first. */
  list({ status, limit, offset, ...options }: ListOptions = {}): Promise<TaskPage> {
    return this.http.get("/api/tasks", { ...options, query: { status, limit, offset } });
  }

  /** How many tasks there are in which state, and how long a new one would wait. */
  queue(options: CallOptions = {}): Promise<QueueStatus> {
    return this.http.get("/api/tasks/queue/status", options);
  }

  /** Stop a task for good; what it found is kept. */
  stop(taskId: string, options: CallOptions = {}): Promise<ActionResult> {
    return this.http.post("/api/scraper/stop/{task_id}", turn(taskId, options));
  }

  pause(taskId: string, options: CallOptions = {}): Promise<ActionResult> {
    return this.http.post("/api/scraper/pause/{task_id}", turn(taskId, options));
  }

  /** Go on with a paused task where it was. */
  resume(taskId: string, options: CallOptions = {}): Promise<ActionResult> {
    return this.http.post("/api/scraper/resume/{task_id}", turn(taskId, options));
  }
}

/** Leads, of one task or of all. */
class Filters {
  constructor(private readonly http: Http) {}

  /** A page of the leads that match; `next_cursor` leads to the next one. */
  leads(query: LeadQuery = {}, options: CallOptions = {}): Promise<LeadPage> {
    return this.http.post("/api/filters/leads", { ...options, body: query, idempotent: true });
  }

  /** How many of the leads that match have each value. */
  facets(query: FacetQuery = {}, options: CallOptions = {}): Promise<Facets> {
    return this.http.post("/api/filters/facets", { ...options, body: query, idempotent: true });
  }

  /** Platforms that can be asked for. */
  platforms(options: CallOptions = {}): Promise<string[]> {
    return this.http.get("/api/filters/platforms", options);
  }

  /** What `lead_objective` may be: a `value` and a `label` each. */
  leadObjectives(options: CallOptions = {}): Promise<Record<string, string>[]> {
    return this.http.get("/api/filters/lead-objectives", options);
  }
}

function withoutSlash(url: string | undefined): string | undefined {
  return url?.replace(/\/+$/, "");
}

/** A second stop stops nothing more: these may be sent again. */
function turn(taskId: string, options: CallOptions) {
  return { ...options, path: { task_id: taskId }, idempotent: true };
}

/** `crypto.randomUUID` is missing on pages that were not loaded over TLS. */
function randomKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) =>
    byte.toString(16).padStart(2, "0"),
  ).join("");
}
