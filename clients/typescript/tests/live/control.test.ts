import { expect, test } from "vitest";
import { command, newClient } from "../e2e/support.js";

const client = newClient();

/** A page with a field in its middle, that tells what stands in it. */
const HOST = `form-${Date.now() % 100_000}.site.test`;

test("a person types into a field of a real page, and the unit goes on", async () => {
  await command("hold");
  const { task_id } = await client.tasks.start({ queries: [`http://${HOST}/`], platforms: ["website"] });
  // who has the wheel holds back what was not begun
  await expect.poll(() => command("visits", HOST)).toBe(1);
  const control = client.takeControl(task_id);
  await control.taken;
  const second = client.takeControl(task_id);
  await expect(second.taken).rejects.toMatchObject({ name: "ControlError", reason: "held" });
  await command("let_go");
  const typed = () => command<string | null>("typed", HOST);
  await expect.poll(typed).toBe("");
  const middle = { x: 0.5, y: 0.5 };
  for (const event of ["move", "down", "up"] as const) control.pointer(event, middle);
  control.text("Grüße, 日本");
  for (const key of [" ", "4", "x", "Backspace"]) control.key("press", key);
  control.paste("711");
  await expect.poll(typed).toBe("Grüße, 日本 4711");
  control.key("press", "Control+a");
  control.key("press", "Delete");
  await expect.poll(typed).toBe("");
  expect((await client.tasks.status(task_id)).status).toBe("running");
  control.release();
  await control.closed;
  expect(control.state).toEqual({ name: "ended", reason: "released" });
  await expect.poll(async () => (await client.tasks.status(task_id)).status).toBe("completed");
  const late = client.takeControl(task_id);
  await expect(late.taken).rejects.toMatchObject({ name: "ControlError", reason: "no_browser" });
});
