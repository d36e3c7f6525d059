import { backoffMs, ConnectionLost, type ConnectionState, ProblemError } from "@leadfleet/client";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { keepConnected, type Line } from "../../src/connection.js";

const BACKOFF = { baseMs: 500, capMs: 30_000 };
const wakes = { listen: () => () => {}, offline: () => false };

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test("backoff doubles up to its cap, and jitter takes anything from nothing to it", () => {
  const bounds = [1, 2, 3, 4, 5, 6, 7, 8, 60].map((failures) => backoffMs(failures, BACKOFF, () => 1));
  expect(bounds).toEqual([500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
  expect(backoffMs(5, BACKOFF, () => 0)).toBe(0);
  expect(backoffMs(5, BACKOFF, () => 0.25)).toBe(2_000);
});

/** The delays of a connection whose attempts go as the script says; the last one ends it. */
async function delays(script: ((line: Line) => void)[], offline = () => false): Promise<number[]> {
  const states: ConnectionState[] = [];
  const ending = new AbortController();
  let attempt = 0;
  const kept = keepConnected(
    async (line) => {
      const act = script[attempt++];
      if (act) act(line);
      else ending.abort();
    },
    {
      backoff: BACKOFF,
      wakes: { ...wakes, offline },
      signal: ending.signal,
      onState: (state) => states.push(state),
      random: () => 0.5,
    },
  );
  await vi.runAllTimersAsync();
  await kept;
  return states.flatMap((state) => (state.name === "retrying" ? [state.delayMs] : []));
}

const fails = () => {
  throw new ConnectionLost("no");
};
const works = (line: Line) => {
  line.comeBackAfter(1_234);
  line.opened("websocket");
  throw new ConnectionLost("lost");
};
const busy = () => {
  throw new ProblemError(503, "Unavailable", "busy", 7, [], undefined);
};

test("the first delay after a connection that worked is the server's; then it backs off, and begins anew", async () => {
  expect(await delays([fails, fails, works, fails, fails, works, fails])).toEqual([
    250, 500, 1_234, 500, 1_000, 1_234, 500,
  ]);
});

test("Retry-After is waited for, and a machine without a network waits for one", async () => {
  expect(await delays([busy, fails])).toEqual([7_000, 500]);
  expect(await delays([fails], () => true)).toEqual([30_000]);
});

test("Retry-After is waited for although the page is looked at again", async () => {
  const eager = {
    listen(wake: (what: "visible") => void) {
      queueMicrotask(() => wake("visible"));
      return () => {};
    },
    offline: () => false,
  };
  const ending = new AbortController();
  const began: number[] = [];
  const dial = async () => {
    began.push(Date.now());
    if (began.length === 3) ending.abort();
    else if (began.length === 2) fails();
    else busy();
  };
  const options = { backoff: BACKOFF, wakes: eager, signal: ending.signal, onState: () => {} };
  const kept = keepConnected(dial, options);
  await vi.runAllTimersAsync();
  await kept;
  expect(began.map((at, attempt) => at - (began[attempt - 1] ?? at))).toEqual([0, 7_000, 0]);
});

test.each([400, 401, 403, 404])("a %i is not asked again", async (status) => {
  const problem = new ProblemError(status, "No", "no", undefined, [], undefined);
  let attempts = 0;
  const dial = async () => {
    attempts += 1;
    throw problem;
  };
  const options = { backoff: BACKOFF, wakes, signal: new AbortController().signal, onState: () => {} };
  expect(await keepConnected(dial, options)).toBe(problem);
  expect(attempts).toBe(1);
});
