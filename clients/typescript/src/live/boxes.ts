import type { CoordinatesEvent, PhoneBox } from "../events.js";
import type { FrameInfo } from "./frames.js";

/** Tabs that are remembered; a unit has one to a few, and a task goes through many units. */
const MAX_TABS = 32;

/** Knows which boxes belong to which picture: those of its tab, from the frame on that their event names. */
export class BoxTracker {
  private readonly tabs = new Map<string, CoordinatesEvent["data"]>();
  private readonly listeners = new Set<() => void>();

  /** The boxes of a tab until its next event. One without boxes says that the tab left the page. */
  take({ data }: CoordinatesEvent): void {
    const tab = keyOf(data);
    this.tabs.delete(tab); // to be the youngest
    this.tabs.set(tab, data);
    const [oldest] = this.tabs.keys();
    if (this.tabs.size > MAX_TABS && oldest !== undefined) this.tabs.delete(oldest);
    for (const listener of this.listeners) listener();
  }

  /** Call `listener` whenever boxes change. @returns what ends it */
  listen(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** The boxes that a frame shows; `placeBox` says where. */
  on(frame: FrameInfo): readonly PhoneBox[] {
    const told = this.tabs.get(keyOf(frame));
    if (!told || told.frame_seq === 0 || frame.seq < told.frame_seq) return [];
    return told.boxes;
  }
}

function keyOf({ unit, tab }: { unit: string; tab: string }): string {
  return `${unit} ${tab}`;
}
