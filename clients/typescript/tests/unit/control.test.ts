import {
  type Control,
  ControlError,
  type ControlOptions,
  type ControlState,
  LeadfleetClient,
  ProblemError,
} from "@leadfleet/client";
import { afterEach, expect, test } from "vitest";
import { WebSocket } from "ws";
import { type Script, ScriptedServer } from "./scripted-server.js";

const GREETING = JSON.stringify({
  type: "connected",
  message: "You have the wheel",
  retry_ms: 1,
  limit_s: 600,
});

let server: ScriptedServer;

afterEach(() => server.stop());

async function take(script: Script, options: ControlOptions = {}): Promise<[Control, ControlState[]]> {
  server = await ScriptedServer.start(script);
  const states: ControlState[] = [];
  const client = new LeadfleetClient({ baseUrl: server.url, apiKey: "k", WebSocket, retry: { attempts: 1 } });
  return [client.takeControl("tsk_1", { onState: (state) => states.push(state), ...options }), states];
}

test("what is done while the wheel is held is sent in order, within the bounds of the contract", async () => {
  const said: unknown[] = [];
  let offered: string[] = [];
  const [control, states] = await take({
    socket(socket, _, protocols) {
      offered = protocols;
      socket.on("message", (text) => said.push(JSON.parse(String(text))));
      socket.send(GREETING);
    },
  });
  control.text("too early");
  await control.taken;
  control.pointer("down", { x: 0.25, y: 0.5 }, { button: "right", clicks: 5 });
  control.pointer("up", { x: 1.2, y: -0.1 });
  control.wheel({ x: 0.5, y: 0.5 }, 0, 123_456);
  control.key("press", "Control+a");
  control.paste("😀".repeat(8_001));
  control.text("");
  await expect.poll(() => said.length).toBe(6);
  control.release();
  control.text("too late");
  await control.closed;
  expect(said.slice(0, 4)).toEqual([
    { type: "pointer", event: "down", x: 0.25, y: 0.5, button: "right", clicks: 3 },
    { type: "pointer", event: "up", x: 1, y: 0, button: "left", clicks: 1 },
    { type: "wheel", x: 0.5, y: 0.5, dx: 0, dy: 10_000 },
    { type: "key", event: "press", key: "Control+a" },
  ]);
  expect(said.slice(4)).toEqual([
    { type: "paste", text: "😀".repeat(8_000) },
    { type: "paste", text: "😀" },
  ]);
  expect(offered).toEqual(["leadfleet.v1", "token.token-1"]);
  expect(states).toEqual([
    { name: "held", until: expect.any(Number) },
    { name: "ended", reason: "released" },
  ]);
  const [held] = states;
  if (held?.name !== "held") throw new Error("not held");
  expect(Math.abs(held.until - Date.now() - 600_000)).toBeLessThan(60_000);
  await expect.poll(() => server.open.size).toBe(0);
});

test.each([
  [4008, "the wheel may be held for 600 s", "limit", /held for 600 s.*take the wheel again/],
  [4009, "the wheel is not yours any more", "taken", /not yours any more/],
  [1012, "connect again", "lost", /the unit goes on: take the wheel again/],
])("a wheel that is taken away by %i says why", async (code, told, reason, message) => {
  const [control] = await take({
    socket(socket) {
      socket.send(GREETING);
      socket.close(code, told);
    },
  });
  await control.closed;
  const { state } = control;
  if (state.name !== "ended") throw new Error(state.name);
  expect(state.reason).toBe(reason);
  expect(state.error).toBeInstanceOf(ControlError);
  expect(state.error).toMatchObject({ reason, message: expect.stringMatching(message) });
});

test("the end of the task is no error", async () => {
  const [control] = await take({
    socket(socket) {
      socket.send(GREETING);
      socket.close(4000, "the task has ended");
    },
  });
  await control.taken;
  await control.closed;
  expect(control.state).toEqual({ name: "ended", reason: "task_ended" });
});

test.each([
  [
    { state: "held", detail: "somebody else has it" },
    "refused",
    { reason: "held", message: "somebody else has it" },
  ],
  [{ state: "no_browser", detail: "none works" }, "refused", { reason: "no_browser", message: "none works" }],
  [{ state: "free", detail: "" }, "lost", { reason: "lost", message: expect.stringContaining("may block") }],
  [
    { title: "No", status: 403, detail: "not with this key" },
    "refused",
    { status: 403, detail: "not with this key" },
  ],
] as const)(
  "a refusal, of which a browser hears nothing, is asked about: %o",
  async (wheel, reason, error) => {
    const [control, states] = await take({ refuseSockets: 409, wheel });
    await expect(control.taken).rejects.toMatchObject(error);
    await control.closed;
    expect(states).toEqual([{ name: "ended", reason, error: expect.objectContaining(error) }]);
  },
);

test("a key without the scope is told so when it asks for a token", async () => {
  const [control] = await take({ tokenStatus: 403 });
  await expect(control.taken).rejects.toBeInstanceOf(ProblemError);
});

test("a signal gives the wheel back, also one that was aborted before", async () => {
  const abort = new AbortController();
  const [control] = await take({ socket: (socket) => socket.send(GREETING) }, { signal: abort.signal });
  await control.taken;
  abort.abort();
  await control.closed;
  expect(control.state).toEqual({ name: "ended", reason: "released" });
  await expect.poll(() => server.open.size).toBe(0);
  await server.stop();
  const [late] = await take({ socket: (socket) => socket.send(GREETING) }, { signal: AbortSignal.abort() });
  await expect(late.taken).rejects.toBeInstanceOf(ControlError);
  expect(server.open.size).toBe(0);
});

test("an input that is none is told of", async () => {
  const details: string[] = [];
  const [control] = await take(
    {
      socket(socket) {
        socket.send(GREETING);
        socket.on("message", () => socket.send(JSON.stringify({ type: "invalid", detail: "key: too long" })));
      },
    },
    { onInvalid: (detail) => details.push(detail) },
  );
  await control.taken;
  control.key("press", "x".repeat(99));
  await expect.poll(() => details).toEqual(["key: too long"]);
  control.release();
  await control.closed;
});
