import type { Control, PointerButton } from "./control.js";
import { isOnPicture, type Point } from "./geometry.js";
import { isLeaveChord, LEAVE_CHORD, pressOf } from "./keys.js";
import type { LiveView } from "./view.js";

export interface BindOptions {
  /** What the field that takes the keys is called, for who cannot see the canvas. It should name `LEAVE_CHORD`. */
  label?: string;
  /** Called when `LEAVE_CHORD` was pressed; the wheel is given back then in any case. */
  onLeave?: () => void;
}

const BUTTONS: readonly PointerButton[] = ["left", "middle", "right"];
const MOVES_EVERY_MS = 33;
const DOUBLE_CLICK_MS = 500;
const SAME_PLACE_PX = 6;
const LINE_PX = 16;
const PAGE_PX = 700;

/**
 * Steer with a live view's canvas until the wheel is given back: pointer, wheel, keys, text with input methods, and paste.
 * A finger that is drawn over the picture scrolls.
 *
 * Keys are taken by a field that has the focus, so that input methods work and nobody is trapped: `LEAVE_CHORD` gives the
 * wheel back, Escape goes to the page and is seen by yours, and shortcuts of the browser stay its own.
 *
 * @returns what ends it, and leaves the wheel as it is
 */
export function bindControl(view: LiveView, control: Control, options: BindOptions = {}): () => void {
  const ending = new AbortController();
  const { canvas } = view;
  const { touchAction } = canvas.style;
  canvas.style.touchAction = "none"; // a finger scrolls the page of the picture, not ours
  const field = newField(options.label ?? `Keys go to the page; ${LEAVE_CHORD} gives the wheel back`);
  canvas.after(field);
  const before = document.activeElement;
  const hand = new PointerHand(view, control);
  const leave = () => {
    hand.letGo(); // while it still reaches the page: what is pressed there is not left so
    control.release();
    options.onLeave?.();
  };
  hand.listen(field, ending.signal);
  listenToKeys(field, control, leave, ending.signal);
  field.focus({ preventScroll: true });
  const end = () => {
    ending.abort();
    hand.letGo();
    const focused = document.activeElement === field;
    field.remove();
    if (focused && before instanceof HTMLElement) before.focus({ preventScroll: true }); // where the person came from
    canvas.style.touchAction = touchAction;
  };
  void control.closed.then(end);
  return end;
}

/** Not to be seen, and not hidden either: it has to have the focus. */
function newField(label: string): HTMLTextAreaElement {
  const field = document.createElement("textarea");
  field.setAttribute("aria-label", label);
  Object.assign(field, { autocomplete: "off", spellcheck: false, autocapitalize: "off" });
  Object.assign(field.style, {
    position: "absolute",
    width: "1px",
    height: "1px",
    padding: "0",
    border: "0",
    opacity: "0",
    resize: "none",
    pointerEvents: "none",
  });
  return field;
}

function listenToKeys(
  field: HTMLTextAreaElement,
  control: Control,
  leave: () => void,
  signal: AbortSignal,
): void {
  let composing = false;
  const flush = () => {
    const text = field.value;
    field.value = "";
    if (text === "\n")
      control.key("press", "Enter"); // of a keyboard on a screen
    else control.text(text);
  };
  const keydown = (event: KeyboardEvent) => {
    const stroke = {
      key: event.key,
      ctrlKey: event.ctrlKey,
      metaKey: event.metaKey,
      altKey: event.altKey,
      shiftKey: event.shiftKey,
      isComposing: event.isComposing || composing,
      altGraph: event.getModifierState("AltGraph"),
    };
    if (isLeaveChord(stroke)) {
      event.preventDefault();
      leave();
      return;
    }
    const press = pressOf(stroke);
    if (press === undefined) return;
    if (event.key !== "Escape") event.preventDefault(); // Escape is also ours: it leaves full screen, and dialogs
    control.key("press", press);
  };
  field.addEventListener("keydown", keydown, { signal });
  field.addEventListener(
    "compositionstart",
    () => {
      composing = true;
    },
    { signal },
  );
  field.addEventListener(
    "compositionend",
    () => {
      composing = false;
      flush();
    },
    { signal },
  );
  field.addEventListener("input", () => composing || flush(), { signal });
  field.addEventListener(
    "paste",
    (event) => {
      event.preventDefault();
      control.paste(event.clipboardData?.getData("text/plain") ?? "");
    },
    { signal },
  );
}

