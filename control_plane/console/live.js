/** What a task's browser shows, on a canvas, and the phones that stand on it as boxes. */

import { Connection } from "./connection.js";
import { Rows, h, say, show } from "./dom.js";
import { plural } from "./format.js";
import { button, icon, notice } from "./parts.js";
import { Wheel } from "./wheel.js";

const FPS = 15;
const QUALITY = 70;
const SAME_PX = 1.5; // of scrolling: positions are told in fractions of a pixel
const RATE_OVER_MS = 2000;
const FEED_AGAIN_MS = 2000;
const BLOCKED_AFTER = 2; // sockets in a row that were not opened

/**
 * The stage; `boxes(event)` takes `coordinates` events, `rest(text, runs)` says why there is no picture, `blocked(is)` whether events
 * have to do without WebSockets. `steerable`: the key may take the wheel. Ends with `signal`.
 */
export class Live {
  #canvas = h("canvas", { class: "live-canvas", width: 1280, height: 720, role: "img", "aria-label": "Live picture of the task’s browser" });
  #feed = h("img", { class: "live-canvas", alt: "Live picture of the task’s browser", hidden: true });
  #layer = h("div", { class: "live-boxes" });
  #rows = new Rows(this.#layer, ({ box }) => box.phone, newBox);
  #veil = h("div", { class: "live-veil" }, h("p", {}, "Waiting for a browser …"));
  #rate = h("span", { class: "live-rate" });
  #task;
  #stage;
  #caption = null; // of the frame whose JPEG comes next
  #waiting = null; // the newest frame that is not drawn yet
  #drawing = false;
  #shown = null; // the caption of the frame on the canvas
  #told = new Map(); // the last `coordinates` by unit and tab
  #times = [];
  #resting = true;
  #simple = false;
  #blocked = false;
  #refused = 0;
  #feedTimer = 0;
  #connection;
  #wheel = null;

