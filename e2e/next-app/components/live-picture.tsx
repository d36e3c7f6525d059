"use client";

import type { BoxTracker, TaskState } from "@leadfleet/client";
import { useLiveView } from "@leadfleet/client/react";
import { useLeadfleet } from "./leadfleet";

interface Watched {
  taskId: string;
  state: TaskState | undefined;
  boxes: BoxTracker;
}

const SHOWING: readonly (TaskState | undefined)[] = ["queued", "running", "paused"];
const WORDS: Partial<Record<TaskState, string>> = {
  queued: "Waiting for a browser",
  paused: "Paused: it goes on where it was",
};

/** What the task's browser shows, with its phones boxed. */
export function LivePicture({ taskId, state, boxes }: Watched) {
  return (
    <section className="card" aria-labelledby="live">
      <h2 id="live">Live</h2>
      <div className="stage">
        {SHOWING.includes(state) && <Canvas taskId={taskId} boxes={boxes} />}
        {state !== "running" && <p>{state ? (WORDS[state] ?? "The task has ended") : "Connecting…"}</p>}
      </div>
    </section>
  );
}

function Canvas({ taskId, boxes }: Omit<Watched, "state">) {
  const { ref, connection } = useLiveView(useLeadfleet(), taskId, { boxes, fps: 10 });
  return (
    <canvas ref={ref} role="img" aria-label="The task's browser" data-connection={connection.name}>
      The picture of the task's browser
    </canvas>
  );
}