/** The pointer over the canvas: moves are thinned out, presses never are. */
class PointerHand {
  private pressed: PointerButton | undefined;
  private finger: { x: number; y: number; moved: boolean } | undefined;
  private last: Point = { x: 0.5, y: 0.5 };
  private clicks = { count: 0, button: "left", x: 0, y: 0, time: 0 };
  private moved = false;
  private scrolled = { x: 0, y: 0 };
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly view: LiveView,
    private readonly control: Control,
  ) {}

  listen(field: HTMLElement, signal: AbortSignal): void {
    const { canvas } = this.view;
    canvas.addEventListener("mousedown", (event) => event.preventDefault(), { signal }); // the field keeps the focus
    canvas.addEventListener("contextmenu", (event) => event.preventDefault(), { signal });
    canvas.addEventListener(
      "pointerdown",
      (event) => {
        const at = this.at(event);
        if (!at || !isOnPicture(at)) return;
        field.style.left = `${canvas.offsetLeft + event.offsetX}px`; // where input methods show what they offer
        field.style.top = `${canvas.offsetTop + event.offsetY}px`;
        field.focus({ preventScroll: true });
        if (event.isTrusted) canvas.setPointerCapture(event.pointerId);
        this.down(event, at);
      },
      { signal },
    );
    canvas.addEventListener("pointermove", (event) => this.move(event), { signal });
    canvas.addEventListener("pointerup", (event) => this.up(event), { signal });
    canvas.addEventListener("pointercancel", () => this.letGo(), { signal });
    canvas.addEventListener("wheel", (event) => this.wheel(event), { signal, passive: false });
  }

  /** Nothing is held or pending any more. */
  letGo(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.finger = undefined;
    this.moved = false;
    this.scrolled = { x: 0, y: 0 };
    if (this.pressed) this.control.pointer("up", this.last, { button: this.pressed });
    this.pressed = undefined;
  }

  private at(event: MouseEvent): Point | undefined {
    return this.view.fractionAt(event.clientX, event.clientY);
  }

  private down(event: PointerEvent, at: Point): void {
    this.last = at;
    if (event.pointerType === "touch") {
      this.finger = { x: event.clientX, y: event.clientY, moved: false };
      return;
    }
    const button = BUTTONS[event.button];
    if (!button || this.pressed) return;
    this.flush();
    this.pressed = button;
    this.control.pointer("down", at, { button, clicks: this.clicked(event, button) });
  }

  private move(event: PointerEvent): void {
    const at = this.at(event);
    if (!at) return;
    if (event.pointerType === "touch") {
      this.drag(event);
      return;
    }
    if (!isOnPicture(at) && !this.pressed) return;
    this.last = at;
    this.moved = true;
    this.later();
  }

  /** A finger moves the page with it; one that hardly moves is a tap. */
  private drag(event: PointerEvent): void {
    const { finger } = this;
    if (!finger) return;
    const [dx, dy] = [finger.x - event.clientX, finger.y - event.clientY];
    if (!finger.moved && Math.hypot(dx, dy) < SAME_PLACE_PX) return;
    this.finger = { x: event.clientX, y: event.clientY, moved: true };
    this.scroll(dx, dy);
  }

  private up(event: PointerEvent): void {
    const at = this.at(event) ?? this.last;
    this.flush();
    if (this.finger) {
      if (!this.finger.moved) this.tap(event, at);
      this.finger = undefined;
    } else if (this.pressed && BUTTONS[event.button] === this.pressed) {
      this.control.pointer("up", at, { button: this.pressed, clicks: this.clicks.count });
      this.pressed = undefined;
    }
  }

  private tap(event: PointerEvent, at: Point): void {
    const clicks = this.clicked(event, "left");
    for (const what of ["down", "up"] as const) this.control.pointer(what, at, { clicks });
  }

  private wheel(event: WheelEvent): void {
    event.preventDefault();
    const at = this.at(event);
    if (!at || !isOnPicture(at)) return;
    this.last = at;
    const unit = [1, LINE_PX, PAGE_PX][event.deltaMode] ?? 1;
    this.scroll(event.deltaX * unit, event.deltaY * unit);
  }

  private scroll(dx: number, dy: number): void {
    this.scrolled = { x: this.scrolled.x + dx, y: this.scrolled.y + dy };
    this.later();
  }

  private later(): void {
    this.timer ??= setTimeout(() => this.flush(), MOVES_EVERY_MS);
  }

  private flush(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    if (this.moved) this.control.pointer("move", this.last);
    const { x, y } = this.scrolled;
    if (x || y) this.control.wheel(this.last, x, y);
    this.moved = false;
    this.scrolled = { x: 0, y: 0 };
  }

  /** How many times in a row this place was pressed: 1 to 3. */
  private clicked({ clientX: x, clientY: y, timeStamp: time }: PointerEvent, button: PointerButton): number {
    const { clicks } = this;
    const again =
      button === clicks.button &&
      time - clicks.time < DOUBLE_CLICK_MS &&
      Math.hypot(x - clicks.x, y - clicks.y) < SAME_PLACE_PX;
    this.clicks = { count: again ? (clicks.count % 3) + 1 : 1, button, x, y, time };
    return this.clicks.count;
  }
}
