import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Heartbeat } from "../../src/heartbeat.js";

const TIMES = { intervalMs: 10_000, timeoutMs: 25_000, connectMs: 10_000 };

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function beating() {
  const told: string[] = [];
  const heartbeat = new Heartbeat(
    TIMES,
    (why) => told.push(why),
    () => told.push("ping"),
  );
  return { heartbeat, told };
}

test("who is silent is asked, and given up when no answer comes", () => {
  const { heartbeat, told } = beating();
  heartbeat.heard();
  vi.advanceTimersByTime(9_000);
  expect(told).toEqual([]);
  vi.advanceTimersByTime(1_000);
  expect(told).toEqual(["ping"]);
  heartbeat.heard();
  vi.advanceTimersByTime(24_000);
  expect(new Set(told)).toEqual(new Set(["ping"]));
  vi.advanceTimersByTime(1_000);
  expect(told.at(-1)).toBe("silent for 25000 ms");
  expect(vi.getTimerCount()).toBe(0);
});

test("who does not greet is given up", () => {
  const { told } = beating();
  vi.advanceTimersByTime(10_000);
  expect(told).toEqual(["no greeting within 10000 ms"]);
});

test("after a wake an answer is due at once", () => {
  for (const answers of [true, false]) {
    const { heartbeat, told } = beating();
    heartbeat.heard();
    vi.advanceTimersByTime(1_000);
    heartbeat.wake();
    expect(told).toEqual(["ping"]);
    vi.advanceTimersByTime(1_000);
    if (answers) heartbeat.heard();
    vi.advanceTimersByTime(4_000);
    expect(told.slice(1)).toEqual(
      answers ? [] : ["no answer after the network changed or the page came back"],
    );
    heartbeat.stop();
  }
});

test("a machine that slept longer than the limit asks nobody", () => {
  const { heartbeat, told } = beating();
  heartbeat.heard();
  vi.setSystemTime(Date.now() + 3_600_000);
  heartbeat.wake();
  expect(told).toHaveLength(1);
  expect(told[0]).toBe("silent for 3600000 ms");
  expect(vi.getTimerCount()).toBe(0);
});
