import {
  type ConnectionState,
  LeadfleetClient,
  NetworkError,
  ProblemError,
  type StreamEvent,
  type Wake,
} from "@leadfleet/client";
import { afterEach, expect, test } from "vitest";
import { WebSocket } from "ws";
import { rest } from "../../src/wakes.js";
import { completed, connected, log, openSse, type Script, ScriptedServer } from "./scripted-server.js";

const QUICK = { baseMs: 1, capMs: 2 };
const servers: ScriptedServer[] = [];

afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop();
});

async function serve(script: Script): Promise<{ server: ScriptedServer; client: LeadfleetClient }> {
  const server = await ScriptedServer.start(script);
  servers.push(server);
  return { server, client: new LeadfleetClient({ baseUrl: server.url, WebSocket }) };
}

async function all(events: AsyncIterable<StreamEvent>): Promise<string[]> {
  const seen = [];
  for await (const event of events) seen.push(event.type === "gap" ? `gap ${event.id}` : event.id);
  return seen;
}

test("what was seen is neither asked for again nor told twice, whatever the server repeats", async () => {
  const asked: (string | null)[] = [];
  const { client } = await serve({
    socket(socket, query) {
      asked.push(query.get("last_event_id"));
      socket.send(connected());
      if (asked.length === 1) {
        for (const id of ["9-0", "9-1", "10-0"]) socket.send(log(id));
        socket.close(1012);
      } else {
        for (const id of ["9-1", "10-0", "10-1", "10-10"]) socket.send(log(id));
        socket.send(completed("11-0"));
      }
    },
  });
  expect(await all(client.subscribe("t", { backoff: QUICK }))).toEqual([
    "9-0",
    "9-1",
    "10-0",
    "10-1",
    "10-10",
    "11-0",
  ]);
  expect(asked).toEqual([null, "10-0"]);
});

test("a gap is told in its place, and a store that lost events is followed from where it is", async () => {
  const states: string[] = [];
  const { client } = await serve({
    socket(socket) {
      socket.send(connected());
      socket.send(JSON.stringify({ type: "gap", id: "5-0" }));
      socket.send(log("6-0"));
      socket.send(completed("7-0"));
    },
  });
  const onState = (state: ConnectionState) => states.push(state.name);
  expect(await all(client.subscribe("t", { lastEventId: "90-0", onState }))).toEqual([
    "gap 5-0",
    "6-0",
    "7-0",
  ]);
  expect(states).toEqual(["connecting", "open", "gap", "open", "closed"]);
});

test("a consumer that is slower than the events costs a connection and no event", async () => {
  const all = Array.from({ length: 40 }, (_, number) => number + 1);
  const asked: number[] = [];
  const { client } = await serve({
    socket(socket, query) {
      const after = Number((query.get("last_event_id") ?? "0-0").split("-")[0]);
      asked.push(after);
      socket.send(connected());
      for (const number of all.filter((one) => one > after)) socket.send(log(`${number}-0`));
      socket.send(completed("41-0"));
    },
  });
  const subscription = client.subscribe("t", { bufferSize: 4, backoff: QUICK });
  const reasons: string[] = [];
  const seen: string[] = [];
  for await (const event of subscription) {
    seen.push(event.id);
    // hold every event until the connection has been given up for us, as long as there is more to come
    while (event.id.length < 4 && subscription.state.name === "open") await new Promise(setImmediate);
    if (subscription.state.name === "retrying") reasons.push(subscription.state.reason.message);
  }
  expect(seen).toEqual([...all.map((number) => `${number}-0`), "41-0"]);
  expect(asked.length).toBeGreaterThan(2);
  expect(new Set(reasons)).toEqual(
    new Set(["the consumer is slow: the connection waits until it has caught up"]),
  );
});

test("batches are taken apart", async () => {
  const { client } = await serve({
    socket(socket, query) {
      expect(query.get("batch_ms")).toBe("200");
      socket.send(connected());
      socket.send(`[${log("1-0")},${log("1-1")}]`);
      socket.send(`[${completed("2-0")}]`);
    },
  });
  expect(await all(client.subscribe("t", { batchMs: 200 }))).toEqual(["1-0", "1-1", "2-0"]);
});

