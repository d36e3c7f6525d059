import type { Lead, PhoneCoordinates, Schemas } from "./schemas.js";

interface Stamped {
  /** Its place in the task's events: `<milliseconds>-<number>`, always rising. */
  readonly id: string;
  /** ISO 8601 UTC. */
  readonly timestamp: string;
}

export interface LogEvent extends Stamped {
  readonly type: "log";
  readonly message: string;
  readonly level: string;
  readonly url?: string;
}

export interface ProgressEvent extends Stamped {
  readonly type: "progress";
  /** Leads of each platform. */
  readonly progress: Readonly<Record<string, number>>;
  /** Units by state. */
  readonly units: Readonly<Record<string, number>>;
  readonly total_results: number;
  readonly pages: number;
}

export interface ResultEvent extends Stamped {
  readonly type: "result";
  readonly data: Lead;
}

/** A lead that was told before has got its enrichment. */
export interface EnrichedEvent extends Stamped {
  readonly type: "enriched";
  readonly data: {
    readonly lead_id: string;
    readonly observation_id: string;
    readonly enrichment: Schemas["Enrichment"];
  };
}

export interface TaskEvent extends Stamped {
  readonly type:
    | "task_started"
    | "task_completed"
    | "task_error"
    | "task_stopped"
    | "task_paused"
    | "task_resumed";
  readonly data: Readonly<Record<string, unknown>>;
}

/** A phone on the page; `coordinates` are fractions of the layout viewport that the frame shows. */
export interface PhoneBox {
  readonly phone: string;
  readonly selector: string | null;
  readonly coordinates: PhoneCoordinates | null;
  /** False when the number stands further up or down the page. */
  readonly seen: boolean;
  /** What it keeps its place on while the page is scrolled; null, or absent from an older server, when one cannot know. */
  readonly anchor?: "page" | "viewport" | null;
}

/** Where phones stand on what a tab shows, from the frame `frame_seq` on, until the tab's next event of this kind. */
export interface CoordinatesEvent extends Stamped {
  readonly type: "coordinates";
  readonly data: {
    readonly unit: string;
    readonly tab: string;
    readonly url: string;
    readonly boxes: readonly PhoneBox[];
    /** 0: no picture shows them. */
    readonly frame_seq: number;
  };
}

/** What happened between `id` and the next event is gone from the server, at least in part. */
export interface GapEvent {
  readonly type: "gap";
  readonly id: string;
}

/** What a subscription delivers. A newer server may send further types; they are passed on as they are. */
export type StreamEvent =
  | LogEvent
  | ProgressEvent
  | ResultEvent
  | EnrichedEvent
  | TaskEvent
  | CoordinatesEvent
  | GapEvent;

/** Which events: `results` are leads, their enrichments and the turns of the task; `events` is everything. */
export type Channel = "events" | "logs" | "progress" | "results";

const TURNS = ["task_started", "task_completed", "task_error", "task_stopped", "task_paused", "task_resumed"];
const CHANNEL_TYPES: Record<Exclude<Channel, "events">, readonly string[]> = {
  logs: ["log"],
  progress: ["progress"],
  results: ["result", "enriched", ...TURNS],
};
const LAST_TURNS: readonly string[] = ["task_completed", "task_error", "task_stopped"];

/** Whether a channel carries events of a type. Over SSE all come, and we choose. */
export function carries(channel: Channel, type: string): boolean {
  return channel === "events" || type === "gap" || CHANNEL_TYPES[channel].includes(type);
}

/**
 * The channel whose socket is listened to. Those of `logs` and `progress` do not tell that the task has ended: who does not
 * stay to `follow` hears everything, and we choose.
 */
export function socketOf(channel: Channel, follow: boolean): Channel {
  return follow || channel === "results" ? channel : "events";
}

/** Whether the task has ended with it. */
export function endsTask(event: StreamEvent): boolean {
  return LAST_TURNS.includes(event.type);
}

/** Whether the event `id` comes after the event `other`. Numbers of up to 64 bits, so they stay text. */
export function isAfter(id: string, other: string): boolean {
  const [milliseconds = "", number = ""] = id.split("-");
  const [otherMilliseconds = "", otherNumber = ""] = other.split("-");
  if (milliseconds !== otherMilliseconds) return isGreater(milliseconds, otherMilliseconds);
  return isGreater(number, otherNumber);
}

function isGreater(digits: string, others: string): boolean {
  return digits.length === others.length ? digits > others : digits.length > others.length;
}
