import {
  BoxTracker,
  backingSize,
  type CoordinatesEvent,
  contain,
  type PhoneBox,
  placeBox,
  viewportPoint,
} from "@leadfleet/client";
import { expect, test } from "vitest";

const frame = {
  seq: 7,
  unit: "tsk_1.0",
  tab: "main",
  captured_us: 0,
  viewport_width: 1280,
  viewport_height: 720,
  scroll_x: 0,
  scroll_y: 0,
};
const coordinates = {
  x: 0.25,
  y: 0.5,
  width: 0.1,
  height: 0.05,
  absolute_x: 320,
  absolute_y: 360,
  viewport_width: 1280,
  viewport_height: 720,
  scroll_x: 0,
  scroll_y: 0,
};
const box: PhoneBox = { phone: "+1", selector: null, coordinates, seen: true, anchor: "page" };

test.each([
  [
    "the same shape",
    { width: 1280, height: 720 },
    { width: 640, height: 360 },
    { x: 0, y: 0, width: 640, height: 360 },
  ],
  [
    "a wide room: bars left and right",
    { width: 1280, height: 720 },
    { width: 1000, height: 360 },
    { x: 180, y: 0, width: 640, height: 360 },
  ],
  [
    "a high room: bars above and below",
    { width: 1280, height: 720 },
    { width: 640, height: 1000 },
    { x: 0, y: 320, width: 640, height: 360 },
  ],
  [
    "a small picture is enlarged",
    { width: 100, height: 100 },
    { width: 300, height: 200 },
    { x: 50, y: 0, width: 200, height: 200 },
  ],
  ["no room", { width: 1280, height: 720 }, { width: 0, height: 0 }, { x: 0, y: 0, width: 0, height: 0 }],
])("contain: %s", (_, picture, room, at) => {
  expect(contain(picture, room)).toEqual(at);
});

test("a box lies on its fraction of the picture, bars aside", () => {
  const shown = contain({ width: 1280, height: 720 }, { width: 1000, height: 360 });
  expect(placeBox(box, frame, shown)).toEqual({
    x: 180 + 160,
    y: 180,
    width: expect.closeTo(64),
    height: expect.closeTo(18),
  });
});

test("a box does not care how many pixels the picture has", () => {
  const room = { width: 1000, height: 1000 };
  const full = placeBox(box, frame, contain({ width: 1280, height: 720 }, room));
  expect(placeBox(box, frame, contain({ width: 640, height: 360 }, room))).toEqual(full);
});

test("a box goes with the page that is scrolled, and is cut at the picture's edge", () => {
  const shown = { x: 0, y: 0, width: 1280, height: 720 };
  expect(placeBox(box, { ...frame, scroll_y: 100 }, shown)).toMatchObject({ x: 320, y: expect.closeTo(260) });
  const cut = placeBox(box, { ...frame, scroll_y: 380 }, shown);
  expect(cut).toEqual({ x: 320, y: 0, width: expect.closeTo(128), height: expect.closeTo(16) });
  expect(placeBox(box, { ...frame, scroll_y: 400 }, shown)).toBeUndefined();
  const below = { ...box, seen: false, coordinates: { ...coordinates, y: 1.5 } };
  expect(placeBox(below, frame, shown)).toBeUndefined();
  expect(placeBox(below, { ...frame, scroll_y: 720 }, shown)).toMatchObject({ y: 360 });
});

test("a box of what is fixed stays, and one that may do either waits to be told of again", () => {
  const shown = { x: 0, y: 0, width: 1280, height: 720 };
  const still = placeBox(box, frame, shown);
  const scrolled = { ...frame, scroll_x: 40, scroll_y: 300 };
  expect(placeBox({ ...box, anchor: "viewport" }, scrolled, shown)).toEqual(still);
  for (const anchor of [null, undefined] as const) {
    const unsure: PhoneBox = {
      phone: "+1",
      selector: null,
      coordinates,
      seen: true,
      ...(anchor === null && { anchor }),
    };
    expect(placeBox(unsure, { ...frame, scroll_y: 1.4 }, shown)).toEqual(still);
    expect(placeBox(unsure, scrolled, shown)).toBeUndefined();
  }
});

test("what is not seen has no box until it is scrolled to", () => {
  const shown = { x: 0, y: 0, width: 1280, height: 720 };
  expect(placeBox({ ...box, seen: false }, frame, shown)).toBeUndefined();
  expect(
    placeBox({ ...box, seen: false, anchor: "viewport" }, { ...frame, scroll_y: 90 }, shown),
  ).toBeUndefined();
  expect(placeBox({ ...box, coordinates: null }, frame, shown)).toBeUndefined();
});

test("a canvas has a pixel for each of the device's", () => {
  expect(backingSize({ width: 333, height: 200 }, 1.5)).toEqual({ width: 500, height: 300 });
  expect(backingSize({ width: 0, height: 0 }, 2)).toEqual({ width: 1, height: 1 });
});

test("a point on the picture is one of the viewport; one on the bars is none", () => {
  const shown = contain({ width: 1280, height: 720 }, { width: 1000, height: 360 });
  expect(viewportPoint({ x: 180 + 320, y: 180 }, frame, shown)).toEqual({ x: 640, y: 360 });
  expect(viewportPoint({ x: 100, y: 180 }, frame, shown)).toBeUndefined();
});

function told(tab: string, frame_seq: number, phones: string[]): CoordinatesEvent {
  const boxes = phones.map((phone) => ({ ...box, phone }));
  const data = { unit: frame.unit, tab, url: "http://a.test/", frame_seq, boxes };
  return { type: "coordinates", id: "1-0", timestamp: "", data };
}

test("boxes belong to their tab, from their frame on, until the tab goes on", () => {
  const tracker = new BoxTracker();
  const phones = (seq: number, tab = "main") => tracker.on({ ...frame, seq, tab }).map((one) => one.phone);
  let changes = 0;
  const unlisten = tracker.listen(() => {
    changes += 1;
  });
  tracker.take(told("main", 7, ["+1"]));
  tracker.take(told("other", 9, ["+2"]));
  expect([phones(6), phones(7), phones(8), phones(8, "other"), phones(9, "other")]).toEqual([
    [],
    ["+1"],
    ["+1"],
    [],
    ["+2"],
  ]);
  tracker.take(told("main", 0, []));
  expect([phones(8), phones(9, "other")]).toEqual([[], ["+2"]]);
  tracker.take(told("main", 0, ["+3"]));
  expect(phones(100)).toEqual([]);
  unlisten();
  tracker.take(told("main", 8, ["+4"]));
  expect([phones(8), changes]).toEqual([["+4"], 4]);
});

test("a tracker remembers the youngest tabs only", () => {
  const tracker = new BoxTracker();
  for (let tab = 0; tab < 100; tab++) tracker.take(told(`tab-${tab}`, 1, ["+1"]));
  const known = Array.from({ length: 100 }, (_, tab) => tracker.on({ ...frame, tab: `tab-${tab}` }).length);
  expect(known.lastIndexOf(0)).toBe(67);
  expect(known.filter(Boolean)).toHaveLength(32);
});
