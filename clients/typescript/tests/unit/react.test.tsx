// @vitest-environment happy-dom
import { LeadfleetClient } from "@leadfleet/client";
import { type Task, useControl, useLiveView, useTask, type Wheel } from "@leadfleet/client/react";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { afterEach, expect, test, vi } from "vitest";
import { WebSocket } from "ws";
import { completed, connected, log, type Script, ScriptedServer } from "./scripted-server.js";

vi.setConfig({ testTimeout: 30_000 });

let server: ScriptedServer | undefined;

afterEach(() => server?.stop());

async function serve(script: Script): Promise<LeadfleetClient> {
  server = await ScriptedServer.start({ ...script, status: { task_id: "t", status: "completed" } });
  (window as unknown as { happyDOM: { setURL(url: string): void } }).happyDOM.setURL(server.url);
  return new LeadfleetClient({ WebSocket }); // of the page's own origin
}

/** Show a task while `during` runs. */
async function shown(client: LeadfleetClient, during: (current: () => Task) => Promise<void>): Promise<void> {
  const root = createRoot(document.createElement("div"));
  let task: Task | undefined;
  function Shown() {
    task = useTask(client, "t");
    return null;
  }
  root.render(
    <StrictMode>
      <Shown />
    </StrictMode>,
  );
  await expect.poll(() => task).toBeDefined();
  await during(() => {
    if (!task) throw new Error("nothing is rendered");
    return task;
  });
  root.unmount();
}

test("useTask shows what happened, once, in spite of a component that is mounted twice", async () => {
  const client = await serve({
    socket(socket, query) {
      socket.send(connected());
      if (query.has("last_event_id")) return;
      socket.send(log("1-0", "first"));
      socket.send(JSON.stringify({ type: "result", id: "2-0", data: { lead_id: "a", display_name: "A" } }));
      const enrichment = { category: "health", source: "rules", confidence: 1 };
      socket.send(JSON.stringify({ type: "enriched", id: "3-0", data: { lead_id: "a", enrichment } }));
      socket.send(
        JSON.stringify({ type: "progress", id: "4-0", progress: { website: 1 }, total_results: 1 }),
      );
      socket.send(completed("5-0"));
    },
  });
  await shown(client, async (current) => {
    await expect.poll(() => current().connection.name).toBe("closed");
    await expect.poll(() => current().status?.status).toBe("completed");
    const { log: lines, leads, progress, gaps, error } = current();
    expect(lines.map((line) => line.message)).toEqual(["first"]);
    expect(leads).toMatchObject([{ lead_id: "a", display_name: "A", enrichment: { category: "health" } }]);
    expect(progress?.total_results).toBe(1);
    expect([gaps, error]).toEqual([0, undefined]);
  });
});

test("useControl takes the wheel, tells how it ends, and gives it back with its component", async () => {
  const sockets: { close(code: number, reason: string): void }[] = [];
  const client = await serve({
    socket(socket) {
      sockets.push(socket);
      socket.send(JSON.stringify({ type: "connected", limit_s: 60 }));
    },
  });
  const root = createRoot(document.createElement("div"));
  let wheel: Wheel | undefined;
  function Steering() {
    wheel = useControl(client, "t", null);
    return null;
  }
  root.render(
    <StrictMode>
      <Steering />
    </StrictMode>,
  );
  await expect.poll(() => wheel?.state.name).toBe("free");
  wheel?.take();
  wheel?.take();
  await expect.poll(() => wheel?.state.name).toBe("held");
  expect(sockets).toHaveLength(1);
  sockets[0]?.close(4008, "the wheel may be held for 60 s");
  await expect.poll(() => wheel?.state).toMatchObject({ name: "ended", reason: "limit" });
  wheel?.take();
  await expect.poll(() => wheel?.state.name).toBe("held");
  wheel?.release();
  await expect.poll(() => wheel?.state).toMatchObject({ reason: "released" });
  wheel?.take();
  await expect.poll(() => wheel?.state.name).toBe("held");
  root.unmount();
  await expect.poll(() => server?.open.size).toBe(0);
});

test("useLiveView tells of the view that is shown, not of the one before that ends late", async () => {
  vi.stubGlobal(
    "ResizeObserver",
    class {
      observe() {}
      disconnect() {}
    },
  );
  HTMLCanvasElement.prototype.getContext = (() => ({})) as never;
  const client = await serve({ socket: (socket) => socket.send(connected()) });
  const told: string[] = [];
  function Shown({ fps }: { fps: number }) {
    const live = useLiveView(client, "t", { fps });
    if (told.at(-1) !== live.connection.name) told.push(live.connection.name);
    return <canvas ref={live.ref} />;
  }
  const root = createRoot(document.createElement("div"));
  root.render(
    <StrictMode>
      <Shown fps={10} />
    </StrictMode>,
  );
  await expect.poll(() => told.at(-1)).toBe("open");
  root.render(
    <StrictMode>
      <Shown fps={20} />
    </StrictMode>,
  );
  await expect.poll(() => told.slice(2)).toEqual(["connecting", "open"]);
  root.unmount();
  expect(told).not.toContain("closed");
  await expect.poll(() => server?.open.size).toBe(0);
});

test("a component that goes takes its connection along", async () => {
  const client = await serve({ socket: (socket) => socket.send(connected()) });
  await shown(client, async (current) => {
    await expect.poll(() => current().connection.name).toBe("open");
    expect(server?.open.size).toBe(1);
  });
  await expect.poll(() => server?.open.size).toBe(0);
});
