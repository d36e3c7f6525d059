import { expect, test } from "vitest";
import { EventBuffer } from "../../src/buffer.js";
import { carries, isAfter } from "../../src/events.js";
import { type SseItem, SseParser } from "../../src/sse.js";

test.each([
  ["1-1", "1-0", true],
  ["1-0", "1-0", false],
  ["1-9", "1-10", false],
  ["10-0", "9-99", true],
  ["999-0", "1000-0", false],
  ["1700000000000-18446744073709551615", "1700000000000-18446744073709551614", true],
])("%s after %s: %s", (id, other, after) => {
  expect(isAfter(id, other)).toBe(after);
});

test("a channel carries its kinds, and gaps", () => {
  expect(
    ["log", "progress", "result", "enriched", "task_error", "coordinates", "gap"].map((t) =>
      carries("results", t),
    ),
  ).toEqual([false, false, true, true, true, false, true]);
  expect(carries("events", "of a newer server")).toBe(true);
});

test("Server-Sent Events are the same wherever the text is cut, and however its lines end", () => {
  const lines = [
    "retry: 1500",
    "",
    ": ping",
    "",
    "id: 1-0",
    'data: {"a": "b: c"}',
    "",
    "data:two",
    "data: lines",
    "",
    "event: x",
    "",
  ];
  const whole: SseItem[] = [{ retryMs: 1500 }, { data: '{"a": "b: c"}' }, { data: "two\nlines" }];
  for (const end of ["\n", "\r\n", "\r"]) {
    const text = lines.join(end) + end;
    for (let cut = 0; cut <= text.length; cut++) {
      const parser = new SseParser();
      // a lone CR at the end may be half of a line's end: something has to follow it
      const items = [text.slice(0, cut), text.slice(cut), ":"].flatMap((piece) => parser.feed(piece));
      expect(items, `${JSON.stringify(end)} cut at ${cut}`).toEqual(whole);
    }
  }
});

test("a buffer is full at its limit, has room at half of it, and gives what it has before it ends", async () => {
  const buffer = new EventBuffer<number>(4);
  expect([1, 2, 3, 4].map((item) => buffer.push(item))).toEqual([true, true, true, false]);
  let room = false;
  const waiting = buffer.room().then(() => {
    room = true;
  });
  expect(await buffer.next()).toEqual({ value: 1, done: false });
  expect(room).toBe(false);
  await buffer.next();
  await waiting;
  buffer.end(new Error("over"));
  expect([(await buffer.next()).value, (await buffer.next()).value]).toEqual([3, 4]);
  await expect(buffer.next()).rejects.toThrow("over");
  expect((await buffer.next()).done).toBe(true);
});

test("who waits for an event gets it, or the end", async () => {
  const buffer = new EventBuffer<number>(1);
  const first = buffer.next();
  expect(buffer.push(1)).toBe(true);
  expect(await first).toEqual({ value: 1, done: false });
  const second = buffer.next();
  buffer.end();
  expect((await second).done).toBe(true);
});
