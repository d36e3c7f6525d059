import { Refresh } from "../../components/refresh";
import { StartForm } from "../../components/start-form";
import { TaskList } from "../../components/task-list";
import { asked } from "../../server/session";

const SHOWN = 20;

export default async function TasksPage() {
  const [{ tasks, total }, platforms] = await asked((client) =>
    Promise.all([client.tasks.list({ limit: SHOWN }), client.filters.platforms()]),
  );
  return (
    <>
      <StartForm platforms={platforms} />
      <section className="card" aria-labelledby="tasks">
        <h2 id="tasks">Tasks</h2>
        <TaskList tasks={tasks} />
        {total > SHOWN && (
          <p className="hint">
            The newest {SHOWN} of {total}.
          </p>
        )}
      </section>
      <Refresh everyMs={5_000} />
    </>
  );
}
