import { expect, test } from "vitest";
import { isLeaveChord, pressOf, type Stroke } from "../../src/live/keys.js";

function stroke(key: string, held: Partial<Stroke> = {}): Stroke {
  const none = { ctrlKey: false, metaKey: false, altKey: false, shiftKey: false };
  return { key, isComposing: false, altGraph: false, ...none, ...held };
}

test.each([
  ["a", {}, "a"],
  ["A", { shiftKey: true }, "A"],
  [" ", {}, " "],
  ["@", { ctrlKey: true, altKey: true, altGraph: true }, "@"], // of a German keyboard
  ["@", { altKey: true }, "@"], // of a German Mac
  ["Enter", {}, "Enter"],
  ["Tab", { shiftKey: true }, "Shift+Tab"],
  ["ArrowLeft", { ctrlKey: true, shiftKey: true }, "Control+Shift+ArrowLeft"],
  ["a", { ctrlKey: true }, "Control+a"],
  ["Z", { metaKey: true, shiftKey: true }, "Control+Shift+z"],
  ["Escape", {}, "Escape"],
] as const)("%s with %o is pressed as %s", (key, held, press) => {
  expect(pressOf(stroke(key, held))).toBe(press);
});

test.each([
  ["ß", {}, "text, which no key of the server's makes"],
  ["Dead", {}, "the first half of a letter"],
  ["a", { isComposing: true }, "an input method's"],
  ["Process", {}, "an input method's"],
  ["Shift", { shiftKey: true }, "told with the key it goes with"],
  ["v", { ctrlKey: true }, "a paste, which comes with what is pasted"],
  ["r", { ctrlKey: true }, "the browser's: load again"],
  ["F5", {}, "the browser's"],
  ["ArrowLeft", { altKey: true }, "the browser's: back"],
] as const)("%s with %o is not pressed: it is %s", (key, held, why) => {
  expect(pressOf(stroke(key, held)), why).toBeUndefined();
});

test("one chord leaves, on a Mac too, and nothing like it", () => {
  expect(isLeaveChord(stroke("Enter", { ctrlKey: true, shiftKey: true }))).toBe(true);
  expect(isLeaveChord(stroke("Enter", { metaKey: true, shiftKey: true }))).toBe(true);
  for (const held of [
    {},
    { ctrlKey: true },
    { shiftKey: true },
    { ctrlKey: true, shiftKey: true, altKey: true },
  ])
    expect(isLeaveChord(stroke("Enter", held))).toBe(false);
  expect(isLeaveChord(stroke("Escape"))).toBe(false);
});
