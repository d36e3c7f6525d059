import { useCallback, useEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";
import type { LeadfleetClient } from "./client.js";
import type { ConnectionState } from "./connection.js";
import type { BoxTracker } from "./live/boxes.js";
import type { Control, ControlState } from "./live/control.js";
import { bindControl } from "./live/input.js";
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
  /** For `useControl`. */
  readonly view: LiveView | null;
}

/** Shows a task's browser on a canvas while the component is mounted, with `task.boxes` on it. */
export function useLiveView(
  client: LeadfleetClient,
  taskId: string,
  { fps, quality, boxes }: Pick<LiveViewOptions, "fps" | "quality" | "boxes"> = {},
): LiveCanvas {
  const [canvas, setCanvas] = useState<HTMLCanvasElement | null>(null);
  const [connection, setConnection] = useState<ConnectionState>({ name: "connecting", attempt: 1 });
  const [view, setView] = useState<LiveView | null>(null);
  useEffect(() => {
    if (!canvas) return;
    let current = true;
    const shown = new LiveView(client, taskId, canvas, {
      ...(fps !== undefined && { fps }),
      ...(quality !== undefined && { quality }),
      ...(boxes && { boxes }),
      onState: (state) => {
        if (current) setConnection(state);
      },
    });
    setView(shown);
    return () => {
      current = false;
      setView(null);
      shown.close();
    };
  }, [client, taskId, canvas, fps, quality, boxes]);
  return { ref: useCallback((element) => setCanvas(element), []), connection, view };
}

export interface Wheel {
  /** `free` until it is asked for. */
  readonly state: ControlState | { readonly name: "free" };
  /** Ask for it, unless we have it. */
  readonly take: () => void;
  readonly release: () => void;
}

/** The wheel of a task's browser, steered on the canvas of `view`. It is given back when the component is unmounted. */
export function useControl(client: LeadfleetClient, taskId: string, view: LiveView | null): Wheel {
  const [state, setState] = useState<Wheel["state"]>({ name: "free" });
  const control = useRef<Control | null>(null);
  const release = useCallback(() => control.current?.release(), []);
  const take = useCallback(() => {
    const now = control.current?.state.name;
    if (now === "asking" || now === "held") return;
    const asked = client.takeControl(taskId, {
      onState: (told) => {
        if (control.current === asked) setState(told);
      },
    });
    control.current = asked;
    setState(asked.state);
  }, [client, taskId]);
  useEffect(
    () => () => {
      control.current?.release();
      control.current = null;
      setState({ name: "free" });
    },
    [client, taskId],
  );
  const held = state.name === "held";
  useEffect(() => {
    if (held && view && control.current) return bindControl(view, control.current);
    return undefined;
  }, [held, view]);
  return { state, take, release };
}
