import type { LeadfleetClient } from "./client.js";
import type { ConnectionState } from "./connection.js";
import { asError } from "./errors.js";
import { endsTask, type LogEvent, type ProgressEvent, type StreamEvent } from "./events.js";
import { BoxTracker } from "./live/boxes.js";
import type { Lead, TaskStatus } from "./schemas.js";
import type { SubscribeOptions, Subscription } from "./subscription.js";

/** A task as a page shows it. A new object whenever something in it is new. */
export interface TaskView {
  /** As of the task's last turn; `progress` is newer. */
  readonly status: TaskStatus | undefined;
  readonly progress: ProgressEvent | undefined;
  /** The leads in the order they were found, the latest `MAX_LEADS` of them. The filters have all. */
  readonly leads: readonly Lead[];
  /** The latest `MAX_LOG` lines. */
  readonly log: readonly LogEvent[];
  readonly connection: ConnectionState;
  /** How often the server had lost events that we had not seen. */
  readonly gaps: number;
  /** Why the status could not be had. */
  readonly error: Error | undefined;
}

export const MAX_LEADS = 5_000;
export const MAX_LOG = 500;

/** Events come in bursts; a page that renders ten times a second looks live. */
const RENDER_MS = 100;

/** Follows one task for whoever listens, from the first listener to the last; one that returns goes on where it was. */
export class TaskStore {
  /** Takes the task's `coordinates` events, for a live view. */
  readonly boxes = new BoxTracker();
  private readonly listeners = new Set<() => void>();
  private readonly leads = new Map<string, Lead>();
  private log: LogEvent[] = [];
  private view: TaskView = {
    status: undefined,
    progress: undefined,
    leads: [],
    log: [],
    connection: { name: "connecting", attempt: 1 },
    gaps: 0,
    error: undefined,
  };
  private changes: Partial<TaskView> = {};
  private timer: ReturnType<typeof setTimeout> | undefined;
  private subscription: Subscription | undefined;
  private lastEventId: string | undefined;
  private ended = false;
  private asking = new AbortController();

  constructor(
    private readonly client: LeadfleetClient,
    private readonly taskId: string,
    private readonly options: Pick<SubscribeOptions, "follow" | "transport" | "batchMs"> = {},
  ) {}

  readonly listen = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    if (this.listeners.size === 1) this.open();
    return () => {
      this.listeners.delete(listener);
      if (this.listeners.size === 0) this.close();
    };
  };

  readonly snapshot = (): TaskView => this.view;

  private open(): void {
    this.asking = new AbortController();
    void this.askStatus();
    if (this.ended && !this.options.follow) return; // nothing comes behind a task's last event
    const subscription = this.client.subscribe(this.taskId, {
      ...this.options,
      ...(this.lastEventId !== undefined && { lastEventId: this.lastEventId }),
      onEvent: (event) => this.take(event),
      onState: (connection) => {
        if (this.subscription === subscription) this.change({ connection });
      },
    });
    this.subscription = subscription;
  }

  private close(): void {
    this.asking.abort();
    this.lastEventId = this.subscription?.lastEventId;
    this.subscription?.close();
    this.subscription = undefined;
    clearTimeout(this.timer);
    this.timer = undefined;
  }

  private take(event: StreamEvent): void {
    switch (event.type) {
      case "log":
        this.log = [...this.log.slice(1 - MAX_LOG), event];
        this.change({ log: this.log });
        break;
      case "progress":
        this.change({ progress: event });
        break;
      case "result":
        this.addLead(event.data.lead_id ?? event.id, event.data);
        break;
      case "enriched": {
        const lead = this.leads.get(event.data.lead_id);
        if (lead) this.addLead(event.data.lead_id, { ...lead, enrichment: event.data.enrichment });
        break;
      }
      case "coordinates":
        this.boxes.take(event);
        break;
      case "gap":
        this.change({ gaps: (this.changes.gaps ?? this.view.gaps) + 1 });
        void this.askStatus();
        break;
      default:
        this.ended ||= endsTask(event);
        if (event.type.startsWith("task_")) void this.askStatus();
    }
  }

  private addLead(id: string, lead: Lead): void {
    this.leads.set(id, lead);
    const [oldest] = this.leads.keys();
    if (this.leads.size > MAX_LEADS && oldest !== undefined) this.leads.delete(oldest);
    this.change({ leads: [] }); // the list is made once a rendering
  }

  /** The latest question wins: an earlier answer may be of before. */
  private async askStatus(): Promise<void> {
    this.asking.abort();
    const asking = new AbortController();
    this.asking = asking;
    try {
      const status = await this.client.tasks.status(this.taskId, { signal: asking.signal });
      if (!asking.signal.aborted) this.change({ status, error: undefined });
    } catch (error) {
      if (!asking.signal.aborted) this.change({ error: asError(error) });
    }
  }

  private change(changes: Partial<TaskView>): void {
    this.changes = { ...this.changes, ...changes };
    this.timer ??= setTimeout(() => this.render(), RENDER_MS);
  }

  private render(): void {
    this.timer = undefined;
    if (this.changes.leads) this.changes = { ...this.changes, leads: [...this.leads.values()] };
    this.view = { ...this.view, ...this.changes };
    this.changes = {};
    for (const listener of this.listeners) listener();
  }
}