test("the token stands in no address of a WebSocket, and is kept until it is about to expire", async () => {
  for (const [tokenSeconds, tokens] of [
    [600, 1],
    [20, 3],
  ] as const) {
    const used: string[] = [];
    let connections = 0;
    const { client, server } = await serve({
      tokenSeconds,
      socket(socket, query, protocols) {
        expect(query.has("token")).toBe(false);
        used.push(protocols.join(" "));
        connections += 1;
        socket.send(connected());
        if (connections < 3) socket.close(1012);
        else socket.send(completed("1-0"));
      },
    });
    await all(client.subscribe("t", { backoff: QUICK }));
    expect(server.tokens).toBe(tokens);
    expect(used[0]).toBe("leadfleet.v1 token.token-1");
    expect(used[2]).toBe(`leadfleet.v1 token.token-${tokens}`);
  }
});

test("where WebSockets are blocked, events come as Server-Sent Events, from where they were", async () => {
  const states: ConnectionState[] = [];
  const asked: (string | null)[] = [];
  const { client } = await serve({
    refuseSockets: 0,
    sse(response, query) {
      asked.push(query.get("last_event_id"));
      openSse(response);
      response.write("retry: 1\n\n");
      if (asked.length === 1)
        response.end(`id: 1-0\ndata: ${log("1-0")}\n\nid: 2-0\ndata: ${log("2-`cut off`")}`);
      else response.write(`: ping\n\nid: 2-0\ndata: ${log("2-0")}\n\nid: 3-0\ndata: ${completed("3-0")}\n\n`);
    },
  });
  expect(
    await all(client.subscribe("t", { backoff: QUICK, onState: (state) => states.push(state) })),
  ).toEqual(["1-0", "2-0", "3-0"]);
  expect(asked).toEqual([null, "1-0"]);
  expect(states.filter((state) => state.name === "open")).toEqual(
    Array(2).fill({ name: "open", transport: "sse" }),
  );
});

test("a token that is refused is replaced once; a key that is refused is told", async () => {
  let asked = 0;
  const refused = { "Content-Type": "application/problem+json", Connection: "close" };
  const problem = JSON.stringify({
    type: "about:blank",
    title: "Not authenticated",
    status: 401,
    detail: "expired",
  });
  const { client, server } = await serve({
    sse(response, query) {
      asked += 1;
      if (query.get("token") !== "token-2") response.writeHead(401, refused).end(problem);
      else if (asked === 2) response.writeHead(200, { "Content-Type": "text/event-stream" }).end();
      else response.writeHead(401, refused).end(problem);
    },
  });
  // the first token is fresh and refused: nothing else can help
  await expect(all(client.subscribe("t", { transport: "sse", backoff: QUICK }))).rejects.toThrow("expired");
  expect(server.tokens).toBe(1);
  // the second one works once; when it is refused a third is made, and refused too
  const events = all(client.subscribe("t", { transport: "sse", backoff: QUICK }));
  await expect(events).rejects.toMatchObject({ status: 401, title: "Not authenticated" });
  expect(server.tokens).toBe(3);
  expect(asked).toBe(4);
});

test("a page whose own server brings no token for a moment is not given up", async () => {
  const { server } = await serve({
    socket(socket) {
      socket.send(connected());
      socket.send(completed("1-0"));
    },
  });
  let asked = 0;
  const client = new LeadfleetClient({
    baseUrl: server.url,
    WebSocket,
    async streamToken({ kinds = [] }) {
      asked += 1;
      if (asked === 1) await fetch("http://127.0.0.1:1"); // as a browser without a network: a TypeError
      return { token: "t", expires_at: new Date(Date.now() + 600_000).toISOString(), kinds, task_id: "t" };
    },
  });
  const reasons: unknown[] = [];
  const onState = (state: ConnectionState) => state.name === "retrying" && reasons.push(state.reason);
  expect(await all(client.subscribe("t", { backoff: QUICK, onState }))).toEqual(["1-0"]);
  expect(reasons).toEqual([expect.any(NetworkError)]);
});

test("a subscription that is closed does not wait for the token that it asked for", async () => {
  let ended = false;
  const silent: typeof fetch = (_, init) =>
    new Promise((_, reject) =>
      init?.signal?.addEventListener("abort", () => {
        ended = true;
        reject(new Error("aborted"));
      }),
    );
  const subscription = new LeadfleetClient({ baseUrl: "http://nowhere", WebSocket, fetch: silent }).subscribe(
    "t",
  );
  await expect.poll(() => subscription.state.name).toBe("connecting");
  subscription.close();
  await subscription.closed;
  expect(ended).toBe(true);
});

