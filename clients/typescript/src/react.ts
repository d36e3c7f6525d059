import { useCallback, useEffect, useMemo, useState, useSyncExternalStore } from "react";
import type { LeadfleetClient } from "./client.js";
import type { ConnectionState } from "./connection.js";
import type { BoxTracker } from "./live/boxes.js";
import { LiveView, type LiveViewOptions } from "./live/view.js";
import type { SubscribeOptions } from "./subscription.js";
import { TaskStore, type TaskView } from "./task-store.js";

export type { TaskView } from "./task-store.js";

export interface Task extends TaskView {
  /** For `useLiveView`. */
  readonly boxes: BoxTracker;
}

/**
 * A task, live: status, progress, leads, log and connection. Renders at most ten times a second.
 *
 * @param client one that lives longer than the component: made outside of it, or in `useMemo`
 */
export function useTask(
  client: LeadfleetClient,
  taskId: string,
  { follow, transport, batchMs }: Pick<SubscribeOptions, "follow" | "transport" | "batchMs"> = {},
): Task {
  const store = useMemo(
    () =>
      new TaskStore(client, taskId, {
        ...(follow !== undefined && { follow }),
        ...(transport && { transport }),
        ...(batchMs !== undefined && { batchMs }),
      }),
    [client, taskId, follow, transport, batchMs],
  );
  const view = useSyncExternalStore(store.listen, store.snapshot, store.snapshot);
  return useMemo(() => ({ ...view, boxes: store.boxes }), [view, store]);
}

export interface LiveCanvas {
  /** For the `<canvas>`; its size is CSS's. */
  readonly ref: (canvas: HTMLCanvasElement | null) => void;
  readonly connection: ConnectionState;
}

/** Shows a task's browser on a canvas while the component is mounted, with `task.boxes` on it. */
export function useLiveView(
  client: LeadfleetClient,
  taskId: string,
  { fps, quality, boxes }: Pick<LiveViewOptions, "fps" | "quality" | "boxes"> = {},
): LiveCanvas {
  const [canvas, setCanvas] = useState<HTMLCanvasElement | null>(null);
  const [connection, setConnection] = useState<ConnectionState>({ name: "connecting", attempt: 1 });
  useEffect(() => {
    if (!canvas) return;
    const view = new LiveView(client, taskId, canvas, {
      ...(fps !== undefined && { fps }),
      ...(quality !== undefined && { quality }),
      ...(boxes && { boxes }),
      onState: setConnection,
    });
    return () => view.close();
  }, [client, taskId, canvas, fps, quality, boxes]);
  return { ref: useCallback((element) => setCanvas(element), []), connection };
}
