"use client";

import {
  type ControlEnd,
  ControlError,
  type ControlState,
  LEAVE_CHORD,
  type LiveView,
  ProblemError,
} from "@leadfleet/client";
import { useControl } from "@leadfleet/client/react";
import { useEffect, useState } from "react";
import { useLeadfleet } from "./leadfleet";

type Ended = Extract<ControlState, { name: "ended" }>;

const ENDS: Record<ControlEnd, string> = {
  released: "",
  task_ended: "The task has ended, and the wheel with it.",
  limit: "Your time at the wheel is over. The task goes on; take the wheel again if you need it.",
  taken: "Somebody else has the wheel now.",
  refused: "The wheel could not be had. Try again in a moment.",
  lost: "There is no connection to the browser. The task goes on; try to take the wheel again.",
};
const REFUSALS: Partial<Record<ControlError["reason"], string>> = {
  held: "Somebody else has the wheel. Try again when they have left.",
  no_browser: "No browser works on this task right now. Try again in a moment.",
};

/** Hands the task's browser to whoever looks at it, until they give it back: they click and type on the picture. */
export function Wheel({ taskId, view }: { taskId: string; view: LiveView | null }) {
  const { state, take, release } = useControl(useLeadfleet(), taskId, view);
  const held = state.name === "held";
  return (
    <>
      {/* one button, so that the focus is where it was when the wheel is given back */}
      <button type="button" onClick={held ? release : take} disabled={!view}>
        {held ? "Give it back" : "Take the wheel"}
      </button>
      <p role="status" aria-label="Wheel">
        {held && `You have the wheel. ${LEAVE_CHORD} gives it back.`}
        {state.name === "asking" && "Taking the wheel…"}
        {state.name === "ended" && reasonOf(state)}
      </p>
      {held && <TimeLeft until={state.until} />}
    </>
  );
}

function reasonOf({ reason, error }: Ended): string {
  if (error instanceof ProblemError) return error.detail;
  return (error instanceof ControlError && REFUSALS[error.reason]) || ENDS[reason];
}

/** Beside what screen readers are told, which would be told every second. */
function TimeLeft({ until }: { until: number }) {
  const [left, setLeft] = useState(() => secondsTo(until));
  useEffect(() => {
    const timer = setInterval(() => setLeft(secondsTo(until)), 1_000);
    return () => clearInterval(timer);
  }, [until]);
  const seconds = String(left % 60).padStart(2, "0");
  return (
    Number.isFinite(left) && <span className="number">{`${Math.floor(left / 60)}:${seconds} left`}</span>
  );
}

function secondsTo(until: number): number {
  return Math.max(0, Math.ceil((until - Date.now()) / 1_000));
}
