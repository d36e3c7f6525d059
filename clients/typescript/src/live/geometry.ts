import type { PhoneBox } from "../events.js";
import type { FrameInfo } from "./frames.js";

export interface Size {
  readonly width: number;
  readonly height: number;
}

export interface Rect extends Size {
  readonly x: number;
  readonly y: number;
}

/**
 * Where `object-fit: contain` puts a picture: as large as `room` lets it be, undistorted, in the middle.
 * Bars are left and right, or above and below.
 */
export function contain(picture: Size, room: Size): Rect {
  if (picture.width <= 0 || picture.height <= 0) return { x: 0, y: 0, width: 0, height: 0 };
  const scale = Math.min(room.width / picture.width, room.height / picture.height);
  const width = picture.width * scale;
  const height = picture.height * scale;
  return { x: (room.width - width) / 2, y: (room.height - height) / 2, width, height };
}

/** By how many CSS pixels a scroll may differ and be the same: it is told in fractions of a pixel. */
const SAME_SCROLL_PX = 1.5;

/**
 * Where a phone's box lies on a frame that is shown at `shown`, in the units of `shown`; undefined when the frame does not
 * show it. Boxes that are partly outside are cut at the frame's edge.
 *
 * When the page was scrolled since the box was measured, what stands on the page is carried along, what is fixed stays,
 * and what may do either is not shown: the server tells of it again in a moment.
 */
export function placeBox(box: PhoneBox, frame: FrameInfo, shown: Rect): Rect | undefined {
  const at = box.coordinates;
  if (!at) return undefined;
  const dx = frame.scroll_x - (at.scroll_x ?? 0);
  const dy = frame.scroll_y - (at.scroll_y ?? 0);
  const scrolled = Math.abs(dx) > SAME_SCROLL_PX || Math.abs(dy) > SAME_SCROLL_PX;
  const carried = scrolled && box.anchor === "page";
  if (scrolled && !box.anchor) return undefined;
  if (!box.seen && !carried) return undefined;
  const left = at.x - (carried ? dx / frame.viewport_width : 0);
  const top = at.y - (carried ? dy / frame.viewport_height : 0);
  const [x0, x1] = [clamp(left), clamp(left + at.width)];
  const [y0, y1] = [clamp(top), clamp(top + at.height)];
  if (x1 <= x0 || y1 <= y0) return undefined;
  return {
    x: shown.x + x0 * shown.width,
    y: shown.y + y0 * shown.height,
    width: (x1 - x0) * shown.width,
    height: (y1 - y0) * shown.height,
  };
}

/** The pixels that a canvas of `css` pixels needs to be sharp at a device pixel ratio. */
export function backingSize(css: Size, pixelRatio: number): Size {
  return {
    width: Math.max(1, Math.round(css.width * pixelRatio)),
    height: Math.max(1, Math.round(css.height * pixelRatio)),
  };
}

/** A point: CSS pixels, or fractions of a picture. */
export interface Point {
  readonly x: number;
  readonly y: number;
}

/** A point as fractions of the picture that is shown at `shown`; beyond 0 and 1 on the bars. */
export function fractionOf(point: Point, shown: Rect): Point {
  return { x: (point.x - shown.x) / shown.width, y: (point.y - shown.y) / shown.height };
}

/** Whether fractions lie on their picture. */
export function isOnPicture({ x, y }: Point): boolean {
  return x >= 0 && x <= 1 && y >= 0 && y <= 1;
}

/** The point of the page's viewport, in its CSS pixels, that is shown at a point; undefined on the bars. */
export function viewportPoint(point: Point, frame: FrameInfo, shown: Rect): Point | undefined {
  const at = fractionOf(point, shown);
  if (!isOnPicture(at)) return undefined;
  return { x: at.x * frame.viewport_width, y: at.y * frame.viewport_height };
}

function clamp(fraction: number): number {
  return Math.min(1, Math.max(0, fraction));
}
