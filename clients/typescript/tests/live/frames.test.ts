import { expect, test } from "vitest";
import { command, newClient, newSite } from "../e2e/support.js";

const client = newClient();

test("pictures come with what they show", async () => {
  await command("hold");
  const { task_id } = await client.tasks.start({ queries: [newSite()], platforms: ["website"] });
  const frame = await new Promise<Parameters<Parameters<typeof client.frames>[1]["onFrame"]>[0]>(
    (resolve) => {
      const stream = client.frames(task_id, {
        fps: 5,
        quality: 50,
        onFrame(shown) {
          stream.close();
          resolve(shown);
        },
      });
    },
  );
  expect(frame).toMatchObject({ unit: expect.stringContaining(task_id), viewport_width: expect.any(Number) });
  expect(frame.viewport_width).toBeGreaterThan(300);
  const bytes = new Uint8Array(frame.jpeg);
  expect([...bytes.slice(0, 3)]).toEqual([0xff, 0xd8, 0xff]);
  expect([...bytes.slice(-2)]).toEqual([0xff, 0xd9]);
  await client.tasks.stop(task_id);
});
