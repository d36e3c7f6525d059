import type { LeadfleetClient } from "../client.js";
import type { ConnectionState } from "../connection.js";
import type { PhoneBox } from "../events.js";
import { BoxTracker } from "./boxes.js";
import type { Frame, FrameInfo, FrameStream } from "./frames.js";
import { backingSize, contain, fractionOf, type Point, placeBox, type Rect } from "./geometry.js";

export interface LiveViewOptions {
  /** Pictures a second at most, 1 to 30; 10 by default. */
  fps?: number;
  /** Of the JPEG, 1 to 100; 60 by default. */
  quality?: number;
  onState?: (state: ConnectionState) => void;
  /** Who takes the task's `coordinates` events; without it no phone is boxed. */
  boxes?: BoxTracker;
  /** Called when a picture has been drawn, with the boxes on it: `rect` is in CSS pixels of the canvas. */
  onDraw?: (frame: FrameInfo, boxes: readonly PlacedBox[]) => void;
  /** Draws one box; by default a green frame with the number above it. Lengths are CSS pixels. */
  drawBox?: (context: CanvasRenderingContext2D, box: PlacedBox) => void;
}

export interface PlacedBox {
  readonly box: PhoneBox;
  readonly rect: Rect;
}

/**
 * Shows a task's browser on a canvas, as `object-fit: contain` would, sharp at any pixel ratio, with the phones boxed.
 *
 * The size is the canvas's own, given by CSS. The newest picture wins; nothing is fetched while the page is hidden.
 */
export class LiveView {
  private readonly boxes: BoxTracker;
  private readonly unlisten: () => void;
  private readonly context: CanvasRenderingContext2D;
  private readonly resized: ResizeObserver;
  private readonly onVisibility = () => this.watchIfVisible();
  private stream: FrameStream | undefined;
  private shown: { info: FrameInfo; bitmap: ImageBitmap } | undefined;
  private waiting: Frame | undefined;
  private decoding = false;
  private drawing: number | undefined;
  private closed = false;

  constructor(
    private readonly client: LeadfleetClient,
    private readonly taskId: string,
    readonly canvas: HTMLCanvasElement,
    private readonly options: LiveViewOptions = {},
  ) {
    const context = canvas.getContext("2d");
    if (!context)
      throw new TypeError("the canvas has another context already: give the live view one of its own");
    this.context = context;
    this.boxes = options.boxes ?? new BoxTracker();
    this.unlisten = this.boxes.listen(() => this.redraw());
    this.resized = new ResizeObserver(() => this.redraw());
    this.resized.observe(canvas);
    document.addEventListener("visibilitychange", this.onVisibility);
    this.watchIfVisible();
  }

  /** Stop watching, and let go of everything; the last picture stays on the canvas. */
  close(): void {
    this.closed = true;
    this.stream?.close();
    this.unlisten();
    this.resized.disconnect();
    document.removeEventListener("visibilitychange", this.onVisibility);
    if (this.drawing !== undefined) cancelAnimationFrame(this.drawing);
    this.shown?.bitmap.close();
    this.shown = this.waiting = undefined;
  }

  /**
   * The point of the window at which a pointer is, as fractions of the picture that is shown there: beyond 0 and 1 on the
   * bars, undefined before the first picture.
   */
  fractionAt(clientX: number, clientY: number): Point | undefined {
    if (!this.shown) return undefined;
    const { canvas } = this;
    const outer = canvas.getBoundingClientRect(); // as a CSS transform leaves it
    const scale = { x: outer.width / canvas.offsetWidth, y: outer.height / canvas.offsetHeight };
    const point = {
      x: (clientX - outer.left) / scale.x - canvas.clientLeft,
      y: (clientY - outer.top) / scale.y - canvas.clientTop,
    };
    const room = { width: canvas.clientWidth, height: canvas.clientHeight };
    return fractionOf(point, contain(this.shown.bitmap, room));
  }

  private watchIfVisible(): void {
    if (document.visibilityState === "hidden") {
      this.stream?.close();
      this.stream = undefined;
      return;
    }
    const { fps, quality, onState } = this.options;
    if (this.stream) return;
    const stream = this.client.frames(this.taskId, {
      ...(fps !== undefined && { fps }),
      ...(quality !== undefined && { quality }),
      onState: (state) => {
        // one that was closed says so a moment later, and another one may be open by then
        if (!this.stream || this.stream === stream) onState?.(state);
      },
      onFrame: (frame) => {
        this.waiting = frame; // one that was waiting is old now
        void this.decode();
      },
    });
    this.stream = stream;
  }

  /** One picture at a time: what comes meanwhile replaces what waits. */
  private async decode(): Promise<void> {
    if (this.decoding) return;
    this.decoding = true;
    for (let frame = this.take(); frame; frame = this.take()) {
      const { jpeg, ...info } = frame;
      try {
        const bitmap = await createImageBitmap(new Blob([jpeg], { type: "image/jpeg" }));
        if (this.closed) bitmap.close();
        else this.show(info, bitmap);
      } catch {
        // a picture that does not decode: the next one will
      }
    }
    this.decoding = false;
  }

  private take(): Frame | undefined {
    const frame = this.waiting;
    this.waiting = undefined;
    return frame;
  }

  private show(info: FrameInfo, bitmap: ImageBitmap): void {
    this.shown?.bitmap.close();
    this.shown = { info, bitmap };
    this.redraw();
  }

  private redraw(): void {
    if (this.closed) return;
    this.drawing ??= requestAnimationFrame(() => {
      this.drawing = undefined;
      if (this.shown) this.draw(this.shown.info, this.shown.bitmap);
    });
  }

  private draw(info: FrameInfo, bitmap: ImageBitmap): void {
    const { canvas, context } = this;
    // of the layout: a CSS transform scales what we draw, and our pixels with it
    const room = { width: canvas.clientWidth, height: canvas.clientHeight };
    const backing = backingSize(room, window.devicePixelRatio);
    if (canvas.width !== backing.width || canvas.height !== backing.height) Object.assign(canvas, backing);
    context.setTransform(backing.width / room.width, 0, 0, backing.height / room.height, 0, 0);
    context.clearRect(0, 0, room.width, room.height);
    const at = contain(bitmap, room);
    context.drawImage(bitmap, at.x, at.y, at.width, at.height);
    const boxes = this.boxes.on(info).flatMap((box): PlacedBox[] => {
      const rect = placeBox(box, info, at);
      return rect ? [{ box, rect }] : [];
    });
    for (const box of boxes) (this.options.drawBox ?? drawBox)(context, box);
    this.options.onDraw?.(info, boxes);
  }
}

const LINE = 2;
const GAP = 2;

function drawBox(context: CanvasRenderingContext2D, { box, rect }: PlacedBox): void {
  context.lineWidth = LINE;
  context.strokeStyle = "#16a34a";
  context.strokeRect(rect.x - GAP, rect.y - GAP, rect.width + 2 * GAP, rect.height + 2 * GAP);
  context.font = "12px system-ui, sans-serif";
  context.textBaseline = "bottom";
  const { width } = context.measureText(box.phone);
  context.fillStyle = "#16a34a";
  context.fillRect(rect.x - GAP - LINE / 2, rect.y - GAP - 17, width + 8, 16);
  context.fillStyle = "#ffffff";
  context.fillText(box.phone, rect.x - GAP + 3, rect.y - GAP - 2);
}
