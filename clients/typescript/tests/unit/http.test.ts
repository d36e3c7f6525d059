import { ExportFailed, LeadfleetClient, NetworkError, ProblemError } from "@leadfleet/client";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { problemOf, retryAfterSeconds } from "../../src/errors.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

type Answer = () => Response;

const answer = (status: number, body: unknown, headers: Record<string, string> = {}): Answer => {
  return () => new Response(JSON.stringify(body), { status, headers });
};
const ok = answer(200, { task_id: "t" });
const tooMany = (seconds: number) =>
  answer(429, { title: "Too many requests", detail: "slow down" }, { "Retry-After": `${seconds}` });
const unreachable: Answer = () => {
  throw new TypeError("fetch failed");
};

/** A client whose calls are answered in turn. `calls` are the requests, `at` when they were made. */
function clientOf(...answers: Answer[]) {
  const calls: { url: string; init: RequestInit }[] = [];
  const at: number[] = [];
  const began = Date.now();
  const client = new LeadfleetClient({
    baseUrl: "http://api.test/",
    apiKey: "lfk_x",
    fetch: async (input, init = {}) => {
      calls.push({ url: String(input), init });
      at.push(Date.now() - began);
      const next = answers.shift();
      if (!next) throw new Error("one call too many");
      return next();
    },
  });
  return { client, calls, at };
}

test("a problem says status, title, detail, what was wrong and when to come back", async () => {
  const errors = [{ loc: ["queries"], message: "missing" }];
  const body = { type: "about:blank", title: "Invalid input", status: 422, detail: "no queries", errors };
  const { client } = clientOf(answer(422, body, { "Retry-After": "3", "X-Request-ID": "abc" }));
  const problem = await client.tasks.status("t").catch((error: unknown) => error);
  expect(problem).toBeInstanceOf(ProblemError);
  expect(problem).toMatchObject({
    ...{ status: 422, title: "Invalid input", detail: "no queries", errors, retryAfter: 3, requestId: "abc" },
    message: "422 Invalid input: no queries",
  });
});

test("an answer of a proxy that is no problem document is a problem too", async () => {
  const problem = await problemOf(new Response("<html>", { status: 502, statusText: "Bad Gateway" }));
  expect(problem).toMatchObject({
    status: 502,
    title: "Bad Gateway",
    retryAfter: undefined,
    errors: [],
    temporary: true,
  });
});

test.each([
  [null, undefined],
  ["", undefined],
  ["12", 12],
  ["-1", 0],
  ["Thu, 01 Jan 2026 00:01:00 GMT", 60],
  ["soon", undefined],
])("Retry-After %s is %s", (header, seconds) => {
  expect(retryAfterSeconds(header, Date.UTC(2026, 0, 1))).toBe(seconds);
});

test("Retry-After is honoured", async () => {
  const { client, at } = clientOf(tooMany(3), tooMany(4), ok);
  const status = client.tasks.status("t");
  await vi.runAllTimersAsync();
  expect(await status).toEqual({ task_id: "t" });
  expect(at).toEqual([0, 3_000, 7_000]);
});

test("but not beyond the limit of one call", async () => {
  const { client, at } = clientOf(tooMany(15), tooMany(6));
  const failed = expect(client.tasks.status("t")).rejects.toMatchObject({ status: 429, retryAfter: 6 });
  await vi.runAllTimersAsync();
  await failed;
  expect(at).toEqual([0, 15_000]);
});

test("the wait ends with the signal", async () => {
  const { client, calls } = clientOf(tooMany(10));
  const controller = new AbortController();
  const failed = expect(client.tasks.status("t", { signal: controller.signal })).rejects.toThrow(
    "left the page",
  );
  await vi.advanceTimersByTimeAsync(1_000);
  controller.abort(new Error("left the page"));
  await failed;
  expect(calls).toHaveLength(1);
  expect(vi.getTimerCount()).toBe(0);
});

test("what the network lost is sent again, at most so often", async () => {
  const { client, calls } = clientOf(unreachable, unreachable, ok);
  const status = client.tasks.status("t");
  await vi.runAllTimersAsync();
  expect(await status).toEqual({ task_id: "t" });
  expect(calls).toHaveLength(3);
  const dead = clientOf(unreachable, unreachable, unreachable, unreachable);
  const failed = expect(dead.client.tasks.status("t")).rejects.toBeInstanceOf(NetworkError);
  await vi.runAllTimersAsync();
  await failed;
  expect(dead.calls).toHaveLength(4);
});

test("a start is repeated under one Idempotency-Key, another start has another", async () => {
  const { client, calls } = clientOf(unreachable, ok, ok, ok);
  const first = client.tasks.start({ queries: ["x"] });
  await vi.runAllTimersAsync();
  await first;
  await client.tasks.start({ queries: ["x"] });
  await client.tasks.start({ queries: ["x"] }, { idempotencyKey: "mine" });
  const keys = calls.map(({ init }) => new Headers(init.headers).get("Idempotency-Key"));
  expect(keys[0]).toMatch(/^[0-9a-f]{32}$/);
  expect(keys[1]).toBe(keys[0]);
  expect(keys[2]).not.toBe(keys[0]);
  expect(keys[3]).toBe("mine");
});

test("calls go where they should, with the key", async () => {
  const { client, calls } = clientOf(ok, ok, ok);
  await client.tasks.list({ status: "running", limit: 5 });
  await client.tasks.stop("a/b");
  await client.filters.leads({ where: { city: ["Berlin"] } });
  expect(calls.map(({ url, init }) => `${init.method} ${url}`)).toEqual([
    "GET http://api.test/api/tasks?status=running&limit=5",
    "POST http://api.test/api/scraper/stop/a%2Fb",
    "POST http://api.test/api/filters/leads",
  ]);
  expect(new Headers(calls[0]?.init.headers).get("Authorization")).toBe("Bearer lfk_x");
  expect(calls[2]?.init.body).toBe('{"where":{"city":["Berlin"]}}');
});

test("an export is waited for, and one without a file is an error that says why", async () => {
  const view = (status: string, more = {}) =>
    answer(200, { export_id: "e", status, url: null, error: null, ...more });
  const { client, calls } = clientOf(
    view("pending"),
    view("running"),
    view("ready", { url: "http://s3.test/x" }),
    view("empty"),
  );
  const seen: string[] = [];
  const ready = client.exports.wait("e", { onProgress: ({ status }) => seen.push(status) });
  await vi.runAllTimersAsync();
  expect((await ready).url).toBe("http://s3.test/x");
  expect(seen).toEqual(["pending", "running", "ready"]);
  expect(calls).toHaveLength(3);
  await expect(client.exports.wait("e")).rejects.toBeInstanceOf(ExportFailed);
});

test("calls go to the page's server, links with a token to the API itself", async () => {
  const asked: string[] = [];
  const client = new LeadfleetClient({
    baseUrl: "/proxy/",
    streamUrl: "https://api.test/",
    fetch: async (input) => {
      asked.push(String(input));
      return ok();
    },
    streamToken: async () => ({ token: "tok", expires_at: "2026-01-01T00:00:00Z", task_id: null, kinds: [] }),
  });
  await client.tasks.status("t");
  expect(asked).toEqual(["/proxy/api/scraper/status/t"]);
  expect(await client.liveFeedUrl("t")).toBe("https://api.test/api/scraper/live_feed/t?token=tok");
  expect(await client.downloadUrl("csv")).toBe("https://api.test/api/export/csv?token=tok");
});