test("a policy that forbids to make a WebSocket leaves Server-Sent Events", async () => {
  const { server } = await serve({
    sse(response) {
      openSse(response);
      response.write(`data: ${completed("1-0")}\n\n`);
    },
  });
  class Forbidden {
    constructor() {
      throw new DOMException("The operation is insecure.", "SecurityError");
    }
  }
  const client = new LeadfleetClient({
    baseUrl: server.url,
    WebSocket: Forbidden as unknown as typeof WebSocket,
  });
  expect(await all(client.subscribe("t", { backoff: QUICK }))).toEqual(["1-0"]);
});

test("a task that is not there ends the subscription with its problem", async () => {
  const { client } = await serve({ tokenStatus: 404 });
  const subscription = client.subscribe("t");
  await expect(all(subscription)).rejects.toBeInstanceOf(ProblemError);
  expect(subscription.state).toMatchObject({ name: "closed", error: { status: 404 } });
});

test.each(["websocket", "sse"] as const)("a %s that falls silent is given up", async (transport) => {
  let connections = 0;
  const { client } = await serve({
    socket(socket) {
      connections += 1;
      socket.send(connected());
      if (connections === 2) socket.send(completed("1-0"));
    },
    sse(response) {
      connections += 1;
      openSse(response);
      response.write("retry: 1\n\n");
      if (connections === 2) response.write(`data: ${completed("1-0")}\n\n`);
    },
  });
  const reasons: string[] = [];
  await all(
    client.subscribe("t", {
      transport,
      backoff: QUICK,
      heartbeat: { intervalMs: 20, timeoutMs: 60 },
      onState: (state) => state.name === "retrying" && reasons.push(state.reason.message),
    }),
  );
  expect(reasons).toHaveLength(1);
  expect(reasons[0]).toMatch(/^silent for \d+ ms$/);
});

test.each(["websocket", "sse"] as const)(
  "a %s that talks nonsense is left, and resumed",
  async (transport) => {
    let connections = 0;
    const { client, server } = await serve({
      socket(socket) {
        connections += 1;
        socket.send(connected());
        socket.send(connections === 1 ? "nonsense" : log("1-0"));
      },
      sse(response) {
        connections += 1;
        openSse(response);
        response.write(`retry: 1\n\ndata: ${connections === 1 ? "nonsense" : log("1-0")}\n\n`);
      },
    });
    for await (const event of client.subscribe("t", { transport, backoff: QUICK })) {
      expect(event.id).toBe("1-0");
      await expect.poll(() => server.open.size).toBe(1); // the first one has been let go of
      break;
    }
    expect(connections).toBe(2);
  },
);

test("a page that is online again, or is looked at again, does not wait", async () => {
  const callbacks = new Set<(wake: Wake) => void>();
  let connections = 0;
  const { server } = await serve({
    socket(socket) {
      connections += 1;
      socket.send(connected(1_000_000));
      if (connections < 3) socket.close(1012);
      else socket.send(completed("1-0"));
    },
  });
  const wakes = {
    listen: (callback: (wake: Wake) => void) => {
      callbacks.add(callback);
      return () => callbacks.delete(callback);
    },
    offline: () => false,
  };
  const client = new LeadfleetClient({ baseUrl: server.url, WebSocket, wakes });
  const delays: number[] = [];
  await all(
    client.subscribe("t", {
      onState(state) {
        if (state.name !== "retrying") return;
        delays.push(state.delayMs);
        setTimeout(() => {
          for (const callback of [...callbacks]) callback(delays.length === 1 ? "online" : "visible");
        });
      },
    }),
  );
  expect(delays).toEqual([1_000_000, 1_000_000]);
  expect(callbacks.size).toBe(0);
});

