import type { TaskStatus } from "@leadfleet/client";
import Link from "next/link";

export function TaskList({ tasks }: { tasks: TaskStatus[] }) {
  if (!tasks.length) return <p className="hint">None yet: start one above.</p>;
  return (
    <ul className="tasks">
      {tasks.map((task) => (
        <li key={task.task_id}>
          <Link href={`/tasks/${task.task_id}`}>{titleOf(task.queries)}</Link>
          <span className="badge" data-state={task.status}>
            {task.status}
          </span>
          <span className="number">{task.total_results.toLocaleString("en")} leads</span>
          <time dateTime={task.created_at} className="hint">
            {task.created_at.slice(0, 16).replace("T", " ")} UTC
          </time>
        </li>
      ))}
    </ul>
  );
}

/** What a task is about, in a line. */
export function titleOf([first = "Task", ...others]: readonly string[]): string {
  return others.length ? `${first} and ${others.length} more` : first;
}
