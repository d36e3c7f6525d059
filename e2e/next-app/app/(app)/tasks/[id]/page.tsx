import { ProblemError } from "@leadfleet/client";
import type { Metadata } from "next";
import { notFound } from "next/navigation";
import { TaskPanel } from "../../../../components/task-panel";
import { asked } from "../../../../server/session";

export const metadata: Metadata = { title: "Task" };

export default async function TaskPage({ params }: PageProps<"/tasks/[id]">) {
  const { id } = await params;
  const { queries } = await asked((client) =>
    client.tasks.status(id).catch((error: unknown) => {
      if (error instanceof ProblemError && error.status === 404) notFound();
      throw error;
    }),
  );
  return <TaskPanel taskId={id} queries={queries} />;
}