  constructor({ task, check, steerable, signal }) {
    this.#stage = h("div", { class: "live-stage" }, this.#canvas, this.#feed, this.#layer, this.#veil);
    const full = button("Full screen", { icon: "full", bare: true, on: { click: () => this.#fullScreen() } });
    const trouble = notice();
    const bar = h("div", { class: "live-bar" }, h("span", { class: "live-dot" }), this.#rate, full);
    this.element = h("section", { class: "card flush live", "aria-label": "Live picture" }, this.#stage, bar, trouble.element);
    if (steerable) {
      this.#wheel = new Wheel({
        task,
        stage: this.#stage,
        canvas: this.#canvas,
        at: (x, y) => this.#fractionAt(x, y),
        changed: (state) => (this.element.dataset.wheel = state),
        trouble: trouble.set,
        signal,
      });
      full.before(...this.#wheel.elements);
    }
    this.#feed.addEventListener("error", () => {
      this.#feedTimer = setTimeout(() => this.#look(), FEED_AGAIN_MS);
    });
    this.#task = task;
    this.#connection = new Connection({
      url: () => `/api/scraper/ws/frames/${encodeURIComponent(task)}?fps=${FPS}&quality=${QUALITY}`,
      onMessage: (data) => this.#hear(data),
      onState: (state) => this.#follow(state),
      check,
      signal,
    });
    const resized = new ResizeObserver(() => this.#place());
    resized.observe(this.#stage);
    const clock = setInterval(() => this.#unveil(), 1000);
    signal.addEventListener("abort", () => {
      resized.disconnect();
      clearInterval(clock);
      clearTimeout(this.#feedTimer);
      this.#feed.removeAttribute("src"); // or it goes on although nobody sees it
    });
    document.addEventListener("visibilitychange", () => this.#look(), { signal });
  }

  /** Looks, or stops looking and says why: nobody captures for a task that has ended or a page that is hidden. */
  rest(text, runs) {
    this.#resting = Boolean(text);
    this.#wheel?.offer(runs && !this.#simple);
    say(this.#veil.firstChild, text || "Waiting for a browser …");
    this.#look();
    this.#unveil();
  }

  blocked(is) {
    this.#blocked = is;
  }

  #follow(state) {
    if (state === "open") this.#refused = 0;
    else this.#slow();
    if (state !== "retrying") return;
    this.#refused += 1;
    if (this.#blocked && this.#refused >= BLOCKED_AFTER) this.#simplify();
  }

  /** Plain MJPEG, without boxes, since nothing says which picture one has. */
  #simplify() {
    this.#simple = true;
    this.#connection.close();
    this.#wheel?.offer(false);
    this.#shown = null;
    show(this.#canvas, false);
    show(this.#layer, false);
    show(this.#feed, true);
    this.#look();
    this.#unveil();
  }

  boxes({ data }) {
    const key = `${data.unit} ${data.tab}`;
    this.#told.delete(key);
    this.#told.set(key, data);
    if (this.#told.size > 64) this.#told.delete(this.#told.keys().next().value);
    this.#mark();
  }

  #look() {
    const looks = !this.#resting && !document.hidden;
    if (this.#simple) this.#lookAtFeed(looks);
    else if (looks) this.#connection.open();
    else this.#connection.close();
  }

  #lookAtFeed(looks) {
    clearTimeout(this.#feedTimer);
    if (!looks) this.#feed.removeAttribute("src");
    else this.#feed.src = `/api/scraper/live_feed/${encodeURIComponent(this.#task)}?fps=${FPS}&quality=${QUALITY}`;
  }

  #hear(data) {
    if (typeof data === "string") {
      const said = JSON.parse(data);
      if (said.type === "frame") this.#caption = said;
      return;
    }
    if (!this.#caption) return;
    this.#waiting = { caption: this.#caption, jpeg: data };
    this.#caption = null;
    if (!this.#drawing) this.#draw();
  }

  /** Draws the newest frame; those that came while one was being decoded are left out. */
  async #draw() {
    this.#drawing = true;
    while (this.#waiting) {
      const { caption, jpeg } = this.#waiting;
      this.#waiting = null;
      let picture;
      try {
        picture = await createImageBitmap(jpeg);
      } catch {
        continue; // a broken picture is followed by a whole one
      }
      if (this.#canvas.width !== picture.width || this.#canvas.height !== picture.height) {
        Object.assign(this.#canvas, { width: picture.width, height: picture.height });
      }
      this.#canvas.getContext("2d").drawImage(picture, 0, 0);
      picture.close();
      this.#shown = caption;
      this.#times.push(performance.now());
      this.#place();
      this.#mark();
      this.#unveil();
    }
    this.#drawing = false;
  }

  /** Puts the layer of boxes over the picture itself, which `object-fit: contain` may have letterboxed. */
  #place() {
    const { clientWidth: across, clientHeight: down } = this.#stage;
    const scale = Math.min(across / this.#canvas.width, down / this.#canvas.height);
    const [width, height] = [this.#canvas.width * scale, this.#canvas.height * scale];
    Object.assign(this.#layer.style, {
      width: `${width}px`,
      height: `${height}px`,
      left: `${(across - width) / 2}px`,
      top: `${(down - height) / 2}px`,
    });
  }

  /** The boxes that belong to the picture on show, told of its tab and of it or an earlier picture, and where they lie. */
  #fitting() {
    const frame = this.#shown;
    const told = frame && this.#told.get(`${frame.unit} ${frame.tab}`);
    if (!told || !told.frame_seq || told.frame_seq > frame.seq) return [];
    return told.boxes.map((box) => ({ box, at: placed(box, frame) })).filter(({ at }) => at);
  }

  #mark() {
    this.#rows.set(this.#fitting());
  }

  /** A point of the window as fractions of the picture, beyond 0 and 1 on the bars; null before the first picture. */
  #fractionAt(x, y) {
    if (!this.#shown) return null;
    const { left, top, width, height } = this.#layer.getBoundingClientRect();
    return { x: (x - left) / width, y: (y - top) / height };
  }

  #unveil() {
    const fresh = (this.#shown || (this.#simple && this.#feed.naturalWidth)) && !this.#resting;
    this.#veil.classList.toggle("over", Boolean(this.#shown || this.#simple));
    show(this.#veil, !fresh);
    this.element.dataset.live = fresh ? "yes" : "no";
    this.#measure();
  }

  #slow() {
    this.#caption = null;
    this.#times = [];
    this.#measure();
  }

  #measure() {
    const since = performance.now() - RATE_OVER_MS;
    this.#times = this.#times.filter((time) => time > since);
    const rate = Math.round(this.#times.length / (RATE_OVER_MS / 1000));
    if (this.#simple && !this.#resting) say(this.#rate, "Live · no boxes and no wheel: something blocks WebSockets");
    else say(this.#rate, this.#resting || !this.#shown ? "Not live" : rate ? `${plural(rate, "picture")} a second` : "Live · page stands still");
  }

  #fullScreen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else this.element.requestFullscreen();
    this.#wheel?.focus();
  }
}

/**
 * Where a box lies on a frame, as fractions; null when the frame does not show it. Since it was measured, what stands on the
 * page was carried along by the scroll, what is fixed was not, and of what may do either we are told again in a moment.
 */
function placed({ seen, anchor, coordinates: at }, frame) {
  if (!at) return null;
  const [dx, dy] = [frame.scroll_x - at.scroll_x, frame.scroll_y - at.scroll_y];
  const scrolled = Math.abs(dx) > SAME_PX || Math.abs(dy) > SAME_PX;
  const carried = scrolled && anchor === "page";
  if ((scrolled && !anchor) || (!seen && !carried)) return null;
  const { width, height } = at;
  const x = at.x - (carried ? dx / frame.viewport_width : 0);
  const y = at.y - (carried ? dy / frame.viewport_height : 0);
  return x < 1 && y < 1 && x + width > 0 && y + height > 0 ? { x, y, width, height } : null;
}

function newBox({ box: { phone } }) {
  const element = h("div", { data: { phone } }, h("span", { class: "live-mark" }, icon("phone"), h("span", { class: "unseen" }, phone)));
  const update = ({ at: { x, y, width, height } }) => {
    element.className = x + width > 0.8 ? "live-box before" : "live-box"; // where the mark has room, and covers least
    Object.assign(element.style, { left: `${x * 100}%`, top: `${y * 100}%`, width: `${width * 100}%`, height: `${height * 100}%` });
  };
  return { element, update };
}
