import type { ConnectionState, StreamEvent } from "@leadfleet/client";
import { expect, test } from "vitest";
import { command, idsOf, newClient, newSite } from "./support.js";

test("a task's events are those that the store has", async () => {
  const client = newClient();
  const { task_id } = await client.tasks.start({ queries: [newSite()], platforms: ["website"] });
  const states: ConnectionState[] = [];
  const events: StreamEvent[] = [];
  for await (const event of client.subscribe(task_id, { onState: (state) => states.push(state) })) events.push(event);
  expect(events.at(-1)?.type).toBe("task_completed");
  expect(idsOf(events)).toEqual(await command("events", task_id));
  expect(states.map((state) => state.name)).toEqual(["connecting", "open", "closed"]);
});
