import { createServer, request as passOn } from "node:http";
import type { AddressInfo } from "node:net";
import type { ConnectionState, StreamEvent, SubscribeOptions, Subscription } from "@leadfleet/client";
import { afterEach, beforeEach, expect, test } from "vitest";
import { command, idsOf, newClient, newSite, Signalled, stack } from "./support.js";

const client = newClient();

beforeEach(() => command("hold"));
afterEach(async () => {
  await command("line", "heal");
  await command("let_go");
  await command("ready", 0);
  await command("route", 0);
});

/** A client that follows a task until it ends, and what it saw. */
class Follower {
  readonly states: ConnectionState[] = [];
  readonly events: StreamEvent[] = [];
  readonly subscription: Subscription;
  readonly ended: Promise<void>;
  private readonly waiting: { until: () => boolean; done: Signalled }[] = [];

  constructor(taskId: string, options: SubscribeOptions = {}, from = client) {
    this.subscription = from.subscribe(taskId, {
      ...options,
      onState: (state) => {
        this.states.push(state);
        this.look();
      },
    });
    this.ended = this.run();
  }

  opened(times: number): Promise<void> {
    return this.until(() => this.states.filter((state) => state.name === "open").length >= times);
  }

  found(): Promise<void> {
    return this.until(() => this.events.some((event) => event.type === "result"));
  }

  get transports(): string[] {
    return this.states.flatMap((state) => (state.name === "open" ? [state.transport] : []));
  }

  private async run(): Promise<void> {
    for await (const event of this.subscription) {
      this.events.push(event);
      this.look();
    }
    await this.subscription.closed;
  }

  private until(until: () => boolean): Promise<void> {
    const done = new Signalled();
    this.waiting.push({ until, done });
    this.look();
    return done.promise;
  }

  private look(): void {
    for (const { until, done } of this.waiting) if (until()) done.resolve();
  }
}

/** A task that has read its first page, whose others are held back. */
async function running(options: SubscribeOptions = {}): Promise<{ task: string; follower: Follower }> {
  const { task_id } = await client.tasks.start({ queries: [newSite()], platforms: ["website"] });
  const follower = new Follower(task_id, options);
  await follower.found();
  return { task: task_id, follower };
}

async function finish(task: string, follower: Follower): Promise<void> {
  await command("let_go");
  await follower.ended;
  expect(follower.events.at(-1)?.type).toBe("task_completed");
  expect(follower.subscription.state).toEqual({ name: "closed" });
  expect(follower.events.map((event) => event.id)).toEqual(await command("events", task));
}

test("a task's events are those that the store has", async () => {
  const { task, follower } = await running();
  await finish(task, follower);
  expect(follower.states.map((state) => state.name)).toEqual(["connecting", "open", "closed"]);
});

test.each(["auto", "sse"] as const)(
  "a replica that is killed costs a client no event (%s)",
  async (transport) => {
    const { task, follower } = await running({ transport });
    await command("kill", 0);
    await follower.opened(2);
    await command("ready", 0);
    await finish(task, follower);
    const [first] = follower.states.filter((state) => state.name === "retrying");
    expect(first?.delayMs).toBeGreaterThanOrEqual(500); // what the server said as it greeted
    expect(first?.delayMs).toBeLessThanOrEqual(3_000);
  },
);

test("a client goes on at another replica while its own is dead", async () => {
  const { task, follower } = await running();
  await command("route", 1);
  await command("kill", 0);
  await follower.opened(2);
  await finish(task, follower);
});

test("a line that is reset, and then refuses, costs no event", async () => {
  const { task, follower } = await running();
  await command("line", "refuse");
  await command("line", "reset");
  await expect
    .poll(() => follower.states.filter((state) => state.name === "retrying").length)
    .toBeGreaterThan(1);
  await command("line", "heal");
  await follower.opened(2);
  await finish(task, follower);
});

test("a line on which everything vanishes is noticed by its silence", async () => {
  const heartbeat = { intervalMs: 500, timeoutMs: 2_000, connectMs: 2_000 };
  const { task, follower } = await running({ heartbeat });
  await command("line", "cut");
  await expect.poll(() => follower.subscription.state.name).not.toBe("open");
  expect(follower.states.find((state) => state.name === "retrying")?.reason.message).toMatch(/^silent for/);
  await command("let_go"); // what happens now, happens unseen
  await expect.poll(async () => (await fetchStatus(task)).status).toBe("completed");
  await command("line", "heal");
  await finish(task, follower);
});

test("a client that returns is told what it missed, and of a gap where the server has one", async () => {
  const { task, follower } = await running();
  const seen = idsOf(follower.events);
  follower.subscription.close();
  await follower.ended;
  await command("let_go");
  await expect.poll(async () => (await fetchStatus(task)).status).toBe("completed");
  const all = await command<string[]>("events", task);
  const lastEventId = follower.subscription.lastEventId;
  expect(lastEventId).toBe(seen.at(-1));
  const returned = new Follower(task, lastEventId ? { lastEventId } : {});
  await returned.ended;
  expect([...seen, ...idsOf(returned.events)]).toEqual(all);
  await command("trim", task, 3);
  const late = new Follower(task, lastEventId ? { lastEventId } : {});
  await late.ended;
  expect(late.events.map((event) => event.type)).toEqual([
    "gap",
    ...returned.events.slice(-3).map((event) => event.type),
  ]);
  expect(idsOf(late.events)).toEqual(all.slice(-3));
  expect(late.states.map((state) => state.name)).toEqual(["connecting", "open", "gap", "open", "closed"]);
});

test.each(["auto", "sse"] as const)("batches hold the same events (%s)", async (transport) => {
  const { task, follower } = await running({ batchMs: 100, transport });
  await finish(task, follower);
});

test("a slow consumer gets every event", async () => {
  const { task, follower } = await running({ bufferSize: 2 });
  await finish(task, follower);
  expect(follower.events.length).toBeGreaterThan(6);
});

test("behind a proxy that passes no WebSocket, events come as Server-Sent Events", async () => {
  const proxy = createServer((request, response) => {
    const to = passOn(
      stack.url + request.url,
      { method: request.method, headers: request.headers },
      (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
      },
    );
    request.pipe(to);
    response.on("close", () => to.destroy());
  });
  proxy.on("upgrade", (_, socket) => socket.destroy());
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  const { task, follower: direct } = await running();
  const baseUrl = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  const follower = new Follower(task, {}, newClient({ baseUrl }));
  await follower.opened(1);
  await finish(task, follower);
  await direct.ended;
  expect(follower.events).toEqual(direct.events);
  expect(follower.transports).toEqual(["sse"]);
  proxy.close();
});

test("what is not there, or not ours, is said at once", async () => {
  const missing = new Follower("tsk_unknown");
  await expect(missing.ended).rejects.toMatchObject({ status: 404 });
  const stranger = new Follower("tsk_unknown", {}, newClient({ apiKey: "lfk_wrong" }));
  await expect(stranger.ended).rejects.toMatchObject({ status: 401, title: "Not authenticated" });
});

/** Past the proxy: it may be cut. */
function fetchStatus(task: string) {
  return newClient({ baseUrl: stack.replicas[1] ?? stack.url }).tasks.status(task);
}
