"use client";

import type { BoxTracker, TaskState } from "@leadfleet/client";
import { useLiveView } from "@leadfleet/client/react";
import { useLeadfleet } from "./leadfleet";
import { Wheel } from "./wheel";

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

/** What the task's browser shows, with its phones boxed; while it runs a person can take its wheel. */
export function LivePicture(watched: Watched) {
  return (
    <section className="card" aria-labelledby="live">
      <h2 id="live">Live</h2>
      {SHOWING.includes(watched.state) ? <Watching {...watched} /> : <Resting state={watched.state} />}
    </section>
  );
}

function Watching({ taskId, state, boxes }: Watched) {
  const { ref, connection, view } = useLiveView(useLeadfleet(), taskId, { boxes, fps: 10 });
  return (
    <>
      <div className="stage">
        <canvas ref={ref} role="img" aria-label="The task's browser" data-connection={connection.name}>
          The picture of the task's browser
        </canvas>
        {state && WORDS[state] && <p>{WORDS[state]}</p>}
      </div>
      <div className="row wheel">{state === "running" && <Wheel taskId={taskId} view={view} />}</div>
    </>
  );
}

function Resting({ state }: Pick<Watched, "state">) {
  return (
    <>
      <div className="stage">
        <p>{state ? "The task has ended" : "Connecting…"}</p>
      </div>
      <div className="row wheel" />
    </>
  );
}
