import { LeadfleetClient, ProblemError } from "@leadfleet/client";
import { afterEach, expect, test } from "vitest";
import { command, newClient, newSite, stack } from "./support.js";

const client = newClient();

afterEach(() => command("let_go"));

test("a task is started once, steered, and its leads are filtered, counted and exported", async () => {
  await command("hold");
  const request = { queries: [newSite()], platforms: ["website"] };
  const started = await client.tasks.start(request, { idempotencyKey: request.queries.join() });
  const again = await client.tasks.start(request, { idempotencyKey: request.queries.join() });
  expect(again.task_id).toBe(started.task_id);
  const id = started.task_id;
  await expect.poll(async () => (await client.tasks.status(id)).status).toBe("running");
  expect((await client.tasks.pause(id)).status).toBe("paused");
  expect((await client.tasks.list({ status: "paused", limit: 1 })).tasks.map((task) => task.task_id)).toEqual(
    [id],
  );
  expect((await client.tasks.queue()).paused).toBe(1);
  await client.tasks.resume(id);
  await command("let_go");
  for await (const _ of client.subscribe(id)) {
    // until it has ended
  }
  const status = await client.tasks.status(id);
  expect(status).toMatchObject({ status: "completed", pages: 6 });
  const where = { task_id: [id] };
  await expect.poll(async () => (await client.filters.leads({ where })).total).toBe(status.total_results);
  const facets = await client.filters.facets({ where, fields: ["platform"] });
  expect(facets.facets["platform"]).toEqual([{ value: "website", count: status.total_results }]);

  const made = await client.exports.create({ format: "csv", where });
  const ready = await client.exports.wait(made.export_id);
  const file = await (await fetch(ready.url)).text();
  expect(file.trim().split("\r\n")).toHaveLength(1 + status.total_results);
  const linked = await fetch(await client.downloadUrl("csv", { task_id: id }));
  expect(await linked.text()).toBe(file);
});

test("a page's server makes its tokens, and the page needs no key to stream", async () => {
  const { task_id } = await client.tasks.start({ queries: [newSite()], platforms: ["website"] });
  const page = newClient({ apiKey: undefined, streamToken: (request) => client.streamToken(request) });
  const types = new Set<string>();
  for await (const event of page.subscribe(task_id, { channel: "results" })) types.add(event.type);
  expect(types).toContain("task_completed");
  expect(types).not.toContain("log");
  await expect(page.tasks.status(task_id)).rejects.toMatchObject({ status: 401 });
});

test("a refusal says what is wrong", async () => {
  const refused = client.tasks.start({ queries: ["x"], platforms: ["no-such-platform"] });
  await expect(refused).rejects.toBeInstanceOf(ProblemError);
  await expect(refused).rejects.toMatchObject({
    status: 422,
    detail: expect.stringContaining("no-such-platform"),
  });
});

test("without any WebSocket there are Server-Sent Events", async () => {
  const plain = new LeadfleetClient({ baseUrl: stack.url, apiKey: stack.key });
  const { task_id } = await plain.tasks.start({ queries: [newSite()], platforms: ["website"] });
  const ids = [];
  for await (const event of plain.subscribe(task_id)) ids.push(event.id);
  expect(ids).toEqual(await command("events", task_id));
});
