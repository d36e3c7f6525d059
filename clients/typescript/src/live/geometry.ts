import type { PhoneCoordinates } from "../schemas.js";
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

/**
 * Where a phone's box lies on a frame that is shown at `shown`, in the units of `shown`; undefined when the frame does not
 * show it. Boxes that are partly outside are cut at the frame's edge.
 *
 * A page that was scrolled since the box was measured carries the box along.
 */
export function placeBox(box: PhoneCoordinates, frame: FrameInfo, shown: Rect): Rect | undefined {
  const { viewport_width: width, viewport_height: height } = frame;
  const left = box.x - (frame.scroll_x - (box.scroll_x ?? 0)) / width;
  const top = box.y - (frame.scroll_y - (box.scroll_y ?? 0)) / height;
  const [x0, x1] = [clamp(left), clamp(left + box.width)];
  const [y0, y1] = [clamp(top), clamp(top + box.height)];
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

/** The point of the page's viewport, in its CSS pixels, that is shown at a point; undefined on the bars. */
export function viewportPoint(
  point: { x: number; y: number },
  frame: FrameInfo,
  shown: Rect,
): { x: number; y: number } | undefined {
  const x = (point.x - shown.x) / shown.width;
  const y = (point.y - shown.y) / shown.height;
  if (!(x >= 0 && x <= 1 && y >= 0 && y <= 1)) return undefined;
  return { x: x * frame.viewport_width, y: y * frame.viewport_height };
}

function clamp(fraction: number): number {
  return Math.min(1, Math.max(0, fraction));
}
