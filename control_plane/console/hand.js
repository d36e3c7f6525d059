/** What a person does over a picture, as the messages of the control socket: see docs/decisions/0014-takeover.md. */

/** Gives the wheel back from the keyboard; on a Mac the command key does as well as control. Escape is the page's. */
export const LEAVE_CHORD = "Ctrl+Shift+Enter";

const BUTTONS = ["left", "middle", "right"];
const NAMED = new Set("Enter Tab Backspace Delete Escape Home End PageUp PageDown ArrowUp ArrowDown ArrowLeft ArrowRight".split(" "));
const EDITING = new Set(["a", "c", "x", "z", "y"]); // paste comes as what is pasted; all others are the browser's own
const MAX_TEXT = 16_000;
const MAX_PIXELS = 10_000;
const EVERY_MS = 33;
const DOUBLE_CLICK_MS = 500;
const SAME_PLACE_PX = 6;
const UNIT_PX = [1, 16, 700]; // of a wheel's turn: pixels, lines, pages

/**
 * Steers with `canvas` and `field`, which takes the keys so that input methods work. `at(x, y)` gives the fractions of the
 * picture at a point of the window, beyond 0 and 1 beside it; `say(message)` sends; `leave()` is asked for by LEAVE_CHORD. Ends
 * with `signal`.
 */
export function bindHand(options) {
  listenToKeys(options);
  new Pointer(options);
}

function listenToKeys({ field, say, leave, signal }) {
  let composing = false;
  const flush = () => {
    const text = field.value;
    field.value = "";
    if (text === "\n") say({ type: "key", event: "press", key: "Enter" }); // of a keyboard on a screen
    else for (const part of parts(text)) say({ type: "text", text: part });
  };
  const on = (event, listener) => field.addEventListener(event, listener, { signal });
  on("compositionstart", () => (composing = true));
  on("compositionend", () => {
    composing = false;
    flush();
  });
  on("input", () => composing || flush());
  on("paste", (event) => {
    event.preventDefault();
    for (const part of parts(event.clipboardData.getData("text/plain"))) say({ type: "paste", text: part });
  });
  on("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.shiftKey && !event.altKey) {
      event.preventDefault();
      leave();
      return;
    }
    const press = composing || event.isComposing ? null : pressOf(event);
    if (!press) return;
    if (event.key !== "Escape") event.preventDefault(); // Escape is also ours: it leaves full screen
    say({ type: "key", event: "press", key: press });
  });
}

/** What to press on the page for a key; null for what comes as text, and for what belongs to the browser. */
function pressOf(event) {
  const { key, altKey, shiftKey } = event;
  const control = (event.ctrlKey || event.metaKey) && !event.getModifierState("AltGraph");
  if ([...key].length === 1) {
    if (!control) return /^[ -~]$/.test(key) ? key : null; // others are on no key that the node knows
    return EDITING.has(key.toLowerCase()) && !altKey ? `Control+${shiftKey ? "Shift+" : ""}${key.toLowerCase()}` : null;
  }
  return NAMED.has(key) && !altKey ? `${control ? "Control+" : ""}${shiftKey ? "Shift+" : ""}${key}` : null;
}

function parts(text) {
  const found = [];
  for (let at = 0; at < text.length; ) {
    const end = at + MAX_TEXT - (/[\ud800-\udbff]/.test(text[at + MAX_TEXT - 1] ?? "") ? 1 : 0); // no character in two
    found.push(text.slice(at, end));
    at = end;
  }
  return found;
}

const isOn = (at) => at && at.x >= 0 && at.x <= 1 && at.y >= 0 && at.y <= 1;
const within = (value, most, least = 0) => Math.min(most, Math.max(least, value));

/** Moves and turns of the wheel are thinned out, presses never are. A finger scrolls, and taps. */
class Pointer {
  #options;
  #pressed = null;
  #finger = null;
  #last = { x: 0.5, y: 0.5 };
  #clicks = { count: 0 };
  #moved = false;
  #turned = { x: 0, y: 0 };
  #timer = 0;

