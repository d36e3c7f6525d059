"use client";

import { useTask } from "@leadfleet/client/react";
import Link from "next/link";
import { ConnectionBadge } from "./connection-badge";
import { ExportPanel } from "./export-panel";
import { useLeadfleet } from "./leadfleet";
import { LeadsTable } from "./leads-table";
import { LivePicture } from "./live-picture";
import { Log } from "./log";
import { Progress } from "./progress";
import { TaskControls } from "./task-controls";
import { titleOf } from "./task-list";

/** Milliseconds of events that the server may send in one message: a fast task has hundreds a second. */
const BATCH_MS = 100;

export function TaskPanel({ taskId, queries }: { taskId: string; queries: string[] }) {
  const client = useLeadfleet();
  const task = useTask(client, taskId, { batchMs: BATCH_MS });
  const state = task.status?.status;
  const problem = task.error ?? (task.connection.name === "closed" ? task.connection.error : undefined);
  const total = Math.max(task.progress?.total_results ?? 0, task.status?.total_results ?? 0);
  return (
    <>
      <p>
        <Link href="/">← Tasks</Link>
      </p>
      <div className="row">
        <h1>{titleOf(queries)}</h1>
        {state && (
          <span className="badge" data-state={state}>
            {state}
          </span>
        )}
        <ConnectionBadge connection={task.connection} />
        <TaskControls taskId={taskId} state={state} />
      </div>
      {problem && (
        <p role="alert" className="problem">
          {problem.message}
        </p>
      )}
      {task.status?.error && <p className="problem">{task.status.error}</p>}
      {task.gaps > 0 && (
        <p className="problem">Some events are no longer kept by the server. The export has every lead.</p>
      )}
      <Progress
        units={task.progress?.units ?? task.status?.units}
        pages={task.progress?.pages}
        leads={total}
      />
      <div className="live">
        <LivePicture taskId={taskId} state={state} boxes={task.boxes} />
        <Log lines={task.log} />
      </div>
      <LeadsTable leads={task.leads} total={total} />
      <ExportPanel taskId={taskId} leads={total} />
    </>
  );
}
