"use client";

import type { TaskState } from "@leadfleet/client";
import { useRef, useState } from "react";
import { useLeadfleet } from "./leadfleet";

type Turn = "pause" | "resume" | "stop";

/** Which turns a task can take now. */
const TURNS: Partial<Record<TaskState, Turn[]>> = {
  queued: ["pause", "stop"],
  running: ["pause", "stop"],
  paused: ["resume", "stop"],
};
const WORDS: Record<Turn, string> = { pause: "Pause", resume: "Resume", stop: "Stop" };

export function TaskControls({ taskId, state }: { taskId: string; state: TaskState | undefined }) {
  const client = useLeadfleet();
  const dialog = useRef<HTMLDialogElement>(null);
  const [problem, setProblem] = useState("");
  const turns = (state && TURNS[state]) ?? [];

  async function take(turn: Turn) {
    try {
      await client.tasks[turn](taskId);
      setProblem("");
    } catch (error) {
      setProblem(error instanceof Error ? error.message : String(error));
    }
  }

  return (
    <div className="row controls">
      {turns.map((turn) => (
        <button
          key={turn}
          type="button"
          onClick={() => (turn === "stop" ? dialog.current?.showModal() : void take(turn))}
        >
          {WORDS[turn]}
        </button>
      ))}
      <span role="alert" className="problem">
        {problem}
      </span>
      <dialog ref={dialog} aria-labelledby="stop-title">
        <form method="dialog" className="stack">
          <h2 id="stop-title">Stop this task?</h2>
          <p>It cannot go on afterwards. The leads it has found are kept.</p>
          <div className="row">
            <button type="submit">Cancel</button>
            <button type="submit" className="danger" onClick={() => void take("stop")}>
              Stop task
            </button>
          </div>
        </form>
      </dialog>
    </div>
  );
}