test("a page that loses its network asks at once whether anybody is there", async () => {
  let lose: (wake: Wake) => void = () => {};
  const { server } = await serve({
    socket(socket) {
      socket.send(connected());
      socket.on("message", () => socket.send(completed("1-0")));
    },
  });
  const wakes = {
    listen: (callback: (wake: Wake) => void) => {
      lose = callback;
      return () => {};
    },
    offline: () => true,
  };
  const client = new LeadfleetClient({ baseUrl: server.url, WebSocket, wakes });
  const subscription = client.subscribe("t", {
    heartbeat: { intervalMs: 1_000_000, timeoutMs: 1_000_000 },
    onState: (state) => state.name === "open" && lose("offline"),
  });
  expect(await all(subscription)).toEqual(["1-0"]);
});

test("who waits for the network is not woken by its loss", async () => {
  let tell: (wake: Wake) => void = () => {};
  const listen = (callback: (wake: Wake) => void) => {
    tell = callback;
    return () => {};
  };
  let woken = false;
  const resting = rest(1_000_000, { listen, offline: () => true }, new AbortController().signal).then(() => {
    woken = true;
  });
  tell("offline");
  await new Promise(setImmediate);
  expect(woken).toBe(false);
  tell("online");
  await resting;
});

test.each([
  ["close", { transport: "websocket" }],
  ["abort", { transport: "websocket" }],
  ["close", { transport: "sse" }],
  ["abort", { transport: "sse" }],
] as const)("%s releases everything (%o)", async (how, { transport }) => {
  const { client, server } = await serve({
    socket(socket) {
      socket.send(connected());
      socket.send(log("1-0"));
    },
    sse(response) {
      openSse(response);
      response.write(`data: ${log("1-0")}\n\n`);
    },
  });
  const controller = new AbortController();
  const subscription = client.subscribe("t", { transport, signal: controller.signal });
  const seen = [];
  for await (const event of subscription) {
    seen.push(event.id);
    if (how === "close") subscription.close();
    else controller.abort();
  }
  await subscription.closed;
  expect(seen).toEqual(["1-0"]);
  expect(subscription.state).toEqual({ name: "closed" });
  await expect.poll(() => server.open.size).toBe(0);
});

test("leaving the loop closes the subscription, and a callback that throws does", async () => {
  const { client, server } = await serve({
    socket(socket) {
      socket.send(connected());
      socket.send(log("1-0"));
      socket.send(log("2-0"));
    },
  });
  const left = client.subscribe("t");
  for await (const event of left) {
    expect(event.id).toBe("1-0");
    break;
  }
  await left.closed;
  expect(left.lastEventId).toBe("1-0");
  const seen: string[] = [];
  const thrown = client.subscribe("t", {
    onEvent(event) {
      seen.push(event.id);
      throw new Error("a bug of the page");
    },
  });
  await thrown.closed;
  expect(seen).toEqual(["1-0"]);
  expect(thrown.state).toMatchObject({ name: "closed", error: { message: "a bug of the page" } });
  await expect.poll(() => server.open.size).toBe(0);
});

test("a channel carries its own events, also over Server-Sent Events", async () => {
  const { client } = await serve({
    sse(response) {
      openSse(response);
      response.write(
        `data: ${log("1-0")}\n\ndata: ${JSON.stringify({ type: "result", id: "2-0", data: {} })}\n\n`,
      );
      response.write(`data: ${completed("3-0")}\n\n`);
    },
  });
  expect(await all(client.subscribe("t", { transport: "sse", channel: "results" }))).toEqual(["2-0", "3-0"]);
  expect(await all(client.subscribe("t", { transport: "sse", channel: "logs" }))).toEqual(["1-0"]);
});

test("a channel that does not tell of the task's end ends with it all the same", async () => {
  const asked: string[] = [];
  const { client } = await serve({
    socket(socket, _query, _protocols, path) {
      asked.push(path);
      socket.send(connected());
      socket.send(log("1-0"));
      if (/\/(events|results)\//.test(path)) socket.send(completed("2-0"));
    },
  });
  expect(await all(client.subscribe("t", { channel: "logs" }))).toEqual(["1-0"]);
  expect(await all(client.subscribe("t", { channel: "progress" }))).toEqual([]);
  const staying = client.subscribe("t", { channel: "logs", follow: true });
  for await (const { id } of staying) {
    expect(id).toBe("1-0");
    break;
  }
  expect(asked).toEqual(["events", "events", "logs"].map((channel) => `/api/scraper/ws/${channel}/t`));
});