  constructor(options) {
    const { canvas, signal } = (this.#options = options);
    const on = (event, listener, more = {}) => canvas.addEventListener(event, listener, { signal, ...more });
    on("mousedown", (event) => event.preventDefault()); // the field keeps the focus
    on("contextmenu", (event) => event.preventDefault());
    on("pointerdown", (event) => this.#down(event));
    on("pointermove", (event) => this.#move(event));
    on("pointerup", (event) => this.#up(event));
    on("pointercancel", () => this.#letGo());
    on("wheel", (event) => this.#wheel(event), { passive: false });
    signal.addEventListener("abort", () => this.#letGo());
  }

  #at({ clientX, clientY }) {
    return this.#options.at(clientX, clientY);
  }

  #say(event, at, button, clicks = 1) {
    this.#options.say({ type: "pointer", event, x: within(at.x, 1), y: within(at.y, 1), button, clicks });
  }

  #down(event) {
    const { canvas, field } = this.#options;
    const at = this.#at(event);
    if (!isOn(at)) return;
    Object.assign(field.style, { left: `${event.offsetX}px`, top: `${event.offsetY}px` }); // where input methods show up
    field.focus({ preventScroll: true });
    canvas.setPointerCapture(event.pointerId);
    this.#flush();
    this.#last = at;
    const button = BUTTONS[event.button];
    if (event.pointerType === "touch") {
      this.#finger = { x: event.clientX, y: event.clientY, moved: false };
    } else if (button && !this.#pressed) {
      this.#pressed = button;
      this.#say("down", at, button, this.#clicked(event, button));
    }
  }

  #move(event) {
    const at = this.#at(event);
    if (!at || (!isOn(at) && !this.#pressed)) return;
    if (event.pointerType === "touch") {
      this.#drag(event);
      return;
    }
    this.#last = at;
    this.#moved = true;
    this.#later();
  }

  #drag({ clientX: x, clientY: y }) {
    if (!this.#finger) return;
    const [dx, dy] = [this.#finger.x - x, this.#finger.y - y];
    if (!this.#finger.moved && Math.hypot(dx, dy) < SAME_PLACE_PX) return;
    this.#finger = { x, y, moved: true };
    this.#turn(dx, dy);
  }

  #up(event) {
    const at = this.#at(event) ?? this.#last;
    this.#flush();
    if (this.#finger) {
      const clicks = this.#finger.moved ? 0 : this.#clicked(event, "left");
      this.#finger = null;
      if (clicks) for (const what of ["down", "up"]) this.#say(what, at, "left", clicks);
    } else if (this.#pressed && BUTTONS[event.button] === this.#pressed) {
      this.#say("up", at, this.#pressed, this.#clicks.count);
      this.#pressed = null;
    }
  }

  #wheel(event) {
    event.preventDefault();
    const at = this.#at(event);
    if (!isOn(at)) return;
    this.#last = at;
    const unit = UNIT_PX[event.deltaMode] ?? 1;
    this.#turn(event.deltaX * unit, event.deltaY * unit);
  }

  #turn(dx, dy) {
    this.#turned = { x: this.#turned.x + dx, y: this.#turned.y + dy };
    this.#later();
  }

  #later() {
    this.#timer ||= setTimeout(() => this.#flush(), EVERY_MS);
  }

  #flush() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    const { x, y } = this.#turned;
    const at = { x: within(this.#last.x, 1), y: within(this.#last.y, 1) };
    if (this.#moved) this.#say("move", at, "left");
    if (x || y) this.#options.say({ type: "wheel", ...at, dx: within(x, MAX_PIXELS, -MAX_PIXELS), dy: within(y, MAX_PIXELS, -MAX_PIXELS) });
    this.#moved = false;
    this.#turned = { x: 0, y: 0 };
  }

  #letGo() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#finger = null;
    if (this.#pressed) this.#say("up", this.#last, this.#pressed);
    this.#pressed = null;
  }

  /** How many times in a row this place was pressed: 1 to 3. */
  #clicked({ clientX: x, clientY: y, timeStamp: time }, button) {
    const last = this.#clicks;
    const again = button === last.button && time - last.time < DOUBLE_CLICK_MS && Math.hypot(x - last.x, y - last.y) < SAME_PLACE_PX;
    this.#clicks = { count: again ? (last.count % 3) + 1 : 1, button, x, y, time };
    return this.#clicks.count;
  }
}
